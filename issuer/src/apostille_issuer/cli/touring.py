"""``apostille-issuer tour``."""

from __future__ import annotations

import argparse

from apostille_issuer.cli.options import add_data_option
from apostille_issuer.tour.run import run as walk

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Walk the tour; 0 only if every step went as said."""
    return walk(arguments.data)
