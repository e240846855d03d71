"""What is FastAPI's own: routers, mounted applications, WebSockets, overrides, OpenAPI."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.responses import PlainTextResponse
from starlette.routing import Mount

from apostille import AsyncVerifier, Principal, http
from apostille.errors import ConfigurationError, InvalidToken, MissingToken, PermissionDenied
from apostille.http import TokenCookie
from apostille.testing import SUBJECT, LocalIssuer
from apostille_adapters.fastapi import (
    Apostille,
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
    authenticated,
    current_principal,
    public,
)
from support.asgi import bearer, request
from support.asgi import websocket as connect

READ = HasPermission("inventory.read")
DENIAL: dict[str, Any] = {"websocket.http.response": {}}


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture
def app(issuer: LocalIssuer) -> FastAPI:
    return application(issuer.async_verifier())


def application(verifier: AsyncVerifier, **options: Any) -> FastAPI:
    app = FastAPI(default_response_class=PlainTextResponse, **options)
    Apostille(verifier).init_app(app)
    return app


def body(error: http.Refusal) -> bytes:
    return http.answer(error, realm="inventory").body


# -- where dependencies go ---------------------------------------------------------------


def test_requirements_on_router_and_route_add_up(app: FastAPI, issuer: LocalIssuer) -> None:
    router = APIRouter(prefix="/stock", dependencies=[Depends(HasPermission("inventory.stock"))])

    @router.get("/", dependencies=[Depends(READ)])
    async def stock() -> str:
        return "stock"

    app.include_router(router, dependencies=[Depends(HasAnyPermission("inventory.service"))])
    names = ["inventory.service", "inventory.stock", "inventory.read"]
    for missing in names:
        held = [name for name in names if name != missing]
        reply = request(app, "GET", "/stock/", bearer(issuer.token(permissions=held)))
        assert reply.body == body(PermissionDenied((missing,)))
    reply = request(app, "GET", "/stock/", bearer(issuer.token(permissions=names)))
    assert reply.text == "stock"


def test_several_dependencies_verify_the_token_once(issuer: LocalIssuer) -> None:
    seen: list[object] = []
    app = application(issuer.async_verifier(on_event=seen.append))

    @app.get("/", dependencies=[Depends(READ), Depends(HasPermission("inventory.write"))])
    async def stock(principal: CurrentPrincipal, request: Request) -> str:
        return principal.subject if request.user == principal else "somebody else"

    assert request(app, "GET", "/", bearer(issuer.token(permissions=["*"]))).text == SUBJECT
    assert len(seen) == 1


def test_every_route_needs_a_token_but_the_public_ones(issuer: LocalIssuer) -> None:
    app = application(issuer.async_verifier(), dependencies=[Depends(authenticated)])

    @app.get("/health")
    @public
    async def health() -> str:
        return "fine"

    @app.get("/health-secrets")
    async def secrets() -> str:
        return "secret"

    @app.get("/public-but-guarded", dependencies=[Depends(READ)])
    @public
    async def guarded() -> None:
        raise AssertionError("nobody was to get as far as this")

    assert request(app, "GET", "/health", bearer(issuer.bad_token("expired"))).text == "fine"
    assert request(app, "GET", "/health-secrets").body == body(MissingToken())
    assert request(app, "GET", "/health-secrets", bearer(issuer.token())).text == "secret"
    assert request(app, "GET", "/public-but-guarded").status == 401
    assert request(app, "GET", "/nowhere").status == 404
    paths = app.openapi()["paths"]
    assert "security" not in paths["/health"]["get"]
    assert paths["/health-secrets"]["get"]["security"] == [{"Apostille": []}]
    assert paths["/public-but-guarded"]["get"]["security"] == [{"Apostille": []}]


def test_the_realm_is_the_audience_unless_told_otherwise(issuer: LocalIssuer) -> None:
    for realm, shown in ((None, "inventory"), ("warehouse", "warehouse")):
        app = FastAPI()
        Apostille(issuer.async_verifier(), realm=realm).init_app(app)
        app.get("/", dependencies=[Depends(READ)])(lambda: None)
        assert request(app, "GET", "/").values("www-authenticate") == [f'Bearer realm="{shown}"']


# -- mounted applications ----------------------------------------------------------------


def stock_application(**options: Any) -> FastAPI:
    inner = FastAPI(default_response_class=PlainTextResponse, **options)

    @inner.get("/stock", dependencies=[Depends(READ)])
    async def stock(principal: CurrentPrincipal) -> str:
        principal.require("inventory.write")
        return "stock"

    return inner


def test_a_mounted_application_needs_no_setting_up(app: FastAPI, issuer: LocalIssuer) -> None:
    app.mount("/inner", stock_application())
    assert request(app, "GET", "/inner/stock").body == body(MissingToken())
    for held, missing in (([], "inventory.read"), (["inventory.read"], "inventory.write")):
        reply = request(app, "GET", "/inner/stock", bearer(issuer.token(permissions=held)))
        assert reply.body == body(PermissionDenied((missing,)))
    token = issuer.token(permissions=["inventory.*"])
    assert request(app, "GET", "/inner/stock", bearer(token)).text == "stock"


def test_a_mounted_application_may_have_its_own_verifier(app: FastAPI, issuer: LocalIssuer) -> None:
    inner_issuer = LocalIssuer(audience="inner")
    inner = stock_application()
    Apostille(inner_issuer.async_verifier()).init_app(inner)
    app.router.routes.append(Mount("/inner", inner))
    reply = request(app, "GET", "/inner/stock", bearer(issuer.token(permissions=["*"])))
    assert (reply.status, b"unknown_key" in reply.body) == (401, True)
    token = inner_issuer.token(permissions=["*"])
    assert request(app, "GET", "/inner/stock", bearer(token)).text == "stock"


def test_the_applications_own_handlers_win(app: FastAPI, issuer: LocalIssuer) -> None:
    async def teapot(_: Request, error: Exception) -> PlainTextResponse:
        return PlainTextResponse(type(error).__name__, 418)

    inner = stock_application(exception_handlers={InvalidToken: teapot})
    app.mount("/inner", inner)
    reply = request(app, "GET", "/inner/stock", bearer(issuer.bad_token("expired")))
    assert (reply.status, reply.text) == (418, "ExpiredToken")


def test_without_init_app_the_mistake_is_named() -> None:
    with pytest.raises(ConfigurationError, match="init_app"):
        request(stock_application(), "GET", "/stock")


def test_a_verifier_that_blocks_the_loop_is_refused(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError, match="AsyncVerifier"):
        Apostille(issuer.verifier())  # type: ignore[arg-type]


# -- WebSockets --------------------------------------------------------------------------


@pytest.fixture
def sockets(app: FastAPI) -> FastAPI:
    @app.websocket("/guarded", dependencies=[Depends(READ)])
    async def guarded(socket: WebSocket) -> None:
        await socket.accept()
        await socket.close()

    @app.websocket("/optional")
    async def optional(socket: WebSocket, principal: OptionalPrincipal) -> None:
        await socket.accept()
        await socket.close(reason="somebody" if principal else "nobody")

    @app.websocket("/late")
    async def late(socket: WebSocket, principal: CurrentPrincipal) -> None:
        await socket.accept()
        principal.require("inventory.write")

    return app


def test_a_websocket_is_accepted_with_the_permission(sockets: FastAPI, issuer: LocalIssuer) -> None:
    sent = connect(sockets, "/guarded", bearer(issuer.token(permissions=["inventory.read"])))
    assert [message["type"] for message in sent] == ["websocket.accept", "websocket.close"]


def test_authentication_of_a_websocket_can_be_optional(
    sockets: FastAPI, issuer: LocalIssuer
) -> None:
    assert connect(sockets, "/optional")[1]["reason"] == "nobody"
    assert connect(sockets, "/optional", bearer(issuer.token()))[1]["reason"] == "somebody"
    [sent] = connect(sockets, "/optional", bearer(issuer.bad_token("expired")))
    assert sent["reason"] == "expired_token"


def test_a_refused_websocket_is_answered_where_the_server_can(sockets: FastAPI) -> None:
    start, content = connect(sockets, "/guarded", extensions=DENIAL)
    assert (start["type"], start["status"]) == ("websocket.http.response.start", 401)
    assert (b"www-authenticate", b'Bearer realm="inventory"') in start["headers"]
    assert content["body"] == body(MissingToken())


@pytest.mark.parametrize("extensions", [None, {}])
def test_a_refused_websocket_is_closed_where_the_server_cannot(
    sockets: FastAPI, issuer: LocalIssuer, extensions: dict[str, Any] | None
) -> None:
    [sent] = connect(sockets, "/guarded", bearer(issuer.token()), extensions=extensions)
    assert sent == {"type": "websocket.close", "code": 1008, "reason": "permission_denied"}
    with issuer.outage():
        token = issuer.token(permissions=["*"])
        [sent] = connect(sockets, "/guarded", bearer(token), extensions=extensions)
    assert (sent["code"], sent["reason"]) == (1013, "keys_unavailable")


def test_a_websocket_that_was_accepted_is_closed_with_the_reason(
    sockets: FastAPI, issuer: LocalIssuer
) -> None:
    sent = connect(sockets, "/late", bearer(issuer.token()), extensions=DENIAL)
    assert sent[-1] == {"type": "websocket.close", "code": 1008, "reason": "permission_denied"}


def test_a_websocket_by_cookie_needs_a_proven_origin(issuer: LocalIssuer) -> None:
    app = FastAPI()
    Apostille(issuer.async_verifier(), cookie=TokenCookie("token")).init_app(app)

    @app.websocket("/", dependencies=[Depends(READ)])
    async def guarded(socket: WebSocket) -> None:
        await socket.accept()

    cookie = ("Cookie", f"token={issuer.token(permissions=['inventory.read'])}")
    [sent] = connect(app, "/", [cookie, ("Origin", "https://evil.example")])
    assert sent["reason"] == "csrf_failed"
    [sent] = connect(app, "/", [cookie, ("Sec-Fetch-Site", "same-origin")])
    assert sent["type"] == "websocket.accept"


# -- overrides in tests ------------------------------------------------------------------


@pytest.fixture
def guarded(app: FastAPI) -> FastAPI:
    @app.get("/stock")
    async def stock(principal: Annotated[Principal, Depends(READ)], same: CurrentPrincipal) -> str:
        assert principal == same
        return principal.subject

    return app


def test_an_overridden_principal_is_what_requirements_ask(
    guarded: FastAPI, issuer: LocalIssuer
) -> None:
    reader = issuer.principal(permissions=["inventory.read"], subject="reader")
    guarded.dependency_overrides[current_principal] = lambda: reader
    assert request(guarded, "GET", "/stock").text == "reader"

    async def nobody() -> Principal:
        return issuer.principal()

    guarded.dependency_overrides[current_principal] = nobody
    reply = request(guarded, "GET", "/stock")
    assert reply.body == body(PermissionDenied(("inventory.read",)))
    guarded.dependency_overrides.clear()
    assert request(guarded, "GET", "/stock").status == 401


def test_an_overridden_principal_passes_for_every_dependency(issuer: LocalIssuer) -> None:
    app = application(issuer.async_verifier(), dependencies=[Depends(authenticated)])

    @app.get("/maybe")
    async def maybe(principal: OptionalPrincipal) -> str:
        return principal.subject if principal else "nobody"

    inner = stock_application()
    app.mount("/inner", inner)
    reader = issuer.principal(permissions=["inventory.read"], subject="reader")
    for each in (app, inner):  # as FastAPI has it: each application has its own
        each.dependency_overrides[current_principal] = lambda: reader
    assert request(app, "GET", "/maybe").text == "reader"
    reply = request(app, "GET", "/inner/stock")
    assert reply.body == body(PermissionDenied(("inventory.write",)))


def test_a_requirement_is_overridden_by_one_that_says_the_same(
    guarded: FastAPI, issuer: LocalIssuer
) -> None:
    anybody = issuer.principal()
    guarded.dependency_overrides[current_principal] = lambda: anybody
    guarded.dependency_overrides[HasPermission("inventory.read")] = lambda: anybody
    assert request(guarded, "GET", "/stock").text == SUBJECT


def test_other_overrides_change_nothing(guarded: FastAPI) -> None:
    guarded.dependency_overrides[lambda: None] = lambda: None
    assert request(guarded, "GET", "/stock").body == body(MissingToken())


# -- OpenAPI -----------------------------------------------------------------------------


def test_the_document_shows_scheme_and_permissions(app: FastAPI) -> None:
    router = APIRouter(prefix="/stock", dependencies=[Depends(READ)])

    @router.get("/", dependencies=[Depends(HasPermission("a.b") | ~HasPermission("c.d"))])
    async def stock() -> None:
        """What is there."""

    app.include_router(router)
    app.get("/hidden", include_in_schema=False, dependencies=[Depends(READ)])(lambda: None)
    app.get("/open")(lambda: None)

    @app.put("/nested")
    async def nested(principal: Annotated[Principal, Depends(HasPermission("e.f"))]) -> None: ...

    for _ in range(2):  # the document is kept; nothing is written into it twice
        document = app.openapi()
        assert document["components"]["securitySchemes"] == {
            "Apostille": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "Access token of the issuer",
            }
        }
        operation = document["paths"]["/stock/"]["get"]
        assert operation["security"] == [{"Apostille": []}]
        assert operation["description"] == (
            "What is there.\n\nRequires `inventory.read` and `a.b or not c.d`."
        )
        assert document["paths"]["/nested"]["put"]["description"] == "Requires `e.f`."
        assert "description" not in document["paths"]["/open"]["get"]
        assert "/hidden" not in document["paths"]


def test_routes_added_later_are_documented_too(app: FastAPI) -> None:
    app.openapi()
    app.get("/later", dependencies=[Depends(READ)])(lambda: None)
    app.openapi_schema = None  # how older FastAPI is told
    assert "Requires" in app.openapi()["paths"]["/later"]["get"]["description"]


def test_the_page_itself_is_served(app: FastAPI) -> None:
    assert request(app, "GET", "/openapi.json").status == 200
    assert request(app, "GET", "/docs").status == 200
