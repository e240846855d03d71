"""Signatures of the test issuer, checked by independent implementations and RFC examples."""

from __future__ import annotations

import base64
import json

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from apostille._signing import SigningKey, b64url, compact_json, thumbprint
from apostille.errors import ConfigurationError
from apostille_contracts.claims import ALGORITHMS, Algorithm

PYJWT_ALGORITHMS: tuple[Algorithm, ...] = ("ES256", "RS256", "PS256", "EdDSA")


def unb64url(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


@pytest.mark.parametrize("algorithm", PYJWT_ALGORITHMS)
def test_pyjwt_verifies_what_is_signed_with_the_published_key(algorithm: Algorithm) -> None:
    key = SigningKey.generate(algorithm)
    token = key.token({"alg": algorithm, "kid": key.kid}, {"sub": "somebody"})
    published = jwt.PyJWK.from_json(json.dumps(key.public_jwk()))
    assert jwt.decode(token, published, algorithms=[algorithm]) == {"sub": "somebody"}


def test_ed25519_differs_from_eddsa_in_name_alone() -> None:
    key = SigningKey.generate("Ed25519")
    jwk = key.public_jwk()
    assert jwk["alg"] == "Ed25519"
    public = ed25519.Ed25519PublicKey.from_public_bytes(unb64url(jwk["x"]))
    public.verify(key.sign(b"message"), b"message")


def test_eddsa_signs_the_example_of_rfc_8037_a4() -> None:
    private = ed25519.Ed25519PrivateKey.from_private_bytes(
        unb64url("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
    )
    token = SigningKey("EdDSA", private).token({"alg": "EdDSA"}, b"Example of Ed25519 signing")
    assert token == (
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    )


def test_deterministic_es256_signs_the_example_of_rfc_6979_a25() -> None:
    scalar = 0xC9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721
    key = SigningKey("ES256", ec.derive_private_key(scalar, ec.SECP256R1()), deterministic=True)
    assert key.sign(b"sample").hex().upper() == (
        "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
        "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    )


def test_thumbprints_are_those_of_rfc_7638_and_rfc_8037() -> None:
    modulus = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc"
        "_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQ"
        "R0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bF"
        "TWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw"
    )
    rsa_key = {"kty": "RSA", "n": modulus, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"}
    okp_key = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(rsa_key) == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"
    assert thumbprint(okp_key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


@pytest.mark.parametrize("jwk", [{}, {"kty": "EC", "crv": "P-256"}, {"kty": "unheard of"}])
def test_no_thumbprint_of_half_a_key(jwk: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError):
        thumbprint(jwk)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_public_key_is_marked_for_its_one_algorithm_and_holds_nothing_private(
    algorithm: Algorithm,
) -> None:
    key = SigningKey.generate(algorithm)
    jwk = key.public_jwk()
    assert (jwk["alg"], jwk["use"], jwk["kid"]) == (algorithm, "sig", key.kid)
    assert key.kid == thumbprint(jwk)
    assert not jwk.keys() & {"d", "p", "q", "dp", "dq", "qi", "k"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_another_algorithms_key_is_refused(algorithm: Algorithm) -> None:
    wrong = rsa.generate_private_key(65537, 2048)
    other = ec.generate_private_key(ec.SECP384R1())
    with pytest.raises(ConfigurationError):
        SigningKey(algorithm, other if algorithm in {"RS256", "PS256", "ES256"} else wrong)


def test_an_algorithm_outside_the_contract_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="ES256, RS256"):
        SigningKey("HS256", ed25519.Ed25519PrivateKey.generate())  # type: ignore[arg-type]


def test_bytes_are_signed_untouched() -> None:
    header, payload, _ = SigningKey.generate("EdDSA").token(b"{ }", b"\xff").split(".")
    assert (header, payload) == (b64url(b"{ }"), b64url(b"\xff"))


def test_json_is_utf8_without_spaces() -> None:
    assert compact_json({"a": "é", "b": [1, 2]}) == '{"a":"é","b":[1,2]}'.encode()


def test_the_private_key_is_not_in_the_representation() -> None:
    assert "private_key" not in repr(SigningKey.generate("ES256"))
