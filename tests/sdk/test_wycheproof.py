"""Project Wycheproof's JSON Web Signature and Key files, through our own policy.

The files test JWS and know neither ``typ`` nor claims; so the steps below are
those of a verifier with the header's type and the payload's meaning left out.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from apostille._json import Malformed, decode_base64url, decode_text, load_distinct
from apostille._keyring import read_key_set
from apostille._token import split
from apostille.errors import AlgorithmNotAllowed, InvalidToken, MalformedToken, UnknownKey
from apostille_contracts.claims import ALGORITHMS
from support.published import published

SIGNATURES = published("wycheproof_json_web_signature_test.json")
KEYS = published("wycheproof_json_web_key_test.json")

# These labels contradict the RFCs: the header's alg is not the key's (346,
# 347, 350, 351), the case is byte for byte the valid 357 (367, 370), or
# base64url contains a question mark (372, 373).
UNSOUND = {346, 347, 350, 351, 367, 370, 372, 373}

# Valid signatures that are refused on purpose.
FOREIGN_ALGORITHMS = {"HS256", "HS384", "HS512", "RS384", "RS512", "PS384", "PS512", "ES521"}


def cases(file: Any) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    pairs = [(group, test) for group in file["testGroups"] for test in group["tests"]]
    return [pair for pair in pairs if file is KEYS or pair[1]["tcId"] not in UNSOUND]


def as_key_set(group: dict[str, Any]) -> dict[str, Any]:
    """Return what the issuer of *group* would publish."""
    published_key = group.get("public") or group["private"]
    if "keys" in published_key:
        return dict(published_key)
    # A key without kid would be left out; the file's headers name none either.
    return {"keys": [{"kid": "only", **published_key}]}


def verify(jws: str, key_set: dict[str, Any]) -> None:
    """Return if the signature of *jws* holds, or raise."""
    keyring = read_key_set(json.dumps(key_set).encode())
    parts = split(jws)
    try:
        header = load_distinct(decode_text(decode_base64url(parts.header_segment)))
    except Malformed:
        raise MalformedToken from None
    if not isinstance(header, dict) or "crit" in header:
        raise MalformedToken
    if header.get("alg") not in ALGORITHMS:
        raise AlgorithmNotAllowed
    key = keyring.keys.get(header.get("kid", "only"))
    if key is None:
        raise UnknownKey
    if header["alg"] not in key.algorithm_names:
        raise AlgorithmNotAllowed
    key.check(parts.signature, parts.signing_input)


def is_refused_on_purpose(jws: str) -> bool:
    header, _, rest = jws.partition(".")
    algorithm = load_distinct(decode_text(decode_base64url(header.encode())))["alg"]
    return algorithm in FOREIGN_ALGORITHMS or rest.startswith(".")  # a token has a payload


def judge(group: dict[str, Any], test: dict[str, Any]) -> None:
    if test["result"] == "valid" and not is_refused_on_purpose(test["jws"]):
        verify(test["jws"], as_key_set(group))
    else:
        with pytest.raises(InvalidToken):
            verify(test["jws"], as_key_set(group))


@pytest.mark.parametrize(
    ("group", "test"),
    [pytest.param(g, t, id=str(t["tcId"])) for g, t in cases(SIGNATURES)],
)
def test_signature_file(group: dict[str, Any], test: dict[str, Any]) -> None:
    judge(group, test)


@pytest.mark.parametrize(
    ("group", "test"), [pytest.param(g, t, id=str(t["tcId"])) for g, t in cases(KEYS)]
)
def test_key_file(group: dict[str, Any], test: dict[str, Any]) -> None:
    judge(group, test)


def test_the_file_has_the_sound_cases_it_is_known_for() -> None:
    assert len(cases(SIGNATURES)) == 393
    valid = [test for _, test in cases(SIGNATURES) if test["result"] == "valid"]
    accepted = [test for test in valid if not is_refused_on_purpose(test["jws"])]
    assert (len(valid), len(accepted)) == (40, 14)
