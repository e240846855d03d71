"""Arguments in, exit status out."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Never

from apostille.errors import ConfigurationError
from apostille_contracts.claims import ALGORITHMS

from . import _manifest, _tokens
from ._answer import Answer, Failure, Status

__all__ = ["main"]

_EPILOG = "exit status: 0 yes, 1 no, 2 used wrongly, 3 the issuer could not be asked"

_AddParser = Callable[..., argparse.ArgumentParser]

# The header's "{" and '{"' begin so in base64url.
_LIKE_A_TOKEN = re.compile(r"e[wy][\w=-]{8,}\.[\w=-]{8,}\.[\w=.-]*")


class _Parser(argparse.ArgumentParser):
    """Complains without repeating a token that stands in the wrong place."""

    def error(self, message: str) -> Never:
        super().error(_without_tokens(message))


def _without_tokens(message: str) -> str:
    return _LIKE_A_TOKEN.sub("(a token)", message)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command with *arguments*, ``sys.argv`` by default, and return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        answer: Answer = options.run(options)
        sys.stdout.write(answer.json() if options.json else answer.text())
        sys.stdout.flush()
    except (Failure, ConfigurationError) as error:
        sys.stderr.write(f"apostille: {_without_tokens(str(error))}\n")
        return Status.USAGE
    except BrokenPipeError:
        # Whoever read this has enough (head, less). Python would fail once
        # more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Status.YES
    except KeyboardInterrupt:
        return Status.INTERRUPTED
    return answer.status


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="apostille",
        description="Look into Apostille access tokens, and check a service's manifest.",
        epilog=_EPILOG,
    )
    parser.add_argument("--version", action="version", version=version("apostille"))
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_inspect(commands.add_parser)
    _add_verify(commands.add_parser)
    _add_explain(commands.add_parser)
    manifest = commands.add_parser(
        "manifest", help="check a service's permissions.toml, or make code of it", epilog=_EPILOG
    )
    verbs = manifest.add_subparsers(required=True, metavar="COMMAND")
    _add_check(verbs.add_parser)
    _add_codegen(verbs.add_parser)
    return parser


def _command(
    add_parser: _AddParser, name: str, run: Callable[[argparse.Namespace], Answer], about: str
) -> argparse.ArgumentParser:
    parser = add_parser(name, help=about, description=f"{about.capitalize()}.", epilog=_EPILOG)
    parser.add_argument("--json", action="store_true", help="answer in JSON, for programs")
    parser.set_defaults(run=run)
    return parser


def _add_inspect(add_parser: _AddParser) -> None:
    parser = _command(add_parser, "inspect", _tokens.inspect, "show what a token says, unverified")
    _add_token(parser)


def _add_verify(add_parser: _AddParser) -> None:
    parser = _command(add_parser, "verify", _tokens.verify, "say whether a token is good")
    _add_token(parser)
    _add_policy(parser, required=True)


def _add_explain(add_parser: _AddParser) -> None:
    about = "say why a token grants a permission, or why not"
    parser = _command(add_parser, "explain", _tokens.explain, about)
    _add_token(parser)
    parser.add_argument("permission", metavar="PERMISSION", help="such as inventory.read")
    _add_policy(parser, required=False)


def _add_token(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "token",
        metavar="TOKEN",
        help="the token, or - to read it from standard input, where no process list shows it",
    )


def _add_policy(parser: argparse.ArgumentParser, *, required: bool) -> None:
    group = parser.add_argument_group(
        "verification", None if required else "without --issuer the token is not verified"
    )
    group.add_argument("--issuer", required=required, metavar="URL", help="whose tokens are good")
    group.add_argument(
        "--audience",
        action="append",
        required=required,
        metavar="NAME",
        help="the service the token must be for; may be repeated",
    )
    group.add_argument(
        "--jwks",
        type=Path,
        metavar="FILE",
        help="the issuer's key set, instead of asking the issuer for it; "
        "nor is it asked then whether the session has ended",
    )
    group.add_argument(
        "--algorithm",
        action="append",
        choices=ALGORITHMS,
        help="accept this algorithm alone; may be repeated",
    )
    group.add_argument(
        "--leeway",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="how far clocks may differ (%(default)s)",
    )
    group.add_argument(
        "--allow-insecure-http",
        action="store_true",
        help="ask an issuer over http that is not this machine",
    )


def _add_check(add_parser: _AddParser) -> None:
    about = "find permissions that are used but not declared, or declared but never used"
    parser = _command(add_parser, "check", _manifest.check, about)
    _add_manifest(parser)
    parser.add_argument(
        "--source",
        action="append",
        type=Path,
        default=[],
        metavar="DIR",
        help="read the Python files in here; the manifest's folder by default; may be repeated",
    )
    parser.add_argument(
        "--app",
        action="append",
        default=[],
        metavar="MODULE[:ATTRIBUTE]",
        help="import the service and ask its routes; module:factory() is called; may be repeated",
    )
    parser.add_argument(
        "--strict",
        action="store_true",
        help="permissions that are never used, and uses that cannot be read, are errors",
    )


def _add_codegen(add_parser: _AddParser) -> None:
    about = "write the declared permissions as typed Python constants"
    parser = _command(add_parser, "codegen", _manifest.codegen, about)
    _add_manifest(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write there, not to standard output"
    )
    parser.add_argument(
        "--check", action="store_true", help="write nothing; say whether --output is up to date"
    )


def _add_manifest(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "manifest",
        nargs="?",
        type=Path,
        default=Path("permissions.toml"),
        metavar="FILE",
        help="the manifest (%(default)s)",
    )
