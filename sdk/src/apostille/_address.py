"""Addresses that keys may be fetched from. Pure."""

from __future__ import annotations

from ipaddress import ip_address
from typing import NamedTuple
from urllib.parse import urlsplit

from .errors import ConfigurationError

__all__ = [
    "Address",
    "check_issuer_address",
    "is_safe_address",
    "is_same_origin",
    "metadata_addresses",
]


class Address(NamedTuple):
    """An http or https URL, taken apart."""

    scheme: str
    host: str
    port: int
    rest: str
    """Path and query."""


def parse_address(url: str) -> Address | None:
    """Return the parts of *url* if it is an absolute http or https URL and nothing but that.

    User information and fragments, white space and characters outside ASCII
    are not part of an address a key set stands at.
    """
    if not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        port = parts.port  # raises if it is no port
    except ValueError:
        return None
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        return None
    if parts.username is not None or parts.password is not None or "#" in url:
        return None
    query = f"?{parts.query}" if parts.query else ""
    if port is None:
        port = 443 if parts.scheme == "https" else 80
    return Address(parts.scheme, parts.hostname, port, parts.path + query)


def is_loopback(host: str) -> bool:
    """Say whether *host* is this machine by its very name.

    See: RFC 6761 section 6.3; RFC 8252 section 8.3.
    """
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def check_issuer_address(issuer: str, *, allow_insecure_http: bool) -> None:
    """Return if metadata and keys of *issuer* may be asked for.

    Raises:
        ConfigurationError: It is not an https URL without query and fragment
            (RFC 8414 section 2); http is for loopback hosts, and for others
            only where *allow_insecure_http* says so.
    """
    address = parse_address(issuer)
    if address is None or "?" in issuer:
        raise ConfigurationError(
            "issuer is an absolute https URL without query and fragment, "
            "such as 'https://iam.example.com'; with other names, give keys=StaticKeys(...)"
        )
    if address.scheme != "https" and not (allow_insecure_http or is_loopback(address.host)):
        raise ConfigurationError(
            "issuer is not https: whoever sits on the way could replace its keys; "
            "allow_insecure_http=True accepts that"
        )


def is_safe_address(url: object, *, issuer: str, allow_insecure_http: bool) -> bool:
    """Say whether keys of *issuer* may be fetched from *url*, which its metadata names.

    http is for issuers that are http themselves, and there too for loopback
    hosts only, unless *allow_insecure_http* says otherwise.
    """
    address = parse_address(url) if isinstance(url, str) else None
    if address is None:
        return False
    if address.scheme == "https":
        return True
    if urlsplit(issuer).scheme != "http":
        return False
    return allow_insecure_http or is_loopback(address.host)


def is_same_origin(url: str, issuer: str) -> bool:
    """Say whether *url* and *issuer* are of one scheme, host and port (RFC 6454 section 5)."""
    address, home = parse_address(url), parse_address(issuer)
    return address is not None and home is not None and address[:3] == home[:3]


def metadata_addresses(issuer: str) -> tuple[str, str]:
    """Return where the metadata of *issuer* stands: by RFC 8414, then by OpenID Connect.

    The former inserts its well-known path before the issuer's, the latter
    appends it (RFC 8414 section 5); both drop a trailing slash.
    """
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    origin = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{origin}/.well-known/oauth-authorization-server{path}",
        f"{origin}{path}/.well-known/openid-configuration",
    )
