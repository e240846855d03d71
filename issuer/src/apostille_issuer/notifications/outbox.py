"""The outbox: letters are sent after the commit of what they tell about, and not lost.

In the transaction goes a row that says what the letter is about. Processes that
serve take such rows, one each, write the letters and send them. A row is taken
for :data:`LEASE`; a process that dies meanwhile leaves it to the next, so a
letter is sent once, and twice only if a process died, or could not reach the
database, between sending it and saying so.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import Any, Final, Literal, Protocol, TypeAlias, cast

from msgspec import Struct
from sqlalchemy import CursorResult, delete, event, select, update
from sqlalchemy.ext.asyncio import AsyncSession

from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.db.reach import EVERY_TENANT
from apostille_issuer.notifications.mail import Letter, Mailer, MailRefused, MailUnavailable
from apostille_issuer.notifications.models import OutgoingMail
from apostille_issuer.problems import IssuerProblem

__all__ = ["Delivery", "LetterSource", "Outbox"]

BATCH: Final = 8
"""Letters that one process sends at a time."""

LEASE: Final = timedelta(minutes=10)
"""Longer than a mail server can keep us busy with one letter."""

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(hours=4)
"""Between two attempts; each is twice as long as the one before."""

MAX_ATTEMPTS: Final = 40
"""Some five days: RFC 5321 section 4.5.4.1 wants four at least."""

POLL: Final = timedelta(seconds=5)
"""How often a process looks for letters that others queued, or that were put off."""

GRACE: Final = timedelta(seconds=5)
"""How long letters under way may take when the process ends."""

logger = logging.getLogger("apostille_issuer.mail")

Delivery: TypeAlias = Literal["sent", "failed"]
"""What became of a letter in the end."""


class LetterSource(Protocol):
    """Writes the letters of one kind, when they are sent."""

    async def letter(self, subject_id: uuid.UUID, generation: int) -> Letter | None:
        """Return the letter, or ``None`` if nobody wants it any more.

        Raises:
            IssuerProblem: It cannot be written now.
        """

    async def settled(
        self, session: AsyncSession, subject_id: uuid.UUID, generation: int, delivery: Delivery
    ) -> None:
        """Note what became of it, in a transaction over all tenants."""


class _Claim(Struct, frozen=True):
    """A letter that is ours to send."""

    id: uuid.UUID
    kind: str
    subject_id: uuid.UUID
    generation: int
    attempts: int
    """Which attempt this is; nobody else has the same."""


class Outbox:
    """Queues letters and sends them."""

    def __init__(self, database: Database, clock: Clock, mailer: Mailer) -> None:
        """Take what is needed.

        Args:
            database: Holds what is queued.
            clock: Tells what is due.
            mailer: Sends letters.
        """
        self._database = database
        self._clock = clock
        self._mailer = mailer
        self._sources: dict[str, LetterSource] = {}
        self._due = asyncio.Event()

    def register(self, kind: str, source: LetterSource) -> None:
        """Have letters of *kind*, 1 to 32 characters, written by *source*."""
        self._sources[kind] = source

    def queue(
        self, session: AsyncSession, kind: str, subject_id: uuid.UUID, generation: int = 0
    ) -> None:
        """Have a letter sent once *session* is committed, and only then.

        Args:
            session: The transaction of what the letter tells about.
            kind: Who writes it.
            subject_id: What it is about.
            generation: Which letter about it.
        """
        now = self._clock()
        session.add(
            OutgoingMail(
                kind=kind,
                subject_id=subject_id,
                generation=generation,
                attempts=0,
                created_at=now,
                due_at=now,
            )
        )
        event.listen(session.sync_session, "after_commit", self._committed)

    def _committed(self, _session: object) -> None:
        self._due.set()

    @asynccontextmanager
    async def delivering(self) -> AsyncIterator[None]:
        """Send what is due, again and again, for as long as the block runs."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._deliver_until(stop))
        try:
            yield
        finally:
            stop.set()
            self._due.set()
            # What is being sent now would be sent twice if it were cut off.
            await asyncio.wait({task}, timeout=GRACE.total_seconds())
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def _deliver_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._due.clear()
            try:
                await self.deliver(stop)
            except IssuerProblem as problem:
                logger.warning("cannot send letters: %s", problem)
            except Exception:
                # Nothing may end this task before its time: no letter would be sent again.
                logger.exception("sending letters failed")
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL.total_seconds()):
                    await self._due.wait()

    async def deliver(self, stop: asyncio.Event | None = None) -> int:
        """Try each letter that is due once, and return how many those were.

        Args:
            stop: Begin no further one once this happens.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        tried = 0
        while stop is None or not stop.is_set():
            claims = await self._claim()
            if not claims:
                break
            tried += len(claims)
            # All of them come to an end: what is cut off would be sent twice.
            sending = (self._send(claim) for claim in claims)
            for outcome in await asyncio.gather(*sending, return_exceptions=True):
                if outcome is not None:
                    raise outcome
        return tried

    async def _claim(self) -> list[_Claim]:
        """Return letters that are due, and keep everybody else from them for a while."""
        now = self._clock()
        due = (
            select(OutgoingMail)
            .where(OutgoingMail.due_at <= now, OutgoingMail.kind.in_(self._sources))
            .order_by(OutgoingMail.due_at, OutgoingMail.id)
            .limit(BATCH)
        )
        # Looking takes no lock: there is nothing most of the time.
        async with self._database.read() as session:
            if (await session.scalars(due.limit(1))).first() is None:
                return []
        async with self._database.begin() as session:
            rows = (await session.scalars(due.with_for_update(skip_locked=True))).all()
            for row in rows:
                row.attempts += 1
                row.due_at = now + LEASE
            return [
                _Claim(row.id, row.kind, row.subject_id, row.generation, row.attempts)
                for row in rows
            ]

    async def _send(self, claim: _Claim) -> None:
        """Send one letter; whatever happens to it is no reason not to send the others."""
        source = self._sources[claim.kind]
        delivery: Delivery | None = None
        try:
            letter = await source.letter(claim.subject_id, claim.generation)
            if letter is not None:
                await self._mailer.send(letter)
                delivery = "sent"
        except MailRefused as error:
            logger.warning("a letter about %s %s was refused: %s", *_named(claim), error)
            delivery = "failed"
        except (MailUnavailable, IssuerProblem) as error:
            if claim.attempts < MAX_ATTEMPTS:
                await self._put_off(claim, error)
                return
            logger.warning("gave up a letter about %s %s: %s", *_named(claim), error)
            delivery = "failed"
        except Exception:
            # Nobody knows whether waiting helps; the number of attempts is bounded.
            logger.exception("sending a letter about %s %s failed", *_named(claim))
            if claim.attempts < MAX_ATTEMPTS:
                return
            delivery = "failed"
        await self._settle(claim, source, delivery)

    async def _put_off(self, claim: _Claim, error: Exception) -> None:
        pause = min(FIRST_PAUSE * 2 ** (claim.attempts - 1), LONGEST_PAUSE)
        logger.warning("a letter about %s %s has to wait: %s", *_named(claim), error)
        async with self._database.begin() as session:
            await session.execute(
                update(OutgoingMail)
                .where(*_still(claim))
                .values(due_at=self._clock() + pause)
                .execution_options(synchronize_session=False)
            )

    async def _settle(self, claim: _Claim, source: LetterSource, delivery: Delivery | None) -> None:
        async with self._database.begin(EVERY_TENANT) as session:
            statement = delete(OutgoingMail).where(*_still(claim))
            result = await session.execute(statement.execution_options(synchronize_session=False))
            # Who had it after us says what became of it.
            if cast("CursorResult[Any]", result).rowcount and delivery is not None:
                await source.settled(session, claim.subject_id, claim.generation, delivery)


def _still(claim: _Claim) -> tuple[Any, ...]:
    return OutgoingMail.id == claim.id, OutgoingMail.attempts == claim.attempts


def _named(claim: _Claim) -> tuple[str, uuid.UUID]:
    return claim.kind, claim.subject_id
