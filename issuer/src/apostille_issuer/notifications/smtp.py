"""Letters by SMTP (RFC 5321), to the mail server that the operator names.

.. code-block:: text

    smtps://user:password@mail.example.com            TLS from the start, port 465
    smtp://user:password@mail.example.com             STARTTLS, required, port 587
    smtp://127.0.0.1:25                               plain, on loopback alone
    smtp://mailhog:1025?tls=off                       plain, and so without user

Options: ``timeout`` in seconds, 1 to 30, default 10, for each exchange with the
server; ``ca``, a file with the certificates to trust instead of the system's.
User and password are percent-encoded. The server's certificate must be good.
"""

from __future__ import annotations

import asyncio
import smtplib
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from email.message import EmailMessage
from typing import Final, Literal
from urllib.parse import parse_qsl, unquote, urlsplit

from msgspec import Struct

from apostille_issuer.clock import Clock
from apostille_issuer.notifications.mail import (
    Letter,
    MailError,
    MailRefused,
    MailUnavailable,
    Sender,
    message_of,
)

__all__ = ["SmtpMailer", "SmtpServer", "parse_mail_url"]

_PORTS: Final = {"implicit": 465, "starttls": 587, "off": 25}
_LOOPBACK: Final = frozenset({"127.0.0.1", "::1", "localhost"})
_OPTIONS: Final = frozenset({"tls", "timeout", "ca"})
MAX_TIMEOUT_SECONDS: Final = 30
DEFAULT_TIMEOUT_SECONDS: Final = 10


class SmtpServer(Struct, frozen=True, kw_only=True):
    """A mail server, and how to speak to it."""

    host: str
    port: int
    tls: Literal["implicit", "starttls", "off"]
    user: str | None = None
    password: str | None = None
    timeout_seconds: float = DEFAULT_TIMEOUT_SECONDS
    ca: str | None = None
    """File with the certificates to trust; the system's by default."""

    def __repr__(self) -> str:
        """Show no password in any log."""
        return f"SmtpServer(host={self.host!r}, port={self.port}, tls={self.tls!r})"


def parse_mail_url(url: str) -> SmtpServer:
    """Return the mail server that *url* names.

    Raises:
        ValueError: It names none, or would send a password in the clear. The
            message quotes nothing of it.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        raise ValueError("must be a URL") from None
    if parts.scheme not in ("smtp", "smtps") or not host or port == 0:
        raise ValueError("must be a URL such as smtp://user:password@mail.example.com:587")
    if parts.path.strip("/") or parts.fragment or not options.keys() <= _OPTIONS:
        raise ValueError("knows the options tls=off, timeout and ca, and no path")
    if options.get("tls", "off") != "off" or (parts.scheme == "smtps" and "tls" in options):
        raise ValueError("knows no other value of tls than off, and not for smtps")
    if (parts.username is None) != (parts.password is None):
        raise ValueError("must have both a user and a password, or neither")
    tls: Literal["implicit", "starttls", "off"] = "starttls"
    if parts.scheme == "smtps":
        tls = "implicit"
    elif "tls" in options or (host in _LOOPBACK and parts.username is None):
        tls = "off"
    if tls == "off" and parts.username is not None:
        raise ValueError("must not send a password without TLS")
    return SmtpServer(
        host=host,
        port=port or _PORTS[tls],
        tls=tls,
        user=None if parts.username is None else unquote(parts.username),
        password=None if parts.password is None else unquote(parts.password),
        timeout_seconds=_timeout(options.get("timeout")),
        ca=options.get("ca"),
    )


def _timeout(text: str | None) -> float:
    if text is None:
        return DEFAULT_TIMEOUT_SECONDS
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MAX_TIMEOUT_SECONDS:
        raise ValueError(f"must have a timeout from 1 to {MAX_TIMEOUT_SECONDS} seconds")
    return int(text)


class SmtpMailer:
    """Hands letters to a mail server, each over a connection of its own, in a thread."""

    def __init__(self, server: SmtpServer, sender: Sender, clock: Clock) -> None:
        """Take which server; nothing is connected yet.

        Args:
            server: Which.
            sender: Whom letters come from.
            clock: Dates them.
        """
        self._server = server
        self._sender = sender
        self._clock = clock

    async def send(self, letter: Letter) -> None:
        """Hand *letter* to the server; return once it has taken it.

        Raises:
            MailUnavailable: The server is away, does not prove who it is,
                knows us not, or says "later".
            MailRefused: It says "never" to this letter.
        """
        await asyncio.to_thread(self._send, letter, self._clock())

    def _send(self, letter: Letter, now: datetime) -> None:
        message = message_of(letter, self._sender, now)
        try:
            with _connection(self._server, self._sender.host) as smtp:
                _hand_over(smtp, message, self._sender.address.addr_spec, letter.to)
                # Taken: what goes wrong from here on must not send it again.
                with suppress(OSError, smtplib.SMTPException):
                    smtp.quit()
        except (OSError, smtplib.SMTPException) as error:
            raise MailUnavailable(_reason(error)) from error


@contextmanager
def _connection(server: SmtpServer, own_name: str) -> Iterator[smtplib.SMTP]:
    """Give a connection over which we have said who we are."""
    context = ssl.create_default_context(cafile=server.ca)
    smtp: smtplib.SMTP
    if server.tls == "implicit":
        smtp = smtplib.SMTP_SSL(
            server.host,
            server.port,
            local_hostname=own_name,
            timeout=server.timeout_seconds,
            context=context,
        )
    else:
        smtp = smtplib.SMTP(
            server.host, server.port, local_hostname=own_name, timeout=server.timeout_seconds
        )
    try:
        smtp.ehlo_or_helo_if_needed()
        if server.tls == "starttls":
            smtp.starttls(context=context)
        if server.user is not None and server.password is not None:
            smtp.login(server.user, server.password)
        yield smtp
    finally:
        smtp.close()


def _hand_over(smtp: smtplib.SMTP, message: EmailMessage, sender: str, to: str) -> None:
    """Send *message*, telling what concerns it alone from what concerns us or the server."""
    try:
        smtp.send_message(message, sender, [to])
    except smtplib.SMTPNotSupportedError as error:
        raise MailRefused("the mail server takes no address that is not ASCII") from error
    except smtplib.SMTPRecipientsRefused as error:
        ((code, _),) = error.recipients.values()
        raise _refusal(code) from error
    except smtplib.SMTPDataError as error:
        raise _refusal(error.smtp_code) from error


def _refusal(code: int) -> MailError:
    """Return what the answer *code* to an address or a text means (RFC 5321 section 4.2.1)."""
    kind = MailRefused if 500 <= code <= 599 else MailUnavailable
    return kind(f"the mail server answered {code}")


def _reason(error: OSError | smtplib.SMTPException) -> str:
    """Return what went wrong without what the server said, which may quote an address."""
    if isinstance(error, smtplib.SMTPResponseException):
        return f"the mail server answered {error.smtp_code}"
    if isinstance(error, ssl.SSLError):
        return "no good TLS connection to the mail server"
    return f"the mail server cannot be spoken to ({type(error).__name__})"
