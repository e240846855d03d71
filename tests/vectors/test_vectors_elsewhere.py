"""The good vectors in the eyes of PyJWT: our signatures are not ours alone."""

from __future__ import annotations

from pathlib import Path

import jwt
import msgspec
import pytest

from apostille_contracts.vectors import Vector

GOOD = sorted((Path(__file__).parents[2] / "contracts" / "vectors" / "good").glob("*.json"))

# PyJWT does not know the name that RFC 9864 gives EdDSA over Ed25519.
UNKNOWN_TO_PYJWT = {"Ed25519"}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.stem)
def test_pyjwt_accepts_the_good_vector(path: Path) -> None:
    vector = msgspec.json.decode(path.read_bytes(), type=Vector)
    header = jwt.get_unverified_header(vector.token)
    if header["alg"] in UNKNOWN_TO_PYJWT:
        pytest.skip("PyJWT does not know Ed25519 by this name")
    published = next(key for key in vector.keys["keys"] if key.get("kid") == header["kid"])
    claims = jwt.decode(
        vector.token,
        jwt.PyJWK(published, algorithm=header["alg"]),
        algorithms=list(vector.policy.algorithms),
        issuer=vector.policy.issuer,
        audience=list(vector.policy.audience),
        # PyJWT reads the machine's clock; times are the other tests' business.
        options={"verify_exp": False, "verify_nbf": False, "verify_iat": False},
    )
    for claim, value in vector.expected.claims.items():
        assert claims[claim] == value
