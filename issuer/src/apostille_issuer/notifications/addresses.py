"""E-mail addresses that a letter can be sent to: those that are login names, too."""

from __future__ import annotations

import re
from typing import Final

from apostille_issuer.accounts.names import InvalidLogin, LoginName, parse_login

__all__ = ["MAX_ADDRESS_BYTES", "InvalidAddress", "is_address", "parse_address"]

MAX_ADDRESS_BYTES: Final = 254
"""Longest address in octets of UTF-8: a path is two more (RFC 5321 section 4.5.3.1.3)."""

MAX_LOCAL_BYTES: Final = 64
MAX_LABEL_LENGTH: Final = 63

# Dot-string of RFC 5321 section 4.1.2 and RFC 6531 section 3.3: no quoted
# local parts, no comments, no address literals. What is not ASCII has been
# held to letters, marks and digits by then, so it is only said which ASCII is out.
_ATOM: Final = r"""[^\x00-\x20"(),.:;<>@\[\\\]\x7f]+"""
_EDGE: Final = r"[^\x00-/:-@\[-`{-\x7f]"
_LABEL: Final = rf"{_EDGE}(?:[^\x00-,./:-@\[-`{{-\x7f]*{_EDGE})?"
_LOCAL: Final = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_DOMAIN: Final = re.compile(rf"{_LABEL}(?:\.{_LABEL})+")


class InvalidAddress(ValueError):
    """No letter can be sent there; the message is a fixed text that says why."""


def parse_address(text: str) -> LoginName:
    """Return *text* as an address, which is a login name of that form.

    Allowed are ``local@domain`` with a plain local part of at most 64 octets
    and a domain of two labels or more; at most 254 octets together. As a login
    name it is of one script.

    Raises:
        InvalidAddress: It is none. The message quotes nothing.

    See: RFC 5321 section 4.1.2 and 4.5.3.1; RFC 6531 section 3.3.
    """
    try:
        name = parse_login(text)
    except InvalidLogin as error:
        raise InvalidAddress(str(error)) from error
    local, at, domain = name.text.rpartition("@")
    if not at or _LOCAL.fullmatch(local) is None or _DOMAIN.fullmatch(domain) is None:
        raise InvalidAddress("must be an address such as ada@example.com")
    if max(map(len, domain.split("."))) > MAX_LABEL_LENGTH:
        raise InvalidAddress("must have a domain that can exist")
    if (
        len(local.encode()) > MAX_LOCAL_BYTES
        or len(name.text.encode()) > MAX_ADDRESS_BYTES
        or len(name.key) > MAX_ADDRESS_BYTES
    ):
        raise InvalidAddress(
            f"must have at most {MAX_ADDRESS_BYTES} bytes, {MAX_LOCAL_BYTES} before the @"
        )
    return name


def is_address(login: str) -> bool:
    """Say whether a login name is one that letters can be sent to."""
    try:
        parse_address(login)
    except InvalidAddress:
        return False
    return True
