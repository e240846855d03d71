"""Revocation and introspection of single tokens, access or refresh, as OAuth has them.

See: RFC 7009 (revocation), RFC 7662 (introspection).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec

from apostille import AsyncVerifier, Principal
from apostille.errors import InvalidToken, WrongAudience
from apostille_issuer.access.service import AccessService
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.http.context import RequestContext
from apostille_issuer.keys.service import KeyService
from apostille_issuer.sessions.chain import Standing, Use, Verdict, judge
from apostille_issuer.sessions.models import LoginSession
from apostille_issuer.sessions.refresh_tokens import (
    InvalidRefreshToken,
    RefreshToken,
    RefreshTokens,
)
from apostille_issuer.sessions.service import SessionService

__all__ = ["INACTIVE", "MakeVerifier", "OAuthTokens"]

INACTIVE: dict[str, Any] = {"active": False}
"""All that is said of a token that is no good, whatever the reason (RFC 7662 section 2.2)."""

MakeVerifier = Callable[[tuple[str, ...], bool], AsyncVerifier]
"""Makes a verifier for any of these audiences; the flag says whether it minds ended sessions."""


class OAuthTokens:
    """Ends the session of a token, and says what is to be known of one."""

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        *,
        access: AccessService,
        keys: KeyService,
        sessions: SessionService,
        verifier: MakeVerifier,
        issuer: str,
        client_id: str,
    ) -> None:
        """Take what is needed.

        Args:
            database: Holds the sessions.
            clock: Tells whether they have expired.
            access: Knows all audiences.
            keys: Verifies refresh tokens.
            sessions: Ends sessions.
            verifier: Verifies access tokens.
            issuer: The claim ``iss``.
            client_id: The client that sessions are bound to.
        """
        self._database = database
        self._clock = clock
        self._access = access
        self._refresh_tokens = RefreshTokens(keys.refresh_macs)
        self._sessions = sessions
        self._make_verifier = verifier
        self._issuer = issuer
        self._client_id = client_id
        self._verifiers: dict[bool, AsyncVerifier] = {}

    def knows_client(self, client_id: str | None) -> bool:
        """Say whether *client_id*, if any is named, is a client's."""
        return client_id in (None, self._client_id)

    async def revoke(self, token: str, context: RequestContext) -> None:
        """End the session that *token* belongs to, with all its tokens.

        What is no token of ours, or has expired, is no error: either way it is
        good for nothing afterwards (RFC 7009 section 2.2).

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        try:
            found = self._refresh_tokens.verify(token)
        except InvalidRefreshToken:
            # One that was voided by a change of rights still names its session.
            principal = await self._bearer(token, mind_status=False)
            if principal is not None and principal.session is not None:
                user_id = uuid.UUID(principal.subject)
                await self._sessions.end(uuid.UUID(principal.session), context, user_id=user_id)
        else:
            await self._sessions.end(found.session_id, context)

    async def introspect(self, token: str) -> dict[str, Any]:
        """Return what is to be known of *token*; :data:`INACTIVE` unless it is good now.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        try:
            found = self._refresh_tokens.verify(token)
        except InvalidRefreshToken:
            principal = await self._bearer(token, mind_status=True)
            if principal is None:
                return INACTIVE
            claims: dict[str, Any] = msgspec.to_builtins(principal.claims)
            return {"active": True, "token_type": "Bearer", **claims}
        return await self._refresh_token(found)

    async def _refresh_token(self, token: RefreshToken) -> dict[str, Any]:
        async with self._database.read(EVERY_TENANT) as session:
            row = await session.get(LoginSession, token.session_id)
        if row is None:
            return INACTIVE
        standing = Standing(
            client_id=row.client_id,
            generation=row.generation,
            rotated_at=row.rotated_at,
            expires_at=row.expires_at,
            idle_expires_at=row.idle_expires_at,
            revoked_at=row.revoked_at,
        )
        use = Use(token.session_id, token.generation, self._client_id)
        # Asking uses nothing up; a token that was used is inactive even while
        # it would still be replayed to the loser of a race.
        if judge(use, standing, self._clock(), timedelta(0)) is not Verdict.ADVANCE:
            return INACTIVE
        return {
            "active": True,
            "iss": self._issuer,
            "sub": str(row.user_id),
            "client_id": row.client_id,
            "sid": str(row.id),
            "iat": int(row.rotated_at.timestamp()),
            "exp": int(row.idle_expires_at.timestamp()),
            "auth_time": int(row.auth_time.timestamp()),
        }

    async def _bearer(self, token: str, *, mind_status: bool) -> Principal | None:
        """Return whom an access token speaks for, whichever service it is meant for."""
        known, principal = self._verifiers.get(mind_status), None
        if known is not None:
            # What is no token of ours costs no look at the database: anybody may send it.
            try:
                principal = await known.verify(token)
            except WrongAudience:
                pass  # perhaps of a service that has been registered since
            except InvalidToken:
                return None
        async with self._database.read(EVERY_TENANT) as session:
            audiences = await self._access.audiences(session)
        if known is not None and known.audience == audiences:
            return principal
        verifier = self._verifiers[mind_status] = self._make_verifier(audiences, mind_status)
        try:
            return await verifier.verify(token)
        except InvalidToken:
            return None
