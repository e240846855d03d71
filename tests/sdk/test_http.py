from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import timedelta
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille import errors
from apostille.http import (
    REFUSALS,
    WEBSOCKET,
    Answer,
    HeaderValues,
    ProtectionSpace,
    Refusal,
    TokenCookie,
    answer,
    asgi_headers,
    bearer_token,
    problem_answer,
    websocket_close,
    wsgi_headers,
)
from apostille_contracts.problems import Problem, ProblemCode

TOKEN = "aaa.bbb-_.ccc"


def headers(**values: str | list[str]) -> HeaderValues:
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, given in values.items()
        for value in ([given] if isinstance(given, str) else given)
    ]
    return asgi_headers(raw)


# -- the Authorization header ----------------------------------------------------------


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR"])
def test_scheme_is_read_in_any_case(scheme: str) -> None:
    assert bearer_token([f"{scheme} {TOKEN}"]) == TOKEN


def test_several_spaces_may_part_scheme_and_token() -> None:
    assert bearer_token([f"  Bearer   {TOKEN} \t"]) == TOKEN


@pytest.mark.parametrize("values", [[], ["Basic dXNlcjpwYXNz"], ["DPoP abc"], ["Negotiate"]])
def test_no_bearer_credentials_is_a_missing_token(values: list[str]) -> None:
    with pytest.raises(errors.MissingToken):
        bearer_token(values)


def test_the_commas_of_another_scheme_are_not_ours_to_judge() -> None:
    with pytest.raises(errors.MissingToken):
        bearer_token(['Digest username="Mufasa", realm="a@b", uri="/dir", response="6629"'])


@pytest.mark.parametrize(
    "value",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer\taaa.bbb.ccc",
        "Bearer aaa bbb",
        "Bearer aaa.bbb.ccc\tx",
        "Bearer aaa.bbb.ccc\r\nX: y",
        "Bearer aaa\u00a0bbb",
        "Bearer aaa,bbb",
        "Bearer aaa.bbb.ccc,",
        "Bear(er aaa",
        "@ aaa",
    ],
)
def test_a_malformed_header_is_an_invalid_request(value: str) -> None:
    with pytest.raises(errors.InvalidRequest):
        bearer_token([value])


@pytest.mark.parametrize("first", [f"Bearer {TOKEN}", "Basic dXNlcjpwYXNz", "", "Bearer"])
@pytest.mark.parametrize("second", [f"Bearer {TOKEN}", "bearer", "Basic dXNlcjpwYXNz", ""])
@pytest.mark.parametrize("comma", [",", ", "])
def test_two_headers_are_refused_apart_and_joined_by_the_server(
    first: str, second: str, comma: str
) -> None:
    for values in ([first, second], [f"{first}{comma}{second}"]):
        with pytest.raises(errors.InvalidRequest):
            bearer_token(values)


@given(st.lists(st.text(), max_size=3))
def test_any_header_yields_a_token_without_whitespace_or_a_refusal(values: list[str]) -> None:
    try:
        token = bearer_token(values)
    except errors.InvalidCredentials:
        return
    assert token
    assert not re.search(r"[\s,]", token)


# -- header access -----------------------------------------------------------------------


def test_asgi_headers_give_every_value_in_order() -> None:
    values = asgi_headers(
        [(b"authorization", b"one"), (b"host", b"x"), (b"authorization", b"\xe9")]
    )
    assert values("authorization") == ["one", "\xe9"]
    assert values("cookie") == []


def test_wsgi_headers_are_found_by_their_variable() -> None:
    values = wsgi_headers({"HTTP_SEC_FETCH_SITE": "none", "HTTP_HOST": ""})
    assert values("sec-fetch-site") == ["none"]
    assert values("host") == [""]
    assert values("authorization") == []


# -- the cookie --------------------------------------------------------------------------

COOKIE = TokenCookie()
SPACE = ProtectionSpace("inventory", COOKIE)
CARRIED = f"theme=dark; __Host-apostille={TOKEN}; x=y"


def test_a_cookie_counts_only_where_it_was_asked_for() -> None:
    with pytest.raises(errors.MissingToken):
        ProtectionSpace("inventory").token(headers(cookie=CARRIED), "GET")
    assert SPACE.token(headers(cookie=CARRIED), "GET") == TOKEN


def test_the_header_wins_over_the_cookie() -> None:
    both = headers(authorization="Bearer other", cookie=CARRIED)
    assert SPACE.token(both, "POST") == "other"


def test_a_malformed_header_is_not_made_good_by_a_cookie() -> None:
    with pytest.raises(errors.InvalidRequest):
        SPACE.token(headers(authorization="Bearer", cookie=CARRIED), "GET")


@pytest.mark.parametrize(
    "cookie", ["", "theme=dark", "__Host-apostille=", "__host-apostille=x", ";"]
)
def test_no_cookie_is_a_missing_token(cookie: str) -> None:
    with pytest.raises(errors.MissingToken):
        SPACE.token(headers(cookie=cookie), "GET")


def test_two_cookies_of_the_name_are_refused() -> None:
    planted = [CARRIED, "__Host-apostille=evil"]
    for values in (planted, "; ".join(planted)):
        with pytest.raises(errors.InvalidRequest):
            SPACE.token(headers(cookie=values), "GET")


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "get"])
def test_reading_needs_no_proof_of_origin(method: str) -> None:
    cross = headers(cookie=CARRIED, sec_fetch_site="cross-site", origin="https://evil.example")
    assert SPACE.token(cross, method) == TOKEN


PROVEN: list[Mapping[str, str]] = [
    {"sec_fetch_site": "same-origin"},
    {"sec_fetch_site": "none"},
    {"sec_fetch_site": "same-origin", "origin": "https://shop.example"},
    {"origin": "https://shop.example:8443", "host": "shop.example:8443"},
    {"origin": "https://Shop.example", "host": "shop.EXAMPLE"},
    {"origin": "http://shop.example", "host": "shop.example"},
    {"origin": "https://app.example", "host": "shop.example", "sec_fetch_site": "same-site"},
    {"origin": "https://app.example"},
]
UNPROVEN: list[Mapping[str, str | list[str]]] = [
    {},
    {"host": "shop.example"},
    {"origin": "https://evil.example", "host": "shop.example"},
    {"origin": "https://shop.example:8443", "host": "shop.example"},
    {"origin": "https://shop.example", "host": "shop.example", "sec_fetch_site": "cross-site"},
    {"sec_fetch_site": "same-site"},
    {"sec_fetch_site": "same-site", "origin": "https://app.example.evil.example"},
    {"sec_fetch_site": ["same-origin", "cross-site"]},
    {"sec_fetch_site": ""},
    {"origin": "null", "host": "null"},
    {"origin": "https://", "host": ""},
    {"origin": "ftp://shop.example", "host": "shop.example"},
    {"origin": "https://app.example, https://app.example"},
    {"origin": ["https://shop.example", "https://shop.example"], "host": "shop.example"},
    {"origin": "https://shop.example", "host": ["shop.example", "evil.example"]},
]
TRUSTING = ProtectionSpace("x", TokenCookie(trusted_origins=("https://app.example",)))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW", WEBSOCKET])
@pytest.mark.parametrize("proof", PROVEN)
def test_writing_with_a_proven_origin_passes(method: str, proof: Mapping[str, str]) -> None:
    assert TRUSTING.token(headers(cookie=CARRIED, **proof), method) == TOKEN


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE", "BREW", WEBSOCKET])
@pytest.mark.parametrize("proof", UNPROVEN)
def test_writing_without_a_proven_origin_is_refused(
    method: str, proof: Mapping[str, str | list[str]]
) -> None:
    with pytest.raises(errors.CsrfFailed):
        TRUSTING.token(headers(cookie=CARRIED, **proof), method)


def test_the_origin_can_be_asked_for_without_a_token() -> None:
    """For a login that is answered with the cookie."""
    COOKIE.check_origin(headers(sec_fetch_site="same-origin"))
    with pytest.raises(errors.CsrfFailed):
        COOKIE.check_origin(headers(sec_fetch_site="same-site"))


@pytest.mark.parametrize("name", ["", "a b", "a=b", "a;b", "ä"])
def test_a_cookie_name_that_no_browser_sends_is_refused(name: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="cookie name"):
        TokenCookie(name)


@pytest.mark.parametrize(
    "origin", ["app.example", "https://app.example/", "https://App.example", "https://", "*", ""]
)
def test_an_origin_that_would_never_match_is_refused(origin: str) -> None:
    with pytest.raises(errors.ConfigurationError, match="no origin"):
        TokenCookie(trusted_origins=(origin,))


def test_a_text_in_place_of_a_list_of_origins_is_refused() -> None:
    with pytest.raises(errors.ConfigurationError, match="sequence"):
        TokenCookie(trusted_origins="https://app.example")  # type: ignore[arg-type]


# -- the answer --------------------------------------------------------------------------

INVALID_TOKENS: list[errors.InvalidToken] = [
    *(kind() for kind in errors.InvalidToken.__subclasses__() if kind is not errors.InvalidClaim),
    errors.InvalidClaim("exp"),
]


def body_of(given: Answer) -> dict[str, object]:
    decoded: dict[str, object] = json.loads(given.body)
    return decoded


def test_missing_token_gets_a_challenge_without_error_code() -> None:
    given = answer(errors.MissingToken(), realm="inventory")
    assert given == Answer(
        401,
        (
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
            ("WWW-Authenticate", 'Bearer realm="inventory"'),
        ),
        b'{"title":"Unauthorized","status":401,"detail":"An access token is required.",'
        b'"code":"missing_token"}',
    )


@pytest.mark.parametrize("error", INVALID_TOKENS, ids=lambda error: error.code)
def test_invalid_tokens_are_told_why_in_fixed_words(error: errors.InvalidToken) -> None:
    given = answer(error, realm="inventory")
    detail = body_of(given)["detail"]
    assert given.status == 401
    assert dict(given.headers)["WWW-Authenticate"] == (
        f'Bearer realm="inventory", error="invalid_token", error_description="{detail}"'
    )


def test_an_invalid_claim_is_named_in_the_body() -> None:
    body = body_of(answer(errors.InvalidClaim("aud"), realm="x"))
    assert (body["code"], body["claim"]) == ("invalid_claim", "aud")


def test_a_malformed_request_is_a_400() -> None:
    given = answer(errors.InvalidRequest(), realm="inventory")
    assert given.status == 400
    assert 'error="invalid_request"' in dict(given.headers)["WWW-Authenticate"]


def test_a_denial_names_the_missing_permissions_twice() -> None:
    given = answer(errors.PermissionDenied(("a.b", "c.d")), realm="inventory")
    challenge = dict(given.headers)["WWW-Authenticate"]
    assert given.status == 403
    assert challenge.startswith('Bearer realm="inventory", error="insufficient_scope", ')
    assert challenge.endswith(', scope="a.b c.d"')
    assert body_of(given)["missing"] == ["a.b", "c.d"]


def test_a_denial_that_no_permission_turns_names_none() -> None:
    given = answer(errors.PermissionDenied(), realm="inventory")
    assert "scope=" not in dict(given.headers)["WWW-Authenticate"]
    assert "missing" not in body_of(given)


def test_an_unproven_origin_gets_no_challenge() -> None:
    given = answer(errors.CsrfFailed(), realm="inventory")
    assert given.status == 403
    assert "WWW-Authenticate" not in dict(given.headers)


@pytest.mark.parametrize("kind", [errors.KeysUnavailable, errors.StatusUnavailable])
@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [(timedelta(0), "1"), (timedelta(seconds=5), "5"), (timedelta(seconds=5, microseconds=1), "6")],
)
def test_an_outage_is_a_503_that_says_when_to_try_again(
    kind: type[errors.Unavailable], retry_after: timedelta, seconds: str
) -> None:
    given = answer(kind(retry_after), realm="inventory")
    assert given.status == 503
    assert dict(given.headers)["Retry-After"] == seconds
    assert "WWW-Authenticate" not in dict(given.headers)


@pytest.mark.parametrize(
    ("realm", "shown"),
    [
        ("inventory", "inventory"),
        ('a"b\\c', "abc"),
        ("a\r\nSet-Cookie: x=y", "aSet-Cookie: x=y"),
        ("Lager\u00fc", "Lager"),
        ("", "apostille"),
        ("\u4e2d", "apostille"),
    ],
)
def test_the_realm_carries_only_what_a_header_may(realm: str, shown: str) -> None:
    challenge = dict(answer(errors.MissingToken(), realm=realm).headers)["WWW-Authenticate"]
    assert challenge == f'Bearer realm="{shown}"'


@given(st.text())
def test_no_realm_breaks_out_of_its_quotes(realm: str) -> None:
    challenge = dict(answer(errors.MissingToken(), realm=realm).headers)["WWW-Authenticate"]
    assert re.fullmatch(r'Bearer realm="[\x20-\x21\x23-\x5B\x5D-\x7E]+"', challenge)


@pytest.mark.parametrize("error", [*INVALID_TOKENS, errors.InvalidRequest()], ids=repr)
def test_challenges_keep_to_the_characters_of_rfc_6750(error: Refusal) -> None:
    challenge = dict(answer(error, realm="x").headers)["WWW-Authenticate"]
    pattern = r'Bearer (?:[a-z_]+="[\x20-\x21\x23-\x5B\x5D-\x7E]+"(?:, |$))+'
    assert re.fullmatch(pattern, challenge)


def test_every_answer_is_a_problem_that_is_not_stored() -> None:
    for error in (errors.MissingToken(), errors.ExpiredToken(), errors.KeysUnavailable()):
        given = SPACE.answer(error)
        assert given.headers[:2] == (
            ("Content-Type", "application/problem+json"),
            ("Cache-Control", "no-store"),
        )
        assert body_of(given)["status"] == given.status
        assert body_of(given)["code"] == error.code


def test_a_websocket_is_closed_with_the_reason() -> None:
    assert websocket_close(errors.ExpiredToken()) == (1008, "expired_token")
    assert websocket_close(errors.KeysUnavailable()) == (1013, "keys_unavailable")


def test_other_problems_take_the_same_form() -> None:
    given = problem_answer(Problem.of(ProblemCode.NOT_FOUND), ("Allow", "GET"))
    assert given.status == 404
    assert given.headers[-1] == ("Allow", "GET")
    assert body_of(given)["code"] == "not_found"


def test_the_refusals_are_all_errors_that_have_a_status() -> None:
    assert get_args(Refusal) == REFUSALS
    assert not issubclass(errors.ConfigurationError, REFUSALS)
