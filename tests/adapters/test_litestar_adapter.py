"""What is Litestar's own: guards on every layer, WebSockets, OpenAPI."""

from typing import Any

import pytest
from litestar import (
    Controller,
    Litestar,
    MediaType,
    Request,
    Router,
    WebSocket,
    get,
    post,
    websocket,
)
from litestar.handlers import asgi
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.response import Response
from litestar.routes import HTTPRoute

from apostille import http
from apostille.errors import (
    ConfigurationError,
    ExpiredToken,
    MissingToken,
    PermissionDenied,
)
from apostille.http import TokenCookie
from apostille.testing import SUBJECT, LocalIssuer
from apostille_adapters.litestar import (
    ApostillePlugin,
    CurrentPrincipal,
    HasAnyPermission,
    HasPermission,
    OptionalPrincipal,
    authenticated,
)
from support.asgi import bearer, request
from support.asgi import websocket as connect

READ = HasPermission("inventory.read")


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture
def plugin(issuer: LocalIssuer) -> ApostillePlugin:
    return ApostillePlugin(issuer.async_verifier())


def application(plugin: ApostillePlugin, *handlers: Any, **options: Any) -> Litestar:
    return Litestar([*handlers], plugins=[plugin], **options)


@get("/open", media_type=MediaType.TEXT)
async def open_route() -> str:
    return "open"


# -- guards on every layer ---------------------------------------------------------------


def test_guards_work_on_handler_controller_router_and_application(
    issuer: LocalIssuer, plugin: ApostillePlugin
) -> None:
    class Shelves(Controller):
        path = "/shelves"
        guards = [HasPermission("inventory.shelves")]  # noqa: RUF012 - Litestar's own form

        @get("/", guards=[HasPermission("inventory.read")], media_type=MediaType.TEXT)
        async def shelves(self) -> str:
            return "shelves"

    router = Router("/stock", route_handlers=[Shelves], guards=[HasPermission("inventory.stock")])
    app = application(plugin, router, guards=[HasPermission("inventory.service")])
    names = ["inventory.service", "inventory.stock", "inventory.shelves", "inventory.read"]
    for missing in names:
        held = [name for name in names if name != missing]
        reply = request(app, "GET", "/stock/shelves", bearer(issuer.token(permissions=held)))
        assert reply.body == http.answer(PermissionDenied((missing,)), realm="x").body
    reply = request(app, "GET", "/stock/shelves", bearer(issuer.token(permissions=names)))
    assert reply.text == "shelves"


def test_several_guards_verify_the_token_once(issuer: LocalIssuer) -> None:
    seen: list[object] = []
    plugin = ApostillePlugin(issuer.async_verifier(on_event=seen.append))

    @get("/", guards=[authenticated, READ, HasAnyPermission("inventory.read", "a.b")])
    async def stock(principal: CurrentPrincipal) -> str:
        return principal.subject

    app = application(plugin, stock)
    token = issuer.token(permissions=["inventory.read"])
    assert request(app, "GET", "/", bearer(token)).status == 200
    assert len(seen) == 1


def test_the_principal_is_the_requests_user(issuer: LocalIssuer, plugin: ApostillePlugin) -> None:
    @get("/", guards=[authenticated], media_type=MediaType.TEXT)
    async def me(request: Request[Any, Any, Any]) -> str:
        return str(request.user.subject)

    app = application(plugin, me)
    assert request(app, "GET", "/", bearer(issuer.token())).text == SUBJECT


def test_the_realm_is_the_audience_unless_told_otherwise(issuer: LocalIssuer) -> None:
    @get("/", guards=[READ])
    async def stock() -> None:
        raise AssertionError("nobody was to get as far as this")

    verifier = issuer.async_verifier()
    for realm, shown in ((None, "inventory"), ("warehouse", "warehouse")):
        app = application(ApostillePlugin(verifier, realm=realm), stock)
        assert request(app, "GET", "/").values("www-authenticate") == [f'Bearer realm="{shown}"']


# -- everything protected, one by one opened ---------------------------------------------


def test_every_route_needs_a_token_but_those_that_opt_out(issuer: LocalIssuer) -> None:
    plugin = ApostillePlugin(issuer.async_verifier(), authenticate_all=True)

    @get("/health", opt={"exclude_from_auth": True}, media_type=MediaType.TEXT)
    async def health() -> str:
        return "fine"

    @get("/health-secrets", media_type=MediaType.TEXT)
    async def secrets() -> str:
        return "secret"

    @get("/excluded-but-guarded", exclude_from_auth=True, guards=[READ])
    async def guarded() -> None:
        raise AssertionError("nobody was to get as far as this")

    app = application(plugin, health, secrets, guarded)
    assert request(app, "GET", "/health").text == "fine"
    assert request(app, "GET", "/health", bearer(issuer.bad_token("expired"))).text == "fine"
    assert request(app, "GET", "/health-secrets").status == 401
    assert request(app, "GET", "/health-secrets", bearer(issuer.token())).text == "secret"
    assert request(app, "GET", "/excluded-but-guarded").status == 401
    assert request(app, "GET", "/nowhere").status == 404
    schema = app.openapi_schema.to_schema()["paths"]
    assert "security" not in schema["/health"]["get"]
    assert schema["/health-secrets"]["get"]["security"] == [{"Apostille": []}]


def test_an_excluded_route_runs_no_guard(issuer: LocalIssuer) -> None:
    @get("/health", opt={"exclude_from_auth": True})
    async def excluded() -> None: ...

    plugin = ApostillePlugin(issuer.async_verifier(), authenticate_all=True)
    app = application(plugin, excluded, open_route)
    guards = {
        handler.fn.__name__: handler.resolve_guards()
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler in route.route_handlers
    }
    assert guards["excluded"] == []
    assert len(guards["open_route"]) == 1


def test_websockets_are_protected_and_opened_likewise(issuer: LocalIssuer) -> None:
    plugin = ApostillePlugin(issuer.async_verifier(), authenticate_all=True)

    @websocket("/open", exclude_from_auth=True)
    async def open_socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    @websocket("/closed")
    async def closed_socket(socket: WebSocket[Any, Any, Any]) -> None:
        await socket.accept()
        await socket.close()

    app = application(plugin, open_socket, closed_socket)
    assert connect(app, "/open")[0]["type"] == "websocket.accept"
    assert connect(app, "/closed") == closed(1008, "missing_token")
    assert connect(app, "/closed", bearer(issuer.token()))[0]["type"] == "websocket.accept"


# -- WebSockets --------------------------------------------------------------------------


@websocket("/guarded", guards=[READ])
async def guarded_socket(socket: WebSocket[Any, Any, Any]) -> None:
    await socket.accept()
    await socket.close()


@websocket("/dependent")
async def dependent_socket(socket: WebSocket[Any, Any, Any], principal: CurrentPrincipal) -> None:
    await socket.accept()
    await socket.close(reason=principal.subject)


@websocket("/optional")
async def optional_socket(
    socket: WebSocket[Any, Any, Any], optional_principal: OptionalPrincipal
) -> None:
    await socket.accept()
    await socket.close(reason="nobody" if optional_principal is None else "somebody")


def closed(code: int, reason: str) -> list[dict[str, Any]]:
    return [{"type": "websocket.close", "code": code, "reason": reason}]


def test_a_websocket_is_accepted_with_the_permission(
    issuer: LocalIssuer, plugin: ApostillePlugin
) -> None:
    app = application(plugin, guarded_socket)
    sent = connect(app, "/guarded", bearer(issuer.token(permissions=["inventory.read"])))
    assert sent[0]["type"] == "websocket.accept"


def test_a_refused_websocket_is_closed_before_it_is_accepted(
    issuer: LocalIssuer, plugin: ApostillePlugin
) -> None:
    app = application(plugin, guarded_socket, dependent_socket, optional_socket)
    assert connect(app, "/guarded") == closed(1008, "missing_token")
    assert connect(app, "/dependent") == closed(1008, "missing_token")
    denied = connect(app, "/guarded", bearer(issuer.token()))
    assert denied == closed(1008, "permission_denied")
    expired = bearer(issuer.bad_token("expired"))
    assert connect(app, "/optional", expired) == closed(1008, "expired_token")
    assert connect(app, "/optional")[1]["reason"] == "nobody"
    with issuer.outage():
        unavailable = connect(app, "/guarded", bearer(issuer.token(permissions=["*"])))
    assert unavailable == closed(1013, "keys_unavailable")


def test_a_websocket_by_cookie_needs_a_proven_origin(issuer: LocalIssuer) -> None:
    plugin = ApostillePlugin(issuer.async_verifier(), cookie=TokenCookie("token"))
    app = application(plugin, guarded_socket)
    cookie = ("Cookie", f"token={issuer.token(permissions=['inventory.read'])}")
    assert connect(app, "/guarded", [cookie]) == closed(1008, "csrf_failed")
    sent = connect(app, "/guarded", [cookie, ("Sec-Fetch-Site", "same-origin")])
    assert sent[0]["type"] == "websocket.accept"


# -- the application around --------------------------------------------------------------


def test_without_the_plugin_the_mistake_is_named() -> None:
    @get("/", guards=[READ])
    async def stock() -> None:
        raise AssertionError("nobody was to get as far as this")

    app = Litestar([stock], debug=True)
    reply = request(app, "GET", "/")
    assert reply.status == 500
    assert b"plugins=[ApostillePlugin(verifier)]) is missing" in reply.body


def test_a_verifier_that_blocks_the_loop_is_refused(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError, match="AsyncVerifier"):
        ApostillePlugin(issuer.verifier())  # type: ignore[arg-type]


def test_the_applications_own_handlers_win(issuer: LocalIssuer, plugin: ApostillePlugin) -> None:
    def teapot(_: Request[Any, Any, Any], error: PermissionDenied) -> Response[str]:
        return Response(" ".join(error.missing), status_code=418, media_type=MediaType.TEXT)

    @get("/", guards=[READ])
    async def stock() -> None:
        raise AssertionError("nobody was to get as far as this")

    app = application(plugin, stock, exception_handlers={PermissionDenied: teapot})
    reply = request(app, "GET", "/", bearer(issuer.token()))
    assert (reply.status, reply.text) == (418, "inventory.read")
    assert request(app, "GET", "/").status == 401


def test_a_mounted_application_trusts_its_own_verifier_alone(issuer: LocalIssuer) -> None:
    inner_issuer = LocalIssuer(audience="inner")

    @get("/", guards=[authenticated], media_type=MediaType.TEXT)
    async def inside(principal: CurrentPrincipal) -> str:
        return principal.subject

    inner = application(ApostillePlugin(inner_issuer.async_verifier()), inside)

    @asgi("/inner", is_mount=True, copy_scope=True, guards=[authenticated])
    async def mounted(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    outer = application(ApostillePlugin(issuer.async_verifier()), mounted)
    # The outer guard is passed; what it found out means nothing inside.
    reply = request(outer, "GET", "/inner", bearer(issuer.token()))
    assert (reply.status, b"unknown_key" in reply.body) == (401, True)


# -- OpenAPI -----------------------------------------------------------------------------


@get("/stock", guards=[READ], description="What is there.")
async def described() -> None: ...


@post("/stock", guards=[HasPermission("inventory.write") | READ, HasPermission("a.b")])
async def documented() -> None:
    """Change what is there."""


@get("/bare", guards=[READ])
async def bare() -> None: ...


def test_the_document_shows_scheme_and_permissions(plugin: ApostillePlugin) -> None:
    app = application(
        plugin,
        described,
        documented,
        bare,
        open_route,
        openapi_config=OpenAPIConfig("Stock", "1", use_handler_docstrings=True),
    )
    schema = app.openapi_schema.to_schema()
    assert schema["components"]["securitySchemes"]["Apostille"] == {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
    }
    paths = schema["paths"]
    assert paths["/stock"]["get"]["description"] == "What is there.\n\nRequires `inventory.read`."
    assert paths["/stock"]["post"]["description"] == (
        "Change what is there.\n\nRequires `inventory.write or inventory.read` and `a.b`."
    )
    assert paths["/bare"]["get"]["description"] == "Requires `inventory.read`."
    assert paths["/bare"]["get"]["security"] == [{"Apostille": []}]
    assert "security" not in paths["/open"]["get"]


def test_docstrings_stay_out_of_the_document_unless_asked_for(plugin: ApostillePlugin) -> None:
    schema = application(plugin, documented).openapi_schema.to_schema()
    assert schema["paths"]["/stock"]["post"]["description"].startswith("Requires")


def test_what_the_application_documents_itself_stays(plugin: ApostillePlugin) -> None:
    theirs = Components(security_schemes={"Theirs": SecurityScheme(type="mutualTLS")})
    for components in (theirs, [theirs]):
        config = OpenAPIConfig("Stock", "1", components=components)
        schema = application(plugin, bare, openapi_config=config).openapi_schema.to_schema()
        assert set(schema["components"]["securitySchemes"]) == {"Theirs", "Apostille"}
        assert config.components is components


def test_handlers_shared_by_two_applications_are_documented_once_each(
    plugin: ApostillePlugin,
) -> None:
    for _ in range(2):
        app = application(plugin, described, documented)
        operation = app.openapi_schema.to_schema()["paths"]["/stock"]["get"]
        assert operation["description"].count("Requires") == 1
        assert operation["security"] == [{"Apostille": []}]


def test_an_application_without_openapi_is_served_too(plugin: ApostillePlugin) -> None:
    app = application(plugin, described, openapi_config=None)
    assert request(app, "GET", "/stock").status == 401


def test_answers_are_those_of_the_sdk(issuer: LocalIssuer, plugin: ApostillePlugin) -> None:
    app = application(plugin, described)
    for headers, error in (
        ([], MissingToken()),
        (bearer(issuer.bad_token("expired")), ExpiredToken()),
    ):
        reply = request(app, "GET", "/stock", headers)
        answer = http.answer(error, realm="inventory")
        assert reply.body == answer.body
        expected = {name.lower(): value for name, value in answer.headers}
        assert expected.items() <= dict(reply.headers).items()
