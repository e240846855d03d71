"""Every error is a problem document with a code, and tells nothing it should not."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from litestar import Litestar, get, post
from litestar.exceptions import HTTPException, NotAuthorizedException
from litestar.params import FromPath, FromQuery, JSONBody
from msgspec import Meta, Struct

from apostille_contracts.problems import SPECS, FieldError, ProblemCode
from apostille_issuer.http.application import IssuerApplication
from apostille_issuer.http.request import IssuerRequest
from apostille_issuer.problems import IssuerProblem
from apostille_issuer.settings import Settings
from support.application import client_of

pytestmark = pytest.mark.anyio

LIMIT = 1024


class Address(Struct, forbid_unknown_fields=True):
    street: Annotated[str, Meta(max_length=5)]


class Body(Struct, forbid_unknown_fields=True):
    login: str
    age: int = 0
    addresses: list[Address] = []


@post("/echo", status_code=200)
async def echo(data: JSONBody[Body]) -> Body:
    return data


@post("/optional", status_code=200)
async def optional(data: JSONBody[Body | None] = None) -> bool:
    return data is None


@get("/many")
async def many(limit: FromQuery[int]) -> int:
    return limit


@get("/problem/{code:str}")
async def problem(code: FromPath[str]) -> None:
    raise IssuerProblem(
        ProblemCode(code), errors=(FieldError("f", "d"),), missing=("a.b",), retry_after=7
    )


@get("/litestar/{status:int}")
async def litestar(status: FromPath[int]) -> None:
    raise HTTPException(status_code=status, detail="hunter2")


@get("/unauthorized")
async def unauthorized() -> None:
    raise NotAuthorizedException


@get("/broken")
async def broken() -> None:
    raise RuntimeError("hunter2 is the password")


@pytest.fixture(scope="module")
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = IssuerApplication(
        Settings(max_body_bytes=LIMIT),
        route_handlers=[echo, optional, many, problem, litestar, unauthorized, broken],
        openapi_config=None,
    )
    async with client_of(app) as opened:
        yield opened


def code_of(answer: httpx.Response) -> tuple[int, str]:
    document: dict[str, Any] = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert document["status"] == answer.status_code
    assert document["detail"] == SPECS[ProblemCode(document["code"])].detail
    return answer.status_code, document["code"]


def errors_of(answer: httpx.Response) -> list[tuple[str, str]]:
    assert code_of(answer) == (422, "validation_failed")
    return [(error["field"], error["detail"]) for error in answer.json()["errors"]]


@pytest.mark.parametrize("code", list(ProblemCode))
async def test_every_code_has_its_status(client: httpx.AsyncClient, code: ProblemCode) -> None:
    answer = await client.get(f"/problem/{code.value}")
    assert code_of(answer) == (SPECS[code].status, code.value)
    assert answer.json()["errors"] == [{"field": "f", "detail": "d"}]
    assert answer.json()["missing"] == ["a.b"]
    assert answer.headers["retry-after"] == "7"
    challenged = "www-authenticate" in answer.headers
    assert challenged == (answer.status_code == 401)


async def test_a_good_body_is_read(client: httpx.AsyncClient) -> None:
    answer = await client.post("/echo", json={"login": "ada"})
    assert answer.json() == {"login": "ada", "age": 0, "addresses": []}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"not json",
        b"\xff\xfe",
        b'{"login": "\xff"}',
        b"[]",
        b'"text"',
        b"null",
        b"[" * 900,
        b"\xef\xbb\xbf{}",
        b'{"login": NaN}',
    ],
)
async def test_a_body_that_is_no_json_object_is_malformed(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/echo", content=body, headers={"content-type": "application/json"})
    assert code_of(answer) == (400, "malformed_body")


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""]
)
async def test_another_media_type_is_refused(client: httpx.AsyncClient, media_type: str) -> None:
    answer = await client.post(
        "/echo", content=b'{"login": "ada"}', headers={"content-type": media_type}
    )
    assert code_of(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_parameters_and_case_of_the_media_type_do_not_matter(
    client: httpx.AsyncClient, media_type: str
) -> None:
    answer = await client.post(
        "/echo", content=b'{"login": "ada"}', headers={"content-type": media_type}
    )
    assert answer.status_code == 200


async def test_a_body_over_the_limit_is_refused_whether_announced_or_not(
    client: httpx.AsyncClient,
) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(11):
            yield b" " * 100

    headers = {"content-type": "application/json"}
    announced = await client.post("/echo", content=b" " * (LIMIT + 1), headers=headers)
    streamed = await client.post("/echo", content=chunks(), headers=headers)
    for answer in (announced, streamed):
        assert code_of(answer) == (413, "body_too_large")
    exact = b'{"login": "ada"}'.ljust(LIMIT)
    assert (await client.post("/echo", content=exact, headers=headers)).status_code == 200


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ("login", "required")),
        ({"login": "a", "x": 1}, ("x", "not a field of this request")),
        ({"login": 5}, ("login", "expected `str`, got `int`")),
        ({"login": "a", "age": "old"}, ("age", "expected `int`, got `str`")),
        (
            {"login": "a", "addresses": [{"street": "a"}, {"street": "toolong"}]},
            ("addresses[1].street", "expected `str` of length <= 5"),
        ),
        ({"login": "a", "addresses": [{}]}, ("addresses[0].street", "required")),
        (
            {"login": "a", "addresses": [{"street": "a", "y": 1}]},
            ("addresses[0].y", "not a field of this request"),
        ),
        ({"login": "a", "z" * 500: 1}, ("z" * 64, "not a field of this request")),
        ({"login": "a", "`\n": 1}, ("`\n", "not a field of this request")),
    ],
)
async def test_an_invalid_field_is_named(
    client: httpx.AsyncClient, body: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert errors_of(await client.post("/echo", json=body)) == [expected]


async def test_an_empty_body_where_one_is_wanted_is_named(client: httpx.AsyncClient) -> None:
    assert errors_of(await client.post("/echo"))[0][0] == "body"
    assert (await client.post("/optional")).json() is True


async def test_an_invalid_query_parameter_is_named(client: httpx.AsyncClient) -> None:
    assert [field for field, _ in errors_of(await client.get("/many?limit=x"))] == ["limit"]
    assert errors_of(await client.get("/many")) == [("limit", "required")]


async def test_no_route_and_no_method(client: httpx.AsyncClient) -> None:
    assert code_of(await client.get("/nowhere")) == (404, "not_found")
    answer = await client.delete("/echo")
    assert code_of(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, (400, "invalid_request")),
        (403, (403, "permission_denied")),
        (429, (429, "rate_limited")),
        (503, (503, "overloaded")),
        (418, (500, "internal_error")),
        (502, (500, "internal_error")),
    ],
)
async def test_what_litestar_refuses_gets_a_code_and_no_text_of_its_own(
    client: httpx.AsyncClient, status: int, expected: tuple[int, str]
) -> None:
    answer = await client.get(f"/litestar/{status}")
    assert code_of(answer) == expected
    assert "hunter2" not in answer.text


async def test_what_is_wrong_with_a_request_that_has_a_body_is_the_body(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.request("GET", "/litestar/400", content=b"{")
    assert code_of(answer) == (400, "malformed_body")


async def test_a_401_of_litestar_carries_a_challenge(client: httpx.AsyncClient) -> None:
    answer = await client.get("/unauthorized")
    assert code_of(answer) == (401, "missing_token")
    assert answer.headers["www-authenticate"] == 'Bearer realm="apostille"'


async def test_a_fault_of_ours_is_logged_in_full_and_told_by_its_request_id_alone(
    client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "apostille_issuer.errors"):
        answer = await client.get("/broken")
    assert code_of(answer) == (500, "internal_error")
    assert "hunter2" not in answer.text
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    (record,) = caplog.records
    assert record.exc_info is not None
    assert getattr(record, "request_id", None) == answer.headers["x-request-id"]


async def test_a_client_that_goes_away_half_way_is_no_fault_of_ours() -> None:
    async def receive() -> Any:
        return {"type": "http.disconnect"}

    app = Litestar([echo], openapi_config=None, logging_config=None)
    scope: Any = {"type": "http", "headers": [], "app": app, "litestar_app": app}
    scope["route_handler"] = app.routes[0].route_handlers[0]  # type: ignore[union-attr]
    request = IssuerRequest(scope, receive=receive)
    with pytest.raises(IssuerProblem) as refused:
        await request.body()
    assert refused.value.code is ProblemCode.MALFORMED_BODY


def test_a_problem_says_what_it_is() -> None:
    refused = IssuerProblem.invalid_field("login", "must not be empty")
    assert refused.errors == (FieldError("login", "must not be empty"),)
    assert str(refused) == (
        "validation_failed: The request has invalid fields. (login: must not be empty)"
    )
    assert str(IssuerProblem(ProblemCode.NOT_FOUND)) == "not_found: There is nothing here."
