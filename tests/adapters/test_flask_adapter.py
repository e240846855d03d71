"""What is Flask's own: the extension, blueprints, class-based and async views."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.typing import ResponseReturnValue
from flask.views import MethodView
from werkzeug.middleware.dispatcher import DispatcherMiddleware
from werkzeug.test import Client

from apostille import Principal, http
from apostille.errors import ConfigurationError, InvalidToken, MissingToken, PermissionDenied
from apostille.testing import SUBJECT, LocalIssuer
from apostille_adapters.flask import (
    Apostille,
    HasAnyPermission,
    HasPermission,
    authenticated,
    current_principal,
    has_any_permission,
    has_permission,
    optional_principal,
    public,
)


@pytest.fixture
def issuer() -> LocalIssuer:
    return LocalIssuer(audience="inventory")


@pytest.fixture
def app(issuer: LocalIssuer) -> Flask:
    app = Flask(__name__)
    Apostille(issuer.verifier()).init_app(app)
    return app


def body(error: http.Refusal) -> bytes:
    return http.answer(error, realm="inventory").body


def test_the_decorators_have_the_names_python_gives_decorators() -> None:
    assert has_permission is HasPermission
    assert has_any_permission is HasAnyPermission


def test_a_decorated_view_keeps_its_name_and_arguments(app: Flask, issuer: LocalIssuer) -> None:
    @app.get("/stock/<item>/<int:shelf>")
    @has_permission("inventory.read")
    @has_any_permission("inventory.read", "inventory.write")
    def stock(item: str, shelf: int) -> str:
        return f"{item} {shelf} {current_principal.subject}"

    assert stock.__name__ == "stock"
    client = issuer.sign_in(app.test_client(), permissions=["inventory.read"])
    assert client.get("/stock/bolt/7").text == f"bolt 7 {SUBJECT}"


def test_an_async_view_is_guarded_before_it_runs(app: Flask, issuer: LocalIssuer) -> None:
    @app.get("/stock")
    @has_permission("inventory.read")
    async def stock() -> str:
        return "stock"

    client = app.test_client()
    assert client.get("/stock").status_code == 401
    headers = issuer.headers(permissions=["inventory.read"])
    assert client.get("/stock", headers=headers).text == "stock"


def test_a_class_based_view_is_decorated(app: Flask, issuer: LocalIssuer) -> None:
    class Stock(MethodView):
        decorators = [has_permission("inventory.read")]  # noqa: RUF012 - Flask's own form

        def get(self) -> ResponseReturnValue:
            return "stock"

        @has_permission("inventory.write")
        def post(self) -> ResponseReturnValue:
            return "changed"

    app.add_url_rule("/stock", view_func=Stock.as_view("stock"))
    client = issuer.sign_in(app.test_client(), permissions=["inventory.read"])
    assert client.get("/stock").text == "stock"
    assert client.post("/stock").data == body(PermissionDenied(("inventory.write",)))


def test_a_requirement_guards_a_whole_blueprint(app: Flask, issuer: LocalIssuer) -> None:
    blueprint = Blueprint("stock", __name__, url_prefix="/stock/<organization>")
    rule = HasPermission("inventory.read", organization="organization") | HasPermission("a.b")
    blueprint.before_request(rule.enforce)

    @blueprint.get("/shelves")
    def shelves(organization: str) -> str:
        return organization

    app.register_blueprint(blueprint)
    client = issuer.sign_in(app.test_client(), permissions=["inventory.read"], organization="acme")
    assert client.get("/stock/acme/shelves").text == "acme"
    assert client.get("/stock/globex/shelves").status_code == 403


def test_touching_the_principal_without_a_token_is_answered_401(app: Flask) -> None:
    @app.get("/me")
    def me() -> str:
        return current_principal.subject

    assert app.test_client().get("/me").data == body(MissingToken())


def test_the_token_is_verified_once_per_request(issuer: LocalIssuer) -> None:
    seen: list[object] = []
    app = Flask(__name__)
    Apostille(issuer.verifier(on_event=seen.append)).init_app(app)

    @app.get("/me")
    @authenticated
    def me() -> str:
        principal = optional_principal()
        assert isinstance(principal, Principal)
        return principal.subject + current_principal.subject

    client = issuer.sign_in(app.test_client())
    assert client.get("/me").text == SUBJECT * 2
    assert len(seen) == 1


def test_a_principal_does_not_outlive_its_request(app: Flask, issuer: LocalIssuer) -> None:
    @app.get("/me")
    def me() -> str:
        principal = optional_principal()
        return principal.subject if principal else "nobody"

    # An application context that stays open keeps Flask's ``g`` from request to request.
    with app.app_context():
        client = app.test_client()
        assert client.get("/me", headers=issuer.headers()).text == SUBJECT
        assert client.get("/me").text == "nobody"


def test_every_view_needs_a_token_but_the_public_ones(issuer: LocalIssuer) -> None:
    app = Flask(__name__)
    Apostille(issuer.verifier(), authenticate_all=True).init_app(app)

    @app.get("/health")
    @public
    def health() -> str:
        return "fine"

    @app.get("/health-secrets")
    def secrets() -> str:
        return "secret"

    @app.route("/own-options", methods=["OPTIONS"])
    def options() -> str:
        return "options"

    client = app.test_client()
    bad = {"Authorization": f"Bearer {issuer.bad_token('expired')}"}
    assert client.get("/health", headers=bad).text == "fine"
    assert client.get("/health-secrets").data == body(MissingToken())
    assert client.get("/health-secrets", headers=issuer.headers()).text == "secret"
    assert client.get("/nowhere").status_code == 404
    assert client.post("/health").status_code == 405
    # A browser asks before it sends a token; that answer is Flask's own.
    assert client.options("/health-secrets").status_code == 200
    assert client.options("/own-options").status_code == 401


def test_the_realm_is_the_audience_unless_told_otherwise(issuer: LocalIssuer) -> None:
    for realm, shown in ((None, "inventory"), ("warehouse", "warehouse")):
        app = Flask(__name__)
        Apostille(issuer.verifier(), realm=realm).init_app(app)
        app.add_url_rule("/", view_func=authenticated(lambda: ""))
        challenge = app.test_client().get("/").headers["WWW-Authenticate"]
        assert challenge == f'Bearer realm="{shown}"'


def test_an_application_mounted_in_another_trusts_its_own_verifier(
    app: Flask, issuer: LocalIssuer
) -> None:
    inner_issuer = LocalIssuer(audience="inner")
    inner = Flask("inner")
    Apostille(inner_issuer.verifier()).init_app(inner)
    for each in (app, inner):
        each.add_url_rule("/me", view_func=lambda: current_principal.subject, endpoint="me")
    seen: dict[str, Any] = {}

    def outer(environ: dict[str, Any], start_response: Any) -> Any:
        # The outer application authenticated the request before it handed it on.
        with app.request_context(environ):
            seen["outer"] = current_principal.subject
        return DispatcherMiddleware(app, {"/inner": inner})(environ, start_response)

    reply = Client(outer).get("/inner/me", headers=issuer.headers())
    assert seen == {"outer": SUBJECT}
    assert (reply.status_code, b"unknown_key" in reply.data) == (401, True)


def test_the_applications_own_handlers_win(app: Flask, issuer: LocalIssuer) -> None:
    @app.errorhandler(InvalidToken)
    def teapot(error: InvalidToken) -> ResponseReturnValue:
        return type(error).__name__, 418

    app.add_url_rule("/", view_func=authenticated(lambda: ""))
    reply = app.test_client().get(
        "/", headers={"Authorization": f"Bearer {issuer.bad_token('expired')}"}
    )
    assert (reply.status_code, reply.text) == (418, "ExpiredToken")


def test_without_init_app_the_mistake_is_named() -> None:
    app = Flask(__name__)
    app.testing = True
    app.add_url_rule("/", view_func=has_permission("a.b")(lambda: ""))
    with pytest.raises(ConfigurationError, match="init_app"):
        app.test_client().get("/")


def test_a_verifier_that_must_be_awaited_is_refused(issuer: LocalIssuer) -> None:
    with pytest.raises(ConfigurationError, match="needs a Verifier"):
        Apostille(issuer.async_verifier())  # type: ignore[arg-type]
