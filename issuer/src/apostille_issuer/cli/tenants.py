"""``apostille-issuer tenants purge``."""

from __future__ import annotations

import argparse
import uuid

from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.http.context import COMMAND_LINE
from apostille_issuer.issuer import Issuer

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    acts = parser.add_subparsers(dest="act", metavar="ACT", required=True)
    purge = acts.add_parser(
        "purge", help="remove deleted tenants for good, with all that is theirs"
    )
    purge.add_argument(
        "tenant",
        metavar="ID",
        nargs="?",
        type=uuid.UUID,
        help="this one, whatever is left of its grace; by default all whose grace is over",
    )
    add_data_option(purge)


def run(arguments: argparse.Namespace) -> int:
    """Purge, and say how many tenants those were. A process that serves does so by itself."""
    tenant_id: uuid.UUID | None = arguments.tenant

    async def purge(issuer: Issuer) -> int:
        if tenant_id is None:
            return await issuer.tenancy.purge.purge_due(COMMAND_LINE)
        await issuer.tenancy.purge.purge(tenant_id, COMMAND_LINE)
        return 1

    purged = run_with_issuer(settings_for(arguments), purge)
    print(f"purged {purged} tenant{'' if purged == 1 else 's'}")
    return 0
