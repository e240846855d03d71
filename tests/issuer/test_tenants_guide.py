"""The guide on tenants: its sections on tenants and their domains say what is so."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from datetime import timedelta

import msgspec
import pytest

from apostille_issuer.app import create_app
from apostille_issuer.cli import tenants as command
from apostille_issuer.environment import VARIABLES
from apostille_issuer.settings import Settings
from apostille_issuer.tenancy.documents import MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH
from apostille_issuer.tenancy.domains import MAX_DOMAINS
from apostille_issuer.tenancy.purging import PURGE_SECONDS
from apostille_issuer.tenancy.schemas.domains import DomainDraft, DomainView
from apostille_issuer.tenancy.schemas.tenants import TenantDraft, TenantView
from apostille_issuer.tenancy.tenant_records import PLATFORM_FIELDS
from support.readme import ROOT

SECTIONS = re.split(
    r"^## ", (ROOT / "docs/guides/tenants.md").read_text("utf-8"), flags=re.MULTILINE
)
BY_NAME = {section.partition("\n")[0]: section for section in SECTIONS}


def fenced(section: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", BY_NAME[section], re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize(
    ("section", "draft", "view"),
    [("Tenants", TenantDraft, TenantView), ("Custom domains", DomainDraft, DomainView)],
)
def test_what_is_sent_and_answered_has_that_shape(
    section: str, draft: type[msgspec.Struct], view: type[msgspec.Struct]
) -> None:
    (request,), (answer,) = fenced(section, "text"), fenced(section, "json")
    body = request.splitlines()[1]
    sent, shown = msgspec.json.decode(body, type=draft), msgspec.json.decode(answer, type=view)
    assert set(json.loads(answer)) == set(view.__struct_fields__)
    for field in json.loads(body):
        assert getattr(shown, field) == getattr(sent, field)


@pytest.mark.parametrize("section", ["Tenants", "Custom domains"])
def test_every_route_and_setting_is_one(section: str) -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = set(re.findall(r"`(GET|POST|PATCH|DELETE) (/[a-z0-9_/{}]+)`", BY_NAME[section]))
    assert len(named) >= 5
    assert named <= routes
    assert set(re.findall(r"APOSTILLE_[A-Z_]+", BY_NAME[section])) <= set(VARIABLES)


def test_every_command_is_understood() -> None:
    (lines,) = fenced("Tenants", "sh")
    for line in lines.splitlines():
        program, domain, *arguments = shlex.split(line)
        assert (program, domain) == ("apostille-issuer", "tenants")
        parser = argparse.ArgumentParser()
        command.configure(parser)
        assert parser.parse_args(arguments).act == "purge"


def test_its_numbers_are_ours() -> None:
    text = " ".join("".join(SECTIONS).split())
    assert f"at most {MAX_DOCUMENT_BYTES:,} bytes each" in text
    assert (MAX_DOCUMENT_DEPTH, "five levels deep" in text) == (5, True)
    assert (Settings().tenant_purge_after, "30 days later" in text) == (timedelta(days=30), True)
    assert (PURGE_SECONDS, "every ten minutes" in text) == (600, True)
    assert f"a tenant has at most {MAX_DOMAINS}" in text
    reserved = {"name", "settings", "branding"} | set(PLATFORM_FIELDS)
    assert reserved == set(TenantDraft.__struct_fields__) - {"root_name"} | {"state"}
