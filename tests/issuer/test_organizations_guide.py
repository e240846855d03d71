"""The guide on tenants: its section on organizations is walked through."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from typing import Any

from apostille_issuer.app import create_app
from apostille_issuer.cli import revoking
from apostille_issuer.settings import Settings
from apostille_issuer.tenancy.models import MAX_DEPTH
from support.desk import Desk
from support.firm import Firm
from support.readme import ROOT

GUIDE = (ROOT / "docs/guides/tenants.md").read_text("utf-8")
SECTION = next(
    section
    for section in re.split(r"^## ", GUIDE, flags=re.MULTILINE)
    if section.startswith("Organizations\n")
)
TENANT = "019a7f2c-6f5e-7d3a-9d4e-0f3b1c2d4e5f"
ROOT_ID = "019a7f2c-6f60-7c21-8f0a-52f6a1b0c3d4"
NORDIC = "019a7f31-2a4b-7c5d-8e6f-7a8b9c0d1e2f"


def fenced(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)


def test_what_is_asked_is_answered_so(desk: Desk) -> None:
    firm = Firm(desk)
    body = {"settings": {"theme": "dark", "locale": "en"}}
    assert desk.as_root("PATCH", f"/v1/tenants/{firm.tenant}", json=body).status_code == 200
    names = {TENANT: str(firm.tenant), ROOT_ID: str(firm.root)}

    def real(text: str) -> str:
        for shown, identifier in names.items():
            text = text.replace(shown, identifier)
        return text

    (creating, asking), (created, settings) = fenced("text"), fenced("json")
    request, body_text, *_ = creating.splitlines()
    method, path = request.split()
    answer = desk.http.request(method, path, json=json.loads(real(body_text)), headers=firm.above)
    assert answer.status_code == 201
    names[NORDIC] = answer.json()["id"]
    assert f"Location: {answer.headers['location']}" in real(creating)
    now: dict[str, Any] = {name: answer.json()[name] for name in ("created_at", "updated_at")}
    assert answer.json() == json.loads(real(created)) | now

    method, path = real(asking).split()
    answer = desk.http.request(method, path, headers=firm.above)
    assert answer.json() == json.loads(real(settings))


def test_every_route_is_one_and_none_is_left_out() -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[a-z0-9_/{}]+)`", SECTION))
    assert named <= routes
    own = re.compile(r"/v1/organizations(/\{organization_id\}(/(move|settings|sessions))?)?")
    assert named == {
        (method, path)
        for method, path in routes
        if own.fullmatch(path) and method not in ("HEAD", "OPTIONS")
    }


def test_its_command_and_its_numbers_are_ours() -> None:
    (line,) = fenced("sh")
    program, name, *arguments = shlex.split(line)
    assert (program, name) == ("apostille-issuer", "revoke")
    parser = argparse.ArgumentParser()
    revoking.configure(parser)
    assert parser.parse_args(arguments).subtree
    assert f"to {MAX_DEPTH} levels" in " ".join(SECTION.split())
