"""LocalIssuer: what service developers test with behaves like the issuer it stands for."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import get_args

import jwt
import pytest

from apostille import AsyncVerifier, StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.errors import (
    BadSignature,
    ConfigurationError,
    ExpiredToken,
    InvalidToken,
    KeysUnavailable,
    NotYetValid,
    UnknownKey,
    WrongAudience,
)
from apostille.events import Event, KeyState
from apostille.testing import BAD_TOKENS, LIFETIME, SUBJECT, BadTokenName, LocalIssuer
from apostille_contracts.claims import ALGORITHMS, Algorithm
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode

LEEWAY = timedelta(seconds=30)


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


# Tokens


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_every_algorithm_is_verified(algorithm: Algorithm) -> None:
    issuer = LocalIssuer(algorithm=algorithm)
    assert issuer.verifier().verify(issuer.token()).subject == SUBJECT


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        LocalIssuer(algorithm="HS256")  # type: ignore[arg-type]


def test_a_token_is_good_in_the_eyes_of_another_library(issuer: LocalIssuer) -> None:
    token = issuer.token()
    key = jwt.PyJWKSet.from_dict(issuer.jwks())[jwt.get_unverified_header(token)["kid"]]
    claims = jwt.decode(
        token, key, algorithms=["ES256"], audience="inventory", issuer="https://issuer.test"
    )
    assert claims["sub"] == SUBJECT
    assert claims["exp"] - claims["iat"] == LIFETIME.total_seconds()


def test_what_is_asked_for_is_in_the_token(issuer: LocalIssuer) -> None:
    principal = issuer.principal(
        subject="somebody",
        permissions=["inventory.*"],
        roles=["clerk"],
        scope=["openid", "profile"],
        actor="support",
        tenant="t",
        organization="o",
        session="s",
        client="c",
        plan="pro",
        acr="2",
    )
    assert principal.subject == "somebody"
    assert principal.has("inventory.stock.read")
    assert principal.roles == ("clerk",)
    assert principal.scope == {"openid", "profile"}
    assert principal.actor is not None
    assert principal.actor.sub == "support"
    assert (principal.tenant, principal.organization) == ("t", "o")
    assert (principal.session, principal.client, principal.plan) == ("s", "c", "pro")
    assert principal.claims.acr == "2"


def test_a_plain_token_says_little(issuer: LocalIssuer) -> None:
    claims = jwt.decode(issuer.token(), options={"verify_signature": False})
    assert set(claims) == {
        *("iss", "sub", "aud", "client_id", "exp", "iat", "jti", "auth_time", "sid")
    }


def test_scope_may_be_one_text(issuer: LocalIssuer) -> None:
    assert issuer.principal(scope="openid profile").scope == {"openid", "profile"}


def test_no_two_tokens_are_the_same(issuer: LocalIssuer) -> None:
    assert issuer.principal().claims.jti != issuer.principal().claims.jti


def test_a_claim_can_be_left_out(issuer: LocalIssuer) -> None:
    with pytest.raises(InvalidToken):
        issuer.verifier().verify(issuer.token(jti=None))


@pytest.mark.parametrize("permission", ["inventory", "Inventory.read", "inventory.re*"])
def test_a_misspelt_permission_is_refused_at_once(issuer: LocalIssuer, permission: str) -> None:
    with pytest.raises(ConfigurationError, match="a grant is"):
        issuer.token(permissions=[permission])


@pytest.mark.parametrize("name", ["permissions", "roles"])
def test_a_text_is_no_list(issuer: LocalIssuer, name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        issuer.token(**{name: "inventory.read"})  # type: ignore[arg-type] # the mistake


def test_a_lifetime_may_have_a_fraction_or_be_over(issuer: LocalIssuer) -> None:
    verifier = issuer.verifier(leeway=timedelta(0))
    now = issuer.clock.now()
    half = verifier.verify(issuer.token(expires_in=timedelta(seconds=0.5)))
    assert half.expires_at - now == timedelta(seconds=0.5)
    with pytest.raises(ExpiredToken):
        verifier.verify(issuer.token(expires_in=timedelta(seconds=-1)))


def test_a_token_for_another_service_is_refused(issuer: LocalIssuer) -> None:
    with pytest.raises(WrongAudience):
        issuer.verifier().verify(issuer.token(audience="billing"))
    assert issuer.principal(audience="billing").claims.aud == "billing"


def test_an_issuer_of_several_services() -> None:
    issuer = LocalIssuer(audience=["inventory", "billing"])
    assert issuer.verifier(audience="billing").verify(issuer.token()).claims.aud == (
        "inventory",
        "billing",
    )
    assert issuer.principal(audience=["billing"]).claims.aud == "billing"


def test_an_issuer_without_audience_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="audience"):
        LocalIssuer(audience=[])


def test_headers_carry_a_token(issuer: LocalIssuer) -> None:
    scheme, token = issuer.headers(permissions=["inventory.read"])["Authorization"].split(" ")
    assert scheme == "Bearer"
    issuer.verifier().verify(token).has("inventory.read")


# Bad tokens


def test_the_names_of_bad_tokens_and_their_type_agree() -> None:
    assert set(get_args(BadTokenName)) == set(BAD_TOKENS)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_bad_token_gets_its_code_and_no_other(algorithm: Algorithm) -> None:
    issuer = LocalIssuer(algorithm=algorithm)
    verifier = issuer.verifier()
    for name, code in BAD_TOKENS.items():
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(issuer.bad_token(name))
        assert caught.value.code == code, name


def test_bad_tokens_can_be_had_for_every_code_of_verification() -> None:
    assert set(BAD_TOKENS.values()) == {
        ProblemCode.MALFORMED_TOKEN,
        ProblemCode.TOKEN_TOO_LARGE,
        ProblemCode.ALGORITHM_NOT_ALLOWED,
        ProblemCode.WRONG_TYPE,
        ProblemCode.UNKNOWN_KEY,
        ProblemCode.BAD_SIGNATURE,
        ProblemCode.EXPIRED_TOKEN,
        ProblemCode.NOT_YET_VALID,
        ProblemCode.WRONG_ISSUER,
        ProblemCode.WRONG_AUDIENCE,
        ProblemCode.INVALID_CLAIM,
    }


def test_an_unknown_bad_token_is_refused_and_the_known_ones_named(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError, match="hmac_confusion"):
        issuer.bad_token("mouldy")  # type: ignore[arg-type]


# Time


def test_time_stands_still_until_it_is_advanced(issuer: LocalIssuer) -> None:
    verifier = issuer.verifier()
    token = issuer.token(expires_in=timedelta(minutes=1))
    issuer.advance(timedelta(minutes=1) + LEEWAY - timedelta(microseconds=1))
    verifier.verify(token)
    issuer.advance(timedelta(microseconds=1))
    with pytest.raises(ExpiredToken):
        verifier.verify(token)
    verifier.verify(issuer.token())


def test_time_does_not_run_backwards(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError, match="forward"):
        issuer.advance(timedelta(seconds=-1))


def test_the_clock_starts_where_it_is_told() -> None:
    start = datetime(2031, 5, 17, 8, 30, 15, 999_999, tzinfo=UTC)
    issuer = LocalIssuer(now=start)
    assert issuer.principal().claims.iat == int(start.timestamp())
    with pytest.raises(ConfigurationError, match="time zone"):
        LocalIssuer(now=datetime(2031, 5, 17))  # noqa: DTZ001 - the mistake


# Rotation


def test_after_a_rotation_old_and_new_tokens_are_good(issuer: LocalIssuer) -> None:
    verifier = issuer.verifier()
    before = issuer.token()
    verifier.verify(before)
    issuer.rotate()
    assert len(issuer.jwks()["keys"]) == 2
    verifier.verify(issuer.token())
    verifier.verify(before)


def test_a_withdrawn_key_is_refused_at_once_though_its_token_was_cached(
    issuer: LocalIssuer,
) -> None:
    verifier = issuer.verifier()
    before = issuer.token()
    verifier.verify(before)
    issuer.rotate(withdraw=True)
    with pytest.raises(UnknownKey):
        verifier.verify(before)
    verifier.verify(issuer.token())


# Outage


def test_during_an_outage_nothing_can_be_said_of_any_token(issuer: LocalIssuer) -> None:
    verifier = issuer.verifier()
    token = issuer.token()
    verifier.verify(token)
    with issuer.outage():
        with pytest.raises(KeysUnavailable):
            verifier.verify(token)
        with pytest.raises(KeysUnavailable):
            verifier.verify(issuer.token())
        with pytest.raises(KeysUnavailable):
            verifier.warm()
        assert verifier.health().state is KeyState.NONE
        issuer.principal()
    verifier.verify(token)
    assert verifier.health().ready


def test_a_rotation_during_an_outage_shows_after_it(issuer: LocalIssuer) -> None:
    verifier = issuer.verifier()
    before = issuer.token()
    with issuer.outage():
        issuer.rotate(withdraw=True)
        with pytest.raises(KeysUnavailable):
            verifier.verify(before)
    with pytest.raises(UnknownKey):
        verifier.verify(before)


# Verifiers


def test_the_asynchronous_verifier_follows_too(issuer: LocalIssuer) -> None:
    async def story() -> None:
        verifier = issuer.async_verifier()
        token = issuer.token(permissions=["inventory.read"])
        assert (await verifier.verify(token)).has("inventory.read")
        issuer.rotate(withdraw=True)
        with pytest.raises(UnknownKey):
            await verifier.verify(token)
        with issuer.outage(), pytest.raises(KeysUnavailable):
            await verifier.verify(issuer.token())
        late = issuer.token(nbf=int(issuer.clock.time()) + 31)
        with pytest.raises(NotYetValid):
            await verifier.verify(late)
        issuer.advance(timedelta(seconds=1))
        await verifier.verify(late)

    asyncio.run(story())


def test_options_of_a_verifier_are_passed_on(issuer: LocalIssuer) -> None:
    seen: list[Event] = []
    verifier = issuer.verifier(audience="billing", on_event=seen.append)
    with pytest.raises(WrongAudience):
        verifier.verify(issuer.token())
    assert [event.tag for event in seen] == [EventTag.TOKEN_REJECTED]


# Standing in


def a_services_own_verifier() -> Verifier:
    """As a service makes it when it is imported, with keys this process never has."""
    return Verifier(
        "https://iam.example.com", audience="inventory", leeway=timedelta(0), clock=ManualClock()
    )


def test_a_services_own_verifier_takes_the_local_issuer_for_its_own() -> None:
    iam = a_services_own_verifier()
    issuer = LocalIssuer()
    with issuer.stand_in_for(iam):
        principal = iam.verify(issuer.token(permissions=["inventory.read"]))
        assert principal.claims.iss == "https://iam.example.com"
        assert principal.claims.aud == "inventory"
        assert iam.health().ready
        token = issuer.token(expires_in=timedelta(seconds=10))
        issuer.advance(timedelta(seconds=10))
        with pytest.raises(ExpiredToken):  # the service's own leeway of none
            iam.verify(token)
        issuer.rotate(withdraw=True)
        iam.verify(issuer.token())
        with issuer.outage(), pytest.raises(KeysUnavailable):
            iam.verify(issuer.token())
    assert (issuer.issuer, issuer.audience) == ("https://issuer.test", ("test-service",))
    assert not iam.health().ready


def test_what_was_verified_while_standing_in_is_forgotten() -> None:
    genuine, impostor = LocalIssuer(), LocalIssuer()
    iam = genuine.verifier()
    with impostor.stand_in_for(iam):
        token = impostor.token()
        iam.verify(token)
        with pytest.raises(UnknownKey):
            iam.verify(genuine.token())
    with pytest.raises(UnknownKey):
        iam.verify(token)
    iam.verify(genuine.token())


def test_an_asynchronous_verifier_takes_it_too() -> None:
    iam = AsyncVerifier("https://iam.example.com", audience=["inventory", "stock"])
    issuer = LocalIssuer()
    with issuer.stand_in_for(iam):
        principal = asyncio.run(iam.verify(issuer.token()))
    assert principal.claims.aud == ("inventory", "stock")


def test_one_stands_in_for_one_verifier_at_a_time(issuer: LocalIssuer) -> None:
    single = a_services_own_verifier()
    several = Verifier.of(single, issuer.verifier())
    with pytest.raises(ConfigurationError), issuer.stand_in_for(several):
        pass
    other = LocalIssuer()
    with other.stand_in_for(single):
        assert several.verify(other.token()).claims.iss == "https://iam.example.com"
        assert several.verify(issuer.token()).claims.iss == "https://issuer.test"


# Served over HTTP


def fetch(address: str) -> tuple[str, bytes]:
    with urllib.request.urlopen(address, timeout=10) as response:
        return response.headers["Content-Type"], response.read()


def test_a_service_configured_by_url_finds_the_keys(issuer: LocalIssuer) -> None:
    with issuer.serve() as address, Verifier(address, audience="inventory") as verifier:
        assert issuer.issuer == address
        assert verifier.verify(issuer.token()).claims.iss == address
        issuer.rotate()
        with Verifier(address, audience="inventory") as started_later:
            started_later.verify(issuer.token())
    assert issuer.issuer == "https://issuer.test"


def test_the_documents_are_those_of_the_standards(issuer: LocalIssuer) -> None:
    with issuer.serve() as address:
        for path in ("oauth-authorization-server", "openid-configuration"):
            media_type, body = fetch(f"{address}/.well-known/{path}")
            assert media_type == "application/json"
            assert json.loads(body)["issuer"] == address
        media_type, body = fetch(json.loads(body)["jwks_uri"])
        assert media_type == "application/jwk-set+json"
        assert json.loads(body) == issuer.jwks()
        assert StaticKeys(body).keyring == StaticKeys(issuer.jwks()).keyring


def status_of(address: str) -> int:
    with pytest.raises(urllib.error.HTTPError) as caught:
        fetch(address)
    caught.value.close()
    return caught.value.code


def test_nothing_else_is_served(issuer: LocalIssuer) -> None:
    with issuer.serve() as address:
        assert status_of(f"{address}/") == 404
        assert status_of(f"{address}/.well-known/jwks.json/") == 404


def test_during_an_outage_everything_answers_503(issuer: LocalIssuer) -> None:
    with issuer.serve() as address, issuer.outage():
        assert status_of(f"{address}/.well-known/jwks.json") == 503
        assert status_of(f"{address}/.well-known/openid-configuration") == 503


def test_a_served_issuer_that_is_down_is_unavailable(issuer: LocalIssuer) -> None:
    with (
        issuer.serve() as address,
        issuer.outage(),
        Verifier(address, audience="inventory") as verifier,
        pytest.raises(KeysUnavailable),
    ):
        verifier.verify(issuer.token())


def test_served_tokens_are_good_by_the_clock_of_the_machine() -> None:
    issuer = LocalIssuer(audience="inventory", now=datetime(2001, 1, 1, tzinfo=UTC))
    with issuer.serve() as address, Verifier(address, audience="inventory") as verifier:
        verifier.verify(issuer.token())
        # An issuer ahead of the machine stays ahead: time travel works here too.
        issuer.clock.shift_wall(datetime.now(UTC) - issuer.clock.now())
        issuer.advance(timedelta(hours=1))
        with pytest.raises(NotYetValid):
            verifier.verify(issuer.token())


def test_another_local_issuer_signs_nothing_for_this_one(issuer: LocalIssuer) -> None:
    other = LocalIssuer(audience="inventory")
    with pytest.raises(UnknownKey):
        issuer.verifier().verify(other.token())
    forged = other._draft().with_header(kid=issuer.jwks()["keys"][0]["kid"]).signed()
    with pytest.raises(BadSignature):
        issuer.verifier().verify(forged)
