"""Encryption at rest of private keys and secrets: AES-256-GCM (SP 800-38D)."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import secrets
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from apostille_issuer.problems import SettingsError, StartupError

__all__ = ["KeyEncryptionKey", "KeyEncryptionKeys"]

KEY_BYTES = 32
NONCE_BYTES = 12
_FORMAT = b"\x01"
"""First byte of everything sealed: AES-256-GCM, 96-bit random nonce before the text."""


class KeyEncryptionKey:
    """A key that the operator keeps; it encrypts all others.

    Each sealed text is bound to what it is (a key's ``kid``, a secret's name
    and version), so rows of the database cannot be swapped for one another.
    A random nonce is safe for 2^32 texts; here there are a few a month.
    """

    def __init__(self, key: bytes) -> None:
        """Take the 32 bytes."""
        self._cipher = AESGCM(key)
        self.id = hashlib.sha256(b"apostille key-encryption key\0" + key).hexdigest()[:16]
        """Says which key sealed a text; says nothing about the key."""

    @classmethod
    def from_text(cls, text: str) -> KeyEncryptionKey:
        """Read a key as settings and files hold it.

        Args:
            text: 32 bytes in base64 or base64url, padded or not.

        Raises:
            SettingsError: It is something else; the message does not quote it.
        """
        try:
            compact = text.strip().rstrip("=").translate(str.maketrans("+/", "-_"))
            key = base64.b64decode(compact + "=" * (-len(compact) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            key = b""
        if len(key) != KEY_BYTES:
            raise SettingsError("the key-encryption key must be 32 bytes in base64")
        return cls(key)

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt *plain*, bound to *purpose*."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return _FORMAT + nonce + self._cipher.encrypt(nonce, plain, _FORMAT + purpose.encode())

    def open(self, sealed: bytes, purpose: str) -> bytes:
        """Return what was sealed for *purpose*.

        Raises:
            StartupError: Another key sealed it, it was altered, or it was
                sealed for something else.
        """
        nonce, text = sealed[1 : 1 + NONCE_BYTES], sealed[1 + NONCE_BYTES :]
        try:
            return self._cipher.decrypt(nonce, text, sealed[:1] + purpose.encode())
        except (InvalidTag, ValueError) as error:
            raise _undecryptable(purpose) from error


class KeyEncryptionKeys:
    """The key that encrypts from now on, and those before it, which still decrypt.

    What is sealed names its key, so that one can be replaced while others are
    in use: give every process the new one among the previous, then make it
    the current one everywhere, then seal everything anew.
    """

    def __init__(
        self, current: KeyEncryptionKey, previous: Iterable[KeyEncryptionKey] = ()
    ) -> None:
        """Take the current key and those that it replaced."""
        self.current = current
        self._by_id = {key.id: key for key in (*previous, current)}

    @classmethod
    def from_texts(cls, current: str, previous: Iterable[str] = ()) -> KeyEncryptionKeys:
        """Read keys as settings hold them.

        Raises:
            SettingsError: One is something else.
        """
        return cls(
            KeyEncryptionKey.from_text(current),
            [KeyEncryptionKey.from_text(text) for text in previous],
        )

    @classmethod
    def from_file(cls, path: Path, previous: Iterable[str] = ()) -> KeyEncryptionKeys:
        """Read the keys of the embedded default, making one if there is none.

        One key a line, the current one first. The file is made with mode
        0600. Of several processes that start at once, one makes it and all
        read the same.

        Args:
            path: Of the file.
            previous: More keys that still decrypt.

        Raises:
            StartupError: It cannot be read or made, or everybody on the
                machine can read it.
            SettingsError: It holds something else.
        """
        try:
            if not path.exists():
                _make_file(path)
            # The group may: volumes are given to a process by way of its group.
            if os.name == "posix" and path.stat().st_mode & stat.S_IRWXO:
                raise StartupError(f"everybody on this machine can use {path}: run chmod o= {path}")
            current, *others = path.read_text("ascii").split() or [""]
        except OSError as error:
            raise StartupError(f"cannot use {path}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise SettingsError("the key-encryption key must be 32 bytes in base64") from None
        return cls.from_texts(current, [*others, *previous])

    def seal(self, plain: bytes, purpose: str) -> bytes:
        """Encrypt *plain*, bound to *purpose*, with the current key."""
        return self.current.seal(plain, purpose)

    def open(self, sealed: bytes, purpose: str, *, key_id: str) -> bytes:
        """Return what the key *key_id* sealed for *purpose*.

        Raises:
            StartupError: That key is not among these, or as
                :meth:`KeyEncryptionKey.open`.
        """
        key = self._by_id.get(key_id)
        if key is None:
            raise _undecryptable(purpose)
        return key.open(sealed, purpose)


def _undecryptable(purpose: str) -> StartupError:
    return StartupError(
        f"the {purpose} in the database cannot be decrypted: "
        "the key-encryption key is not the one it was encrypted with"
    )


def _make_file(path: Path) -> None:
    """Write a fresh key beside *path* and link it there, whole or not at all."""
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(base64.urlsafe_b64encode(secrets.token_bytes(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):  # another process was first; its key is the key
            os.link(draft, path)
    finally:
        draft.unlink()
