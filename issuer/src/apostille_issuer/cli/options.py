"""What several commands share: the data folder, and running acts of services."""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from msgspec.structs import replace

from apostille_issuer.issuer import Issuer
from apostille_issuer.settings import Settings

T = TypeVar("T")

__all__ = ["add_data_option", "run_with_issuer", "settings_for"]


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--data DIR`` to a command."""
    parser.add_argument(
        "--data",
        type=Path,
        metavar="DIR",
        help="data folder (default: APOSTILLE_DATA, or ./data)",
    )


def settings_for(arguments: argparse.Namespace) -> Settings:
    """Return the settings of the environment, with the command's data folder.

    Raises:
        SettingsError: One is unknown or wrong.
    """
    settings = Settings.from_environment(os.environ)
    return replace(settings, data=arguments.data) if arguments.data else settings


def run_with_issuer(settings: Settings, act: Callable[[Issuer], Awaitable[T]]) -> T:
    """Start the services without HTTP, let *act* use them, close them.

    Raises:
        StartupError: They cannot start.
        IssuerProblem: What the act raises.
    """

    async def run() -> T:
        async with Issuer(settings).running() as issuer:
            return await act(issuer)

    return asyncio.run(run())
