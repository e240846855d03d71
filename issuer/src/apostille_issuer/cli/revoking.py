"""``apostille-issuer revoke``."""

from __future__ import annotations

import argparse
import uuid

from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer
from apostille_issuer.problems import SettingsError

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--user", metavar="LOGIN", help="all sessions of this user")
    whose.add_argument("--session", metavar="ID", type=uuid.UUID, help="this session")
    whose.add_argument(
        "--organization",
        metavar="ID",
        type=uuid.UUID,
        help="all sessions that speak for this organization",
    )
    whose.add_argument("--all", action="store_true", help="all sessions of everybody")
    parser.add_argument(
        "--subtree", action="store_true", help="with --organization: or for one below it"
    )
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """End the sessions and say how many those were.

    The database is told, and every issuer on it looks there: none has to be
    running here, none has to be restarted.

    Raises:
        SettingsError: ``--subtree`` of nothing.
        IssuerProblem: ``not_found``: there is no such user, or organization.
    """
    if arguments.subtree and arguments.organization is None:
        raise SettingsError("--subtree goes with --organization")
    settings = settings_for(arguments)

    async def revoke(issuer: Issuer) -> int:
        if arguments.all:
            return await issuer.revoker.revoke_everybody(COMMAND_LINE)
        if arguments.session is not None:
            return await issuer.revoker.revoke(arguments.session, COMMAND_LINE)
        if arguments.organization is not None:
            return await issuer.revoker.revoke_organization(
                arguments.organization, COMMAND_LINE, subtree=arguments.subtree
            )
        user = await issuer.accounts.called(arguments.user)
        return await issuer.revoker.revoke_user(user.id, COMMAND_LINE)

    ended = run_with_issuer(settings, revoke)
    ttl = f"{settings.status_ttl.total_seconds():g} s"
    print(
        f"ended {ended} session{'' if ended == 1 else 's'}; services know within {ttl} and a second"
    )
    return 0
