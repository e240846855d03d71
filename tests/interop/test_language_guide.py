"""The snippets of the guide run, in their own language."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from apostille.testing import LocalIssuer
from interop.languages import CACHE, Language, Programs, run, run_go
from support.readme import blocks

GUIDE = "docs/guides/other-languages.md"


@pytest.fixture
def local() -> Iterator[LocalIssuer]:
    issuer = LocalIssuer(audience="inventory")
    with issuer.serve():
        yield issuer


def _snippet(language: str, issuer: LocalIssuer) -> str:
    found = [block.text for block in blocks(GUIDE) if block.language == language]
    assert len(found) == 1
    return found[0].replace("https://iam.example.com", issuer.issuer)


def test_the_snippet_for_node(local: LocalIssuer, programs: Callable[[Language], Programs]) -> None:
    node, conformance = programs("node").conformance
    home = Path(conformance).parent
    asking = "\nconsole.log(await stock(process.argv[2]).catch(({ code }) => code));\n"
    program = home / "guide.mjs"
    program.write_text(_snippet("js", local) + asking)
    answers = [run(node, str(program), token).strip() for token in _tokens(local)]
    assert answers == ["200", "403", "expired_token"]


def test_the_snippet_for_go(local: LocalIssuer, programs: Callable[[Language], Programs]) -> None:
    programs("go")
    program = CACHE / "interop" / "go" / "src" / "apostille.example" / "guide"
    program.mkdir(exist_ok=True)
    (program / "main.go").write_text(_snippet("go", local))
    (program / "go.mod").write_text("module apostille.example/guide\n")
    binary = program / "guide"
    run_go("build", "-o", str(binary), "apostille.example/guide")
    answers = [run(str(binary), token).strip() for token in _tokens(local)]
    assert answers == ["200", "403", "401 expired_token"]


def _tokens(issuer: LocalIssuer) -> tuple[str, str, str]:
    return (
        issuer.token(permissions=["inventory.*"]),
        issuer.token(permissions=["billing.*"]),
        issuer.token(permissions=["inventory.*"], expires_in=timedelta(hours=-1)),
    )
