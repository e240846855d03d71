"""``apostille-issuer migrate``."""

from __future__ import annotations

import argparse

from apostille_issuer.cli.options import add_data_option, settings_for
from apostille_issuer.db.schema import migrate
from apostille_issuer.storage import database_url, prepare_data_folder

__all__ = ["configure", "run"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    add_data_option(parser)


def run(arguments: argparse.Namespace) -> int:
    """Migrate and say from where to where."""
    settings = settings_for(arguments)
    prepare_data_folder(settings)
    done = migrate(database_url(settings))
    if done.before == done.after:
        print(f"the database is at revision {done.after} already")
    else:
        print(f"the database went from {done.before or 'empty'} to revision {done.after}")
    return 0
