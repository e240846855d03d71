"""``python -m bench``: what it takes, and what it does without measuring."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import __main__ as program
from bench import machine
from bench.report import Section, Table
from bench.series import Budget, Series


@pytest.fixture
def document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where it writes, with sections that measure nothing."""
    path = tmp_path / "performance.md"
    monkeypatch.setattr(program, "DOCUMENT", path)
    monkeypatch.setattr(program, "_measure", _measured)
    return path


def _measured(name: str) -> Section:
    figure = Series.of([3.0])
    section = Section(name, f"About {name}")
    section.notes.append(f"How {name} is measured.")
    section.tables.append(Table("Title", "µs", {"ours": figure}))
    section.budgets.append(Budget(f"work of {name}", 2.0, figure, unit="µs"))
    return section


@pytest.mark.parametrize("name", program.SECTIONS)
def test_every_section_has_its_module(name: str) -> None:
    # Not imported: what some of them measure is installed for the bench alone.
    found = find_spec(f"bench.{name}")
    assert found is not None
    assert found.origin is not None
    assert f"\ndef measure_{name}(" in Path(found.origin).read_text()


def test_the_program_names_its_sections(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["--help"])
    assert ended.value.code == 0
    assert " ".join(program.SECTIONS) in " ".join(capsys.readouterr().out.split())


def test_an_unknown_section_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(["verify", "everything"])
    assert ended.value.code == 2
    assert "'everything'" in capsys.readouterr().err


def test_the_document_is_what_is_printed(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["--write"]) == 0
    written = document.read_text()
    assert written.startswith("# Performance\n")
    for line in capsys.readouterr().out.splitlines():
        assert line in written
    for name in program.SECTIONS:
        assert f"\n## About {name}\n" in written
        assert f"| work of {name} | ≤ 2.00 µs | 3.00 µs | 3.00 to 3.00 | MISSED |" in written
    assert program.main(["--write"]) == 0
    assert document.read_text() == written


def test_a_section_that_is_written_leaves_the_others_as_they_were(
    document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program.main(["routes", "status", "--write"])
    before = document.read_text()
    assert "About verify" not in before

    def anew(name: str) -> Section:
        section = _measured(name)
        section.measured = "Measured anew."
        return section

    monkeypatch.setattr(program, "_measure", anew)
    program.main(["status", "verify", "--write"])
    after = document.read_text()
    assert after.index("About verify") < after.index("About routes") < after.index("About status")
    assert after.count("Measured anew.") == after.count("\n## ") - 1 == 2
    assert before[before.index("## About routes") : before.index("<!-- section status")] in after


def test_a_section_says_when_and_on_what_it_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = SimpleNamespace(measure_memory=lambda: _measured("memory"))
    monkeypatch.setattr("bench.__main__.importlib.import_module", lambda _: module)
    monkeypatch.setattr(machine, "load_average", lambda: 3.21)
    assert program.main(["memory"]) == 0
    shown = capsys.readouterr().out
    assert f" on {machine.describe()}. The machine was busy" in shown
    assert "(load average 3.2). Versions: apostille " in shown


def test_one_section_is_measured_and_shown_without_writing(
    document: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert program.main(["routes"]) == 0
    shown = capsys.readouterr().out
    assert "## About routes" in shown
    assert "About verify" not in shown
    assert not document.exists()


@pytest.mark.usefixtures("document")
def test_a_missed_budget_fails_a_strict_run_alone() -> None:
    assert program.main(["routes", "--strict"]) == 1
    assert program.main(["routes"]) == 0
