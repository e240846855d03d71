"""The guide on revocation: its snippets run, its commands and numbers are ours."""

from __future__ import annotations

import argparse
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from apostille import Verifier
from apostille_issuer.cli import revoking
from apostille_issuer.settings import Settings
from apostille_issuer.status.allocation import BLOCK
from apostille_issuer.status.marking import TOKENS_DIE_WITHIN
from apostille_issuer.status.schemas import LIST_SIZE
from support.readme import ROOT, blocks

GUIDE = "docs/guides/revocation.md"


def test_its_snippets_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("jwks.json").write_text(json.dumps({"keys": []}))
    snippets = [block.text for block in blocks(GUIDE) if block.language == "python"]
    assert len(snippets) == 2
    names: dict[str, Any] = {}  # one goes on where the other ended
    for snippet in snippets:
        exec(compile(snippet, GUIDE, "exec"), names)
        verifier: Verifier = names["iam"]
        verifier.close()


def test_its_commands_are_understood() -> None:
    parser = argparse.ArgumentParser()
    revoking.configure(parser)
    (commands,) = [block.text for block in blocks(GUIDE) if block.language == "text"]
    for line in commands.splitlines():
        program, command, *arguments = shlex.split(line)
        assert (program, command) == ("apostille-issuer", "revoke")
        parser.parse_args(arguments)


def test_its_numbers_are_ours() -> None:
    text = " ".join((ROOT / GUIDE).read_text().split())
    assert Settings().status_ttl.total_seconds() == 10
    assert "default `10s`, 1 to 300 s" in text
    assert f"{LIST_SIZE:,} places" in text
    assert f"after {TOKENS_DIE_WITHIN.total_seconds() / 60:g} minutes" in text
    assert f"places by the {BLOCK}" in text
