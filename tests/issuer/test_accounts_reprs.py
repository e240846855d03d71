"""No secret shows in a log line, whatever is logged."""

from __future__ import annotations

import uuid

import pytest
from msgspec import Struct

from apostille_issuer.accounts.authentication import Authenticated
from apostille_issuer.accounts.schemas import PasswordChange, UserDraft
from apostille_issuer.sessions.schemas import (
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    TokenSet,
)

SECRET = "correct horse battery staple"


@pytest.mark.parametrize(
    "value",
    [
        Authenticated(uuid.uuid4(), SECRET, SECRET),
        LoginRequest(login=SECRET, password=SECRET),
        LogoutRequest(refresh_token=SECRET),
        PasswordChange(current_password=SECRET, new_password=SECRET),
        RefreshRequest(refresh_token=SECRET),
        TokenSet(access_token=SECRET, expires_in=1, refresh_token=SECRET, refresh_expires_in=1),
        UserDraft(login="ada", password=SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_holds_no_secret(value: Struct) -> None:
    assert SECRET not in repr(value)
    assert type(value).__name__ in repr(value)
