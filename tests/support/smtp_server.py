"""A mail server on loopback that takes letters, or says what a test wants it to say."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from typing import BinaryIO

from msgspec import Struct, field

__all__ = ["MailServer", "Received", "mail_server"]


class Received(Struct):
    """A letter that was handed over."""

    sender: str
    recipients: list[str]
    content: bytes
    options: str
    """What stood behind the sender's address."""
    encrypted: bool

    @property
    def message(self) -> EmailMessage:
        """The letter itself."""
        return message_from_bytes(self.content, policy=default)


class MailServer(Struct):
    """What the server does, and what it was given."""

    port: int
    replies: dict[str, str] = field(default_factory=dict)
    """What to answer to a verb instead of what is usual; empty to hang up."""
    features: tuple[str, ...] = ("SMTPUTF8", "8BITMIME")
    silent: bool = False
    """Take letters and do not say so."""
    letters: list[Received] = field(default_factory=list)
    users: list[str] = field(default_factory=list)
    """Users and passwords that were sent."""
    verbs: list[str] = field(default_factory=list)


class _Conversation:
    """One connection."""

    def __init__(
        self, server: MailServer, connection: socket.socket, context: ssl.SSLContext | None
    ) -> None:
        self._server = server
        self._connection = connection
        self._context = context
        self._file: BinaryIO = connection.makefile("rb")
        self._letter = Received("", [], b"", "", isinstance(connection, ssl.SSLSocket))

    def hold(self) -> None:
        self._say("220 mail.test")
        while line := self._file.readline():
            text = line.decode().rstrip("\r\n")
            verb = text.partition(" ")[0].upper()
            self._server.verbs.append(verb)
            said = self._server.replies.get(verb)
            if said == "":
                return
            if said is not None:
                self._say(said)
            elif not self._answer(verb, text):
                return

    def _answer(self, verb: str, text: str) -> bool:
        """Answer one line, and say whether there are more to come."""
        if verb == "EHLO":
            features = list(self._server.features)
            if self._context is not None and not self._letter.encrypted:
                features.append("STARTTLS")
            lines = ["mail.test", *features, "AUTH PLAIN"]
            for line in lines[:-1]:
                self._say(f"250-{line}")
            self._say(f"250 {lines[-1]}")
        elif verb == "STARTTLS" and self._context is not None:
            self._say("220 go ahead")
            self._file.close()
            self._connection = self._context.wrap_socket(self._connection, server_side=True)
            self._file = self._connection.makefile("rb")
            self._letter.encrypted = True
        elif verb == "AUTH":
            self._server.users.append(base64.b64decode(text.split()[2]).decode())
            self._say("235 welcome")
        elif verb == "MAIL":
            address, _, self._letter.options = text.partition(":")[2].partition(" ")
            self._letter.sender = address.strip("<>")
            self._say("250 ok")
        elif verb == "RCPT":
            self._letter.recipients.append(text.partition(":")[2].partition(" ")[0].strip("<>"))
            self._say("250 ok")
        elif verb == "DATA":
            self._say("354 go ahead")
            self._take()
        elif verb == "QUIT":
            self._say("221 bye")
            return False
        else:
            self._say("250 ok")
        return True

    def _take(self) -> None:
        lines = []
        while (line := self._file.readline()) not in (b".\r\n", b""):
            lines.append(line.removeprefix(b"."))
        if "LETTER" not in self._server.replies:
            self._letter.content = b"".join(lines)
            self._server.letters.append(self._letter)
        if not self._server.silent:
            self._say(self._server.replies.get("LETTER", "250 taken"))

    def _say(self, line: str) -> None:
        self._connection.sendall(line.encode() + b"\r\n")

    def close(self) -> None:
        self._file.close()
        self._connection.close()


@contextmanager
def mail_server(
    tls: ssl.SSLContext | None = None,
    *,
    implicit: bool = False,
    replies: Mapping[str, str] | None = None,
) -> Iterator[MailServer]:
    """Serve on loopback for as long as the block runs, one connection after the other.

    Args:
        tls: Who the server is; without, it speaks in the clear.
        implicit: Speak TLS from the start, instead of offering STARTTLS.
        replies: As of the server.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    server = MailServer(listener.getsockname()[1], dict(replies or {}))

    def serve() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with suppress(OSError):
                    if tls is not None and implicit:
                        connection = tls.wrap_socket(connection, server_side=True)
                    conversation = _Conversation(server, connection, None if implicit else tls)
                    try:
                        conversation.hold()
                    finally:
                        conversation.close()
                connection.close()

    thread = threading.Thread(target=serve, name="mail server")
    thread.start()
    try:
        yield server
    finally:
        # Wakes accept(), which closing alone does not.
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(10)
