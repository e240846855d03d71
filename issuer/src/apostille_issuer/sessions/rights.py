"""What a session's next access token says, read while its transaction is open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.access.schemas import Entitlements
from apostille_issuer.access.service import AccessService
from apostille_issuer.db.engine import Statements
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.sessions.mint import Bearer, Mint, MintedClaims, OversizedClaims

__all__ = ["RightsReader"]


class RightsReader:
    """Reads roles and permissions anew for every token, so that none is staler than it lives."""

    def __init__(self, access: AccessService, mint: Mint) -> None:
        """Take who knows the rights and who writes them down."""
        self._access = access
        self._mint = mint

    def hold(self, statements: Statements) -> None:
        """Let nobody change anybody's rights until the transaction ends; call it first.

        For a login: whoever changes rights voids the tokens of the sessions
        there are, and must not miss the one that is being made.
        """
        self._access.hold_policy(statements)

    def claims(
        self,
        statements: Statements,
        asks: Sequence[tuple[Bearer, Sequence[str] | None]],
        now: datetime,
    ) -> list[MintedClaims]:
        """Return the claims of a token for each bearer, good from *now* on.

        One statement for all of them, where nothing changed since the last time.
        A token whose bearer named no audience is for the issuer alone if it
        would be too large for all: nobody is locked out by services that others
        register.

        Args:
            statements: Of the transaction.
            asks: Bearers, each with the audience it named, or ``None`` for the default.
            now: The present.

        Raises:
            IssuerProblem: For one of them: ``unknown_audience``,
                ``not_a_member``; or ``token_oversized``, naming the role, or the number of
                audiences, that is to blame.
        """
        wanted = [(bearer.place, audience) for bearer, audience in asks]
        held = self._access.entitlements_of_many(statements, wanted)
        minted: list[MintedClaims] = []
        for (bearer, audience), rights in zip(asks, held, strict=True):
            try:
                minted.append(self._mint.claims(bearer, rights, now))
            except OversizedClaims:
                narrowed = rights.audience if audience is not None else rights.audience[:1]
                minted.append(self._claims_for(statements, bearer, narrowed, now))
        return minted

    def _claims_for(
        self, statements: Statements, bearer: Bearer, audience: tuple[str, ...], now: datetime
    ) -> MintedClaims:
        (rights,) = self._access.entitlements_of_many(statements, [(bearer.place, audience)])
        try:
            return self._mint.claims(bearer, rights, now)
        except OversizedClaims:
            to_blame = self._blame(statements, bearer, rights)
            raise IssuerProblem(ProblemCode.TOKEN_OVERSIZED, errors=(to_blame,)) from None

    def _blame(self, statements: Statements, bearer: Bearer, rights: Entitlements) -> FieldError:
        if sum(map(len, rights.audience)) > sum(map(len, rights.permissions)):
            return FieldError("audience", f"names {len(rights.audience)} services")
        role, brought = self._access.heaviest_role(statements, bearer.place, rights.audience)
        return FieldError("roles", f"{role} brings {brought} permissions into it")
