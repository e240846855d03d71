"""The public names of the contracts are those their modules list."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import apostille_contracts

MODULES = sorted(module.name for module in pkgutil.iter_modules(apostille_contracts.__path__))


@pytest.mark.parametrize("name", MODULES)
def test_every_listed_name_exists_and_every_public_definition_is_listed(name: str) -> None:
    module = importlib.import_module(f"apostille_contracts.{name}")
    listed = set(module.__all__)
    assert all(hasattr(module, each) for each in listed)
    defined = {
        each
        for each, value in vars(module).items()
        if not each.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }
    assert defined <= listed, defined - listed


def test_the_package_tells_of_every_module() -> None:
    documentation = apostille_contracts.__doc__ or ""
    for name in MODULES:
        assert f"apostille_contracts.{name}`" in documentation
