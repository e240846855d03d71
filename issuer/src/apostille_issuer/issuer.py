"""The issuer without HTTP: every domain's service, built once and started in order.

This is one half of the composition root; :mod:`.app` puts routes around it,
the command line uses it as it is. Nothing else builds services.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from apostille_issuer.access.configured_roles import read_configured_roles
from apostille_issuer.access.service import AccessService
from apostille_issuer.accounts.authentication import Authenticator
from apostille_issuer.accounts.hashing import Hashing
from apostille_issuer.accounts.invited import InvitedAccounts
from apostille_issuer.accounts.own import OwnAccount
from apostille_issuer.accounts.service import AccountService
from apostille_issuer.accounts.throttle import LoginThrottle
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clients.purging import AssertionPurge
from apostille_issuer.clients.service import ClientsService
from apostille_issuer.clock import Clock, utc_now
from apostille_issuer.db.engine import Database
from apostille_issuer.db.schema import migrate, require_current
from apostille_issuer.keys.administration import KeyAdministration
from apostille_issuer.keys.pairs import KeySource
from apostille_issuer.keys.schedule import KeySchedule
from apostille_issuer.keys.service import KeyService
from apostille_issuer.notifications.folder import FolderMailer
from apostille_issuer.notifications.mail import Mailer, sender_at
from apostille_issuer.notifications.outbox import Outbox
from apostille_issuer.notifications.service import Notifications
from apostille_issuer.notifications.smtp import SmtpMailer, parse_mail_url
from apostille_issuer.purging import Purge
from apostille_issuer.sessions.ending import SessionEnder
from apostille_issuer.sessions.managed import ManagedSessions
from apostille_issuer.sessions.mint import Mint
from apostille_issuer.sessions.own import OwnSessions
from apostille_issuer.sessions.purging import SessionPurge, StatusListPurge
from apostille_issuer.sessions.queue import RefreshQueue
from apostille_issuer.sessions.renewing import TokenRenewer
from apostille_issuer.sessions.revoking import SessionRevoker
from apostille_issuer.sessions.rights import RightsReader
from apostille_issuer.sessions.service import SessionService
from apostille_issuer.sessions.store import RefreshStore
from apostille_issuer.sessions.switching import OrganizationSwitch
from apostille_issuer.sessions.voiding import TokenVoider
from apostille_issuer.settings import Settings
from apostille_issuer.status.service import StatusService
from apostille_issuer.storage import database_url, key_encryption_keys, prepare_data_folder
from apostille_issuer.tenancy.acceptances import Acceptances
from apostille_issuer.tenancy.homes import Homes
from apostille_issuer.tenancy.invitation_letters import InvitationLetters
from apostille_issuer.tenancy.invitation_purging import InvitationPurge
from apostille_issuer.tenancy.invitation_records import INVITATION_LETTER
from apostille_issuer.tenancy.invitation_tokens import InvitationTokens
from apostille_issuer.tenancy.invitations import Invitations
from apostille_issuer.tenancy.membership_rules import MembershipRules
from apostille_issuer.tenancy.promises import Promises
from apostille_issuer.tenancy.resolver import DnsResolver
from apostille_issuer.tenancy.service import TenancyService

__all__ = ["Issuer"]

CHECKS_UNTIL_KNOWN = 5
"""Looks at the keys after which every process counts as knowing a change: some may fail."""

MAIL_FOLDER = "mail"
"""Where letters are, in the data folder, if no mail server is set."""

TOKEN_GRACE = timedelta(minutes=2)
"""Longer than any verifier's leeway, and than clocks of replicas are apart."""


class Issuer:
    """Holds the services for as long as the process lives.

    Building one touches no file and opens no connection; :meth:`running` does.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock = utc_now,
        key_source: KeySource | None = None,
    ) -> None:
        """Build every service, each from what it needs and nothing more.

        Args:
            settings: All that an operator can decide.
            clock: Tells the time to every service.
            key_source: Makes signing keys, and signers for them; default: this
                process, see :class:`.LocalKeys`.
        """
        self.settings = settings
        self.clock = clock
        self.database = Database(
            database_url(settings),
            timeout=settings.database_timeout,
            pool_size=settings.database_pool_size,
        )
        self.audit = AuditTrail(self.database, clock)
        self.keys = self._keys(key_source)
        self.status = StatusService(
            self.database,
            clock,
            keys=self.keys,
            issuer_url=settings.issuer_url,
            ttl=settings.status_ttl,
        )
        renewer = TokenRenewer(clock, self.status.marks)
        self.key_administration = self._key_administration(renewer)
        self.access = AccessService(
            self.database,
            clock,
            self.audit,
            watch=renewer,
            audience=settings.audience,
            roles_per_tenant=settings.roles_per_tenant,
        )
        self.hashing = Hashing(
            memory_kib=settings.argon2_memory_kib,
            time_cost=settings.argon2_time_cost,
            parallelism=settings.argon2_parallelism,
            workers=settings.hashing_workers,
            queue=settings.hashing_queue,
        )
        authenticator = Authenticator(
            self.database,
            clock,
            self.audit,
            hashing=self.hashing,
            throttle=LoginThrottle(
                per_login=settings.login_limit_per_account,
                per_address=settings.login_limit_per_address,
            ),
        )
        self.outbox = Outbox(self.database, clock, self._mailer())
        self.notifications = Notifications(self.database, clock, self.outbox)
        ender = SessionEnder(self.audit, self.status.marks, self.notifications)
        self.revoker = SessionRevoker(self.database, clock, ender)
        self.accounts = self._accounts(ender)
        self.own_account = self._own_account(authenticator, ender)
        self.sessions = self._sessions(authenticator, ender)
        self.own_sessions = OwnSessions(self.database, clock, ender)
        self.clients = self._clients(ender)
        self.tenancy = self._tenancy(authenticator, ender)
        self.managed_sessions = ManagedSessions(
            self.database, clock, self.audit, access=self.access, ender=ender
        )
        self.purge = Purge(
            clock,
            SessionPurge(self.database, retention=settings.session_retention),
            InvitationPurge(self.database, retention=settings.invitation_retention),
            AssertionPurge(self.database),
            StatusListPurge(self.database),
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Issuer]:
        """Prepare the database and the keys, and close everything at the end.

        The embedded default migrates itself; another database must have been
        migrated.

        Raises:
            StartupError: It cannot start; the message says why in one line.
            IssuerProblem: ``database_unavailable``.
        """
        settings = self.settings
        try:
            await asyncio.to_thread(prepare_data_folder, settings)
            check = migrate if settings.database_url is None else require_current
            await asyncio.to_thread(check, self.database.url, timeout=settings.database_timeout)
            await self.keys.start(await asyncio.to_thread(key_encryption_keys, settings))
            await self.access.seed(
                await asyncio.to_thread(read_configured_roles, settings.system_roles_file)
            )
            async with self.status.sweeping():
                yield self
        finally:
            self.hashing.close()
            await self.database.close()

    def _keys(self, source: KeySource | None) -> KeyService:
        settings = self.settings
        spread = settings.key_check_interval * CHECKS_UNTIL_KNOWN
        schedule = KeySchedule(
            lifetime=settings.signing_key_lifetime,
            publication=spread + settings.jwks_max_age + settings.verifier_freshness,
            retirement=spread + settings.access_token_lifetime + TOKEN_GRACE,
            spread=spread,
            secret_retirement=max(settings.refresh_absolute_lifetime, settings.invitation_lifetime),
        )
        return KeyService(
            self.database,
            self.clock,
            self.audit,
            algorithm=settings.signing_algorithm,
            standby=settings.standby_signing_algorithms,
            schedule=schedule,
            check_interval=settings.key_check_interval,
            source=source,
        )

    def _key_administration(self, renewer: TokenRenewer) -> KeyAdministration:
        voider = TokenVoider(
            self.database,
            self.audit,
            renewer=renewer,
            marks=self.status.marks,
            # Whoever looks that often has looked by then, and has had time to.
            settling=self.settings.key_check_interval * 1.5,
        )
        return KeyAdministration(self.keys, self.database, self.audit, watch=voider)

    def _mailer(self) -> Mailer:
        settings = self.settings
        sender = sender_at(urlsplit(settings.issuer_url).hostname or "", settings.mail_sender)
        if settings.mail_url is None:
            return FolderMailer(settings.data / MAIL_FOLDER, sender, self.clock)
        return SmtpMailer(parse_mail_url(settings.mail_url), sender, self.clock)

    def _accounts(self, ender: SessionEnder) -> AccountService:
        return AccountService(
            self.database,
            self.clock,
            self.audit,
            access=self.access,
            hashing=self.hashing,
            ender=ender,
            password_min_length=self.settings.password_min_length,
        )

    def _tenancy(self, authenticator: Authenticator, ender: SessionEnder) -> TenancyService:
        settings = self.settings
        tokens = InvitationTokens(self.keys.refresh_macs)
        promises = Promises(self.access.members)
        page = settings.invitation_url or f"{settings.issuer_url}/invitations/accept"
        letters = InvitationLetters(self.database, self.clock, tokens, page=page)
        self.outbox.register(INVITATION_LETTER, letters)
        return TenancyService(
            self.database,
            self.clock,
            self.audit,
            access=self.access,
            ender=ender,
            checker=DnsResolver(settings.dns_servers),
            issuer_url=settings.issuer_url,
            purge_after=settings.tenant_purge_after,
            accounts=self.clients.accounts,
            organizations_per_tenant=settings.organizations_per_tenant,
            invitations=Invitations(
                self.database,
                self.clock,
                access=self.access,
                outbox=self.outbox,
                promises=promises,
                lifetime=settings.invitation_lifetime,
                letters_per_day=settings.invitation_letters_per_day,
                pending_per_tenant=settings.pending_invitations_per_tenant,
            ),
            acceptances=Acceptances(
                self.database,
                self.clock,
                self.audit,
                access=self.access,
                accounts=self._invited_accounts(authenticator),
                promises=promises,
                rules=MembershipRules(self.clock, roles=self.access.members, ender=ender),
                tokens=tokens,
            ),
        )

    def _invited_accounts(self, authenticator: Authenticator) -> InvitedAccounts:
        settings = self.settings
        return InvitedAccounts(
            self.clock,
            self.audit,
            authenticator=authenticator,
            hashing=self.hashing,
            # Not that of logins: an answer in vain keeps nobody from his account.
            throttle=LoginThrottle(
                per_login=settings.login_limit_per_account,
                per_address=settings.login_limit_per_address,
            ),
            password_min_length=settings.password_min_length,
        )

    def _own_account(self, authenticator: Authenticator, ender: SessionEnder) -> OwnAccount:
        return OwnAccount(
            self.database,
            self.clock,
            self.audit,
            access=self.access,
            authenticator=authenticator,
            hashing=self.hashing,
            ender=ender,
            notifications=self.notifications,
            password_min_length=self.settings.password_min_length,
        )

    def _rights(self) -> RightsReader:
        settings = self.settings
        mint = Mint(issuer=settings.issuer_url, lifetime=settings.access_token_lifetime)
        return RightsReader(self.access, mint)

    def _clients(self, ender: SessionEnder) -> ClientsService:
        return ClientsService(
            self.database,
            self.clock,
            self.audit,
            access=self.access,
            ender=ender,
            rights=self._rights(),
            indexes=self.status.indexes,
            keys=self.keys,
            settings=self.settings,
        )

    def _sessions(self, authenticator: Authenticator, ender: SessionEnder) -> SessionService:
        settings = self.settings
        rights = self._rights()
        store = RefreshStore(
            self.clock,
            ender,
            rights,
            idle_lifetime=settings.refresh_idle_lifetime,
            replay_window=settings.refresh_replay_window,
        )
        return SessionService(
            self.database,
            self.clock,
            self.audit,
            authenticator=authenticator,
            ender=ender,
            keys=self.keys,
            refreshes=RefreshQueue(self.database, store, self.status.indexes),
            switches=OrganizationSwitch(
                self.database,
                self.clock,
                self.audit,
                limit=settings.switch_limit_per_session,
                store=store,
                indexes=self.status.indexes,
                rights=rights,
            ),
            indexes=self.status.indexes,
            rights=rights,
            homes=Homes(settings.issuer_url),
            client_id=settings.client_id,
            idle_lifetime=settings.refresh_idle_lifetime,
            absolute_lifetime=settings.refresh_absolute_lifetime,
        )
