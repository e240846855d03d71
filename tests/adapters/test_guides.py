"""The snippets of the guides run as they stand, and so do the tests in them."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator

import pytest
from django.conf import settings
from django.test import override_settings

from apostille_adapters.django._settings import KNOWN, Configuration
from support.readme import blocks


def run_snippets(guide: str) -> types.ModuleType:
    """Return a module in which all Python blocks of *guide* have run, in order."""
    module = types.ModuleType(f"guide_{guide}")
    sys.modules[module.__name__] = module  # decorators and forward references look it up
    for number, block in enumerate(blocks(f"docs/guides/{guide}.md")):
        if block.language == "python":
            code = compile(block.text, f"docs/guides/{guide}.md#{number}", "exec")
            exec(code, module.__dict__)
    return module


def written_tests(module: types.ModuleType) -> list[Callable[[], None]]:
    found = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert found
    return found


@pytest.fixture(autouse=True)
def forget() -> Iterator[None]:
    yield
    for name in [name for name in sys.modules if name.startswith("guide_")]:
        del sys.modules[name]


@pytest.mark.parametrize("guide", ["fastapi", "flask", "litestar"])
def test_the_snippets_of_a_guide_run(guide: str) -> None:
    for test in written_tests(run_snippets(guide)):
        test()


def test_the_snippets_of_the_guide_for_django_run() -> None:
    module = run_snippets("django")
    with override_settings(ROOT_URLCONF=module.__name__):
        for test in written_tests(module):
            test()


def test_the_settings_of_the_guide_for_django_are_good() -> None:
    module = run_snippets("django")
    assert Configuration(module.APOSTILLE).verifier.audience == ("inventory",)
    assert module.MIDDLEWARE == settings.MIDDLEWARE
    assert module.REST_FRAMEWORK.items() <= settings.REST_FRAMEWORK.items()
    text = "".join(line for line in open_guide() if line.startswith("| `"))
    assert {name for name in KNOWN if f"`{name}`" in text} == KNOWN


def open_guide() -> list[str]:
    from support.readme import ROOT

    return (ROOT / "docs/guides/django.md").read_text("utf-8").splitlines()
