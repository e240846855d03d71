"""Whom a verified token speaks for, and what he may do."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from apostille import ConfigurationError, PermissionDenied, Principal
from apostille.principal import VerifiedClaims
from apostille_contracts.claims import Actor


def principal(**changes: Any) -> Principal:
    usual = {
        "iss": "https://issuer.test",
        "sub": "somebody",
        "aud": "inventory",
        "client_id": "web",
        "exp": 2_000_000_000,
        "iat": 1_900_000_000,
        "jti": "1",
    }
    return Principal(VerifiedClaims(**{**usual, **changes}))


def test_a_full_token() -> None:
    somebody = principal(
        tid="tenant",
        org="organization",
        sid="session",
        roles=("clerk",),
        permissions=("inventory.read",),
        scope="openid profile",
        plan="gold",
        act=Actor(sub="support"),
        auth_time=1_899_999_000.5,
    )
    assert somebody.subject == "somebody"
    assert somebody.client == "web"
    assert somebody.tenant == "tenant"
    assert somebody.organization == "organization"
    assert somebody.session == "session"
    assert somebody.roles == ("clerk",)
    assert somebody.permissions == ("inventory.read",)
    assert somebody.scope == {"openid", "profile"}
    assert somebody.plan == "gold"
    assert somebody.actor == Actor(sub="support")
    assert somebody.expires_at == datetime(2033, 5, 18, 3, 33, 20, tzinfo=UTC)
    assert somebody.authenticated_at == datetime(2030, 3, 17, 17, 30, 0, 500_000, tzinfo=UTC)
    assert somebody.claims.jti == "1"


def test_a_bare_token() -> None:
    somebody = principal()
    assert somebody.tenant is None
    assert somebody.organization is None
    assert somebody.session is None
    assert somebody.roles == ()
    assert somebody.permissions == ()
    assert somebody.scope == frozenset()
    assert somebody.plan is None
    assert somebody.actor is None
    assert somebody.authenticated_at is None


def test_has_wants_all_and_has_any_one() -> None:
    somebody = principal(permissions=("inventory.read", "orders.*"))
    assert somebody.has("inventory.read")
    assert somebody.has("inventory.read", "orders.create")
    assert not somebody.has("inventory.read", "inventory.write")
    assert somebody.has_any("inventory.write", "orders.line.create")
    assert not somebody.has_any("inventory.write", "billing.read")


def test_the_superuser_has_everything() -> None:
    assert principal(permissions=("*",)).has("anything.at.all")


def test_nobody_has_what_he_was_not_given() -> None:
    assert not principal().has("inventory.read")
    assert not principal().has_any("inventory.read", "inventory.write")


def test_require_names_what_is_missing() -> None:
    somebody = principal(permissions=("inventory.read",))
    somebody.require("inventory.read")
    with pytest.raises(PermissionDenied) as denied:
        somebody.require("inventory.read", "inventory.write", "inventory.move")
    assert denied.value.missing == ("inventory.write", "inventory.move")


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("inventory.*",),
        ("*",),
        ("inventory",),
        ("Inventory.read",),
        ("",),
        ("a.b", "c.*"),
        (7,),
        ("inventory.read\n",),
        (None,),
        ("a.b.c.d.e.f",),
        (b"a.b",),
    ],
)
@pytest.mark.parametrize("ask", ["has", "has_any", "require"])
def test_asking_for_nonsense_is_a_mistake_of_the_program(ask: str, names: tuple[Any, ...]) -> None:
    for held in ((), ("*",), ("inventory.*",)):
        with pytest.raises(ConfigurationError):
            getattr(principal(permissions=held), ask)(*names)


def test_what_cannot_even_be_hashed_is_a_mistake_too() -> None:
    with pytest.raises(ConfigurationError):
        principal().has(["inventory.read"])  # type: ignore[arg-type]


@pytest.mark.parametrize("grant", ["inventory", "**", "*.read", "inventory.*.read", "", " ", "in*"])
def test_grants_that_are_none_grant_nothing(grant: str) -> None:
    assert not principal(permissions=(grant,)).has_any("inventory.read", "inventory.x.read")


def test_principals_are_equal_if_all_claims_are() -> None:
    assert principal() == principal()
    assert hash(principal()) == hash(principal())
    assert principal() != principal(roles=("clerk",))
    assert principal() != "somebody"


def test_a_principal_is_immutable() -> None:
    somebody = principal()
    for name in ("subject", "permissions", "anything"):
        with pytest.raises(AttributeError):
            setattr(somebody, name, ())
    with pytest.raises(AttributeError):
        somebody.claims.sub = "another"  # type: ignore[misc]


def test_its_repr_says_who_and_no_more() -> None:
    text = repr(principal(sid="session", permissions=("inventory.read",)))
    assert text == "Principal(subject='somebody', client='web')"
