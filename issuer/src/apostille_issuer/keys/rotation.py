"""Changes to signing keys, each one transaction under the lock of all keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

from apostille_contracts.claims import Algorithm
from apostille_contracts.events import EventTag
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import SCHEDULED, RequestContext
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.models import SigningKey
from apostille_issuer.keys.pairs import KeyPair, KeySource
from apostille_issuer.keys.schedule import (
    KeySchedule,
    KeyStanding,
    KeyState,
    Step,
    Wanted,
    after,
    due,
    rotation,
    wanted,
    withdrawal,
)
from apostille_issuer.keys.store import (
    add_key,
    lock_keys,
    standings_in,
    take_step,
)
from apostille_issuer.problems import IssuerProblem

__all__ = ["KeyRotation"]

Decide = Callable[[Sequence[KeyStanding], datetime], list[Step]]
"""Says what is to be done to the keys there are."""


class KeyRotation:
    """Moves keys on, makes new ones, and records it."""

    def __init__(  # noqa: PLR0913 - what the service hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        source: KeySource,
        encryption: KeyEncryptionKeys,
        algorithms: tuple[Algorithm, ...],
        schedule: KeySchedule,
    ) -> None:
        """Take what keys are made with, and when."""
        self._database = database
        self._clock = clock
        self._audit = audit
        self._source = source
        self._encryption = encryption
        self._algorithms = algorithms
        self._schedule = schedule

    def anything_due(self, keys: Sequence[KeyStanding]) -> bool:
        """Say whether :meth:`settle` would change anything if these are all the keys."""
        now = self._clock()
        return bool(
            due(keys, self._algorithms, now, self._schedule)
            or wanted(keys, self._algorithms, now, self._schedule)
        )

    async def settle(self, context: RequestContext = SCHEDULED) -> None:
        """Do what time has brought, and make what is missing.

        Any number of processes may do this at once: what one committed, the
        next one finds done.
        """
        # The first key of all comes without a successor: then once more.
        while await self._change(self._due, context):
            pass

    async def rotate(self, algorithm: Algorithm, context: RequestContext) -> str:
        """Let the successor of *algorithm*'s key take over as soon as it may.

        Returns:
            The ``kid`` of the key that signs now, or at the time it has.

        Raises:
            IssuerProblem: ``validation_failed``: no keys of that algorithm
                are kept.
        """
        successor = ""

        def decide(keys: Sequence[KeyStanding], now: datetime) -> list[Step]:
            nonlocal successor
            waiting = KeyState.NEXT
            own = [key for key in keys if key.algorithm == algorithm and key.state is waiting]
            successor = own[0].kid if own else ""
            return rotation(keys, algorithm, now, self._schedule)

        if algorithm not in self._algorithms:
            raise IssuerProblem.invalid_field("algorithm", "one that the issuer is set to use")
        await self.settle()
        await self._change(decide, context)
        await self.settle()
        return successor

    async def withdraw(self, kid: str, context: RequestContext) -> None:
        """Take the key *kid* out of the key set at once; one that is retired already stays so.

        Raises:
            IssuerProblem: ``not_found``.
        """
        async with self._database.read() as session:
            if await session.get(SigningKey, kid) is None:
                raise IssuerProblem(ProblemCode.NOT_FOUND)

        def decide(keys: Sequence[KeyStanding], now: datetime) -> list[Step]:
            known = any(key.kid == kid for key in keys)
            return withdrawal(keys, kid, now, self._schedule) if known else []

        await self._change(decide, context, withdrawn=kid)
        await self.settle()

    def _due(self, keys: Sequence[KeyStanding], now: datetime) -> list[Step]:
        return due(keys, self._algorithms, now, self._schedule)

    async def _change(
        self, decide: Decide, context: RequestContext, *, withdrawn: str | None = None
    ) -> bool:
        """Do what *decide* says, make the keys that are missing then, and record both.

        Key pairs are made outside the transaction: one that finds it lacks
        some writes nothing, and is tried again with them.

        Returns:
            Whether anything changed.
        """
        pairs: dict[Algorithm, KeyPair] = {}
        while True:
            async with self._database.begin() as session:
                await lock_keys(session)
                now = self._clock()
                keys = await standings_in(session)
                steps = decide(keys, now)
                missing = wanted(after(keys, steps), self._algorithms, now, self._schedule)
                lacking = [want.algorithm for want in missing if want.algorithm not in pairs]
                if not lacking:
                    for step in steps:
                        await take_step(session, step)
                        self._record_step(session, step, context, withdrawn)
                    for want in missing:
                        self._add(session, pairs[want.algorithm], want, context)
                    return bool(steps or missing)
            for algorithm in lacking:
                pairs[algorithm] = await self._source.make(algorithm)

    def _add(
        self, session: AsyncSession, pair: KeyPair, want: Wanted, context: RequestContext
    ) -> None:
        row = add_key(session, pair, want, self._encryption, self._clock())
        self._audit.record(
            session,
            EventTag.KEY_CREATED,
            context=context,
            target=_key_target(row.kid),
            after={"state": row.state, "activates_at": row.activates_at},
        )

    def _record_step(
        self, session: AsyncSession, step: Step, context: RequestContext, withdrawn: str | None
    ) -> None:
        match step.after:
            case KeyState.RETIRED:
                tag = EventTag.KEY_WITHDRAWN if step.kid == withdrawn else EventTag.KEY_RETIRED
            case KeyState.NEXT | KeyState.ACTIVE:
                tag = EventTag.KEY_ROTATED
            case KeyState.RETIRING:
                return  # its successor's event says it
        target = _key_target(step.kid)
        self._audit.record(session, tag, context=context, target=target, after=_details(step))


def _details(step: Step) -> dict[str, object]:
    details: dict[str, object] = {"state": step.after.value}
    if step.activates_at is not None:
        details["activates_at"] = step.activates_at
    return details


def _key_target(kid: str) -> str:
    return f"key:{kid}"
