"""Every golden vector gets the verdict it states, from the file alone."""

from __future__ import annotations

import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from apostille import StaticKeys, Verifier
from apostille.clock import ManualClock
from apostille.errors import InvalidClaim, InvalidToken
from apostille.status import UnsafeNoStatus
from apostille_contracts.claims import ALGORITHMS
from apostille_contracts.problems import ProblemCode
from apostille_contracts.vectors import Vector

VECTORS = Path(__file__).parents[2] / "contracts" / "vectors"
FILES = {
    f"{path.parent.name}/{path.stem}": path
    for folder in ("good", "hostile")
    for path in sorted((VECTORS / folder).glob("*.json"))
}
GOOD = [name for name in FILES if name.startswith("good/")]
HOSTILE = [name for name in FILES if name.startswith("hostile/")]

# What a token can be refused with by steps 1 to 6 of verification.
TOKEN_CODES = {
    ProblemCode.MALFORMED_TOKEN,
    ProblemCode.TOKEN_TOO_LARGE,
    ProblemCode.ALGORITHM_NOT_ALLOWED,
    ProblemCode.WRONG_TYPE,
    ProblemCode.UNKNOWN_KEY,
    ProblemCode.BAD_SIGNATURE,
    ProblemCode.EXPIRED_TOKEN,
    ProblemCode.NOT_YET_VALID,
    ProblemCode.WRONG_ISSUER,
    ProblemCode.WRONG_AUDIENCE,
    ProblemCode.INVALID_CLAIM,
}


def read(name: str) -> Vector:
    return msgspec.json.decode(FILES[name].read_bytes(), type=Vector)


def verifier_of(vector: Vector) -> Verifier:
    return Verifier(
        vector.policy.issuer,
        audience=vector.policy.audience,
        keys=StaticKeys(vector.keys),
        status=UnsafeNoStatus(),
        algorithms=vector.policy.algorithms,
        leeway=timedelta(seconds=vector.policy.leeway_seconds),
        clock=ManualClock(datetime.fromtimestamp(vector.time, UTC)),
    )


@pytest.mark.parametrize("name", GOOD)
def test_a_good_token_is_accepted_with_its_claims(name: str) -> None:
    vector = read(name)
    verifier = verifier_of(vector)
    for _ in ("first", "again"):  # the second time out of the cache
        claims = json.loads(msgspec.json.encode(verifier.verify(vector.token).claims))
        for claim, value in vector.expected.claims.items():
            # What the contract leaves out by default reads as empty.
            assert claims.get(claim, type(value)()) == value, claim


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_token_gets_its_one_code(name: str) -> None:
    vector = read(name)
    verifier = verifier_of(vector)
    for _ in ("first", "again"):
        with pytest.raises(InvalidToken) as caught:
            verifier.verify(vector.token)
        assert caught.value.code == vector.expected.code
        if isinstance(caught.value, InvalidClaim):
            assert caught.value.claim == vector.expected.claim


@pytest.mark.parametrize("name", HOSTILE)
def test_nothing_of_a_hostile_token_is_repeated(name: str) -> None:
    vector = read(name)
    with pytest.raises(InvalidToken) as caught:
        verifier_of(vector).verify(vector.token)
    told = f"{caught.value!s} {caught.value!r}"
    for part in re.split(r"[.\s]", vector.token):
        assert len(part) < 8 or part not in told  # shorter ones are words


@pytest.mark.parametrize("name", FILES)
def test_a_vector_is_well_formed_and_named_after_its_file(name: str) -> None:
    vector = read(name)
    folder, _, stem = name.partition("/")
    assert vector.name == stem
    assert vector.expected.valid == (folder == "good")
    assert vector.description.endswith(".")


def test_vectors_cover_all_algorithms_and_all_codes() -> None:
    headers = Counter(
        algorithm
        for name in GOOD
        for algorithm in ALGORITHMS
        if name.startswith(f"good/{algorithm.lower()}-")
    )
    assert set(headers) == set(ALGORITHMS)
    assert {read(name).expected.code for name in HOSTILE} == TOKEN_CODES


def test_there_are_as_many_as_promised() -> None:
    assert len(GOOD) >= 20
    assert len(HOSTILE) >= 60


def test_no_two_vectors_are_the_same_question() -> None:
    questions = Counter(
        msgspec.json.encode((vector.token, vector.keys, vector.policy, vector.time))
        for vector in map(read, FILES)
    )
    assert max(questions.values()) == 1
