"""Examples printed in RFCs: those of our algorithms hold, the others are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from apostille import StaticKeys, Verifier
from apostille._jwk import UnusableKey, VerificationKey, parse_key
from apostille._token import split
from apostille.errors import BadSignature, MalformedToken
from support.minting import AUDIENCE
from support.published import published

SECRET = {"d", "p", "q", "dp", "dq", "qi"}


def example(name: str) -> tuple[dict[str, Any], str]:
    """Return the public key and the compact JWS of an example."""
    found = published(f"rfc7520/{name}")
    key = {n: value for n, value in found["input"]["key"].items() if n not in SECRET}
    return {"kid": "only", **key}, found["output"]["compact"]


def check(key: VerificationKey, jws: str) -> None:
    parts = split(jws)
    key.check(parts.signature, parts.signing_input)


@pytest.mark.parametrize(
    ("name", "algorithm"),
    [("jws/4_1.rsa_v15_signature.json", "RS256"), ("curve25519/jws.json", "EdDSA")],
    ids=["RFC 7520 section 4.1", "RFC 8037 appendix A.4"],
)
def test_printed_signatures_hold_and_altered_ones_do_not(name: str, algorithm: str) -> None:
    jwk, jws = example(name)
    key = parse_key(jwk)
    assert algorithm in key.algorithm_names
    check(key, jws)
    head, _, signature = jws.rpartition(".")
    with pytest.raises(BadSignature):
        check(key, f"{head}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}")
    with pytest.raises(BadSignature):
        check(key, f"{head[:-4]}AAAA.{signature}")


def test_rfc7515_appendix_a_3_holds() -> None:
    key = parse_key(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
            "kid": "only",
        }
    )
    check(
        key,
        "eyJhbGciOiJFUzI1NiJ9"
        ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlfQ"
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
    )


@pytest.mark.parametrize(
    "name", ["jws/4_3.ecdsa_signature.json", "jws/4_4.hmac-sha2_integrity_protection.json"]
)
def test_keys_of_other_algorithms_are_left_out(name: str) -> None:
    jwk, _ = example(name)
    with pytest.raises(UnusableKey):
        parse_key(jwk)


def test_private_keys_are_left_out() -> None:
    private = published("rfc7520/jwk/3_4.rsa_private_key.json")
    with pytest.raises(UnusableKey):
        parse_key(private)


def test_an_unencoded_payload_is_refused_whatever_signs_it() -> None:
    """RFC 7797 section 7: a JWT must not use it."""
    found = published("rfc7520/rfc7797/hmac-sha2_b64_false.json")
    protected = found["signing"]["protected_b64u"] if isinstance(found, dict) else None
    header = protected or "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19"
    verifier = Verifier("https://a.test", audience=AUDIENCE, keys=StaticKeys({"keys": []}))
    with pytest.raises(MalformedToken):
        verifier.verify(f"{header}.$.02.AAAA")


def test_printed_key_sets_are_read() -> None:
    for name in ("3_1.ec_public_key.json", "3_3.rsa_public_key.json"):
        jwk = published(f"rfc7520/jwk/{name}")
        if jwk.get("crv") == "P-521":
            with pytest.raises(UnusableKey):
                parse_key(jwk)
        else:
            assert parse_key(json.loads(json.dumps(jwk))).kid == jwk["kid"]
