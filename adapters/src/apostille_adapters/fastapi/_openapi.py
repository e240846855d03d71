"""What each operation requires, written into the OpenAPI document.

The security scheme itself is FastAPI's doing: our dependencies are schemes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI, routing
from fastapi.dependencies.models import Dependant

from apostille.policy import Requirement

from ._dependencies import authenticated, is_public

__all__ = ["document_requirements"]


def document_requirements(app: FastAPI) -> None:
    """Let ``app.openapi()`` name the permissions in each operation's description."""
    plain = app.openapi
    documented: dict[str, Any] | None = None

    def openapi() -> dict[str, Any]:
        nonlocal documented
        schema = plain()
        if schema is not documented:  # FastAPI keeps the document until routes are added
            for operation, dependant in _operations(app, schema):
                _document(operation, dependant)
            documented = schema
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # the way FastAPI documents


def _operations(app: FastAPI, schema: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Dependant]]:
    # Newer FastAPI keeps included routers as they are and computes their routes.
    contexts = getattr(routing, "iter_route_contexts", iter)
    for route in contexts(app.routes):
        dependant = getattr(route, "dependant", None)
        operations = schema["paths"].get(getattr(route, "path_format", None), {})
        for method in getattr(route, "methods", None) or ():
            if isinstance(dependant, Dependant) and method.lower() in operations:
                yield operations[method.lower()], dependant


def _document(operation: dict[str, Any], dependant: Dependant) -> None:
    calls = list(_calls(dependant))
    required = [call for call in calls if isinstance(call, Requirement)]
    if not required and authenticated in calls and is_public(dependant.call):
        operation.pop("security", None)
        return
    if "security" in operation:  # older FastAPI names a scheme once for each dependency
        schemes = operation["security"]
        operation["security"] = [each for n, each in enumerate(schemes) if each not in schemes[:n]]
    if required:
        needs = " and ".join(f"`{requirement.describe()}`" for requirement in required)
        text = operation.get("description", "")
        operation["description"] = f"{text}\n\nRequires {needs}.".lstrip()


def _calls(dependant: Dependant) -> Iterator[object]:
    for inner in dependant.dependencies:
        yield inner.call
        yield from _calls(inner)
