"""What the SDK promises to keep: names, signatures, and what an import costs."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import subprocess
import sys

import pytest

import apostille
from apostille import Verifier

PUBLIC = {
    "apostille": {
        "ApostilleError",
        "AsyncVerifier",
        "ConfigurationError",
        "HasAnyPermission",
        "HasPermission",
        "InvalidToken",
        "KeySource",
        "PermissionDenied",
        "Principal",
        "StaticKeys",
        "Unavailable",
        "Verifier",
    },
    "apostille.clock": {"SYSTEM_CLOCK", "Clock", "ManualClock"},
    "apostille.events": {
        "Event",
        "EventTag",
        "FetchFailure",
        "Health",
        "KeyState",
        "OnEvent",
        "StatusHealth",
    },
    "apostille.keys": {"KeySource", "StaticKeys"},
    "apostille.status": {"StaticStatus", "StatusSource", "UnsafeNoStatus"},
    "apostille.principal": {"Principal", "VerifiedClaims"},
}

OPTIONS = [
    "issuer",
    "audience",
    "keys",
    "status",
    "algorithms",
    "leeway",
    "fresh_for",
    "stale_if_error",
    "max_staleness",
    "cooldown",
    "timeout",
    "cache_size",
    "allow_insecure_http",
    "on_event",
    "clock",
]


@pytest.mark.parametrize("module", PUBLIC)
def test_public_names(module: str) -> None:
    found = importlib.import_module(module)
    assert set(found.__all__) == PUBLIC[module]
    for name in found.__all__:
        assert getattr(found, name) is not None


def test_every_module_says_what_it_offers() -> None:
    for found in pkgutil.iter_modules(apostille.__path__, "apostille."):
        module = importlib.import_module(found.name)
        assert module.__doc__, found.name
        for name in getattr(module, "__all__", ()):
            assert hasattr(module, name), f"{found.name}.{name}"


def test_public_functions_are_documented() -> None:
    for module, names in PUBLIC.items():
        for name in names:
            value = getattr(importlib.import_module(module), name)
            if not inspect.isclass(value) or not value.__module__.startswith("apostille."):
                continue
            assert value.__doc__, name
            for member, function in vars(value).items():
                if inspect.isfunction(function) and not member.startswith("_"):
                    assert inspect.getdoc(function), f"{name}.{member}"


def test_the_options_of_a_verifier() -> None:
    parameters = inspect.signature(Verifier).parameters
    assert list(parameters) == OPTIONS
    assert all(
        parameter.kind is inspect.Parameter.KEYWORD_ONLY
        for name, parameter in parameters.items()
        if name != "issuer"
    )


def imported_by(statement: str) -> set[str]:
    """Return the names of the modules a fresh interpreter has loaded after *statement*."""
    script = f"import sys, json\n{statement}\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60
    )
    return set(json.loads(done.stdout))


def test_importing_the_sdk_brings_no_http_client_no_framework_and_no_private_keys() -> None:
    loaded = imported_by("from apostille import AsyncVerifier, HasPermission, Verifier")
    heavy = (
        "asyncio httpcore httpx anyio h11 certifi "
        "litestar sqlalchemy django flask fastapi starlette"
    )
    assert not loaded & {*heavy.split(), "apostille_issuer", "apostille_adapters", "pydantic"}
    assert not loaded & {"apostille._signing", "apostille.testing", "apostille.pytest_plugin"}


def test_a_verifier_of_given_keys_never_loads_an_http_client() -> None:
    loaded = imported_by(
        "from apostille import StaticKeys, Verifier\n"
        "Verifier('https://a', audience='b', keys=StaticKeys({'keys': []}))"
    )
    assert "httpcore" not in loaded
    fetching = imported_by("from apostille import Verifier\nVerifier('https://a', audience='b')")
    assert "httpcore" in fetching
