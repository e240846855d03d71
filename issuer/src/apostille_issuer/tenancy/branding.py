"""How a tenant looks to its people: held to what can be shown without harm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import structs

from apostille_issuer.problems import IssuerProblem
from apostille_issuer.tenancy.naming import check_name
from apostille_issuer.tenancy.schemas.tenants import Branding

__all__ = ["check_branding", "read_branding", "stored_branding"]

_COLOR: Final = re.compile(r"#[0-9a-fA-F]{6}")
_EMAIL: Final = re.compile(r"[^@\s<>\"',;:\\()\[\]]{1,64}@[^@\s<>\"',;:\\()\[\]]{1,189}")


def check_branding(branding: Branding) -> Branding:
    """Return *branding*, colours in lower case, if all of it can be shown as it is.

    Pages put these values into attributes and style sheets. So an address is
    an ``https`` URL and nothing that a browser would run, and a colour has six
    digits.

    Raises:
        IssuerProblem: ``validation_failed``, naming the field.
    """
    said = {name: text for name, text in structs.asdict(branding).items() if text is not None}
    for name, text in said.items():
        where = f"branding.{name}"
        if name.endswith("_url"):
            _check_address(where, text)
        elif name.endswith("_color"):
            if _COLOR.fullmatch(text) is None:
                raise IssuerProblem.invalid_field(where, "a colour as #rrggbb")
            said[name] = text.lower()
        elif name == "support_email":
            if _EMAIL.fullmatch(text) is None or not text.isprintable():
                raise IssuerProblem.invalid_field(where, "an e-mail address")
        else:
            said[name] = check_name(where, text).text
    return Branding(**said)


def stored_branding(branding: Branding) -> dict[str, Any]:
    """Return what is kept of *branding*: what it says."""
    return {name: text for name, text in structs.asdict(branding).items() if text is not None}


def read_branding(stored: Mapping[str, Any]) -> Branding:
    """Return what was stored, less what an older or newer release knows and this one does not."""
    return Branding(**{name: stored.get(name) for name in Branding.__struct_fields__})


def _check_address(where: str, text: str) -> None:
    complaint = "an https URL, without user or password"
    if not text.isascii() or not text.isprintable() or set(text) & set(" \"'<>\\`"):
        raise IssuerProblem.invalid_field(where, complaint)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        raise IssuerProblem.invalid_field(where, complaint) from None
    if parts.scheme != "https" or not parts.hostname or "@" in parts.netloc or port == 0:
        raise IssuerProblem.invalid_field(where, complaint)
