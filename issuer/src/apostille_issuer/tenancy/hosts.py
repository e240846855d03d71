"""Host names: which can be a tenant's, and how one is written."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import urlsplit

from apostille_issuer.problems import IssuerProblem

__all__ = ["CHALLENGE_LABEL", "MAX_HOST_LENGTH", "check_host"]

CHALLENGE_LABEL: Final = "_apostille"
"""The label below a host name at which its owner shows that it is his."""

MAX_NAME_LENGTH: Final = 253
"""Of a name in the DNS, in characters, as it is written (RFC 1035 section 2.3.4)."""

MAX_HOST_LENGTH: Final = MAX_NAME_LENGTH - len(CHALLENGE_LABEL) - 1

_NUMBER: Final = re.compile(r"[0-9]+|0x[0-9a-f]*")


def check_host(field: str, text: str, *, issuer_url: str) -> str:
    """Return *text* as it is written in the DNS and in ``Host``: in lower case, IDNA-encoded.

    Args:
        field: What to call it in the complaint.
        text: A name of at least two labels; a dot at its end is dropped.
        issuer_url: The issuer's own address, whose host is nobody's.

    Raises:
        IssuerProblem: ``validation_failed``: it has a port or a path, is an IP
            address or a single label, cannot be in the DNS, or is the issuer's.

    See: RFC 5891 section 4, UTS 46 section 4, RFC 1123 section 2.1.
    """
    # Normalising takes long for long texts; the limit comes first.
    if len(text) > MAX_NAME_LENGTH:
        raise IssuerProblem.invalid_field(field, f"at most {MAX_HOST_LENGTH} characters")
    if set(text) & set(":/@?#[]*\\ "):
        raise IssuerProblem.invalid_field(field, "a host name, without scheme, port or path")
    host = _encoded(field, text).removesuffix(".")
    labels = host.split(".")
    if len(host) > MAX_HOST_LENGTH:
        raise IssuerProblem.invalid_field(field, f"at most {MAX_HOST_LENGTH} characters")
    # Whatever ends in a number is read as an IPv4 address (URL Standard, "ends in a number").
    if _NUMBER.fullmatch(labels[-1]):
        raise IssuerProblem.invalid_field(field, "a host name, not an IP address")
    if len(labels) < 2:
        raise IssuerProblem.invalid_field(field, "a host name with at least two labels")
    if host == urlsplit(issuer_url).hostname:
        raise IssuerProblem.invalid_field(field, "another host than the issuer's own")
    return host


def _encoded(field: str, text: str) -> str:
    """Return *text* as labels of lower-case letters, digits and dashes, or raise."""
    # It has tables of megabytes, and few hosts are ever added.
    import idna  # noqa: PLC0415

    try:
        encoded = idna.encode(text, uts46=True, std3_rules=True)
    except (idna.IDNAError, UnicodeError) as error:
        raise IssuerProblem.invalid_field(field, "a host name") from error
    return encoded.decode("ascii").lower()
