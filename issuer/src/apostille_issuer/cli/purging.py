"""``apostille-issuer purge``."""

from __future__ import annotations

import argparse

from apostille_issuer.cli.options import add_data_option, run_with_issuer, settings_for
from apostille_issuer.issuer import Issuer

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Purge, and say how many of what those were. A process that serves does so by itself."""

    async def purge(issuer: Issuer) -> dict[str, int]:
        return await issuer.purge.purge_due()

    purged = run_with_issuer(settings_for(arguments), purge)
    print("purged", ", ".join(f"{count} {name}" for name, count in purged.items()))
    return 0
