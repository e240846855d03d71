"""Every route is guarded, but for those in a list that is written down here."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.utils.sync import AsyncCallable

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH, HasPermission, authenticated
from apostille_issuer.access.catalogue import ISSUER_PERMISSIONS
from apostille_issuer.app import create_app
from apostille_issuer.settings import Settings
from support.desk import Desk, bearer, problem_of

PUBLIC = {
    # Public documents.
    ("GET", "/.well-known/jwks.json"),
    ("GET", "/.well-known/oauth-authorization-server"),
    ("GET", "/.well-known/openid-configuration"),
    ("GET", "/status-lists"),
    ("GET", "/status-lists/{list_id:int}"),
    # Operations.
    ("GET", "/health/live"),
    ("GET", "/health/ready"),
    # The description of the API, and what shows it.
    ("GET", "/docs"),
    ("GET", "/docs/start.js"),
    ("GET", "/docs/swagger-ui.css"),
    ("GET", "/docs/swagger-ui.js"),
    ("GET", "/openapi.json"),
    ("GET", "/openapi.json/openapi.json"),
    ("GET", "/openapi.json/{path:str}"),
    # Credentials are in the body.
    ("POST", "/v1/auth/login"),
    ("POST", "/v1/auth/refresh"),
    ("POST", "/v1/auth/switch-organization"),
    # Takes either a refresh token or a bearer token, and says no by itself.
    ("POST", "/v1/auth/logout"),
    # The token of the letter is in the body; accepting takes a proof of the account beside it.
    ("POST", "/v1/invitations/accept"),
    ("POST", "/v1/invitations/show"),
    # Ends the session of the token in the body (RFC 7009); clients have no secret.
    ("POST", "/oauth/revoke"),
    # Clients prove who they are by secret or assertion (RFC 6749 section 2.3).
    ("POST", "/oauth/token"),
}
"""Routes that anybody may ask."""

OWN = {
    ("GET", "/v1/me"),
    ("POST", "/v1/me/password"),
    ("GET", "/v1/me/sessions"),
    ("DELETE", "/v1/me/sessions"),
    ("DELETE", "/v1/me/sessions/{session_id:uuid}"),
    ("GET", "/v1/me/notifications"),
    ("GET", "/v1/me/memberships"),
    ("POST", "/v1/auth/logout-everywhere"),
}
"""Routes that speak of the bearer alone, so that any good token will do."""

EXAMPLES = {
    "tenant_id": "01890000-0000-7000-8000-0000000000a0",
    "domain_id": "01890000-0000-7000-8000-0000000000a1",
    "account_id": "01890000-0000-7000-8000-000000000010",
    "key_id": "01890000-0000-7000-8000-000000000011",
    "user_id": "01890000-0000-7000-8000-000000000000",
    "session_id": "01890000-0000-7000-8000-000000000001",
    "organization_id": "01890000-0000-7000-8000-000000000002",
    "invitation_id": "01890000-0000-7000-8000-000000000012",
    "role": "clerk",
    "service": "inventory",
    "name": "inventory.read",
    "kid": "k" * 43,
}
READING = {"GET", "HEAD"}
READING_BY_POST = {
    # So that the token asked about is in no log (RFC 7662 section 2.1).
    ("POST", "/oauth/introspect"),
}


class Route(NamedTuple):
    method: str
    path: str
    handler: HTTPRouteHandler

    @property
    def key(self) -> tuple[str, str]:
        return self.method, self.path

    @property
    def required(self) -> list[str]:
        """The permissions that the guards want."""
        guards = [g for g in self.handler.resolve_guards() if isinstance(g, HasPermission)]
        return [name for guard in guards for name in guard.permissions]

    @property
    def address(self) -> str:
        """A path that leads here."""
        return re.sub(r"\{(\w+):\w+\}", lambda match: EXAMPLES[match[1]], self.path)


def routes(app: Litestar) -> Iterator[Route]:
    for route in app.routes:
        assert isinstance(route, HTTPRoute), f"{route.path} is no HTTP route: add it to this test"
        for handler in route.route_handlers:
            for method in handler.http_methods - {"OPTIONS"}:  # answered by Litestar itself
                yield Route(method, route.path, handler)


ROUTES = sorted(routes(create_app(Settings())), key=lambda route: route.key)
GUARDED = [route for route in ROUTES if route.key not in PUBLIC | OWN]


def show(route: Route) -> str:
    return f"{route.method} {route.path}"


def test_the_list_of_public_routes_is_complete_and_has_nothing_left_over() -> None:
    open_routes = {route.key for route in ROUTES if route.handler.opt.get(EXCLUDE_FROM_AUTH)}
    assert open_routes == PUBLIC


def test_public_routes_are_spared_every_guard_and_none_runs_in_a_thread() -> None:
    for route in ROUTES:
        guards = route.handler.resolve_guards()
        assert not guards or route.key not in PUBLIC, show(route)
        # What Litestar has wrapped, since it was not asynchronous, costs a thread's turn.
        assert not [guard for guard in guards if isinstance(guard, AsyncCallable)], show(route)


def test_own_routes_want_a_token_and_are_all_there() -> None:
    own = {route.key: route for route in ROUTES if route.key in OWN}
    assert own.keys() == OWN
    for route in own.values():
        assert authenticated in route.handler.resolve_guards(), show(route)


@pytest.mark.parametrize("route", GUARDED, ids=show)
def test_every_other_route_wants_one_permission_of_ours(route: Route) -> None:
    (required,) = route.required
    assert required in ISSUER_PERMISSIONS
    reads = route.method in READING or route.key in READING_BY_POST
    kind = "read" if reads else "write"
    assert required.endswith(f".{kind}")


@pytest.mark.parametrize("route", GUARDED, ids=show)
def test_the_description_of_a_route_names_its_permission(route: Route) -> None:
    assert f"Requires `{route.required[0]}`." in (route.handler.description or "")
    assert route.handler.security


def test_over_http_no_guarded_route_answers_without_a_token_or_the_permission(desk: Desk) -> None:
    member = desk.hire("member")
    tokens = bearer(desk.tokens(member.login))
    for route in GUARDED:
        anonymous = desk.http.request(route.method, route.address)
        assert problem_of(anonymous, 401) == "missing_token", show(route)
        assert anonymous.headers["www-authenticate"].startswith("Bearer "), show(route)
        lacking = desk.http.request(route.method, route.address, headers=tokens)
        assert problem_of(lacking, 403) == "permission_denied", show(route)
        assert lacking.json()["missing"] == route.required, show(route)


def test_over_http_own_routes_want_a_token(desk: Desk) -> None:
    for route in ROUTES:
        if route.key in OWN:
            answer = desk.http.request(route.method, route.address)
            assert problem_of(answer, 401) == "missing_token", show(route)


def test_a_token_for_another_service_opens_nothing_here(desk: Desk) -> None:
    manifest = {"service": "elsewhere", "version": "1", "permissions": {}}
    desk.as_root("PUT", "/v1/services/elsewhere", json=manifest)
    narrowed = bearer(desk.tokens("root@example.com", audience="elsewhere"))
    for route in GUARDED:
        refused = desk.http.request(route.method, route.address, headers=narrowed)
        assert problem_of(refused, 401) == "wrong_audience", show(route)
