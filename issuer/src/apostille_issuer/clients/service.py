"""Service accounts, their API keys, and the tokens that these get."""

from __future__ import annotations

from typing import Final

from apostille_issuer.access.service import AccessService
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clients.accounts import ServiceAccounts
from apostille_issuer.clients.api_keys import ApiKeys
from apostille_issuer.clients.authentication import ClientAuthenticator
from apostille_issuer.clients.throttle import ClientThrottle
from apostille_issuer.clients.tokens import ClientTokens
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.keys.service import KeyService
from apostille_issuer.sessions.client_sessions import ClientSessions
from apostille_issuer.sessions.ending import SessionEnder
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.settings import Settings
from apostille_issuer.status.allocation import IndexAllocator

__all__ = ["TOKEN_PATH", "ClientsService"]

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 - an address, not a secret


class ClientsService:
    """The face of the clients domain: acts by noun, each with its own transaction."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        access: AccessService,
        ender: SessionEnder,
        rights: RightsReader,
        indexes: IndexAllocator,
        keys: KeyService,
        settings: Settings,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds accounts and keys.
            clock: Dates them.
            audit: Records what happens to them.
            access: Knows who may do what.
            ender: Voids tokens.
            rights: Knows what tokens say.
            indexes: Gives out places in status lists.
            keys: Signs tokens.
            settings: Limits of accounts, keys and failures, and the issuer's own address.
        """
        sessions = ClientSessions(clock, ender, rights)
        self.accounts = ServiceAccounts(
            database,
            clock,
            access=access,
            ender=ender,
            per_tenant=settings.service_accounts_per_tenant,
        )
        self.keys = ApiKeys(
            database,
            clock,
            access=access,
            sessions=sessions,
            max_lifetime=settings.api_key_max_lifetime,
            per_account=settings.api_keys_per_account,
        )
        issuer = settings.issuer_url
        self.tokens = ClientTokens(
            database,
            clock,
            audit,
            authenticator=ClientAuthenticator(frozenset({issuer, f"{issuer}{TOKEN_PATH}"})),
            throttle=ClientThrottle(
                per_key=settings.client_limit_per_key,
                per_address=settings.client_limit_per_address,
            ),
            sessions=sessions,
            indexes=indexes,
            keys=keys,
        )
