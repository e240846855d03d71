"""The description of the API at ``/openapi.json``, and a page to read it at ``/docs``.

The page and all it needs come from this server; its content security policy
lets the browser ask nobody else.
"""

from __future__ import annotations

from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import msgspec
from litestar import Request, Response, Router, get
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Tag
from litestar.response import File

from apostille_adapters.litestar import EXCLUDE_FROM_AUTH
from apostille_contracts.problems import PROBLEM_MEDIA_TYPE, Problem, ProblemCode
from apostille_issuer.http.problems import problem_response
from apostille_issuer.version import version

__all__ = ["documentation_routes", "openapi_config"]

OPENAPI_PATH = "/openapi.json"

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Apostille issuer: API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" href="data:,">
<div id="page"></div>
<script src="docs/swagger-ui.js"></script>
<script src="docs/start.js"></script>
</html>
"""

START = """SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#page",
  deepLinking: true,
  persistAuthorization: false,
  validatorUrl: null,
});
"""

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)

ASSET_HEADERS = {"cache-control": "public, max-age=86400"}


def openapi_config() -> OpenAPIConfig:
    """Return how the API is described."""
    return OpenAPIConfig(
        title="Apostille issuer",
        version=version(),
        description="People, roles, sessions, and the tokens every service verifies offline.",
        openapi_router=Router(
            OPENAPI_PATH,
            route_handlers=[],
            include_in_schema=False,
            opt={EXCLUDE_FROM_AUTH: True},
            after_request=_problem_instead_of_page,
        ),
        render_plugins=[_Description()],
        use_handler_docstrings=True,
        tags=[
            Tag("discovery", "Public documents, for services."),
            Tag("operations", "For operators and probes."),
        ],
    )


def documentation_routes() -> Router:
    """Return the routes of the page and its assets."""
    script, style = _asset("swagger_bundle.js"), _asset("swagger_style.css")

    @get("/docs", sync_to_thread=False)
    def page() -> Response[str]:
        return Response(
            PAGE,
            media_type="text/html",
            headers={"content-security-policy": CONTENT_SECURITY_POLICY},
        )

    @get("/docs/start.js", sync_to_thread=False)
    def start() -> Response[str]:
        return Response(START, media_type="text/javascript", headers=ASSET_HEADERS)

    @get("/docs/swagger-ui.js", sync_to_thread=False)
    def swagger_script() -> File:
        return _served(script, "swagger-ui.js", "text/javascript")

    @get("/docs/swagger-ui.css", sync_to_thread=False)
    def swagger_style() -> File:
        return _served(style, "swagger-ui.css", "text/css")

    return Router(
        "/",
        route_handlers=[page, start, swagger_script, swagger_style],
        include_in_schema=False,
        opt={EXCLUDE_FROM_AUTH: True},
    )


class _Description(JsonRenderPlugin):
    """Renders the description once, with the one shape that all errors have."""

    def __init__(self) -> None:
        super().__init__(path="/")
        self._rendered: bytes | None = None

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        if self._rendered is None:
            self._rendered = self.render_json(request, _with_problems(openapi_schema))
        return self._rendered


def _with_problems(description: dict[str, Any]) -> dict[str, Any]:
    """Say of every operation that its errors are problem documents.

    Litestar would describe a 400 of its own shape, which is never sent; give an
    answer without content a media type; and say that one of two kinds of answer
    never fits the other, too.
    """
    reference, schemas = msgspec.json.schema_components(
        (Problem,), ref_template="#/components/schemas/{name}"
    )
    described = msgspec.json.decode(msgspec.json.encode(description))
    described.setdefault("components", {}).setdefault("schemas", {}).update(schemas)
    problem = {
        "description": "The problem; programs read its `code`.",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": reference[0]}},
    }
    for path in described["paths"].values():
        for operation in path.values():
            responses = operation["responses"]
            if _is_litestars(responses.get("400", problem)):
                del responses["400"]
            responses.get("204", {}).pop("content", None)
            for held in responses.get("200", {}).get("content", {}).values():
                if "oneOf" in held["schema"]:
                    held["schema"]["anyOf"] = held["schema"].pop("oneOf")
            responses.setdefault("default", problem)
    return dict(described)


def _is_litestars(response: dict[str, Any]) -> bool:
    schema = response["content"].get("application/json", {}).get("schema", {})
    return "status_code" in schema.get("properties", ())


def _problem_instead_of_page(response: Response[Any]) -> Response[Any]:
    """Litestar answers with a page below the description's path; here errors are problems."""
    if response.status_code == 404:
        return problem_response(Problem.of(ProblemCode.NOT_FOUND))
    return response


def _asset(name: str) -> Path:
    """Return where the package of assets has *name*; importing it would load all of them."""
    return Path(str(distribution("offapi").locate_file(f"offapi/{name}")))


def _served(path: Path, name: str, media_type: str) -> File:
    return File(
        path,
        filename=name,
        media_type=media_type,
        content_disposition_type="inline",
        headers=ASSET_HEADERS,
    )
