"""Both verifiers behind one face, so that every rule is tested on threads and on tasks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from apostille import AsyncVerifier, Principal, Verifier
from apostille._supply import FetchedKeys
from apostille.events import Health

__all__ = ["Make", "TaskSubject", "ThreadSubject", "Token", "eventually"]

T = TypeVar("T")


def eventually(condition: Callable[[], object], patience_seconds: float = 20.0) -> None:
    """Wait until *condition* holds; the patience only ends a test that hangs."""
    deadline = time.monotonic() + patience_seconds
    while not condition():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.002)


def settle(verifier: Verifier | AsyncVerifier) -> None:
    """Wait until no fetch is in flight."""
    supply = verifier._supply
    if isinstance(supply, FetchedKeys):
        eventually(lambda: supply._in_flight is None)


class ThreadSubject:
    """The synchronous verifier; many callers are many threads."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.verifier: Verifier = Verifier(*args, **options)

    def verify(self, token: Any) -> Principal:
        return self.verifier.verify(token)

    def verify_all(self, tokens: list[str]) -> list[Principal | BaseException]:
        results: list[Principal | BaseException] = [RuntimeError("no result")] * len(tokens)

        def run(position: int) -> None:
            try:
                results[position] = self.verifier.verify(tokens[position])
            except Exception as error:  # noqa: BLE001 - compared by the test
                results[position] = error

        threads = [threading.Thread(target=run, args=(p,)) for p in range(len(tokens))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    def warm(self) -> None:
        self.verifier.warm()

    def health(self) -> Health:
        return self.verifier.health()

    def settle(self) -> None:
        settle(self.verifier)

    def shut(self) -> None:
        """Close the verifier."""
        self.verifier.close()

    def close(self) -> None:
        self.shut()
        self.settle()


class TaskSubject:
    """The asynchronous verifier in an event loop of its own; many callers are many tasks."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.verifier: AsyncVerifier = AsyncVerifier(*args, **options)
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(60)

    def verify(self, token: Any) -> Principal:
        return self.run(self.verifier.verify(token))

    def verify_all(self, tokens: list[str]) -> list[Principal | BaseException]:
        async def run() -> list[Principal | BaseException]:
            calls = [self.verifier.verify(token) for token in tokens]
            return await asyncio.gather(*calls, return_exceptions=True)

        return self.run(run())

    def warm(self) -> None:
        self.run(self.verifier.warm())

    def health(self) -> Health:
        return self.verifier.health()

    def settle(self) -> None:
        settle(self.verifier)

    def shut(self) -> None:
        """Close the verifier; its loop goes on."""
        self.run(self.verifier.aclose())

    def close(self) -> None:
        self.shut()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


Subject: TypeAlias = ThreadSubject | TaskSubject
Make: TypeAlias = Callable[..., Subject]
"""The fixture ``make``: constructs a verifier."""
Token: TypeAlias = Callable[..., str]
"""The fixture ``token``: mints a token."""
