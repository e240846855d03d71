"""What a ``User-Agent`` says, for a person who looks at a list of sessions.

A few names that people know, and no version numbers: browsers froze those, and
whoever wants to can claim anything. Nothing is ever decided by it.

See: RFC 9110 section 10.1.5; docs/decisions/0014-devices-by-a-few-names.md.
"""

from __future__ import annotations

import re
from typing import Final

from msgspec import Struct

__all__ = ["Device", "device_of"]

# In this order: nearly every browser also claims to be the ones further down.
_BROWSERS: Final = (
    (("Edg/", "EdgA/", "EdgiOS/", "Edge/"), "Edge"),
    (("OPR/", "OPT/", "OPiOS/", "Opera"), "Opera"),
    (("SamsungBrowser/",), "Samsung Internet"),
    (("Vivaldi/",), "Vivaldi"),
    (("YaBrowser/",), "Yandex Browser"),
    (("DuckDuckGo/", "Ddg/"), "DuckDuckGo"),
    (("Firefox/", "FxiOS/"), "Firefox"),
    (("Chromium/",), "Chromium"),
    (("Chrome/", "CriOS/"), "Chrome"),
    (("Version/",), "Safari"),
)
_SYSTEMS: Final = (
    ("iPhone", "iOS"),
    ("iPad", "iPadOS"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("Linux", "Linux"),
)
_BROWSER_LIKE: Final = re.compile(r"Mozilla/|Opera/")
_PRODUCT: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")


class Device(Struct, frozen=True):
    """What somebody says that he logged in with."""

    program: str | None
    """Browser, or the name that another program gives itself."""
    system: str | None
    """Operating system."""


def device_of(user_agent: str | None) -> Device:
    """Return what *user_agent* says; each part is ``None`` where it does not."""
    if not user_agent:
        return Device(None, None)
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), None)
    if _BROWSER_LIKE.match(user_agent) is None:
        product = _PRODUCT.match(user_agent)
        return Device(product[0] if product else None, system)
    return Device(_browser(user_agent), system)


def _browser(user_agent: str) -> str | None:
    for marks, name in _BROWSERS:
        if any(mark in user_agent for mark in marks):
            return name
    return None
