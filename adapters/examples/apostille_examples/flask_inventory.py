"""The inventory service in Flask, on Werkzeug's server."""

from __future__ import annotations

import logging

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException
from werkzeug.serving import make_server

from apostille import Verifier
from apostille.http import Answer
from apostille_adapters.flask import Apostille, has_permission

from .inventory import MAX_BODY_BYTES, BadInput, Stock, http_error, parse_change
from .serving import Options, listen, serve_until_stopped, setting_up

__all__ = ["create_app", "main"]


def create_app(verifier: Verifier) -> Flask:
    """Return the service."""
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    Apostille(verifier).init_app(app)
    stock = Stock()

    @app.get("/health")
    def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/stock")
    @has_permission("inventory.read")
    def read_stock() -> dict[str, dict[str, int]]:
        return {"stock": stock.quantities()}

    @app.put("/stock/<item>")
    @has_permission("inventory.write")
    def write_stock(item: str) -> dict[str, str | int]:
        quantity = parse_change(item, request.content_type, request.get_data())
        stock.put(item, quantity)
        return {"item": item, "quantity": quantity}

    @app.errorhandler(BadInput)
    def bad_input(error: BadInput) -> Response:
        return _response(error.answer)

    @app.errorhandler(HTTPException)
    def framework_error(error: HTTPException) -> Response:
        response = _response(http_error(error.code or 500))
        for name, value in error.get_headers():
            if name == "Allow":
                response.headers[name] = value
        return response

    return app


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, list(answer.headers))


def main() -> None:
    """Serve until told to stop."""
    options = Options.parse("Flask", 8003)
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with setting_up():
        verifier = Verifier(options.issuer, **options.verifier_options)
    with verifier, listen(options) as listening:
        server = make_server(
            options.host,
            options.port,
            create_app(verifier),
            threaded=True,
            fd=listening.fileno(),
        )
        serve_until_stopped(server)


if __name__ == "__main__":
    main()
