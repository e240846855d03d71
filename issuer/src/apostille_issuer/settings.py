"""All settings of the issuer, with their limits and defaults.

:class:`Settings` can be built directly, as tests do, or from the environment:
a field ``access_token_lifetime`` is the variable
``APOSTILLE_ACCESS_TOKEN_LIFETIME``. Nothing is read while importing.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from msgspec import Struct

from apostille_contracts.claims import Algorithm
from apostille_issuer.environment import LogLevel, NameServer, Network, RateLimit, read_environment
from apostille_issuer.notifications.mail import parse_sender
from apostille_issuer.notifications.smtp import parse_mail_url
from apostille_issuer.problems import SettingsError

__all__ = ["LogLevel", "NameServer", "Network", "RateLimit", "Settings"]


class Settings(Struct, frozen=True, kw_only=True):
    """What an operator can decide. Every field has a safe default.

    Raises:
        SettingsError: A value is out of range; the message names the variable.
    """

    # Where things are kept.
    data: Path = Path("data")
    """Data folder of the embedded default; made with mode 0700."""
    database_url: str | None = None
    """``postgresql://…``; without it, SQLite in the data folder. Secret."""
    database_timeout: timedelta = timedelta(seconds=5)
    """Longest wait for a connection or a lock, 0.1 to 60 s; then 503."""
    database_pool_size: int = 10
    """Connections kept open, 1 to 200; on PostgreSQL as many again for bursts."""
    key_encryption_key: str | None = None
    """32 bytes in base64, encrypts private keys at rest. Secret. Without it, a
    file in the data folder; required together with ``database_url``."""
    previous_key_encryption_keys: tuple[str, ...] = ()
    """Keys that ``key_encryption_key`` replaced, as long as anything in the
    database is still encrypted with them. Secret."""

    # What stands in tokens.
    issuer_url: str = "http://127.0.0.1:8000"
    """The claim ``iss`` and the address services discover keys at; ``https``
    except on loopback. ``serve`` derives it from host and port if unset."""
    allow_insecure_http: bool = False
    """Let ``issuer_url`` be plain ``http`` elsewhere: a closed test network."""
    audience: str = "apostille"
    """Audience of the issuer's own API."""
    client_id: str = "apostille"
    """The claim ``client_id`` of logins that name no client."""
    signing_algorithm: Algorithm = "ES256"
    """Of the key that signs; existing keys keep theirs."""
    standby_signing_algorithms: tuple[Algorithm, ...] = ()
    """Algorithms whose keys are kept and published too, so that
    ``signing_algorithm`` can become one of them between one token and the next."""

    # What stands in the database from the start.
    system_roles_file: Path | None = None
    """Names roles that are protected like those the issuer brings along; TOML,
    or JSON if it is called ``*.json``. Read at every start."""

    # How long things last.
    access_token_lifetime: timedelta = timedelta(minutes=10)
    """1 to 60 minutes."""
    refresh_idle_lifetime: timedelta = timedelta(days=14)
    """A session not refreshed for this long ends; up to a year."""
    refresh_absolute_lifetime: timedelta = timedelta(days=90)
    """A session ends this long after its login; up to two years."""
    refresh_replay_window: timedelta = timedelta(seconds=10)
    """How long a lost race gets the same successor again; 0 to 60 s."""
    session_retention: timedelta = timedelta(days=30)
    """How long a session is kept after it ended, 1 day to two years; then it is deleted."""
    status_ttl: timedelta = timedelta(seconds=10)
    """How long services keep a status list before they ask again, 1 to 300 s;
    a revocation is known everywhere that much later at most, and a second."""
    jwks_max_age: timedelta = timedelta(minutes=5)
    """``Cache-Control`` of the public documents; 1 s to 1 day."""
    verifier_freshness: timedelta = timedelta(minutes=5)
    """How long services keep keys at most, 1 s to 1 day. With ``jwks_max_age``
    it decides how long a new key is published before it signs."""
    signing_key_lifetime: timedelta = timedelta(days=30)
    """A key signs for this long, then its successor does; 1 minute to two years."""
    key_check_interval: timedelta = timedelta(seconds=2)
    """How often a process looks whether another one changed keys; 0.1 to 60 s."""

    # Passwords and logins.
    password_min_length: int = 15
    """Shortest new password in code points, 8 to 64 (SP 800-63B-4 section 3.1.1.2)."""
    argon2_memory_kib: int = 19_456
    """Memory of one hash in KiB, 7,168 to 1,048,576."""
    argon2_time_cost: int = 2
    """Passes over it, 1 to 20."""
    argon2_parallelism: int = 1
    """Lanes, 1 to 16."""
    hashing_workers: int | None = None
    """Hashes computed at once, 1 to 64; default: the cores there are."""
    hashing_queue: int = 32
    """Hashes waiting at most, 1 to 10,000; then logins get 503 with ``Retry-After``."""
    login_limit_per_account: RateLimit = RateLimit(10, timedelta(minutes=15))
    """Failed logins of one login name, then 429."""
    login_limit_per_address: RateLimit = RateLimit(100, timedelta(minutes=15))
    """Failed logins from one address, then 429."""
    switch_limit_per_session: RateLimit = RateLimit(60, timedelta(minutes=15))
    """Changes of organization by one session, then 429."""
    client_limit_per_key: RateLimit = RateLimit(10, timedelta(minutes=15))
    """Failed authentications of one API key from one address, then they get 429."""
    client_limit_per_address: RateLimit = RateLimit(300, timedelta(minutes=15))
    """Failed authentications of clients from one address, then they get 429.
    Neither limit keeps out who authenticates himself."""
    api_key_max_lifetime: timedelta = timedelta(days=731)
    """Longest life of an API key, 1 hour to ten years; a key has one year, or this if less."""
    api_keys_per_account: int = 10
    """Most keys of a service account that work, 1 to 100."""
    bootstrap_login: str | None = None
    """Login name of the first superuser; default ``admin``."""
    bootstrap_password: str | None = None
    """His password; default: random, printed once by ``serve``. Secret."""

    # How much a tenant may have, whoever adds it.
    organizations_per_tenant: int = 10_000
    """Most organizations, the root and no deleted ones included, 1 to 1,000,000."""
    roles_per_tenant: int = 1_000
    """Most roles of its organizations, all together, 1 to 1,000,000."""
    service_accounts_per_tenant: int = 1_000
    """Most service accounts of its organizations, all together, 1 to 1,000,000."""
    pending_invitations_per_tenant: int = 10_000
    """Most invitations that can still be accepted, 1 to 1,000,000."""

    # Invitations and letters.
    invitation_lifetime: timedelta = timedelta(days=7)
    """How long the letter is good, 1 hour to 90 days."""
    invitation_letters_per_day: int = 500
    """Invitations that one tenant may send within 24 hours, 1 to 1,000,000; then 429."""
    invitation_retention: timedelta = timedelta(days=30)
    """How long one is kept after it was answered or expired, 1 day to two years;
    then it is deleted."""
    invitation_url: str | None = None
    """The page that its link leads to, which finds the token in the fragment, so
    that no log of any server has it; default: ``/invitations/accept`` below
    ``issuer_url``."""
    mail_url: str | None = None
    """The mail server, ``smtp://user:password@host:587``; see
    :mod:`.notifications.smtp`. Without it, letters are files in ``mail`` in the
    data folder. Secret."""
    mail_sender: str | None = None
    """Whom letters come from, ``Name <address>``; default: ``noreply`` at the
    host of ``issuer_url``."""

    # Tenants.
    tenant_purge_after: timedelta = timedelta(days=30)
    """How long a deleted tenant can be restored, up to two years; then all of it is gone."""
    dns_servers: tuple[NameServer, ...] = ()
    """Whom to ask whether a host name is a tenant's, as ``192.0.2.53`` or
    ``[2001:db8::53]:53``; default: whom the operating system asks."""

    # The network around.
    trusted_proxies: tuple[Network, ...] = ()
    """Proxies whose ``X-Forwarded-For`` and ``X-Request-Id`` are believed."""
    max_body_bytes: int = 65_536
    """Longest request body, 1 KiB to 16 MiB; then 413."""
    log_level: LogLevel = "info"

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Settings:
        """Read the variables ``APOSTILLE_*`` of *environ*; others are not looked at.

        The secret ones may also be named with ``_FILE`` and hold the path of a
        file with the value, as container platforms mount secrets.

        Raises:
            SettingsError: A name is unknown, or a value cannot be read or is
                out of range. The message names the variable; it never quotes
                a secret.
        """
        return cls(**read_environment(environ))

    def __post_init__(self) -> None:
        """Hold every value to its limits."""
        for name, (least, most) in _LIMITS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise _bad(name, f"must be from {_shown(least)} to {_shown(most)}")
        if self.refresh_idle_lifetime > self.refresh_absolute_lifetime:
            raise _bad("refresh_idle_lifetime", "must not exceed the absolute lifetime")
        for name in (
            *("login_limit_per_account", "login_limit_per_address"),
            *("client_limit_per_key", "client_limit_per_address"),
            "switch_limit_per_session",
        ):
            limit: RateLimit = getattr(self, name)
            if limit.attempts < 1 or limit.per < timedelta(seconds=1):
                raise _bad(name, "must be at least one attempt per second or longer")
        for name in ("audience", "client_id"):
            if not 1 <= len(getattr(self, name)) <= 255:
                raise _bad(name, "must have 1 to 255 characters")
        if self.database_url is not None and self.key_encryption_key is None:
            raise _bad("key_encryption_key", "is required together with APOSTILLE_DATABASE_URL")
        _check_issuer_url(self.issuer_url, insecure=self.allow_insecure_http)
        _check_letters(self.invitation_url, self.mail_url, self.mail_sender)

    def __repr__(self) -> str:
        """Show where it stands and no secret."""
        kept = "postgresql" if self.database_url else str(self.data)
        return f"Settings(issuer_url={self.issuer_url!r}, database={kept!r})"


_LIMITS: dict[str, tuple[timedelta, timedelta] | tuple[int, int]] = {
    "database_timeout": (timedelta(milliseconds=100), timedelta(seconds=60)),
    "database_pool_size": (1, 200),
    "access_token_lifetime": (timedelta(minutes=1), timedelta(minutes=60)),
    "refresh_idle_lifetime": (timedelta(minutes=1), timedelta(days=366)),
    "refresh_absolute_lifetime": (timedelta(minutes=1), timedelta(days=731)),
    "refresh_replay_window": (timedelta(0), timedelta(seconds=60)),
    "session_retention": (timedelta(days=1), timedelta(days=731)),
    "status_ttl": (timedelta(seconds=1), timedelta(seconds=300)),
    "jwks_max_age": (timedelta(seconds=1), timedelta(days=1)),
    "verifier_freshness": (timedelta(seconds=1), timedelta(days=1)),
    "signing_key_lifetime": (timedelta(minutes=1), timedelta(days=731)),
    "key_check_interval": (timedelta(milliseconds=100), timedelta(seconds=60)),
    "invitation_lifetime": (timedelta(hours=1), timedelta(days=90)),
    "invitation_letters_per_day": (1, 1_000_000),
    "invitation_retention": (timedelta(days=1), timedelta(days=731)),
    "password_min_length": (8, 64),
    "argon2_memory_kib": (7_168, 1_048_576),
    "argon2_time_cost": (1, 20),
    "argon2_parallelism": (1, 16),
    "hashing_workers": (1, 64),
    "hashing_queue": (1, 10_000),
    "api_key_max_lifetime": (timedelta(hours=1), timedelta(days=3_660)),
    "api_keys_per_account": (1, 100),
    "organizations_per_tenant": (1, 1_000_000),
    "roles_per_tenant": (1, 1_000_000),
    "service_accounts_per_tenant": (1, 1_000_000),
    "pending_invitations_per_tenant": (1, 1_000_000),
    "tenant_purge_after": (timedelta(0), timedelta(days=731)),
    "max_body_bytes": (1_024, 16_777_216),
}

_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def _check_issuer_url(url: str, *, insecure: bool) -> None:
    """Hold the identifier to RFC 8414 section 2, but for loopback without TLS."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise _bad("issuer_url", "must be a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise _bad("issuer_url", "must be a URL such as https://iam.example.com")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK and not insecure:
        raise _bad("issuer_url", "must use https, except on loopback")
    if "?" in url or "#" in url or "@" in parts.netloc or url.endswith("/"):
        raise _bad("issuer_url", "must have no user, query, fragment or slash at the end")


def _check_letters(page: str | None, server: str | None, sender: str | None) -> None:
    if page is not None:
        _check_page("invitation_url", page)
    try:
        if server is not None:
            parse_mail_url(server)
    except ValueError as error:
        raise _bad("mail_url", str(error)) from None
    try:
        if sender is not None:
            parse_sender(sender)
    except ValueError as error:
        raise _bad("mail_sender", str(error)) from None


def _check_page(name: str, url: str) -> None:
    """Hold the address of a page to what a browser opens, and leave the fragment to us."""
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _bad(name, "must be a URL") from None
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
        raise _bad(name, "must be a URL such as https://app.example.com/join")
    if "#" in url or not url.isascii() or not url.isprintable() or " " in url:
        raise _bad(name, "must be ASCII without spaces, and have no fragment")


def _bad(name: str, complaint: str) -> SettingsError:
    return SettingsError(f"APOSTILLE_{name.upper()} {complaint}")


def _shown(limit: timedelta | int) -> str:
    return f"{limit.total_seconds():g}s" if isinstance(limit, timedelta) else f"{limit:,}"
