"""The issuer's keys: made, rotated and retired by themselves, used from memory."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

from msgspec import Struct

from apostille.keys import StaticKeys
from apostille_contracts.claims import ACCESS_TOKEN_TYPE, Algorithm
from apostille_contracts.problems import ProblemCode
from apostille_issuer.audit.service import AuditTrail
from apostille_issuer.clock import Clock
from apostille_issuer.db.engine import Database
from apostille_issuer.http.context import COMMAND_LINE, SCHEDULED, RequestContext
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.keys.pairs import KeySource, LocalKeys
from apostille_issuer.keys.refresh_secrets import RefreshSecrets
from apostille_issuer.keys.ring import Ring, RingReader
from apostille_issuer.keys.rotation import KeyRotation
from apostille_issuer.keys.schedule import KeySchedule
from apostille_issuer.keys.signers import TokenSigner, TokenType
from apostille_issuer.problems import IssuerProblem, StartupError

__all__ = ["KeyService", "Tools"]

logger = logging.getLogger("apostille_issuer.keys")


class Tools(Struct, frozen=True):
    """What works on keys; there once it is known what encrypts them."""

    encryption: KeyEncryptionKeys
    reader: RingReader
    rotation: KeyRotation
    secrets: RefreshSecrets


class KeyService:
    """Signs tokens, authenticates refresh tokens, publishes the public keys.

    Everything per request is answered from one snapshot in memory, which
    follows what any process changes within :attr:`check_interval`.
    """

    def __init__(  # noqa: PLR0913 - what the composition root hands over, by name
        self,
        database: Database,
        clock: Clock,
        audit: AuditTrail,
        *,
        algorithm: Algorithm,
        standby: tuple[Algorithm, ...] = (),
        schedule: KeySchedule,
        check_interval: timedelta = timedelta(seconds=2),
        source: KeySource | None = None,
    ) -> None:
        """Take what is needed; :meth:`start` reads or makes the keys.

        Args:
            database: Where keys are kept.
            clock: Tells when they were made, and when they are due.
            audit: Where changes are recorded.
            algorithm: Of the key that signs.
            standby: Further algorithms whose keys are kept and published.
            schedule: How long keys sign and are published.
            check_interval: How often :meth:`tended` looks what others changed.
            source: Makes key pairs and signers; default: in this process.
        """
        self._database = database
        self._clock = clock
        self._audit = audit
        self.algorithm: Algorithm = algorithm
        """Of the key that signs."""
        self._algorithms = tuple(dict.fromkeys((algorithm, *standby)))
        self._schedule = schedule
        self.check_interval = check_interval
        self._source = source or LocalKeys()
        self._tools: Tools | None = None
        self._ring: Ring | None = None
        self._signer: TokenSigner | None = None
        self._reading = asyncio.Lock()
        self._read_at = float("-inf")
        self.static_keys = StaticKeys({"keys": []})
        """The public keys, for a verifier in this process."""

    # Life of the process.

    async def start(self, encryption: KeyEncryptionKeys) -> None:
        """Load the keys, making the first ones if there are none.

        Replicas that start at once agree: what one committed first, all use.
        What else is due waits for :meth:`tend`.

        Args:
            encryption: The keys that encrypt all others.

        Raises:
            StartupError: Something was encrypted with a key-encryption key
                that is not among them.
            IssuerProblem: ``database_unavailable``.
        """
        self._tools = self._make_tools(encryption)
        ring = await self.refresh()
        if ring.faults:
            raise StartupError(ring.faults[0])
        if not ring.signers or not ring.macs:
            await self._settle(COMMAND_LINE)

    @property
    def started(self) -> bool:
        """Whether there is a key to sign with, for readiness."""
        return self._signer is not None

    @asynccontextmanager
    async def tended(self) -> AsyncIterator[None]:
        """Follow other processes, and rotate on schedule, while the block runs."""
        stop = asyncio.Event()
        task = asyncio.create_task(self._tend_until(stop), name="tending keys")
        try:
            yield
        finally:
            stop.set()  # not cancelled: what is being written is written to its end
            await task

    async def tend(self) -> None:
        """Take over what other processes changed, and do what time has brought.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        known = self._ring.faults if self._ring else ()
        ring = await self.refresh()
        for fault in ring.faults:
            if fault not in known:
                logger.error("%s", fault)
        await self._settle(SCHEDULED)

    async def refresh(self) -> Ring:
        """Read the keys anew, and return what is known now.

        Raises:
            IssuerProblem: ``database_unavailable``.
        """
        tools = self.tools
        async with self._reading:  # so that what was read first is not what stays
            return await self._read(tools.reader)

    async def catch_up(self) -> None:
        """Know what was in the database when this was called, or later.

        Any number of callers at once come to two looks at most.

        Raises:
            IssuerProblem: ``database_unavailable``; ``keys_unavailable`` before
                :meth:`start`.
        """
        tools, called_at = self.tools, time.monotonic()
        async with self._reading:
            if self._read_at <= called_at:  # and not while we waited
                await self._read(tools.reader)

    async def _read(self, reader: RingReader) -> Ring:
        began = time.monotonic()
        ring = await reader.read(self._ring, self._clock())
        if self._ring is None or ring.jwks is not self._ring.jwks:
            self.static_keys.replace(ring.jwks)
        self._ring, self._read_at = ring, began
        self._signer = ring.signers.get(self.algorithm) or _any(ring)
        return ring

    @property
    def spread(self) -> timedelta:
        """What one process changed, every process knows this much later."""
        return self._schedule.spread

    @property
    def ring(self) -> Ring:
        """What is known of the keys at this moment.

        Raises:
            IssuerProblem: ``keys_unavailable`` before :meth:`start`.
        """
        if self._ring is None:
            raise _unavailable()
        return self._ring

    @property
    def tools(self) -> Tools:
        """What works on keys, for :class:`.KeyAdministration`.

        Raises:
            IssuerProblem: ``keys_unavailable`` before :meth:`start`.
        """
        if self._tools is None:
            raise _unavailable()
        return self._tools

    # What is done with keys.

    def jwks(self) -> bytes:
        """Return the public key set as JSON (RFC 7517 section 5).

        The same object until the keys change.

        Raises:
            IssuerProblem: ``keys_unavailable`` before :meth:`start`.
        """
        return self.ring.jwks

    async def sign(
        self,
        payload: bytes,
        *,
        typ: TokenType = ACCESS_TOKEN_TYPE,
        algorithm: Algorithm | None = None,
    ) -> str:
        """Return *payload*, JSON claims, as a signed token (compact JWS).

        Asynchronous so that a key kept elsewhere can sign too; the local one
        takes 35 µs (ES256) on the event loop.

        Args:
            payload: The claims, encoded.
            typ: What the token is, in its header.
            algorithm: A standby algorithm; default: the one that signs.

        Raises:
            IssuerProblem: ``keys_unavailable`` where there is no such key, as
                before :meth:`start`.
        """
        signer = self._signer if algorithm is None else self.ring.signers.get(algorithm)
        if signer is None:
            raise _unavailable()
        return await signer.sign(payload, typ)

    @property
    def signing_kid(self) -> str:
        """The ``kid`` that :meth:`sign` puts into tokens at this moment.

        Raises:
            IssuerProblem: ``keys_unavailable`` before :meth:`start`.
        """
        if self._signer is None:
            raise _unavailable()
        return self._signer.kid

    def refresh_macs(self, message: bytes) -> tuple[bytes, ...]:
        """Return HMAC-SHA256 of *message*, 32 bytes, under each refresh secret that is accepted.

        The first makes new tokens. Compare with :func:`hmac.compare_digest`.

        Raises:
            IssuerProblem: ``keys_unavailable`` before :meth:`start`.
        """
        macs = self.ring.macs
        if not macs:
            raise _unavailable()
        return tuple([hmac.digest(secret, message, "sha256") for secret in macs])

    # Inside.

    def _make_tools(self, encryption: KeyEncryptionKeys) -> Tools:
        return Tools(
            encryption,
            RingReader(
                self._database, source=self._source, encryption=encryption, schedule=self._schedule
            ),
            KeyRotation(
                self._database,
                self._clock,
                self._audit,
                source=self._source,
                encryption=encryption,
                algorithms=self._algorithms,
                schedule=self._schedule,
            ),
            RefreshSecrets(
                self._database,
                self._clock,
                self._audit,
                encryption=encryption,
                schedule=self._schedule,
            ),
        )

    async def _settle(self, context: RequestContext) -> None:
        """Do what is due as far as the present ring tells; the database is asked only then."""
        tools, ring = self.tools, self.ring
        changed = False
        if tools.rotation.anything_due(ring.keys):
            await tools.rotation.settle(context)
            changed = True
        if tools.secrets.anything_due(ring.secrets):
            await tools.secrets.settle(context)
            changed = True
        if changed:
            await self.refresh()

    async def _tend_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            try:
                await self.tend()
            except IssuerProblem as problem:
                logger.warning("cannot look after the keys: %s", problem)
            except Exception:
                # Nothing may end this task before its time: the keys would never change again.
                logger.exception("looking after the keys failed")
            await _happens(stop, within=self.check_interval)


async def _happens(event: asyncio.Event, *, within: timedelta) -> None:
    """Return when *event* happens, or the time is over."""
    with suppress(TimeoutError):
        async with asyncio.timeout(within.total_seconds()):
            await event.wait()


def _any(ring: Ring) -> TokenSigner | None:
    """Return some signer: of the algorithm used before, while the new one's key waits."""
    return next(iter(ring.signers.values()), None)


def _unavailable() -> IssuerProblem:
    return IssuerProblem(ProblemCode.KEYS_UNAVAILABLE, retry_after=1)
