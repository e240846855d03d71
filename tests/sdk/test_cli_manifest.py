"""``apostille manifest check`` and ``codegen`` over services as people write them."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from apostille.cli import main

MANIFEST = """
service = "inventory"
version = "1.4.0"

[permissions]
"inventory.read" = "See stock levels"
"inventory.write" = "Change stock levels"
"""

Check = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A service's repository, and the present directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "permissions.toml").write_text(MANIFEST)
    return tmp_path


@pytest.fixture
def write(folder: Path) -> Callable[[str, str], None]:
    def write(name: str, source: str) -> None:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))

    return write


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Run ``manifest check --json``; return exit status and document."""

    def check(*arguments: str) -> tuple[int, dict[str, Any]]:
        status = main(["manifest", "check", "--json", *arguments])
        document = json.loads(capsys.readouterr().out)
        return status, document

    return check


def used(document: dict[str, Any]) -> set[str]:
    """Return the permissions that a check found in use, from what it says of them."""
    return set(document["undeclared"]) | (
        {"inventory.read", "inventory.write"} - set(document["unused"])
    )


# What counts as asking for a permission


@pytest.mark.parametrize(
    "source",
    [
        'HasPermission("inventory.read", "inventory.write")',
        'HasAnyPermission("inventory.read", "inventory.write")',
        'policy.HasPermission("inventory.read") & ~policy.HasPermission("inventory.write")',
        'dependencies=[Depends(HasPermission("inventory.read", "inventory.write"))]',
        '@has_permission("inventory.read")\n@has_any_permission("inventory.write")\ndef f(): ...',
        '@apostille.has_permission("inventory.read", "inventory.write")\ndef f(): ...',
        'principal.require("inventory.read", "inventory.write")',
        'if principal.has("inventory.read") or principal.has_any("inventory.write"): ...',
        'user.has_perm("inventory.read"); user.has_perms(["inventory.write"])',
        '@permission_required(("inventory.read", "inventory.write"))\ndef f(): ...',
        'class V:\n  permission_required = ["inventory.read", "inventory.write"]',
        'class V:\n  permission_required: str = "inventory.read"\nx.has("inventory.write")',
        'HasPermission(*("inventory.read", "inventory.write"))',
        'HasPermission("inventory.read", organization="org"); x.has("inventory.write")',
        'async def f():\n  await g(lambda: p.has("inventory.read", "inventory.write"))',
        'READ = "inventory.read"\nWRITE: Final = "inventory.write"\nHasPermission(READ, WRITE)',
        'class P:\n  R = "inventory.read"\n  W = "inventory.write"\nHasPermission(P.R, P.W.value)',
        'x.has(names.READ, names.WRITE)\nREAD = "inventory.read"\nWRITE = "inventory.write"',
    ],
)
def test_these_ask_for_permissions(write: Any, check: Check, source: str) -> None:
    write("service.py", source)
    status, document = check()
    assert (status, used(document)) == (0, {"inventory.read", "inventory.write"})
    assert document["unclear"] == []


@pytest.mark.parametrize(
    "source",
    [
        '"inventory.read"',
        'token(permissions=["inventory.read", "inventory.write"])',
        'shelf.has("inventory"); parser.require("a word"); cache.has(7); x.has(f"{a}.b")',
        "permission.has_permission(request, view)",
        "super().has_permission(request, self)",
        "class V:\n  permission_required = None\n  permission_required: str",
        'f()("inventory.read")',
        "def f(x: int): x: int\n(a, b) = 1, 2",
    ],
)
def test_these_do_not(write: Any, check: Check, source: str) -> None:
    write("service.py", source)
    status, document = check()
    assert (status, used(document), document["unclear"]) == (0, set(), [])
    assert document["malformed"] == {}


def test_what_is_used_but_not_declared_is_an_error_with_its_places(
    write: Any, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.py", 'HasPermission("inventory.wriet")\n\nx.has("inventory.wriet")')
    write("inner/b.py", 'HasPermission("inventory.read", "inventory.write", "billing.read")')
    status, document = check()
    assert status == 1
    assert document["undeclared"] == {
        "billing.read": ["inner/b.py:1"],
        "inventory.wriet": ["a.py:1", "a.py:3"],
    }
    assert main(["manifest", "check"]) == 1
    said = capsys.readouterr().out
    assert "Used but not declared, and so in no token for this service:" in said
    assert "inventory.wriet (did you mean inventory.write?)  a.py:1, a.py:3" in said
    assert "billing.read  " in said


def test_what_is_no_permission_is_an_error(
    write: Any, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.py", 'HasPermission("inventory.*")\n@has_permission("Inventory")\ndef f(): ...')
    status, document = check()
    assert status == 1
    assert document["malformed"] == {"inventory.*": ["a.py:1"], "Inventory": ["a.py:2"]}
    main(["manifest", "check"])
    assert 'Used but no permission:\n  "inventory.*"  a.py:1' in capsys.readouterr().out


def test_what_is_declared_but_never_used_is_told_and_an_error_if_strict(
    write: Any, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.py", 'HasPermission("inventory.read")')
    status, document = check()
    assert (status, document["valid"], document["unused"]) == (0, True, ["inventory.write"])
    assert check("--strict")[0] == 1
    main(["manifest", "check"])
    assert "Declared but never used:\n  inventory.write\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    "argument",
    [
        *("name", "names.READ", "f()", "7", "f'{module}.read'", "*names", "P.MISSING"),
        *("f().READ", "f().READ.value", "names[0]", "AMBIGUOUS"),
    ],
)
def test_what_cannot_be_read_from_the_source_is_told(
    write: Any, check: Check, argument: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write("a.py", 'AMBIGUOUS = "inventory.read"')
    write("b.py", 'AMBIGUOUS = "inventory.write"')
    write("c.py", f"HasPermission({argument})")
    status, document = check()
    assert (status, document["unclear"]) == (0, [f"c.py:1: {argument.lstrip('*')}"])
    assert check("--strict")[0] == 1
    main(["manifest", "check"])
    assert "Not to be read from the source:\n  c.py:1: " in capsys.readouterr().out


def test_an_ambiguous_class_member_is_told_by_its_class(write: Any, check: Check) -> None:
    write(
        "a.py",
        """
        class Stock:
            READ = "inventory.read"

        class Bills:
            READ = "billing.read"

        HasPermission(Stock.READ)
        HasPermission(somewhere.READ)
        """,
    )
    _, document = check()
    assert used(document) == {"inventory.read"}
    assert document["unclear"] == ["a.py:9: somewhere.READ"]


def test_a_perfect_service_is_told_so(write: Any, capsys: pytest.CaptureFixture[str]) -> None:
    write("a.py", 'HasPermission("inventory.read", "inventory.write")')
    assert main(["manifest", "check", "--strict"]) == 0
    assert capsys.readouterr().out == (
        "permissions.toml: inventory 1.4.0, 2 permissions\n"
        "Everything used is declared, and everything declared is used.\n"
    )


# Where it looks


def test_environments_and_hidden_folders_are_left_out(write: Any, check: Check) -> None:
    for name in (".venv/lib", "venv", "node_modules/x", "src/__pycache__", "a/site-packages/b"):
        write(f"{name}/module.py", 'HasPermission("billing.read")')
    write("src/a.py", 'HasPermission("inventory.read")')
    assert used(check()[1]) == {"inventory.read"}


def test_folders_and_files_can_be_named(write: Any, check: Check) -> None:
    write("src/a.py", 'HasPermission("inventory.read")')
    write("tools/b.py", 'HasPermission("inventory.write")')
    write("other/c.py", 'HasPermission("billing.read")')
    status, document = check("--source", "src", "--source", "tools/b.py")
    assert (status, used(document)) == (0, {"inventory.read", "inventory.write"})


def test_a_manifest_elsewhere_is_compared_with_its_own_folder(write: Any, check: Check) -> None:
    write("service/permissions.toml", MANIFEST)
    write("service/a.py", 'HasPermission("inventory.read")')
    write("other.py", 'HasPermission("billing.read")')
    status, document = check("service/permissions.toml")
    assert (status, used(document)) == (0, {"inventory.read"})


def test_files_that_are_no_python_are_told(folder: Path, write: Any, check: Check) -> None:
    write("broken.py", "def f(:")
    (folder / "binary.py").write_bytes(b"\0\xff")
    (folder / "folder.py").mkdir()
    write("deep.py", "(" * 5000)
    write("latin.py", "x = '\\d'  # a warning of the compiler")
    _, document = check()
    places = [text.split(":")[0] for text in document["unclear"]]
    assert places == ["binary.py", "broken.py", "deep.py", "folder.py"]


# The application itself


SERVICE = """
from apostille import HasAnyPermission, HasPermission

rule = HasPermission("inventory.read")
names = ["inventory.write", "billing.read"]

class App:
    def __init__(self):
        self.routes = [HasAnyPermission(*names) & rule]

def create_app():
    return App()

app = App()
nested = type("Nested", (), {"app": app})
"""


@pytest.mark.parametrize(
    "target", ["svc", "svc:app", "svc:nested.app", "svc:create_app()", "svc:app()"]
)
def test_a_services_requirements_are_asked_wherever_they_are(
    write: Any, check: Check, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"service_{abs(hash(target))}"
    write(f"{name}.py", SERVICE)
    target = target.replace("svc", name)
    status, document = check("--app", target)
    monkeypatch.delitem(sys.modules, name)
    assert (status, used(document)) == (1, {"inventory.read", "inventory.write", "billing.read"})
    assert document["undeclared"] == {
        "billing.read": [target] * len(document["undeclared"]["billing.read"])
    }


def test_application_and_source_add_up(
    write: Any, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        "adding_service.py",
        'from apostille import HasPermission\nr = HasPermission("inventory.read")',
    )
    write("adding_tools.py", 'principal.require("inventory.write")')
    status, document = check("--app", "adding_service", "--source", ".", "--strict")
    monkeypatch.delitem(sys.modules, "adding_service")
    assert (status, document["unused"]) == (0, [])


@pytest.mark.parametrize(
    ("source", "target"),
    [
        (None, "no_such_service"),
        (None, "json:no_such_attribute"),
        (None, "json:dumps()"),
        ("raise RuntimeError('at import')", "failing_service"),
        ("import sys; sys.exit('configure me')", "exiting_service"),
    ],
)
def test_a_service_that_cannot_be_imported_is_one_line(
    write: Any,
    source: str | None,
    target: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if source is not None:
        write(f"{target}.py", source)
    before = list(sys.path)
    assert main(["manifest", "check", "--app", target]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"apostille: {target} cannot be imported: ")
    assert len(said.splitlines()) == 1
    assert sys.path == before


# Manifests that are none


@pytest.mark.parametrize("content", [b"service = ", b"\xff", b'service = "inventory"'])
def test_a_manifest_that_is_none_is_a_no(
    folder: Path, check: Check, content: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "permissions.toml").write_bytes(content)
    status, document = check()
    assert (status, document["valid"]) == (1, False)
    assert main(["manifest", "check"]) == 1
    assert capsys.readouterr().out.startswith("permissions.toml is no manifest: ")
    assert main(["manifest", "codegen"]) == 2


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    "arguments",
    [["check", "missing.toml"], ["codegen", "missing.toml"], ["check", "--source", "missing"]],
)
def test_what_is_not_there_is_named(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["manifest", *arguments]) == 2
    said = capsys.readouterr().err
    assert "missing" in said
    assert len(said.splitlines()) == 1


# Constants


def generated(folder: Path) -> dict[str, Any]:
    """Run the generated module."""
    namespace: dict[str, Any] = {}
    exec(compile((folder / "names.py").read_text("utf-8"), "names.py", "exec"), namespace)
    return namespace


def test_constants_are_made_of_the_manifest(folder: Path) -> None:
    assert main(["manifest", "codegen", "--output", "names.py"]) == 0
    names = generated(folder)
    assert names["INVENTORY_READ"] == "inventory.read"
    assert names["PERMISSIONS"] == ("inventory.read", "inventory.write")
    assert names["Permission"].__args__ == ("inventory.read", "inventory.write")
    assert "inventory" in names["__doc__"]


def test_constants_obey_the_type_checker(folder: Path, write: Any) -> None:
    pytest.importorskip("mypy", reason="mypy is not installed")
    main(["manifest", "codegen", "--output", "names.py"])
    write(
        "use.py",
        """
        import names

        def ask(name: names.Permission) -> None: ...

        ask(names.INVENTORY_READ)
        ask("inventory.write")
        ask("inventory.wriet")  # type: ignore[arg-type]
        """,
    )
    run = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", "cache", "use.py"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert run.returncode == 0, run.stdout


def test_a_check_understands_the_constants_it_generated(
    write: Any, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["manifest", "codegen", "--output", "names.py"])
    capsys.readouterr()
    write("a.py", "import names\nHasPermission(names.INVENTORY_READ)")
    write("b.py", "from names import INVENTORY_WRITE\nprincipal.require(INVENTORY_WRITE)")
    status, document = check("--strict")
    assert (status, document["unclear"]) == (0, [])


def test_no_text_of_a_manifest_becomes_code(folder: Path) -> None:
    nasty = 'a "quoted" \\ """ \\n \\u0000 ü'
    document = {"inventory.read": nasty, "inventory.write": ""}
    lines = [f"{json.dumps(name)} = {json.dumps(text)}" for name, text in document.items()]
    (folder / "permissions.toml").write_text(
        'service = "inventory"\nversion = "1\\"\\"\\"\\\\"\n[permissions]\n' + "\n".join(lines),
        encoding="utf-8",
    )
    assert main(["manifest", "codegen", "--output", "names.py"]) == 0
    assert generated(folder)["PERMISSIONS"] == tuple(document)


@pytest.mark.usefixtures("folder")
def test_constants_go_to_standard_output_by_default(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "codegen"]) == 0
    code = capsys.readouterr().out
    assert 'INVENTORY_READ: Final = "inventory.read"\n"See stock levels"\n' in code
    assert main(["manifest", "codegen", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"code": code}


def test_a_generated_file_can_be_checked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["manifest", "codegen", "--output", "names.py"]
    assert main([*command, "--check"]) == 1
    assert not (folder / "names.py").exists()
    assert main(command) == 0
    assert main([*command, "--check"]) == 0
    (folder / "names.py").write_text("altered")
    assert main([*command, "--check"]) == 1
    capsys.readouterr()
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"path": "names.py", "current": True}
    assert main([*command, "--check"]) == 0


def test_two_permissions_of_one_constant_are_refused(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "permissions.toml").write_text(
        'service = "s"\nversion = "1"\n[permissions]\n"a.b-c" = ""\n"a.b.c" = ""\n'
    )
    assert main(["manifest", "codegen"]) == 2
    assert capsys.readouterr().err == "apostille: a.b-c and a.b.c would both be called A_B_C\n"


@pytest.mark.usefixtures("folder")
def test_a_file_that_cannot_be_written_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["manifest", "codegen", "--output", "no/such/folder/names.py"]) == 2
    assert capsys.readouterr().err.startswith("apostille: no/such/folder/names.py: ")
