"""The embedded default: letters are files in a folder, for the operator to read."""

from __future__ import annotations

import asyncio
import logging
import os
from contextlib import suppress
from datetime import datetime
from email.policy import SMTP, SMTPUTF8
from pathlib import Path
from typing import Final

from apostille_issuer.clock import Clock
from apostille_issuer.notifications.mail import Letter, MailUnavailable, Sender, message_of

__all__ = ["MAX_LETTERS", "FolderMailer"]

MAX_LETTERS: Final = 1_000
"""Letters kept; the oldest go first."""

logger = logging.getLogger("apostille_issuer.mail")


class FolderMailer:
    """Writes letters as ``.eml`` files, which mail programs open.

    A letter may hold the token that makes somebody a member: files have mode
    0600, the folder 0700.
    """

    def __init__(
        self, folder: Path, sender: Sender, clock: Clock, *, most: int = MAX_LETTERS
    ) -> None:
        """Take where to write; the folder is made with the first letter.

        Args:
            folder: Holds nothing but letters.
            sender: Whom they come from.
            clock: Dates them.
            most: How many are kept.
        """
        self._folder = folder
        self._sender = sender
        self._clock = clock
        self._most = most

    async def send(self, letter: Letter) -> None:
        """Write *letter*, and say in the log where.

        Raises:
            MailUnavailable: The folder cannot be written.
            MailRefused: It is no letter.
        """
        path = await asyncio.to_thread(self._write, letter, self._clock())
        logger.info("wrote a letter to %s: no mail server is set (APOSTILLE_MAIL_URL)", path)

    def _write(self, letter: Letter, now: datetime) -> Path:
        message = message_of(letter, self._sender, now)
        content = message.as_bytes(policy=SMTP if letter.to.isascii() else SMTPUTF8)
        path = self._folder / f"{letter.reference}.eml"
        # Whole or not at all: nobody opens half a letter.
        draft = path.with_suffix(".part")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
            with os.fdopen(os.open(draft, flags, 0o600), "wb") as file:
                file.write(content)
            draft.replace(path)
            self._make_room()
        except OSError as error:
            raise MailUnavailable(f"cannot write a letter: {error.strerror}") from error
        return path

    def _make_room(self) -> None:
        letters = list(self._folder.glob("*.eml"))
        if len(letters) > self._most:
            letters.sort(key=_written)
            for path in letters[: -self._most]:
                path.unlink(missing_ok=True)


def _written(path: Path) -> int:
    with suppress(FileNotFoundError):  # another process made room meanwhile
        return path.stat().st_mtime_ns
    return 0
