"""Where the issuer keeps things: the data folder of the embedded default, or PostgreSQL."""

from __future__ import annotations

import os
from pathlib import Path

from sqlalchemy import URL

from apostille_issuer.db.engine import async_url
from apostille_issuer.keys.encryption import KeyEncryptionKeys
from apostille_issuer.problems import StartupError
from apostille_issuer.settings import Settings

__all__ = ["database_url", "key_encryption_keys", "prepare_data_folder"]

DATABASE_FILE = "apostille.sqlite3"
KEY_FILE = "key-encryption.key"


def database_url(settings: Settings) -> URL:
    """Return where the database is; touches nothing."""
    if settings.database_url is not None:
        return async_url(settings.database_url)
    return async_url(URL.create("sqlite", database=str(settings.data / DATABASE_FILE)))


def prepare_data_folder(settings: Settings) -> None:
    """Make the data folder (0700) and the database file (0600), if they are used.

    SQLite gives its other files the mode of the first. What exists is left as
    it is, but must be writable.

    Raises:
        StartupError: It cannot be made or written.
    """
    if settings.database_url is not None:
        return
    folder = settings.data
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(folder / DATABASE_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        os.close(file)
        _require_new_files(folder)
    except OSError as error:
        raise StartupError(f"cannot write in the data folder {folder}: {error.strerror}") from error


def key_encryption_keys(settings: Settings) -> KeyEncryptionKeys:
    """Return the keys that the operator keeps, one made now for a new data folder.

    Raises:
        StartupError: The file cannot be read or made.
        SettingsError: It holds, or a setting is, no key.
    """
    previous = settings.previous_key_encryption_keys
    if settings.key_encryption_key is not None:
        return KeyEncryptionKeys.from_texts(settings.key_encryption_key, previous)
    return KeyEncryptionKeys.from_file(settings.data / KEY_FILE, previous)


def _require_new_files(folder: Path) -> None:
    """SQLite makes files beside the database; find out now whether it can."""
    probe = folder / f".probe-{os.getpid()}"
    os.close(os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))
    probe.unlink()
