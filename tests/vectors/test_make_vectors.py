"""The golden vectors are what their generator makes, to the byte."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

VECTORS = Path(__file__).parents[2] / "contracts" / "vectors"


@pytest.fixture
def make_vectors(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The generator, imported as the script it is."""
    monkeypatch.syspath_prepend(VECTORS)
    specification = importlib.util.spec_from_file_location(
        "make_vectors", VECTORS / "make_vectors.py"
    )
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _forget_the_generator() -> object:
    yield
    for name in [name for name in sys.modules if name.split(".")[0] == "vector_cases"]:
        del sys.modules[name]


def test_the_published_vectors_are_up_to_date(make_vectors: ModuleType) -> None:
    assert make_vectors.main(["--check"]) == 0, "run nox -s schemas"


def test_a_check_names_what_is_missing_altered_or_left_over(
    make_vectors: ModuleType, tmp_path: Path
) -> None:
    files = {"a.json": "1", "b.json": "2"}
    assert make_vectors.synchronize(tmp_path / "new", files, check=False) == ["a.json", "b.json"]
    folder = tmp_path / "new"
    assert make_vectors.synchronize(folder, files, check=True) == []
    (folder / "a.json").unlink()
    (folder / "b.json").write_text("altered")
    (folder / "c.json").write_text("left over")
    differences = ["a.json", "b.json", "c.json"]
    assert make_vectors.synchronize(folder, files, check=True) == differences
    assert make_vectors.synchronize(folder, files, check=False) == differences
    assert {path.name: path.read_text() for path in folder.iterdir()} == files


def test_every_key_is_marked_as_a_test_key() -> None:
    keys = list((VECTORS / "keys").iterdir())
    assert keys
    for path in keys:
        assert path.name.startswith("test-")
        assert "TEST KEY" in path.read_text(encoding="utf-8")
