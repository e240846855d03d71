"""What names a key set."""

from __future__ import annotations

import hashlib
from base64 import urlsafe_b64encode
from typing import Any

import pytest

from apostille_contracts.key_sets import KEY_SET_CLAIM, key_set_thumbprint

# RFC 7638 section 3.1, with the thumbprint that it gives.
RSA = {
    "kty": "RSA",
    "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_"
    "BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2"
    "QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6W"
    "eZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
    "e": "AQAB",
    "alg": "RS256",
    "kid": "2011-04-29",
}
RSA_THUMBPRINT = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
# RFC 8037 appendix A.2 and A.3.
OKP = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
OKP_THUMBPRINT = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def digest(text: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")


def test_the_name_is_made_of_the_thumbprints_that_the_rfcs_give() -> None:
    assert KEY_SET_CLAIM == "key_set"
    assert key_set_thumbprint([RSA]) == digest(RSA_THUMBPRINT)
    assert key_set_thumbprint([OKP, RSA]) == digest(RSA_THUMBPRINT + OKP_THUMBPRINT)
    assert len(key_set_thumbprint([])) == 43


def test_neither_order_nor_other_members_nor_repetition_matter() -> None:
    name = key_set_thumbprint([RSA, OKP])
    assert key_set_thumbprint([OKP, RSA]) == name
    assert key_set_thumbprint([{**OKP, "use": "sig", "kid": "x"}, RSA, OKP]) == name
    assert key_set_thumbprint(iter([OKP])) != name


@pytest.mark.parametrize(
    "odd",
    [
        *(
            None,
            "RSA",
            {},
            {"kty": "oct", "k": "AA"},
            {"kty": []},
            {"kty": "OKP", "crv": "Ed25519"},
        ),
        *({**OKP, "x": 5}, {**OKP, "x": "é"}),
    ],
    ids=["null", "text", "empty", "oct", "kty", "missing", "number", "letter"],
)
def test_what_has_no_thumbprint_is_left_out(odd: Any) -> None:
    assert key_set_thumbprint([odd, RSA]) == key_set_thumbprint([RSA])
