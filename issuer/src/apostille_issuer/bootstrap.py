"""The first superuser: without one, nobody could give anybody a right."""

from __future__ import annotations

import secrets

from msgspec import Struct

from apostille_contracts.problems import ProblemCode
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem, StartupError

__all__ = ["FirstSuperuser", "ensure_superuser"]

DEFAULT_LOGIN = "admin"
PASSWORD_BYTES = 18
"""Of randomness in a password we make: 144 bits, 24 characters."""


class FirstSuperuser(Struct, frozen=True):
    """A superuser that was created a moment ago."""

    login: str
    password: str | None
    """Only where we made it up; kept nowhere but here."""

    def __repr__(self) -> str:
        """Show no password in any log."""
        return f"FirstSuperuser(login={self.login!r})"


async def ensure_superuser(issuer: Issuer) -> FirstSuperuser | None:
    """Create a superuser if there is none who can log in.

    Login name and password come from the settings; without them the name is
    ``admin`` and the password random. There are no default credentials.

    Raises:
        StartupError: The settings name what cannot be a login name or a
            password, or a user who is not a superuser has that name.
    """
    async with issuer.database.begin() as session:
        if await issuer.access.superuser_exists(session):
            return None
    login = issuer.settings.bootstrap_login or DEFAULT_LOGIN
    chosen = issuer.settings.bootstrap_password
    password = chosen or secrets.token_urlsafe(PASSWORD_BYTES)
    draft = UserDraft(login=login, password=password)
    try:
        created = await issuer.accounts.create_first_superuser(draft, COMMAND_LINE)
    except IssuerProblem as problem:
        raise StartupError(f"cannot create the first superuser: {_reason(problem)}") from problem
    return FirstSuperuser(login, None if chosen else password) if created else None


def _reason(problem: IssuerProblem) -> str:
    if problem.code is ProblemCode.LOGIN_TAKEN:
        return (
            "APOSTILLE_BOOTSTRAP_LOGIN is taken by somebody else; "
            "use 'apostille-issuer create-superuser'"
        )
    if problem.errors:
        return "; ".join(
            f"APOSTILLE_BOOTSTRAP_{error.field.upper()}: {error.detail}" for error in problem.errors
        )
    return str(problem)
