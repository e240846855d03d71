"""The protected service of the shared suite in Flask."""

from __future__ import annotations

from flask import Blueprint, Flask, Request

from apostille import Verifier
from apostille.http import TokenCookie
from apostille_adapters.flask import (
    Apostille,
    HasPermission,
    authenticated,
    current_principal,
    has_any_permission,
    has_permission,
    optional_principal,
)


def asked(request: Request) -> str | None:
    return request.headers.get("X-Organization")


blueprint = Blueprint("protected", __name__)


@blueprint.get("/public")
def public() -> str:
    return "public"


@blueprint.get("/stock")
@has_permission("inventory.read")
def stock() -> str:
    return "stock"


@blueprint.post("/stock")
@has_permission("inventory.read", "inventory.write")
async def change() -> str:
    return "changed"


@blueprint.get("/either")
@has_any_permission("inventory.read", "inventory.admin")
def either() -> str:
    return "either"


@blueprint.get("/composed")
@(HasPermission("inventory.read") & ~HasPermission("inventory.frozen"))
def composed() -> str:
    return "composed"


@blueprint.get("/me")
@authenticated
def me() -> str:
    return current_principal.subject


@blueprint.get("/maybe")
def maybe() -> str:
    principal = optional_principal()
    return principal.subject if principal else "nobody"


@blueprint.get("/organizations/<organization_id>/stock")
@has_permission("inventory.read", organization="organization_id")
def organization_stock(organization_id: str) -> str:
    assert organization_id
    return "organization"


@blueprint.get("/owned")
@has_permission("inventory.read", organization=asked)
def owned() -> str:
    return current_principal.subject


@blueprint.get("/inside")
def inside() -> str:
    current_principal.require("inventory.write")
    return "inside"


def create_app(verifier: Verifier) -> Flask:
    app = Flask(__name__)
    Apostille(verifier, cookie=TokenCookie()).init_app(app)
    app.register_blueprint(blueprint)
    return app
