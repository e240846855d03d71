"""The key-encryption key: its forms, and what its seal protects."""

from __future__ import annotations

import base64
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apostille_issuer.keys.encryption import KeyEncryptionKey, KeyEncryptionKeys
from apostille_issuer.problems import SettingsError, StartupError

KEY = bytes(range(200, 232))


@given(st.binary(max_size=200), st.text(max_size=40))
def test_what_is_sealed_opens_for_the_same_purpose(plain: bytes, purpose: str) -> None:
    key = KeyEncryptionKey(KEY)
    sealed = key.seal(plain, purpose)
    assert key.open(sealed, purpose) == plain
    assert key.seal(plain, purpose) != sealed


def test_a_seal_is_bound_to_its_purpose() -> None:
    key = KeyEncryptionKey(KEY)
    sealed = key.seal(b"secret", "signing key a")
    with pytest.raises(StartupError):
        key.open(sealed, "signing key b")


@pytest.mark.parametrize("position", [0, 1, 12, 13, 20, -1])
def test_one_changed_bit_is_noticed(position: int) -> None:
    key = KeyEncryptionKey(KEY)
    sealed = bytearray(key.seal(b"secret", "p"))
    sealed[position] ^= 1
    with pytest.raises(StartupError):
        key.open(bytes(sealed), "p")


@pytest.mark.parametrize("length", [0, 1, 12, 13, 28])
def test_a_cut_seal_is_noticed(length: int) -> None:
    key = KeyEncryptionKey(KEY)
    with pytest.raises(StartupError):
        key.open(key.seal(b"secret", "p")[:length], "p")


@pytest.mark.parametrize(
    "text",
    [
        base64.b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode(),
        base64.urlsafe_b64encode(KEY).decode().rstrip("="),
        f"  {base64.b64encode(KEY).decode()}\n",
    ],
)
def test_a_key_is_base64_of_either_alphabet(text: str) -> None:
    assert KeyEncryptionKey.from_text(text).id == KeyEncryptionKey(KEY).id


@pytest.mark.parametrize(
    "text", ["", "hunter2", "A" * 42, "A" * 44, "é" * 43, "A" * 20 + "!" + "A" * 22, KEY.hex()]
)
def test_anything_else_is_refused_without_being_quoted(text: str) -> None:
    with pytest.raises(SettingsError) as refused:
        KeyEncryptionKey.from_text(text)
    assert str(refused.value) == "the key-encryption key must be 32 bytes in base64"


def test_a_file_that_holds_something_else_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"hunter2\n", b"\xff" * 43):
        path = tmp_path / "key"
        path.touch(0o600)
        path.write_bytes(content)
        with pytest.raises(SettingsError):
            KeyEncryptionKeys.from_file(path)


def test_a_file_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "key"
    with pytest.raises(StartupError) as refused:
        KeyEncryptionKeys.from_file(path)
    assert str(refused.value) == f"cannot use {path}: No such file or directory"


@pytest.mark.parametrize("mode", [0o644, 0o602])
def test_a_file_that_everybody_can_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    KeyEncryptionKeys.from_file(path)
    path.chmod(mode)
    with pytest.raises(StartupError) as refused:
        KeyEncryptionKeys.from_file(path)
    assert str(refused.value) == f"everybody on this machine can use {path}: run chmod o= {path}"
    path.chmod(0o600)
    KeyEncryptionKeys.from_file(path)


def test_processes_that_start_at_once_read_the_same_key(tmp_path: Path) -> None:
    seen: list[str] = []
    barrier = threading.Barrier(8)

    def start() -> None:
        barrier.wait()
        seen.append(KeyEncryptionKeys.from_file(tmp_path / "key").current.id)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len(set(seen)) == 1


def test_the_identifier_of_a_key_says_nothing_about_it() -> None:
    assert KeyEncryptionKey(KEY).id != KeyEncryptionKey(bytes(32)).id
    assert len(KeyEncryptionKey(KEY).id) == 16


OLD, NEW = KeyEncryptionKey(KEY), KeyEncryptionKey(bytes(32))
TEXTS = [base64.b64encode(key).decode() for key in (bytes(32), KEY)]


def test_the_current_key_seals_and_its_predecessors_still_open() -> None:
    keys = KeyEncryptionKeys(NEW, [OLD])
    assert keys.open(OLD.seal(b"secret", "p"), "p", key_id=OLD.id) == b"secret"
    assert NEW.open(keys.seal(b"secret", "p"), "p") == b"secret"


def test_a_key_that_is_not_among_them_is_one_clear_line() -> None:
    with pytest.raises(StartupError, match="the key-encryption key is not the one"):
        KeyEncryptionKeys(NEW).open(OLD.seal(b"secret", "p"), "p", key_id=OLD.id)


def test_keys_are_read_from_settings() -> None:
    keys = KeyEncryptionKeys.from_texts(TEXTS[0], TEXTS[1:])
    assert keys.current.id == NEW.id
    assert keys.open(OLD.seal(b"secret", "p"), "p", key_id=OLD.id) == b"secret"
    with pytest.raises(SettingsError):
        KeyEncryptionKeys.from_texts(TEXTS[0], ["hunter2"])


def test_a_file_may_hold_predecessors_below_the_current_key(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.touch(0o640)
    path.write_text("\n".join(TEXTS) + "\n")
    keys = KeyEncryptionKeys.from_file(path)
    assert keys.current.id == NEW.id
    assert keys.open(OLD.seal(b"secret", "p"), "p", key_id=OLD.id) == b"secret"
