"""Where a verifier's keys come from, when not from the issuer's own address."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping
from typing import Any
from weakref import WeakMethod

from . import _fork
from ._keyring import InvalidKeySet, Keyring, read_key_set
from .errors import ConfigurationError

__all__ = ["KeySource", "StaticKeys"]


class StaticKeys:
    """Keys that are given, not fetched: for air-gapped services and for tests.

    They never age. Whoever gives them replaces them:

    .. code-block:: python

        keys = StaticKeys(Path("jwks.json").read_bytes())
        iam = Verifier("https://iam.example.com", audience="inventory", keys=keys)
        keys.replace(Path("jwks.json").read_bytes())

    One object may serve any number of verifiers, in any number of threads.

    Args:
        jwks: A JWK Set (RFC 7517 section 5): JSON, or already decoded.

    Raises:
        ConfigurationError: It is not one, or has keys but none that is usable.
    """

    __slots__ = ("__weakref__", "_keyring", "_lock", "_watchers")

    def __init__(self, jwks: Mapping[str, Any] | str | bytes) -> None:
        """Read *jwks*."""
        self._keyring = _read(jwks)
        self._watchers: list[WeakMethod[Callable[[Keyring], None]]] = []
        self._lock = threading.Lock()
        _fork.register(self)

    @property
    def keyring(self) -> Keyring:
        """The usable keys at this moment, immutable."""
        return self._keyring

    def replace(self, jwks: Mapping[str, Any] | str | bytes) -> None:
        """Use *jwks* from now on; what the old keys verified is forgotten.

        When this returns, no verifier accepts a key that is not in *jwks*.

        Raises:
            ConfigurationError: As in the constructor; the old keys stay.
        """
        keyring = _read(jwks)
        with self._lock:
            self._keyring = keyring
            watchers = [(reference, reference()) for reference in self._watchers]
            self._watchers = [reference for reference, watcher in watchers if watcher is not None]
            for _, watcher in watchers:
                if watcher is not None:
                    watcher(keyring)

    def watch(self, watcher: Callable[[Keyring], None]) -> None:
        """Tell *watcher*, a bound method, the keys now and at every replacement.

        It is held weakly: a verifier that is gone needs no farewell.
        """
        with self._lock:
            self._watchers.append(WeakMethod(watcher))
            watcher(self._keyring)

    def __repr__(self) -> str:
        return f"StaticKeys(keys={len(self._keyring)})"

    def after_fork(self) -> None:
        """Drop a lock that no thread of this process will release."""
        self._lock = threading.Lock()


KeySource = StaticKeys
"""What ``keys=`` takes. Without it, keys are found through the issuer's metadata."""


def _read(jwks: Mapping[str, Any] | str | bytes) -> Keyring:
    try:
        if isinstance(jwks, bytes):
            document = jwks
        else:
            text = jwks if isinstance(jwks, str) else json.dumps(dict(jwks))
            document = text.encode()
        keyring = read_key_set(document)
    except (InvalidKeySet, TypeError, ValueError) as error:
        raise ConfigurationError(f"jwks is no JWK Set: {error}") from error
    if keyring.faults and not keyring.keys:
        raise ConfigurationError(f"none of the keys is usable: {'; '.join(keyring.faults)}")
    return keyring
