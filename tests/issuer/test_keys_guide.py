"""The guide on keys names commands, settings and routes that are there."""

from __future__ import annotations

import argparse
import asyncio
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

from apostille_issuer.app import create_app
from apostille_issuer.cli import keyring
from apostille_issuer.environment import VARIABLES
from apostille_issuer.keys.pairs import KeyPair, KeySource
from apostille_issuer.keys.signers import Signer
from apostille_issuer.settings import Settings
from support.readme import blocks

GUIDE = "docs/guides/keys.md"
TEXT = (Path(__file__).parents[2] / GUIDE).read_text("utf-8")

COMMANDS = [
    line.strip()
    for block in blocks(GUIDE)
    if block.language == "sh"
    for line in block.text.splitlines()
    if line.strip().startswith("apostille-issuer ")
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_understood(command: str) -> None:
    program, domain, *arguments = shlex.split(command, comments=True)
    assert (program, domain) == ("apostille-issuer", "keys")
    parser = argparse.ArgumentParser()
    keyring.configure(parser)
    assert parser.parse_args(arguments).act in {"list", "rotate", "withdraw", "rewrap"}


def test_the_guide_shows_every_act() -> None:
    shown = {command.split()[2] for command in COMMANDS}
    assert shown == {"list", "rotate", "withdraw", "rewrap"}


def test_every_setting_is_one() -> None:
    assert set(re.findall(r"APOSTILLE_[A-Z_]+", TEXT)) <= set(VARIABLES)


def test_every_route_is_one() -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = re.findall(r"`(GET|POST) (/[a-z0-9/{}]+)`", TEXT)
    assert len(named) >= 3
    assert set(named) <= routes


def test_the_signer_of_the_guide_is_one() -> None:
    names: dict[str, Any] = {}
    for block in blocks(GUIDE):
        if block.language == "python":
            exec(compile(block.text, GUIDE, "exec"), names)
    source: KeySource = names["RemoteKeys"]()
    signer: Signer = asyncio.run(source.signer("kid", "ES256", b"keys/1"))
    assert (signer.kid, signer.algorithm) == ("kid", "ES256")
    with pytest.raises(NotImplementedError):
        asyncio.run(signer.sign(b"message"))
    with pytest.raises(NotImplementedError):
        asyncio.run(source.make("ES256"))
    create_app(Settings(), key_source=source)
    assert callable(names["main"])
    assert "kid" in KeyPair.__struct_fields__
