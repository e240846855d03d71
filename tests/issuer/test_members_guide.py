"""The guide on tenants: its section on members says what is so."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from datetime import timedelta

import msgspec

from apostille_issuer.app import create_app
from apostille_issuer.cli import explaining
from apostille_issuer.sessions.schemas import SwitchRequest
from apostille_issuer.settings import RateLimit, Settings
from apostille_issuer.tenancy.schemas.memberships import MAX_SCOPES, MemberDraft, MemberView
from support.readme import ROOT

GUIDE = (ROOT / "docs/guides/tenants.md").read_text("utf-8")
SECTION = next(
    section
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    if section.startswith("Members\n")
)


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)


def test_what_is_sent_and_answered_has_that_shape() -> None:
    (request, switch, _), (answer,) = fenced("text"), fenced("json")
    assert msgspec.json.decode(switch.splitlines()[1], type=SwitchRequest).organization is not None
    sent = msgspec.json.decode(request.splitlines()[1], type=MemberDraft)
    shown = msgspec.json.decode(answer, type=MemberView)
    assert set(json.loads(answer)) == set(MemberView.__struct_fields__)
    assert (shown.login, shown.roles, shown.plan, shown.scopes) == (
        sent.login,
        sent.roles,
        sent.plan,
        sent.scopes,
    )


def test_every_route_is_one() -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = set(re.findall(r"`(GET|POST|PUT|PATCH|DELETE) (/[a-z0-9_/{}-]+)`", SECTION))
    assert len(named) == 10
    assert named <= routes


def test_its_commands_and_numbers_are_ours() -> None:
    (lines,) = fenced("sh")
    for line in lines.splitlines():
        program, name, *arguments = shlex.split(line)
        assert (program, name) == ("apostille-issuer", "explain")
        parser = argparse.ArgumentParser()
        explaining.configure(parser)
        parsed = parser.parse_args(arguments)
        assert (parsed.user, parsed.permission) == ("ada@example.com", "inventory.write")
    assert f"up to {MAX_SCOPES}" in SECTION
    assert Settings().switch_limit_per_session == RateLimit(60, timedelta(minutes=15))
    assert "may\nswitch 60 times in 15 minutes (`APOSTILLE_SWITCH_LIMIT_PER_SESSION`)" in SECTION
