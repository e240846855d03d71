"""The guide's section on invitations says what is so."""

from __future__ import annotations

import json
import re
from datetime import timedelta

import msgspec

from apostille_contracts.problems import SPECS, ProblemCode
from apostille_issuer.app import create_app
from apostille_issuer.environment import VARIABLES
from apostille_issuer.notifications.addresses import MAX_ADDRESS_BYTES
from apostille_issuer.notifications.folder import MAX_LETTERS
from apostille_issuer.notifications.smtp import MAX_TIMEOUT_SECONDS, parse_mail_url
from apostille_issuer.settings import Settings
from apostille_issuer.tenancy.invitation_records import LETTERS_A_DAY
from apostille_issuer.tenancy.schemas.invitations import InvitationDraft, InvitationView
from support.readme import ROOT

GUIDE = (ROOT / "docs/guides/tenants.md").read_text("utf-8")
SECTION = re.split(r"^## ", GUIDE.partition("\n## Invitations\n")[2], flags=re.MULTILINE)[0]


def fenced(language: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", SECTION, re.DOTALL | re.MULTILINE)
    text: str = found
    return text


def test_what_is_sent_and_answered_has_that_shape() -> None:
    sent = msgspec.json.decode(fenced("text").splitlines()[1], type=InvitationDraft)
    shown = msgspec.json.decode(fenced("json"), type=InvitationView)
    assert set(json.loads(fenced("json"))) == set(InvitationView.__struct_fields__)
    assert (shown.email, shown.roles) == (sent.email, sent.roles)
    assert shown.expires_at - shown.created_at == Settings().invitation_lifetime


def test_every_route_is_there_and_named() -> None:
    routes = {
        (method, re.sub(r":\w+", "", route.path))
        for route in create_app(Settings()).routes
        for method in getattr(route, "methods", ())
    }
    named = set(re.findall(r"`(GET|POST|DELETE) (/[a-z0-9_/{}]+)`", SECTION))
    assert named <= routes
    ours = {(m, path) for m, path in routes if "invitations" in path and m in "GET POST DELETE"}
    assert ours <= named


def test_every_setting_and_code_is_one() -> None:
    assert set(re.findall(r"APOSTILLE_[A-Z_]+", SECTION)) <= set(VARIABLES)
    table = SECTION.partition("| refused with |")[2].partition("\n\n")[0]
    codes = set(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))
    for code in re.findall(r"`(\w+)`", " ".join(codes)):
        assert ProblemCode(code)
    for status, code in re.findall(r"\b(4\d\d)\s+`(\w+)`", SECTION):
        assert SPECS[ProblemCode(code)].status == int(status)


def test_its_numbers_are_ours() -> None:
    text = " ".join(SECTION.split())
    assert (Settings().invitation_lifetime, "for seven days" in text) == (timedelta(days=7), True)
    assert (LETTERS_A_DAY, "five letters" in text) == (5, True)
    assert f"at most {MAX_ADDRESS_BYTES} bytes" in text
    assert f"the newest {MAX_LETTERS:,}" in text
    assert f"is 1 to {MAX_TIMEOUT_SECONDS}" in text
    (url,) = re.findall(r"`(smtp://\S+)`", SECTION)
    assert parse_mail_url(url).tls == "starttls"
