"""The inventory service in FastAPI, on uvicorn."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from apostille import AsyncVerifier
from apostille.http import Answer
from apostille_adapters.fastapi import Apostille, HasPermission

from .inventory import MAX_BODY_BYTES, BadInput, Stock, http_error, parse_change
from .serving import Options, listen, setting_up, stop_cleanly

__all__ = ["create_app", "main"]


def create_app(verifier: AsyncVerifier) -> FastAPI:
    """Return the service; it closes *verifier* when it stops."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await verifier.aclose()

    app = FastAPI(title="Inventory", lifespan=lifespan)
    Apostille(verifier).init_app(app)
    stock = Stock()

    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the service runs."""
        return {"status": "ok"}

    @app.get("/stock", dependencies=[Depends(HasPermission("inventory.read"))])
    async def read_stock() -> dict[str, dict[str, int]]:
        """What is in stock."""
        return {"stock": stock.quantities()}

    @app.put("/stock/{item}", dependencies=[Depends(HasPermission("inventory.write"))])
    async def write_stock(item: str, request: Request) -> dict[str, str | int]:
        """Set how many of an item there are: ``{"quantity": 12}``."""
        quantity = parse_change(item, request.headers.get("content-type"), await _body(request))
        stock.put(item, quantity)
        return {"item": item, "quantity": quantity}

    app.add_exception_handler(BadInput, _bad_input)
    app.add_exception_handler(HTTPException, _http_error)
    return app


async def _body(request: Request) -> bytes:
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MAX_BODY_BYTES:
            break
    return body


def _response(answer: Answer) -> Response:
    return Response(answer.body, answer.status, dict(answer.headers))


async def _bad_input(_: Request, error: Exception) -> Response:
    assert isinstance(error, BadInput)  # noqa: S101 - registered for nothing else
    return _response(error.answer)


async def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - registered for nothing else
    response = _response(http_error(error.status_code))
    response.headers.update(error.headers or {})  # Allow, where the method is wrong
    return response


def main() -> None:
    """Serve until told to stop."""
    options = Options.parse("FastAPI", 8001)
    stop_cleanly()
    with setting_up():
        app = create_app(AsyncVerifier(options.issuer, **options.verifier_options))
    config = uvicorn.Config(app, log_level="warning", access_log=False)
    uvicorn.Server(config).run(sockets=[listen(options)])


if __name__ == "__main__":
    main()
