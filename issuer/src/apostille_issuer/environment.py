"""The variables ``APOSTILLE_*``: which there are, and how their texts are read."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path
from typing import Any, Literal, get_args

from msgspec import Struct

from apostille_contracts.claims import ALGORITHMS
from apostille_issuer.problems import SettingsError

__all__ = [
    "SECRETS",
    "VARIABLES",
    "LogLevel",
    "NameServer",
    "Network",
    "RateLimit",
    "read_environment",
]

LogLevel = Literal["debug", "info", "warning", "error"]
Network = IPv4Network | IPv6Network

PREFIX = "APOSTILLE_"
MAX_SECRET_FILE_BYTES = 65_536
MAX_PORT = 65_535

SECRETS = frozenset(
    {
        *("database_url", "key_encryption_key", "previous_key_encryption_keys"),
        *("bootstrap_password", "mail_url"),
    }
)
"""Fields that may come from a file, and whose values no message quotes."""


class RateLimit(Struct, frozen=True):
    """At most *attempts* in any window of length *per*; written ``10/15m``."""

    attempts: int
    per: timedelta


class NameServer(Struct, frozen=True):
    """A server that answers questions about the DNS; written ``192.0.2.53`` or ``[::1]:5353``."""

    address: IPv4Address | IPv6Address
    port: int = 53


_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_NAME_SERVER = re.compile(r"(?:([0-9.]+)|\[([0-9a-fA-F:.]+)\]):([0-9]{1,5})")
_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the fields that *environ* sets, read and typed, not yet held to limits.

    Raises:
        SettingsError: A name is unknown, or a value cannot be read.
    """
    values: dict[str, Any] = {}
    for variable in sorted(environ):
        if not variable.startswith(PREFIX):
            continue
        field, text = _field_and_text(variable, environ[variable])
        if field in values:
            raise SettingsError(f"{PREFIX}{field.upper()} and {variable} are both set")
        try:
            values[field] = _READERS[field](text)
        except ValueError as error:
            raise SettingsError(f"{PREFIX}{field.upper()}: {error}") from None
    return values


def _field_and_text(variable: str, value: str) -> tuple[str, str]:
    if variable in VARIABLES:
        return VARIABLES[variable], value
    field = VARIABLES.get(variable.removesuffix("_FILE"))
    if variable.endswith("_FILE") and field in SECRETS:
        return field, _secret_from_file(variable, value)
    known = [*_READERS, *(f"{field}_file" for field in SECRETS)]
    # Without the prefix, which would make any two names alike.
    meant = variable.removeprefix(PREFIX).lower()
    close = difflib.get_close_matches(meant, known, n=1)
    hint = f"; did you mean {PREFIX}{close[0].upper()}?" if close else ""
    raise SettingsError(f"{variable} is not a setting{hint}")


def _secret_from_file(variable: str, path: str) -> str:
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_SECRET_FILE_BYTES + 1)
    except OSError as error:
        raise SettingsError(f"{variable}: cannot read the file ({error.strerror})") from error
    if len(content) > MAX_SECRET_FILE_BYTES:
        raise SettingsError(f"{variable}: the file is too long")
    try:
        return content.decode().rstrip("\r\n")
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: the file is not text") from None


def _text(text: str) -> str:
    if not text:
        raise ValueError("must not be empty")
    return text


def _path(text: str) -> Path:
    return Path(_text(text))


def _whole_number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,12}", text) is None:
        raise ValueError("must be a whole number")
    return int(text)


def _truth(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _duration(text: str) -> timedelta:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("must be a duration such as 500ms, 30s, 10m, 12h or 14d")
    try:
        return timedelta(**{_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        raise ValueError("is too long a duration") from None


def _rate(text: str) -> RateLimit:
    attempts, slash, per = text.partition("/")
    if not slash:
        raise ValueError("must be attempts per duration, such as 10/15m")
    return RateLimit(_whole_number(attempts), _duration(per))


def _networks(text: str) -> tuple[Network, ...]:
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise ValueError(
            "must be addresses or networks such as 10.0.0.0/8, separated by commas"
        ) from None


def _name_servers(text: str) -> tuple[NameServer, ...]:
    return tuple(map(_name_server, _texts(text)))


def _name_server(text: str) -> NameServer:
    match = _NAME_SERVER.fullmatch(text)
    try:
        if match is None:
            return NameServer(ip_address(text))
        address, port = ip_address(match[1] or match[2]), int(match[3])
    except ValueError:
        port = 0
    if not 0 < port <= MAX_PORT:
        raise ValueError("must be addresses such as 192.0.2.53 or [2001:db8::53]:53")
    return NameServer(address, port)


def _texts(text: str) -> tuple[str, ...]:
    """Read a list, separated by commas or white space, as files with one per line are."""
    return tuple(text.replace(",", " ").split())


def _one_of(*allowed: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"must be one of {', '.join(allowed)}")
        return text

    return read


def _some_of(*allowed: str) -> Callable[[str], tuple[str, ...]]:
    read = _one_of(*allowed)
    return lambda text: tuple(dict.fromkeys(read(name) for name in _texts(text)))


_READERS: dict[str, Callable[[str], Any]] = {
    "data": _path,
    "database_url": _text,
    "database_timeout": _duration,
    "database_pool_size": _whole_number,
    "key_encryption_key": _text,
    "previous_key_encryption_keys": _texts,
    "issuer_url": _text,
    "allow_insecure_http": _truth,
    "audience": _text,
    "client_id": _text,
    "system_roles_file": _path,
    "signing_algorithm": _one_of(*ALGORITHMS),
    "standby_signing_algorithms": _some_of(*ALGORITHMS),
    "access_token_lifetime": _duration,
    "refresh_idle_lifetime": _duration,
    "refresh_absolute_lifetime": _duration,
    "refresh_replay_window": _duration,
    "session_retention": _duration,
    "status_ttl": _duration,
    "jwks_max_age": _duration,
    "verifier_freshness": _duration,
    "signing_key_lifetime": _duration,
    "key_check_interval": _duration,
    "password_min_length": _whole_number,
    "argon2_memory_kib": _whole_number,
    "argon2_time_cost": _whole_number,
    "argon2_parallelism": _whole_number,
    "hashing_workers": _whole_number,
    "hashing_queue": _whole_number,
    "login_limit_per_account": _rate,
    "login_limit_per_address": _rate,
    "switch_limit_per_session": _rate,
    "client_limit_per_key": _rate,
    "client_limit_per_address": _rate,
    "api_key_max_lifetime": _duration,
    "api_keys_per_account": _whole_number,
    "organizations_per_tenant": _whole_number,
    "roles_per_tenant": _whole_number,
    "service_accounts_per_tenant": _whole_number,
    "pending_invitations_per_tenant": _whole_number,
    "bootstrap_login": _text,
    "bootstrap_password": _text,
    "invitation_lifetime": _duration,
    "invitation_letters_per_day": _whole_number,
    "invitation_retention": _duration,
    "invitation_url": _text,
    "mail_url": _text,
    "mail_sender": _text,
    "tenant_purge_after": _duration,
    "dns_servers": _name_servers,
    "trusted_proxies": _networks,
    "max_body_bytes": _whole_number,
    "log_level": _one_of(*get_args(LogLevel)),
}

VARIABLES = {f"{PREFIX}{field.upper()}": field for field in _READERS}
"""Variable to field, for every field of the settings."""
