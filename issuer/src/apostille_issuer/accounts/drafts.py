"""What may be stored of a user: login names and passwords, each refused by field."""

from __future__ import annotations

from apostille_contracts.problems import FieldError, ProblemCode
from apostille_issuer.accounts.names import InvalidLogin, LoginName, parse_login
from apostille_issuer.accounts.passwords import InvalidPassword, check_new_password
from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.problems import IssuerProblem

__all__ = ["checked_draft", "checked_login", "checked_password"]


def checked_login(login: str) -> LoginName:
    """Return *login* as a login name.

    Raises:
        IssuerProblem: ``validation_failed``.
    """
    try:
        return parse_login(login)
    except InvalidLogin as error:
        raise IssuerProblem.invalid_field("login", str(error)) from error


def checked_password(field: str, password: str, *, login: str, min_length: int) -> None:
    """Return if *password* may be set for the user named *login*.

    Raises:
        IssuerProblem: ``validation_failed`` for *field*.
    """
    try:
        check_new_password(password, login=login, min_length=min_length)
    except InvalidPassword as error:
        raise IssuerProblem.invalid_field(field, str(error)) from error


def checked_draft(draft: UserDraft, min_length: int) -> LoginName:
    """Return the login name of *draft*, or raise with everything wrong about it.

    Raises:
        IssuerProblem: ``validation_failed``, naming one field or both.
    """
    errors: list[FieldError] = []
    name = None
    try:
        name = checked_login(draft.login)
    except IssuerProblem as problem:
        errors += problem.errors
    try:
        if draft.password is not None:
            checked_password("password", draft.password, login=draft.login, min_length=min_length)
    except IssuerProblem as problem:
        errors += problem.errors
    if errors or name is None:
        raise IssuerProblem(ProblemCode.VALIDATION_FAILED, errors=tuple(errors))
    return name
