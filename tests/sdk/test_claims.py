"""Step 6: what the payload must say, at every boundary."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._claims import blame
from apostille.clock import ManualClock
from apostille.errors import (
    ConfigurationError,
    ExpiredToken,
    InvalidClaim,
    MalformedToken,
    NotYetValid,
    WrongAudience,
    WrongIssuer,
)
from apostille.principal import Principal
from support.minting import AUDIENCE, ISSUER, claims_at, key_of, mint

KEY = key_of("ES256")
REQUIRED = ("iss", "sub", "aud", "client_id", "exp", "iat", "jti")
END_OF_TIME = 253_402_300_799


@pytest.fixture
def clock() -> ManualClock:
    clock = ManualClock()
    clock.shift_wall(clock.now().replace(microsecond=0) - clock.now())
    return clock


def verify(clock: ManualClock, claims: dict[str, Any] | bytes, **options: Any) -> Principal:
    keys = StaticKeys({"keys": [KEY.public_jwk()]})
    usual = {"audience": AUDIENCE, "keys": keys, "clock": clock}
    return Verifier(ISSUER, **{**usual, **options}).verify(mint(KEY, claims))


def with_member(clock: ManualClock, member: bytes) -> bytes:
    """Return good claims with one more *member*, as it is."""
    return json.dumps(claims_at(clock)).encode()[:-1] + b"," + member + b"}"


# Shape.


@pytest.mark.parametrize(
    "payload",
    [
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b"{",
        b"{}{}",
        b"\xef\xbb\xbf{}",
        b"\xff",
        b"[" * 5000,
        b"NaN",
        b"{'a':1}",
        b"{,}",
        b"\x00",
    ],
)
def test_a_payload_is_one_json_object(clock: ManualClock, payload: bytes) -> None:
    with pytest.raises(MalformedToken):
        verify(clock, payload)


@pytest.mark.parametrize(
    "member",
    [
        b'"x":"\xff"',
        b'"\xff":1',
        b'"x":NaN',
        b'"x":Infinity',
        b'"x":01',
        b'"x":"\\ud800"',
        b'"x":' + b"[" * 40 + b"]" * 40,
        b'"x":' + b'{"a":' * 40 + b"1" + b"}" * 40,
        b'"x":' + b"[" * 4000 + b"]" * 4000,
        b'"x":"\n"',
        b'"x"',
    ],
)
def test_members_nobody_reads_are_well_formed_too(clock: ManualClock, member: bytes) -> None:
    with pytest.raises(MalformedToken):
        verify(clock, with_member(clock, member))


def test_members_nobody_reads_are_ignored(clock: ManualClock) -> None:
    member = b'"x":{"deep":[[[1]]]},"y":1e400,"z":' + b"9" * 5000
    assert verify(clock, with_member(clock, member)).subject


def test_of_a_repeated_claim_the_last_one_counts(clock: ManualClock) -> None:
    """RFC 7519 section 4 allows it; everybody here reads the same one."""
    assert verify(clock, with_member(clock, b'"sub":"last"')).subject == "last"


# Types.


@pytest.mark.parametrize("claim", REQUIRED)
def test_a_required_claim_is_missing(clock: ManualClock, claim: str) -> None:
    with pytest.raises(InvalidClaim) as refused:
        verify(clock, claims_at(clock, **{claim: None}))
    assert refused.value.claim == claim
    assert claim in str(refused.value)


TIMES: tuple[object, ...] = ("1", True, False, [], {}, -1, -0.5, END_OF_TIME + 1, 10**30, 1e300)
TEXTS: tuple[object, ...] = (7, True, [], {}, "", "x" * 1025, ["a"])
AUDIENCES: tuple[object, ...] = (7, True, {}, "", [""], [7], ["a", None], [["a"]], "x" * 1025)
LISTS: tuple[object, ...] = ("text", 7, {}, [7], [None], [["a"]])
STATUSES: tuple[object, ...] = (
    *(7, [], {}, {"status_list": {}}, {"status_list": []}, {"status_list": {"idx": 1}}),
    {"status_list": {"idx": -1, "uri": "u"}},
    {"status_list": {"idx": "1", "uri": "u"}},
    {"status_list": {"idx": True, "uri": "u"}},
)
WRONG: dict[str, tuple[object, ...]] = {
    **dict.fromkeys(("exp", "iat", "nbf", "auth_time"), TIMES),
    **dict.fromkeys(("iss", "sub", "client_id", "jti", "sid", "tid", "org"), TEXTS),
    **dict.fromkeys(("roles", "permissions", "amr"), LISTS),
    **dict.fromkeys(("acr", "plan", "scope"), (7, [], ["a"], {})),
    "aud": AUDIENCES,
    "status": STATUSES,
    "act": (7, "sub", {}, {"sub": 7}, {"sub": "a", "act": {"sub": 7}}),
    "cnf": (7, [], {"jkt": 7}, {"x5t#S256": []}),
}


@pytest.mark.parametrize(
    ("claim", "value"), [(claim, value) for claim, values in WRONG.items() for value in values]
)
def test_a_claim_is_of_the_wrong_type(clock: ManualClock, claim: str, value: object) -> None:
    with pytest.raises(InvalidClaim) as refused:
        verify(clock, {**claims_at(clock), claim: value})
    assert refused.value.claim == claim


@pytest.mark.parametrize(
    "claim", ["sub", "exp", "aud", "permissions", "scope", "act", "nbf", "tid"]
)
def test_null_is_not_absent(clock: ManualClock, claim: str) -> None:
    with pytest.raises(InvalidClaim) as refused:
        verify(clock, {**claims_at(clock), claim: None})
    assert refused.value.claim == claim


def test_the_error_names_the_claim_and_not_its_value(clock: ManualClock) -> None:
    with pytest.raises(InvalidClaim) as refused:
        verify(clock, claims_at(clock, sub=["attacker's value"]))
    error = refused.value
    assert "attacker" not in f"{error!s}{error!r}{error.__cause__!r}"
    assert error.__suppress_context__


def test_a_broken_payload_is_malformed_even_if_a_claim_is_wrong_before_the_break(
    clock: ManualClock,
) -> None:
    with pytest.raises(MalformedToken):
        verify(clock, b'{"iss":7,"sub":}')


def test_a_refusal_that_is_no_claims_fault_blames_none(clock: ManualClock) -> None:
    with pytest.raises(MalformedToken):
        blame(json.dumps(claims_at(clock)))


# Issuer and audience.


@pytest.mark.parametrize(
    "issuer",
    [
        ISSUER + "/",
        ISSUER.upper(),
        ISSUER + "\x00",
        " " + ISSUER,
        "https://issuer.test.evil.example",
    ],
)
def test_the_issuer_is_compared_letter_for_letter(clock: ManualClock, issuer: str) -> None:
    with pytest.raises(WrongIssuer):
        verify(clock, claims_at(clock, iss=issuer))


@pytest.mark.parametrize("audience", ["inventory", ["inventory"], ["other", "inventory"]])
def test_the_audience_contains_this_service(clock: ManualClock, audience: object) -> None:
    assert verify(clock, claims_at(clock, aud=audience)).subject


@pytest.mark.parametrize(
    "audience", ["other", "Inventory", "inventory ", "inventory,other", [], ["other"], "i", ["inv"]]
)
def test_another_audience_is_refused(clock: ManualClock, audience: object) -> None:
    with pytest.raises(WrongAudience):
        verify(clock, claims_at(clock, aud=audience))


def test_a_service_may_have_several_names(clock: ManualClock) -> None:
    for audience in ("inventory", "stock", ["stock", "other"]):
        claims = claims_at(clock, aud=audience)
        assert verify(clock, claims, audience=["inventory", "stock"]).subject
    with pytest.raises(WrongAudience):
        verify(clock, claims_at(clock, aud="other"), audience=["inventory", "stock"])


# Times: exp == now is too late, nbf == now and iat == now are early enough.


@pytest.mark.parametrize("leeway", [0, 30, 300])
@pytest.mark.parametrize(
    ("claim", "seconds", "error"),
    [
        ("exp", 1, None),
        ("exp", 0.001, None),
        ("exp", 0, ExpiredToken),
        ("exp", -1, ExpiredToken),
        ("nbf", 0, None),
        ("nbf", 0.001, NotYetValid),
        ("nbf", 1, NotYetValid),
        ("iat", 0, None),
        ("iat", 0.001, NotYetValid),
    ],
)
def test_times_at_their_boundaries(
    clock: ManualClock, leeway: int, claim: str, seconds: float, error: type[Exception] | None
) -> None:
    now = int(clock.time())
    shift = -leeway if claim == "exp" else leeway
    usual = {"iat": now - 1000, "exp": now + 1000}
    claims = claims_at(clock, **{**usual, claim: now + shift + seconds})
    if error is None:
        assert verify(clock, claims, leeway=timedelta(seconds=leeway)).subject
    else:
        with pytest.raises(error):
            verify(clock, claims, leeway=timedelta(seconds=leeway))


def test_the_later_of_nbf_and_iat_counts(clock: ManualClock) -> None:
    now = int(clock.time())
    with pytest.raises(NotYetValid):
        verify(clock, claims_at(clock, nbf=now - 10, iat=now + 100))
    with pytest.raises(NotYetValid):
        verify(clock, claims_at(clock, nbf=now + 100, iat=now - 10))


def test_times_may_have_fractions(clock: ManualClock) -> None:
    now = int(clock.time())
    principal = verify(clock, claims_at(clock, exp=now + 0.5, iat=now - 0.5))
    assert principal.expires_at.timestamp() == now + 0.5


def test_the_last_second_of_all_is_a_time(clock: ManualClock) -> None:
    principal = verify(clock, claims_at(clock, exp=END_OF_TIME, auth_time=0))
    assert principal.expires_at.year == 9999


def test_the_default_leeway_is_thirty_seconds(clock: ManualClock) -> None:
    now = int(clock.time())
    assert verify(clock, claims_at(clock, iat=now - 900, exp=now - 29)).subject
    with pytest.raises(ExpiredToken):
        verify(clock, claims_at(clock, iat=now - 900, exp=now - 30))


def test_leeway_is_no_more_than_a_few_minutes(clock: ManualClock) -> None:
    with pytest.raises(ConfigurationError):
        verify(clock, claims_at(clock), leeway=timedelta(minutes=5, microseconds=1))
