"""Status lists and the tokens that carry them: what is believed, and what is not."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest

from apostille._inquiry import FetchFailed
from apostille._keyring import Keyring, read_key_set
from apostille._signing import SigningKey, b64url
from apostille._status import MAX_LIST_BYTES, SignedStatusList, StatusList, StatusListPolicy, unpack
from apostille.errors import UnknownKey
from apostille.events import FetchFailure
from apostille_contracts.claims import ALGORITHMS
from support.minting import key_of
from support.published import published
from support.status import packed

URI = "https://issuer.test/status-lists/1"
NOW = 1_800_000_000
LEEWAY = 30
KEY = key_of("ES256")
POLICY = StatusListPolicy(URI, frozenset(ALGORITHMS), LEEWAY)


def keyring(*keys: SigningKey) -> Keyring:
    return read_key_set(json.dumps({"keys": [key.public_jwk() for key in keys]}).encode())


def sign(header: dict[str, Any] | None = None, key: SigningKey = KEY, **changes: Any) -> bytes:
    """Return a good token but for the changes; ``None`` leaves a member out."""
    head = {"typ": "statuslist+jwt", "alg": key.algorithm, "kid": key.kid, **(header or {})}
    claims = {
        "sub": URI,
        "iat": NOW,
        "exp": NOW + 3_600,
        "ttl": 10,
        "status_list": {"bits": 1, "lst": packed(b"\xb9\xa3")},
        **changes,
    }
    given = {name: value for name, value in claims.items() if value is not None}
    return key.token({n: v for n, v in head.items() if v is not None}, given).encode()


def accept(document: bytes, now: float = NOW, *keys: SigningKey) -> SignedStatusList:
    return POLICY.accept(document, keyring(*(keys or (KEY,))), now)


def refused(document: bytes, now: float = NOW, *keys: SigningKey) -> FetchFailure:
    with pytest.raises(FetchFailed) as failed:
        accept(document, now, *keys)
    assert failed.value.__cause__ is None
    return failed.value.failure


# The list.


@pytest.mark.parametrize(
    "name",
    [
        "short-1bit",
        "short-2bit",
        "appendix-1bit",
        "appendix-2bit",
        "appendix-4bit",
        "appendix-8bit",
    ],
)
def test_vectors_of_the_draft(name: str) -> None:
    (vector,) = (
        found
        for found in published("token_status_list_vectors.json")["vectors"]
        if found["name"] == name
    )
    statuses = unpack(vector["bits"], vector["lst"])
    assert len(statuses) == vector["size_entries"]
    assert len(statuses.octets) == vector["uncompressed_bytes"]
    for index, value in vector["statuses"].items():
        assert statuses.value(int(index)) == value
    others = set(range(0, len(statuses), 997)) - {int(index) for index in vector["statuses"]}
    assert {statuses.value(index) for index in others} <= {0}


def test_the_signed_example_of_the_draft() -> None:
    example = published("token_status_list_vectors.json")
    keys = read_key_set(
        json.dumps({"keys": [example["status_list_token_jwt_public_jwk"]]}).encode()
    )
    policy = StatusListPolicy("https://example.com/statuslists/1", frozenset(ALGORITHMS), 0)
    document = example["status_list_token_jwt_raw"].encode()
    held = policy.accept(document, keys, 1_686_920_170)
    assert [held.statuses.value(index) for index in range(9)] == [1, 0, 0, 1, 1, 1, 0, 1, 1]
    assert (held.ttl, held.expires) == (43_200, 2_291_720_170)


def test_an_index_past_the_end_is_no_status() -> None:
    statuses = StatusList(2, b"\xff\x00")
    assert [statuses.value(index) for index in range(8)] == [3, 3, 3, 3, 0, 0, 0, 0]
    assert repr(statuses) == "StatusList(bits=2, statuses=8)"
    for index in (8, 10**30):
        with pytest.raises(IndexError):
            statuses.value(index)


def test_a_list_of_a_mebibyte_is_unpacked_and_one_octet_more_is_not() -> None:
    assert len(unpack(8, packed(bytes(MAX_LIST_BYTES)))) == MAX_LIST_BYTES
    with pytest.raises(FetchFailed) as failed:
        unpack(8, packed(bytes(MAX_LIST_BYTES + 1)))
    assert failed.value.failure is FetchFailure.TOO_LARGE


def test_a_list_that_would_unpack_to_a_gibibyte_is_not_unpacked() -> None:
    bomb = zlib.compressobj(9)
    octets = b"".join(bomb.compress(bytes(2**20)) for _ in range(64)) + bomb.flush()
    with pytest.raises(FetchFailed) as failed:
        unpack(1, b64url(octets))
    assert failed.value.failure is FetchFailure.TOO_LARGE


@pytest.mark.parametrize(
    "lst",
    [
        "",
        "not base64",
        "é",
        b64url(b"no zlib"),
        b64url(zlib.compress(bytes(100))[:-1]),
        b64url(zlib.compress(bytes(100))[2:]),
        b64url(zlib.compress(bytes(100)) + b"more"),
        packed(bytes(100)) + "=",
    ],
)
def test_a_list_is_one_whole_zlib_stream(lst: str) -> None:
    with pytest.raises(FetchFailed) as failed:
        unpack(1, lst)
    assert failed.value.failure is FetchFailure.WRONG_CONTENT


# Its token.


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_every_algorithm_is_believed(algorithm: Any) -> None:
    key = key_of(algorithm)
    held = accept(sign(key=key), NOW, key)
    assert [held.statuses.value(index) for index in range(4)] == [1, 0, 0, 1]
    assert (held.ttl, held.expires, held.key.kid) == (10, NOW + 3_600, key.kid)


@pytest.mark.parametrize("typ", ["application/statuslist+jwt", "StatusList+JWT"])
def test_both_forms_of_the_type_are_known(typ: str) -> None:
    assert accept(sign({"typ": typ})).ttl == 10


@pytest.mark.parametrize(
    "header",
    [
        {"typ": None},
        {"typ": "JWT"},
        {"typ": "at+jwt"},
        {"alg": "none"},
        {"alg": "HS256"},
        {"kid": None},
        {"crit": ["exp"]},
        {"jwk": KEY.public_jwk()},
    ],
    ids=lambda header: next(iter(header)),  # not the key: it differs between workers
)
def test_a_header_that_is_not_a_status_lists_is_refused(header: dict[str, Any]) -> None:
    assert refused(sign(header)) is FetchFailure.WRONG_CONTENT


def test_an_access_token_is_no_status_list_and_the_other_way_round() -> None:
    assert refused(sign({"typ": "at+jwt"})) is FetchFailure.WRONG_CONTENT


def test_a_key_nobody_knows_is_told_apart() -> None:
    with pytest.raises(UnknownKey):
        accept(sign(key=key_of("ES256", "another")))


def test_another_keys_signature_or_algorithm_is_not_trusted() -> None:
    stranger = key_of("ES256", "another")
    assert refused(sign({"kid": KEY.kid}, stranger)) is FetchFailure.UNTRUSTED
    edwards = key_of("EdDSA")
    assert refused(sign({"kid": KEY.kid}, edwards)) is FetchFailure.UNTRUSTED


def test_every_altered_part_is_refused() -> None:
    good = sign()
    for position in range(0, len(good) - 2, 7):
        other = b"A" if good[position : position + 1] != b"A" else b"B"
        altered = good[:position] + other + good[position + 1 :]
        with pytest.raises((FetchFailed, UnknownKey)):
            accept(altered)


@pytest.mark.parametrize(
    "document", [b"", b"\xff", b"a.b", b"a.b.c", b"{}", b"." * 100, sign() + b".AAAA"]
)
def test_what_is_no_compact_jws_is_refused(document: bytes) -> None:
    assert refused(document) is FetchFailure.WRONG_CONTENT


def test_white_space_around_the_token_is_no_matter() -> None:
    assert accept(b"\r\n" + sign() + b"\n").ttl == 10


def test_a_list_larger_than_an_access_token_may_be_is_read() -> None:
    random = b"".join(key_of("ES256").sign(bytes([n])) for n in range(256)) * 2
    assert len(sign(status_list={"bits": 1, "lst": packed(random)})) > 16 * 1024
    assert accept(sign(status_list={"bits": 1, "lst": packed(random)})).ttl == 10


@pytest.mark.parametrize(
    "sub", ["https://issuer.test/status-lists/2", URI + "/", URI.upper(), "", "https://a.test"]
)
def test_another_list_of_the_same_issuer_is_not_taken_for_this_one(sub: str) -> None:
    assert refused(sign(sub=sub)) is FetchFailure.UNTRUSTED


@pytest.mark.parametrize(
    "changes",
    [
        {"sub": None},
        {"sub": 1},
        {"iat": None},
        {"iat": "1800000000"},
        {"iat": True},
        {"iat": -1},
        {"exp": "never"},
        {"ttl": 0},
        {"ttl": -5},
        {"ttl": "10"},
        {"status_list": None},
        {"status_list": []},
        {"status_list": {"lst": packed(b"\x00")}},
        {"status_list": {"bits": 1}},
        {"status_list": {"bits": 3, "lst": packed(b"\x00")}},
        {"status_list": {"bits": 0, "lst": packed(b"\x00")}},
        {"status_list": {"bits": 16, "lst": packed(b"\x00")}},
        {"status_list": {"bits": True, "lst": packed(b"\x00")}},
        {"status_list": {"bits": "1", "lst": packed(b"\x00")}},
        {"status_list": {"bits": 1, "lst": 7}},
    ],
    ids=repr,
)
def test_claims_of_another_form_are_refused(changes: dict[str, Any]) -> None:
    assert refused(sign(**changes)) is FetchFailure.WRONG_CONTENT


def test_a_payload_that_is_not_text_is_refused() -> None:
    header = {"typ": "statuslist+jwt", "alg": KEY.algorithm, "kid": KEY.kid}
    for payload in (b"\xff", b"[" * 1000, b"{", b"[]"):
        assert refused(KEY.token(header, payload).encode()) is FetchFailure.WRONG_CONTENT


def test_exp_and_ttl_may_be_absent_and_other_claims_present() -> None:
    held = accept(sign(exp=None, ttl=None, iss="https://issuer.test", more={"a": [1]}))
    assert held.ttl is None
    assert held.expires == float("inf")


def test_the_moment_of_exp_is_too_late_by_the_leeway() -> None:
    for after in (0, LEEWAY - 0.001):
        assert accept(sign(), NOW + 3_600 + after).ttl == 10
    for after in (LEEWAY, 10_000):
        assert refused(sign(), NOW + 3_600 + after) is FetchFailure.EXPIRED


def test_a_list_from_the_future_is_refused_beyond_the_leeway() -> None:
    assert accept(sign(iat=NOW + LEEWAY)).ttl == 10
    assert refused(sign(iat=NOW + LEEWAY + 1)) is FetchFailure.WRONG_CONTENT
