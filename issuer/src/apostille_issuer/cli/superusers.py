"""``apostille-issuer create-superuser``."""

from __future__ import annotations

import argparse
import getpass
import sys

from apostille_issuer.accounts.schemas import UserDraft
from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import StartupError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.add_argument("login", metavar="LOGIN", help="login name of the new user")
    parser.add_argument(
        "--password-stdin",
        action="store_true",
        help="read the password from the first line of standard input; asked for otherwise",
    )
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Create the user and give him the role ``superuser``."""
    settings = settings_for(arguments)
    password = _from_stdin() if arguments.password_stdin else _asked()
    draft = UserDraft(login=arguments.login, password=password)

    async def create(issuer: Issuer) -> str:
        created = await issuer.accounts.create(draft, COMMAND_LINE, superuser=True)
        return created.login

    login = run_with_issuer(settings, create)
    print(f"created superuser {login}")
    return 0


def _from_stdin() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _asked() -> str:
    if not sys.stdin.isatty():
        raise StartupError("no terminal to ask for the password: use --password-stdin")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise StartupError("the two passwords differ")
    return password
