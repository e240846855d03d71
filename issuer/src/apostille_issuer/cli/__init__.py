"""The command line ``apostille-issuer``.

Each command is a module with ``configure(parser)`` and ``run(arguments)``;
only the one that is called is imported.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from apostille_issuer.problems import IssuerProblem, SettingsError, StartupError
from apostille_issuer.version import version

__all__ = ["main"]

COMMANDS = {
    "serve": ("serving", "run the issuer"),
    "migrate": ("migrating", "bring the database to this release's schema"),
    "create-superuser": ("superusers", "create a user who may do everything"),
    "keys": ("keyring", "list, rotate and withdraw signing keys"),
    "import-rbac": ("importing_rbac", "make roles and permissions of Django's groups"),
    "manifest": ("manifests", "register a service by its permissions.toml"),
    "revoke": ("revoking", "end sessions, and their access tokens, everywhere"),
    "tenants": ("tenants", "purge deleted tenants"),
    "purge": ("purging", "delete what ended long ago: sessions, invitations, status lists"),
    "explain": ("explaining", "say whether somebody may do something, and why"),
    "tour": ("touring", "walk the whole path on a throw-away issuer and three services"),
}
"""Command to module and description."""


class _Command(Protocol):
    def configure(self, parser: argparse.ArgumentParser) -> None: ...

    def run(self, arguments: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status.

    0 for done; 1 for what could not be done; 2 for wrong arguments or
    settings. What went wrong is one line on standard error.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(prog="apostille-issuer")
    parser.add_argument("--version", action="version", version=version())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen: _Command | None = None
    for name, (module, description) in COMMANDS.items():
        subparser = commands.add_parser(name, help=description, description=description)
        if arguments[:1] == [name]:
            chosen = cast("_Command", import_module(f"{__name__}.{module}"))
            chosen.configure(subparser)
    parsed = parser.parse_args(arguments)
    assert chosen is not None  # noqa: S101 - argparse has refused everything else
    return _run(chosen, parsed)


def _run(command: _Command, arguments: argparse.Namespace) -> int:
    try:
        return command.run(arguments)
    except SettingsError as error:
        return _complain(error, 2)
    except (StartupError, IssuerProblem) as error:
        return _complain(error, 1)
    except KeyboardInterrupt:
        return 130  # as a shell reports it


def _complain(error: Exception, status: int) -> int:
    sys.stderr.write(f"apostille-issuer: {error}\n")
    return status
