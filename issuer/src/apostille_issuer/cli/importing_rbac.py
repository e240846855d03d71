"""``apostille-issuer import-rbac DUMP --mapping FILE``."""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from apostille_issuer.access.django_dump import InvalidDump, parse_dump
from apostille_issuer.access.rbac_mapping import (
    InvalidMapping,
    RbacMapping,
    parse_mapping,
    plan_import,
)
from apostille_issuer.access.schemas import ImportPlan, ImportReport
from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import StartupError

__all__ = ["configure", "run"]

MAX_DUMP_BYTES: Final = 256 * 1_048_576
MAX_MAPPING_BYTES: Final = 1_048_576


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("dump", type=Path, metavar="DUMP", help="what Django's dumpdata wrote")
    parser.add_argument(
        "--mapping",
        type=Path,
        metavar="FILE",
        required=True,
        help="TOML: which permissions and groups become which permissions and roles",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would change")
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Import groups and permissions, and say what that changed and what has no counterpart."""
    plan = _planned(arguments.dump, arguments.mapping)

    async def act(issuer: Issuer) -> ImportReport:
        return await issuer.access.importing.run(
            plan,
            COMMAND_LINE,
            enrolment=issuer.tenancy.enrolment,
            dry_run=arguments.dry_run,
        )

    report = run_with_issuer(settings_for(arguments), act)
    for line in _described(report, dry_run=arguments.dry_run):
        print(_printable(line))
    return 0


def _planned(dump: Path, mapping: Path) -> ImportPlan:
    wanted = _mapping(mapping)
    try:
        found = parse_dump(
            _content(dump, MAX_DUMP_BYTES),
            user_model=wanted.users.model,
            login_field=wanted.users.login,
        )
    except InvalidDump as error:
        raise StartupError(_printable(f"{dump}: {error}")) from error
    return plan_import(found, wanted)


def _mapping(path: Path) -> RbacMapping:
    try:
        return parse_mapping(tomllib.loads(_content(path, MAX_MAPPING_BYTES).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidMapping) as error:
        raise StartupError(_printable(f"{path}: {error}")) from error


def _content(path: Path, most: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error
    if len(content) > most:
        raise StartupError(f"{path} is longer than {most:,} bytes")
    return content


def _described(report: ImportReport, *, dry_run: bool) -> Iterator[str]:
    if dry_run:
        yield "dry run: nothing is changed"
    if not report.changes():
        yield "nothing would change" if dry_run else "nothing changed"
    yield from (f"  + service {name}" for name in report.services)
    yield from (f"  + permission {name}, was {was}" for name, was in report.permissions.items())
    for name, allow in report.created.items():
        yield f"  + role {name}: {', '.join(allow) or 'allows nothing'}"
    for name, allow in report.extended.items():
        yield f"  ~ role {name}: {', '.join(allow)}"
    yield from (f"  + member {login}" for login in report.members)
    yield from (f"  + {login} is {role}" for login, role in report.assigned)
    if report.without:
        yield "without counterpart:"
    yield from (f"  ! {missed.what}: {missed.why}" for missed in report.without)


def _printable(line: str) -> str:
    """Return *line* without what a terminal would obey: names are whoever's wrote the dump."""
    return "".join(c if c.isprintable() else "?" for c in line)
