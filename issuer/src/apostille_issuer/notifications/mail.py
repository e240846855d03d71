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
from email.utils import format_datetime
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
    message.set_content(letter.text)
    if letter.html is not None:
        message.add_alternative(letter.html, subtype="html")
    return message


def one_line(text: str) -> str:
    """Return *text*, somebody's name for something, fit for a subject or a sentence."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
