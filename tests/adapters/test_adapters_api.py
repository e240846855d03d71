"""What each adapter offers, and what it does not drag in."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PUBLIC = {
    "apostille_adapters.django": {
        *("Anonymous", "ApostilleMiddleware", "HasAnyPermission", "HasPermission"),
        *("HasPermissionMixin", "PrincipalUser", "authenticated", "has_any_permission"),
        *("has_permission", "optional_principal", "public"),
    },
    "apostille_adapters.django.drf": {
        *("ApostilleAuthentication", "HasAnyPermission", "HasPermission", "Refused"),
        "exception_handler",
    },
    "apostille_adapters.fastapi": {
        *("Apostille", "CurrentPrincipal", "HasAnyPermission", "HasPermission"),
        *("OptionalPrincipal", "authenticated", "current_principal", "optional_principal"),
        "public",
    },
    "apostille_adapters.flask": {
        *("Apostille", "HasAnyPermission", "HasPermission", "authenticated"),
        *("current_principal", "has_any_permission", "has_permission", "optional_principal"),
        "public",
    },
    "apostille_adapters.litestar": {
        *("EXCLUDE_FROM_AUTH", "ApostillePlugin", "CurrentPrincipal", "HasAnyPermission"),
        *("HasPermission", "OptionalPrincipal", "authenticated"),
    },
}
FRAMEWORKS = {"django", "rest_framework", "fastapi", "flask", "litestar"}
BROUGHT = {
    "apostille_adapters.django": {"django"},  # REST framework only by those who import .drf
    "apostille_adapters.fastapi": {"fastapi"},
    "apostille_adapters.flask": {"flask"},
    "apostille_adapters.litestar": {"litestar"},
}


@pytest.mark.parametrize("module", PUBLIC)
def test_each_adapter_offers_what_it_says(module: str) -> None:
    imported = importlib.import_module(module)
    assert set(imported.__all__) == PUBLIC[module]
    assert all(hasattr(imported, name) for name in imported.__all__)


@pytest.mark.parametrize("module", BROUGHT)
def test_an_adapter_brings_its_own_framework_alone(module: str) -> None:
    program = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True, timeout=60
    ).stdout.split()
    assert FRAMEWORKS & set(loaded) == BROUGHT[module]
    assert not {"sqlalchemy", "apostille_issuer"} & set(loaded)
