"""Letters, and what sends them.

.. code-block:: text

    MailError
    ├── MailUnavailable    not now; trying again may help
    └── MailRefused        this letter will never be taken
"""

from __future__ import annotations

from datetime import datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, parseaddr
from typing import Protocol

from msgspec import Struct

__all__ = [
    "Letter",
    "MailError",
    "MailRefused",
    "MailUnavailable",
    "Mailer",
    "Sender",
    "message_of",
    "one_line",
    "parse_sender",
    "sender_at",
]


class MailError(Exception):
    """A letter was not sent; the message says why and names no address."""


class MailUnavailable(MailError):
    """Not now: no server, no disk, a wrong password of ours. Trying again may help."""


class MailRefused(MailError):
    """The server will not take this letter, now or later."""


class Letter(Struct, frozen=True, kw_only=True):
    """A letter to one person."""

    to: str
    """An address that :func:`.addresses.parse_address` accepted."""
    subject: str
    """One line."""
    text: str
    """Plain text; lines end with ``\\n``."""
    html: str | None = None
    """The same as HTML, for who prefers that."""
    reference: str
    """Which letter this is: lower-case letters, digits and hyphens. Sent twice,
    it has the same, and so the same ``Message-ID``."""

    def __repr__(self) -> str:
        """Show neither the address nor the text, which may hold a secret."""
        return f"Letter(reference={self.reference!r})"


class Mailer(Protocol):
    """Sends letters: by SMTP, into a folder, or by whatever an operator has."""

    async def send(self, letter: Letter) -> None:
        """Hand *letter* to whoever delivers it; return once he has taken it.

        Raises:
            MailUnavailable: Not now.
            MailRefused: Never.
        """


class Sender(Struct, frozen=True):
    """Whom letters come from."""

    address: Address
    """With its display name."""
    host: str
    """The issuer's own, for message identifiers and greetings."""


def parse_sender(text: str) -> Address:
    """Return ``Name <address>``, or an address alone.

    Raises:
        ValueError: It is neither. The message quotes nothing.
    """
    name, address = parseaddr(text)
    local, _, domain = address.rpartition("@")
    complaint = "must be an address such as Acme <noreply@example.com>"
    if not local or not domain or not text.isprintable() or not address.isascii():
        raise ValueError(complaint)
    try:
        return Address(name, local, domain)
    except ValueError:  # HeaderParseError is one
        raise ValueError(complaint) from None


def sender_at(host: str, text: str | None) -> Sender:
    """Return the sender of an issuer.

    Args:
        host: Where the issuer is.
        text: What :func:`parse_sender` reads; by default ``noreply`` at *host*.
    """
    # An address cannot end in a bare IP address (RFC 5321 section 4.1.3).
    name = "localhost" if ":" in host or host.replace(".", "").isdigit() else host
    address = Address("Apostille", "noreply", name) if text is None else parse_sender(text)
    return Sender(address, name)


def message_of(letter: Letter, sender: Sender, now: datetime) -> EmailMessage:
    """Return *letter* as it goes out (RFC 5322).

    Header fields are made by :mod:`email`, which refuses line breaks in them,
    and encodes what is not ASCII. An address that is not needs a transport
    with ``SMTPUTF8`` (RFC 6531).

    Raises:
        MailRefused: It has no proper address or subject.
    """
    message = EmailMessage(policy=SMTP)
    local, _, domain = letter.to.rpartition("@")
    try:
        message["From"] = sender.address
        message["To"] = Address(username=local, domain=domain)
        message["Subject"] = letter.subject
    except ValueError as error:  # HeaderParseError is one
        raise MailRefused("the letter cannot be addressed") from error
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{letter.reference}@{sender.host}>"
    # Nobody's absence note is to answer (RFC 3834 section 5).
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text, cte=_encoding(letter.text))
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html", cte=_encoding(letter.html))
    return message


def _encoding(text: str) -> str | None:
    """Leave ASCII as it is, so that a link in a file is not broken into pieces."""
    return "7bit" if text.isascii() else None


def one_line(text: str) -> str:
    """Return *text*, somebody's name for something, fit for a subject or a sentence."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
