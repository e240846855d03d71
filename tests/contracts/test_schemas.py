"""The published JSON Schemas are those of the Structs."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest

from apostille_contracts.schemas import SCHEMAS, main, render

PUBLISHED = Path(__file__).parents[2] / "contracts" / "schemas"


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_published_schema_is_the_structs(name: str) -> None:
    text = (PUBLISHED / name).read_text(encoding="utf-8")
    assert text == render(SCHEMAS[name]), "run nox -s schemas"
    assert json.loads(text)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_no_schema_is_left_over() -> None:
    assert {path.name for path in PUBLISHED.iterdir()} == set(SCHEMAS)


def test_writing_then_checking_finds_no_difference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "schemas"
    assert main([str(folder)]) == 0
    assert "written" in capsys.readouterr().err
    assert main([str(folder), "--check"]) == 0
    assert capsys.readouterr().err == ""


def test_a_check_names_what_differs_and_changes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([str(tmp_path)])
    altered = tmp_path / "problem.v1.json"
    altered.write_text("{}")
    (tmp_path / "manifest.v1.json").unlink()
    capsys.readouterr()
    assert main([str(tmp_path), "--check"]) == 1
    assert set(capsys.readouterr().err.splitlines()) == {
        "problem.v1.json: differs",
        "manifest.v1.json: differs",
    }
    assert altered.read_text() == "{}"


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
def test_it_runs_as_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["schemas", str(PUBLISHED), "--check"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("apostille_contracts.schemas", run_name="__main__")
    assert caught.value.code == 0
