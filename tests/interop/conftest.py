"""Programs in other languages, made ready once per run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest

from interop.languages import Language, Programs, prepare
from interop.running_issuer import RunningIssuer, run_issuer

LIBRARIES: dict[str, Language] = {
    "jose": "node",
    "oauth4webapi": "node",
    "jwt": "go",
    "oidc": "go",
}
"""What the examples verify with, and in which language."""


@pytest.fixture(scope="session")
def programs() -> Callable[[Language], Programs]:
    return cache(prepare)


@pytest.fixture(params=["node", "go"])
def language(request: pytest.FixtureRequest) -> Language:
    name: Language = request.param
    return name


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def library_programs(library: str, programs: Callable[[Language], Programs]) -> Programs:
    return programs(LIBRARIES[library])


@pytest.fixture(scope="session")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningIssuer]:
    with run_issuer(tmp_path_factory.mktemp("issuer")) as running:
        yield running
