"""Steps 4 and 5: keys that must not be used, and signatures that do not hold."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils

from apostille._forgeries import Draft
from apostille._signing import SigningKey
from apostille_contracts.problems import ProblemCode

from .forge import (
    KEYS,
    STRANGER,
    WEAK,
    Case,
    b64url,
    compact_json,
    draft,
    pss_signature,
    refused,
    unb64url,
)

__all__ = ["cases"]

_UNKNOWN_KEY = refused(ProblemCode.UNKNOWN_KEY)
_BAD_SIGNATURE = refused(ProblemCode.BAD_SIGNATURE)

# The orders of the groups of P-256 (SEC 2 section 2.4.2) and Ed25519 (RFC 8032 section 5.1).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_ED25519_ORDER = 2**252 + 27742317777372353535851937790883648493


def cases() -> Iterator[Case]:
    """Yield hostile cases of keys and signatures."""
    yield from _keys()
    yield from _swapped()
    yield from _ecdsa()
    yield from _rsa()
    yield from _ed25519()


def _keys() -> Iterator[Case]:
    es256, rs256 = KEYS["ES256"].public_jwk(), KEYS["RS256"].public_jwk()
    weak = Draft({**draft().header, "alg": "RS256", "kid": WEAK.kid}, draft().claims, WEAK)
    stranger = Draft({**draft().header, "kid": STRANGER.kid}, draft().claims, STRANGER)
    private = {**es256, "d": b64url(b"\x01" * 32)}
    double = {**STRANGER.public_jwk(), "kid": es256["kid"]}
    bystander = KEYS["EdDSA"]
    for name, reference, description, token, keys in (
        ("unknown-key", "RFC 9068 section 4", "Signed with a key the issuer never had.",
         stranger, (KEYS["ES256"],)),
        ("withdrawn-key", "RFC 9068 section 4", "The issuer has withdrawn the key.",
         draft(), (bystander,)),
        ("key-for-encryption", "RFC 7517 section 4.2", "use is enc.",
         draft("RS256"), ({**rs256, "use": "enc"}, bystander)),
        ("key-for-signing-only", "RFC 7517 section 4.3", "key_ops lacks verify.",
         draft(), ({**es256, "key_ops": ["sign"]}, bystander)),
        ("key-too-short", "RFC 7518 section 3.3", "RSA with 1,024 bits.",
         weak, (WEAK, bystander)),
        ("key-with-exponent-one", "RFC 8017 section 3.1", "e is 1: whatever is sent is signed.",
         draft("RS256"), ({**rs256, "e": "AQ"}, bystander)),
        ("key-off-the-curve", "RFC 8725 section 3.4", "The point is not on P-256.",
         draft(), ({**es256, "y": es256["x"]}, bystander)),
        ("key-that-is-private", "RFC 7517 section 9.2",
         "A private key in a public set is compromised.", draft(), (private, bystander)),
        ("key-id-twice", "RFC 7517 section 4.5", "Nobody can say which of two keys is meant.",
         draft(), (es256, double, bystander)),
        ("key-marked-for-another-algorithm", "RFC 8725bis section 3.1",
         "An EC key that calls itself RS256 is good for nothing.",
         draft(), ({**es256, "alg": "RS256"}, bystander)),
    ):  # fmt: skip
        yield Case(name, reference, description, token, _UNKNOWN_KEY, keys=keys)
    yield Case(
        "symmetric-key-in-a-public-set",
        "RFC 7517 section 9.2, RFC 8725 section 3.1",
        "The set publishes an HMAC key, and the token is signed with it.",
        draft().with_header(alg="HS256", kid="shared"),
        refused(ProblemCode.ALGORITHM_NOT_ALLOWED),
        keys=({"kty": "oct", "kid": "shared", "alg": "HS256", "k": b64url(b"k" * 32)}, bystander),
    )


def _resigned(spoilt: Draft, signature: bytes) -> str:
    return f"{_signing_input(spoilt)}.{b64url(signature)}"


def _signing_input(spoilt: Draft) -> str:
    return spoilt.signed().rpartition(".")[0]


def _swapped() -> Iterator[Case]:
    rule = "RFC 7515 section 5.2"
    header, payload, signature = draft().signed().split(".")
    richer = b64url(compact_json(draft(permissions=["*"]).claims))
    other = draft(sub="somebody-else").signed()
    es256 = (KEYS["ES256"],)
    for name, description, token in (
        ("foreign-key-under-our-kid", "Signed by a stranger in our key's name.",
         Draft(draft().header, draft().claims, STRANGER)),
        ("claims-changed-after-signing", "Somebody gave himself every permission.",
         f"{header}.{richer}.{signature}"),
        ("header-changed-after-signing", "The header got another member.",
         f"{b64url(compact_json({**draft().header, 'note': 1}))}.{payload}.{signature}"),
        ("signature-of-another-token", "A good signature, of something else.",
         f"{header}.{payload}.{other.rpartition('.')[2]}"),
        ("signature-missing", "The signature is empty under an honest alg.",
         f"{header}.{payload}."),
        ("signature-cut-short", "The last byte is missing.",
         _resigned(draft(), unb64url(signature)[:-1])),
        ("signature-with-a-byte-too-many", "A zero byte behind it.",
         _resigned(draft(), unb64url(signature) + b"\0")),
        ("signature-over-decoded-parts", "Signed is what the parts decode to.",
         _resigned(draft(), KEYS["ES256"].sign(
             compact_json(draft().header) + b"." + compact_json(draft().claims)))),
    ):  # fmt: skip
        yield Case(name, rule, description, token, _BAD_SIGNATURE, keys=es256)
    for algorithm in ("ES256", "RS256", "PS256", "EdDSA", "Ed25519"):
        good = draft(algorithm)
        spoilt = bytearray(unb64url(good.signed().rpartition(".")[2]))
        spoilt[10] ^= 1
        yield Case(
            f"{algorithm.lower()}-signature-with-a-bit-flipped",
            rule,
            "One bit.",
            _resigned(good, bytes(spoilt)),
            _BAD_SIGNATURE,
            keys=(good.key,),
        )


def _ecdsa() -> Iterator[Case]:
    good = draft()
    message = _signing_input(good).encode("ascii")
    raw = KEYS["ES256"].sign(message)
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    private = KEYS["ES256"].private_key
    assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101 - a generator, never shipped
    sha384 = private.sign(message, ec.ECDSA(hashes.SHA384(), deterministic_signing=True))
    wide = b"".join(part.to_bytes(32, "big") for part in utils.decode_dss_signature(sha384))
    order = _P256_ORDER.to_bytes(32, "big")
    for name, reference, description, signature in (
        ("es256-psychic-signature", "CVE-2022-21449", "r and s are zero.", bytes(64)),
        ("es256-r-zero", "SEC 1 section 4.1.4", "r is zero.", bytes(32) + raw[32:]),
        ("es256-s-zero", "SEC 1 section 4.1.4", "s is zero.", raw[:32] + bytes(32)),
        ("es256-both-the-order", "SEC 1 section 4.1.4", "r and s are n.", order * 2),
        ("es256-s-zero-plus-order", "SEC 1 section 4.1.4", "s is n.", raw[:32] + order),
        ("es256-halves-swapped", "RFC 7518 section 3.4", "s before r.", raw[32:] + raw[:32]),
        ("es256-signature-in-der", "RFC 7518 section 3.4", "DER instead of r and s.",
         utils.encode_dss_signature(r, s)),
        ("es256-halves-too-wide", "RFC 7518 section 3.4", "r and s in 33 bytes each.",
         b"\0" + raw[:32] + b"\0" + raw[32:]),
        ("es256-with-sha-384", "RFC 7518 section 3.4", "Another hash.", wide),
    ):  # fmt: skip
        token = _resigned(good, signature)
        yield Case(name, reference, description, token, _BAD_SIGNATURE)


def _rsa_key(key: SigningKey) -> rsa.RSAPrivateKey:
    assert isinstance(key.private_key, rsa.RSAPrivateKey)  # noqa: S101 - a generator, never shipped
    return key.private_key


def _rsa() -> Iterator[Case]:
    rs256, ps256 = draft("RS256"), draft("PS256")
    rs_message = _signing_input(rs256).encode("ascii")
    ps_message = _signing_input(ps256).encode("ascii")
    rs_key, ps_key = _rsa_key(KEYS["RS256"]), _rsa_key(KEYS["PS256"])
    modulus = rs_key.private_numbers().public_numbers.n
    plus = int.from_bytes(KEYS["RS256"].sign(rs_message), "big") + modulus
    pkcs1 = padding.PKCS1v15()
    for name, reference, description, spoilt, signature in (
        ("rs256-with-sha-1", "RFC 7518 section 3.3", "SHA-1 inside.",
         rs256, rs_key.sign(rs_message, pkcs1, hashes.SHA1())),  # noqa: S303 - the attack
        ("rs256-with-sha-512", "RFC 7518 section 3.3", "SHA-512 inside.",
         rs256, rs_key.sign(rs_message, pkcs1, hashes.SHA512())),
        ("rs256-with-pss-padding", "RFC 7518 section 3.3", "PSS padding under RS256.",
         rs256, pss_signature(rs_key, rs_message, bytes(32))),
        ("rs256-signature-plus-modulus", "RFC 8017 section 5.2.2", "s + n: out of range.",
         rs256, plus.to_bytes(257, "big")),
        ("rs256-signature-zero", "RFC 8017 section 8.2.2", "All zeros.", rs256, bytes(256)),
        ("ps256-with-pkcs1-padding", "RFC 7518 section 3.5", "PKCS #1 v1.5 padding under PS256.",
         ps256, ps_key.sign(ps_message, pkcs1, hashes.SHA256())),
        ("ps256-without-salt", "RFC 7518 section 3.5", "The salt must be as long as the hash.",
         ps256, pss_signature(ps_key, ps_message, b"")),
        ("ps256-with-long-salt", "RFC 7518 section 3.5", "A salt of 64 bytes.",
         ps256, pss_signature(ps_key, ps_message, bytes(64))),
    ):  # fmt: skip
        token = _resigned(spoilt, signature)
        yield Case(name, reference, description, token, _BAD_SIGNATURE, keys=(spoilt.key,))


def _ed25519() -> Iterator[Case]:
    good = draft("EdDSA")
    raw = unb64url(good.signed().rpartition(".")[2])
    plus = int.from_bytes(raw[32:], "little") + _ED25519_ORDER
    identity = b"\x01" + bytes(31)
    rule = "RFC 8032 section 5.1.7"
    for name, description, signature in (
        ("eddsa-s-plus-order", "S + L verifies in careless implementations.",
         raw[:32] + plus.to_bytes(32, "little")),
        ("eddsa-signature-zero", "All zeros.", bytes(64)),
        ("eddsa-r-the-identity", "R is the identity and S is zero.", identity + bytes(32)),
    ):  # fmt: skip
        token = _resigned(good, signature)
        yield Case(name, rule, description, token, _BAD_SIGNATURE, keys=(good.key,))
