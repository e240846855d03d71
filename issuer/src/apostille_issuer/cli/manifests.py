"""``apostille-issuer manifest push FILE``."""

from __future__ import annotations

import argparse
import re
import sys
import tomllib
from pathlib import Path
from urllib.parse import quote

import httpx
import msgspec

from apostille_contracts.manifest import InvalidManifest, Manifest, parse_manifest
from apostille_contracts.problems import Problem
from apostille_issuer.access.schemas import ServiceOutcome
from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import IssuerProblem, SettingsError, StartupError

__all__ = ["configure", "run"]

TIMEOUT_SECONDS = 10

_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*", re.ASCII)
"""What may stand after ``Bearer`` (RFC 6750 section 2.1)."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    # No abbreviations: the token itself as argument would be one for its file.
    push = acts.add_parser(
        "push", help="register a service, or bring it up to its manifest", allow_abbrev=False
    )
    push.add_argument("file", type=Path, metavar="FILE", help="permissions.toml of the service")
    push.add_argument("--dry-run", action="store_true", help="only say what would change")
    push.add_argument(
        "--issuer", metavar="URL", help="push over HTTP to this issuer, not into the database"
    )
    push.add_argument(
        "--token-file",
        metavar="FILE",
        help="holds an access token for --issuer, with iam.services.write; - is standard input",
    )
    add_data_option(push)


def run(arguments: argparse.Namespace) -> int:
    """Push the manifest and say what it changed."""
    if bool(arguments.issuer) != bool(arguments.token_file):
        raise SettingsError("--issuer and --token-file go together")
    manifest = _read(arguments.file)
    if arguments.issuer:
        outcome = _push_over_http(manifest, arguments)
    else:
        outcome = _push_directly(manifest, arguments)
    for line in _described(outcome):
        print(line)
    return 0


def _read(path: Path) -> Manifest:
    try:
        with path.open("rb") as file:
            return parse_manifest(tomllib.load(file))
    except OSError as error:
        raise StartupError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, InvalidManifest) as error:
        raise StartupError(f"{path}: {error}") from error


def _token_from(file: str) -> str:
    """Return the access token in *file*.

    Not from an argument: those of a process are there for all users to see.
    """
    try:
        text = sys.stdin.readline() if file == "-" else Path(file).read_text(encoding="ascii")
    except OSError as error:
        raise StartupError(f"cannot read {file}: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if _TOKEN.fullmatch(token := text.strip()) is None:
        place = "standard input" if file == "-" else file
        raise StartupError(f"{place} holds no access token")
    return token


def _push_directly(manifest: Manifest, arguments: argparse.Namespace) -> ServiceOutcome:
    async def push(issuer: Issuer) -> ServiceOutcome:
        return await issuer.access.push_manifest(manifest, COMMAND_LINE, dry_run=arguments.dry_run)

    return run_with_issuer(settings_for(arguments), push)


def _push_over_http(manifest: Manifest, arguments: argparse.Namespace) -> ServiceOutcome:
    token = _token_from(arguments.token_file)
    try:
        response = httpx.put(
            f"{arguments.issuer.rstrip('/')}/v1/services/{quote(manifest.service, safe='')}",
            params={"dry_run": "true" if arguments.dry_run else "false"},
            content=msgspec.json.encode(manifest),
            headers={
                "Authorization": f"Bearer {token}",
                "Content-Type": "application/json",
            },
            timeout=TIMEOUT_SECONDS,
        )
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartupError(f"cannot reach {arguments.issuer}: {error}") from error
    try:
        if response.is_success:
            return msgspec.json.decode(response.content, type=ServiceOutcome)
        refusal = msgspec.json.decode(response.content, type=Problem)
    except msgspec.DecodeError as error:
        raise StartupError(f"{arguments.issuer} does not answer like an issuer") from error
    raise IssuerProblem(refusal.code, errors=refusal.errors, missing=refusal.missing)


def _described(outcome: ServiceOutcome) -> list[str]:
    changes = outcome.changes
    done = "is at" if outcome.applied else "would be at"
    lines = [f"service {outcome.service} {done} version {outcome.version}"]
    if not changes.any():
        return [*lines, "nothing changed" if outcome.applied else "nothing would change"]
    lines += [f"  + {name}" for name in changes.added]
    lines += [f"  ~ {name}" for name in changes.changed]
    lines += [f"  - {name}" for name in changes.removed]
    lines += [
        f"  ! {name} is deprecated: still granted by {', '.join(roles)}"
        for name, roles in changes.deprecated.items()
    ]
    return lines
