"""Every golden vector about status gets the verdict it states, from the file alone."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import msgspec
import pytest

from apostille import StaticKeys, Verifier, _fetch_sync
from apostille._inquiry import Answer, Request
from apostille.clock import ManualClock
from apostille.errors import InvalidClaim, InvalidToken, StatusUnavailable
from apostille_contracts.problems import ProblemCode
from apostille_contracts.vectors import StatusVector

FILES = {
    path.stem: path
    for path in sorted(
        (Path(__file__).parents[2] / "contracts" / "vectors" / "status").glob("*.json")
    )
}

CODES = {
    ProblemCode.REVOKED_TOKEN,
    ProblemCode.STATUS_UNAVAILABLE,
    ProblemCode.INVALID_CLAIM,
    ProblemCode.EXPIRED_TOKEN,
}


def read(name: str) -> StatusVector:
    return msgspec.json.decode(FILES[name].read_bytes(), type=StatusVector)


GOOD = [name for name in FILES if read(name).expected.valid]
REFUSED = [name for name in FILES if name not in GOOD]
JUDGED = [
    name
    for name in FILES
    if read(name).expected.code in {None, ProblemCode.REVOKED_TOKEN} and read(name).status_lists
]
"""Those whose list has a say."""


@pytest.fixture
def verifier(name: str, monkeypatch: pytest.MonkeyPatch) -> Verifier:
    """A verifier as the vector called *name* wants it, and the addresses of its lists.

    They answer without a network; all else about a fetch is as ever.
    """
    vector = read(name)

    def get(_: object, asked: Request) -> Answer:
        document = vector.status_lists.get(asked.address)
        if document is None:
            return Answer(404, "", "", "", "", b"")
        return Answer(200, "application/statuslist+jwt", "", "", "", document.encode())

    monkeypatch.setattr(_fetch_sync, "_get", get)
    return Verifier(
        vector.policy.issuer,
        audience=vector.policy.audience,
        keys=StaticKeys(vector.keys),
        algorithms=vector.policy.algorithms,
        leeway=timedelta(seconds=vector.policy.leeway_seconds),
        clock=ManualClock(datetime.fromtimestamp(vector.time, UTC)),
    )


@pytest.mark.parametrize("name", GOOD)
def test_a_session_in_good_standing_is_accepted(name: str, verifier: Verifier) -> None:
    vector = read(name)
    for _ in ("first", "again"):  # the second time out of the cache
        claims = json.loads(msgspec.json.encode(verifier.verify(vector.token).claims))
        assert claims.items() >= vector.expected.claims.items()


@pytest.mark.parametrize("name", REFUSED)
def test_any_other_gets_its_one_code(name: str, verifier: Verifier) -> None:
    vector = read(name)
    for _ in ("first", "again"):
        with pytest.raises((InvalidToken, StatusUnavailable)) as caught:
            verifier.verify(vector.token)
        assert caught.value.code == vector.expected.code
        if isinstance(caught.value, InvalidClaim):
            assert caught.value.claim == vector.expected.claim


@pytest.mark.parametrize("name", REFUSED)
def test_nothing_of_token_or_list_is_repeated(name: str, verifier: Verifier) -> None:
    vector = read(name)
    with pytest.raises((InvalidToken, StatusUnavailable)) as caught:
        verifier.verify(vector.token)
    told = f"{caught.value!s} {caught.value!r}"
    for text in (vector.token, *vector.status_lists.values(), *vector.status_lists):
        for part in re.split(r"[.\s]", text):
            assert len(part) < 8 or part not in told  # shorter ones are words


@pytest.mark.parametrize("name", JUDGED)
def test_others_read_the_same_in_the_list(name: str) -> None:
    vector = read(name)
    reference = _payload(vector.token)["status"]["status_list"]
    document = vector.status_lists[reference["uri"]]
    header = jwt.get_unverified_header(document)
    key = next(key for key in vector.keys["keys"] if key["kid"] == header["kid"])
    claims = jwt.decode(
        document,
        jwt.PyJWK(key, algorithm=header["alg"]),
        algorithms=list(vector.policy.algorithms),
        # PyJWT reads the machine's clock; times are the other tests' business.
        options={"verify_exp": False, "verify_iat": False},
    )
    assert claims["sub"] == reference["uri"]
    bits = claims["status_list"]["bits"]
    octets = zlib.decompress(_octets(claims["status_list"]["lst"]))
    number = int.from_bytes(octets, "little") >> reference["idx"] * bits
    assert (number % 2**bits == 0) == vector.expected.valid


def _payload(token: str) -> Any:
    return json.loads(_octets(token.split(".")[1]))


def _octets(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("name", FILES)
def test_a_vector_is_well_formed_and_named_after_its_file(name: str) -> None:
    vector = read(name)
    assert vector.name == name
    assert vector.description.endswith(".")


def test_vectors_cover_all_widths_and_all_codes() -> None:
    for width in ("one-bit", "two-bits", "four-bits", "eight-bits"):
        assert {f"{width}-valid", f"{width}-invalid"} <= FILES.keys()
    for width in ("two-bits", "four-bits", "eight-bits"):
        assert f"{width}-suspended" in FILES
    assert {read(name).expected.code for name in REFUSED} == CODES


def test_there_are_as_many_as_promised() -> None:
    assert len(GOOD) >= 15
    assert len(REFUSED) >= 60


def test_no_two_vectors_are_the_same_question() -> None:
    questions = Counter(
        msgspec.json.encode(
            (vector.token, vector.keys, vector.policy, vector.time, vector.status_lists)
        )
        for vector in map(read, FILES)
    )
    assert max(questions.values()) == 1
