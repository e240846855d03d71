"""No secret shows in a log line, whatever is logged."""

from __future__ import annotations

import uuid

import pytest
from msgspec import Struct

from apostille_issuer.accounts.authentication import Authenticated
from apostille_issuer.accounts.invited import NewAccount
from apostille_issuer.accounts.names import LoginName
from apostille_issuer.accounts.schemas import PasswordChange, UserDraft
from apostille_issuer.notifications.mail import Letter
from apostille_issuer.notifications.smtp import SmtpServer
from apostille_issuer.sessions.schemas import (
    LoginRequest,
    LogoutRequest,
    RefreshRequest,
    TokenSet,
)
from apostille_issuer.tenancy.schemas.invitations import Acceptance, InvitationProof

SECRET = "correct horse battery staple"


@pytest.mark.parametrize(
    "value",
    [
        Acceptance(token=SECRET, password=SECRET),
        Authenticated(uuid.uuid4(), SECRET, SECRET),
        InvitationProof(token=SECRET),
        Letter(to="ada@example.com", subject="x", text=SECRET, html=SECRET, reference="y"),
        LoginRequest(login=SECRET, password=SECRET),
        LogoutRequest(refresh_token=SECRET),
        NewAccount(uuid.uuid4(), LoginName("ada", "ada"), SECRET),
        PasswordChange(current_password=SECRET, new_password=SECRET),
        RefreshRequest(refresh_token=SECRET),
        SmtpServer(host="mail", port=25, tls="starttls", user="ada", password=SECRET),
        TokenSet(access_token=SECRET, expires_in=1, refresh_token=SECRET, refresh_expires_in=1),
        UserDraft(login="ada", password=SECRET),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_repr_holds_no_secret(value: Struct) -> None:
    assert SECRET not in repr(value)
    assert type(value).__name__ in repr(value)
