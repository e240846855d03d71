"""``apostille-issuer keys list | rotate | withdraw | rewrap``."""

from __future__ import annotations

import argparse
from collections.abc import Awaitable, Callable
from datetime import datetime

import msgspec

from apostille_contracts.claims import ALGORITHMS
from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.http.paging import MAX_LIMIT
from apostille_issuer.issuer import Issuer
from apostille_issuer.keys.schedule import KeyState
from apostille_issuer.keys.schemas import KeyView
from apostille_issuer.problems import SettingsError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)

    listing = acts.add_parser("list", help="show the keys and their states")
    listing.add_argument("--json", action="store_true", help="one JSON object a line")
    listing.add_argument("--retired", action="store_true", help="retired keys too")

    rotate = acts.add_parser("rotate", help="let the next key sign, as soon as services know it")
    rotate.add_argument("--algorithm", choices=ALGORITHMS, help="default: the one that signs")
    rotate.add_argument(
        "--refresh-secret",
        action="store_true",
        help="the secret of refresh tokens instead; no session ends",
    )

    withdraw = acts.add_parser("withdraw", help="take a compromised key out of use at once")
    withdraw.add_argument(
        "kid", metavar="KID", nargs="?", help="of the key; after -- if it begins with a dash"
    )
    withdraw.add_argument(
        "--refresh-secret",
        type=int,
        metavar="VERSION",
        help="a version of the secret of refresh tokens; its users log in again",
    )

    acts.add_parser("rewrap", help="encrypt all keys with the current key-encryption key")
    for act in acts.choices.values():
        add_data_option(act)


def run(arguments: argparse.Namespace) -> int:
    """Do what is asked, and print what came of it."""
    act = _ACTS[arguments.act]
    if arguments.act == "withdraw" and (arguments.kid is None) == (
        arguments.refresh_secret is None
    ):
        raise SettingsError("name either a KID or --refresh-secret VERSION")

    async def print_outcome(issuer: Issuer) -> None:
        for line in await act(issuer, arguments):
            print(line)

    run_with_issuer(settings_for(arguments), print_outcome)
    return 0


async def _list(issuer: Issuer, arguments: argparse.Namespace) -> list[str]:
    keys: list[KeyView] = []
    cursor = None
    while True:
        page = await issuer.key_administration.page(cursor=cursor, limit=MAX_LIMIT)
        keys += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    shown = [key for key in keys if arguments.retired or key.state is not KeyState.RETIRED]
    if arguments.json:
        return [msgspec.json.encode(key).decode() for key in shown]
    lines = [f"{key.kid}  {key.algorithm:<7}  {key.state:<8}  {_fate(key)}" for key in shown]
    return lines + [
        f"refresh secret {secret.version}: "
        + ("makes tokens" if secret.makes_tokens else "accepted")
        + f", made {_time(secret.created_at)}"
        for secret in issuer.key_administration.secrets()
    ]


async def _rotate(issuer: Issuer, arguments: argparse.Namespace) -> list[str]:
    keys = issuer.key_administration
    if arguments.refresh_secret:
        version = await keys.rotate_secret(COMMAND_LINE)
        return [f"refresh secret {version} makes tokens within seconds"]
    successor = await keys.rotate(COMMAND_LINE, arguments.algorithm)
    return [f"{successor.kid} {_fate(successor)}"]


async def _withdraw(issuer: Issuer, arguments: argparse.Namespace) -> list[str]:
    keys = issuer.key_administration
    if arguments.refresh_secret is not None:
        await keys.withdraw_secret(arguments.refresh_secret, COMMAND_LINE)
        return [f"refresh secret {arguments.refresh_secret} is withdrawn"]
    done = await keys.withdraw(arguments.kid, COMMAND_LINE)
    ttl = f"{issuer.settings.status_ttl.total_seconds():g} s"
    tokens = f"the access tokens of {done.voided} session{'' if done.voided == 1 else 's'} are void"
    return [
        f"{arguments.kid} is withdrawn",
        f"{issuer.keys.signing_kid} signs",
        f"{tokens}; services know within {ttl} and a second",
    ]


async def _rewrap(issuer: Issuer, _: argparse.Namespace) -> list[str]:
    done = await issuer.key_administration.rewrap(COMMAND_LINE)
    return [f"encrypted anew: {done.keys} keys, {done.secrets} secrets"]


_ACTS: dict[str, Callable[[Issuer, argparse.Namespace], Awaitable[list[str]]]] = {
    "list": _list,
    "rotate": _rotate,
    "withdraw": _withdraw,
    "rewrap": _rewrap,
}


def _fate(key: KeyView) -> str:
    """Return what comes next for *key*, or came."""
    match key.state:
        case KeyState.NEXT:
            return f"signs from {_time(key.activates_at)}"
        case KeyState.ACTIVE:
            return f"signs since {_time(key.activates_at)}"
        case _:
            return f"published until {_time(key.expires_at)}"


def _time(moment: datetime | None) -> str:
    return "?" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S}Z"
