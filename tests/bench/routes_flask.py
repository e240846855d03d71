"""Flask: our decorator beside flask-jwt-extended."""

from __future__ import annotations

import asyncio
from typing import Any

from flask import Flask, abort
from flask_jwt_extended import JWTManager, get_jwt, jwt_required

from apostille import Verifier
from apostille_adapters.flask import Apostille, has_permission
from bench.in_process import Route, WsgiRoute
from bench.tokens import AUDIENCE, ISSUER, Mint

__all__ = ["flask_routes"]


def flask_routes(_: asyncio.Runner, mint: Mint) -> dict[str, Route]:
    """Return the same route unprotected, with ours and with flask-jwt-extended."""
    ours = Flask("ours")
    Apostille(Verifier(ISSUER, audience=AUDIENCE, **mint.sources)).init_app(ours)
    ours.get("/stock")(has_permission("inventory.read")(_stock))
    bare = Flask("bare")
    bare.get("/open")(_stock)
    return {
        "unprotected": WsgiRoute(bare, "/open"),
        "Apostille": WsgiRoute(ours, "/stock"),
        "flask-jwt-extended": WsgiRoute(_extended(mint), "/stock"),
    }


def _stock() -> dict[str, int]:
    return {"stock": 7}


def _extended(mint: Mint) -> Flask:
    app = Flask("extended")
    app.config.update(
        JWT_ALGORITHM="ES256",
        JWT_PUBLIC_KEY=mint.public_pem,
        JWT_DECODE_AUDIENCE=AUDIENCE,
        JWT_DECODE_ISSUER=ISSUER,
    )
    JWTManager(app)

    @app.get("/stock")
    @jwt_required()  # type: ignore[untyped-decorator]  # ships no types for it
    def protected() -> dict[str, int]:
        claims: dict[str, Any] = get_jwt()
        if "inventory.read" not in claims["permissions"]:
            abort(403)
        return _stock()

    return app
