"""Step 7: lists that must not be believed. The session may be good, so that the answer is 503."""

from __future__ import annotations

import gzip
import hashlib
import hmac
from collections.abc import Iterator

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apostille._forgeries import Draft
from apostille_contracts.problems import ProblemCode

from .forge import (
    ISSUER,
    KEYS,
    NOW,
    STRANGER,
    b64url,
    compact_json,
    draft,
    policy,
    refused,
    unb64url,
)
from .lists import GOOD, URI, StatusCase, at, deflated, status_list, zipped

__all__ = ["cases"]

_FORM = "draft-ietf-oauth-status-list section 4.1"
_CLAIMS = "draft-ietf-oauth-status-list section 5.1"
_RULES = "draft-ietf-oauth-status-list section 8.3"

_UNAVAILABLE = refused(ProblemCode.STATUS_UNAVAILABLE)
_BAD_PLACE = refused(ProblemCode.INVALID_CLAIM, "status")

_BOMB_BYTES = 16 * 1024 * 1024


def cases() -> Iterator[StatusCase]:
    """Yield cases whose list is not good, or not the issuer's."""
    yield from _types()
    yield from _signatures()
    yield from _claims()
    yield from _forms()
    yield from _documents()
    yield from _references()


def _types() -> Iterator[StatusCase]:
    for name, kind in (
        ("list-of-type-jwt", "JWT"),
        ("list-of-an-access-tokens-type", "at+jwt"),
        ("list-of-a-cwts-type", "statuslist+cwt"),
        ("list-without-type", None),
    ):
        served = status_list().with_header(typ=kind)
        yield StatusCase(name, _CLAIMS, "typ must be statuslist+jwt.", served, _UNAVAILABLE)
    yield StatusCase(
        "access-token-for-a-list",
        "RFC 8725 section 3.12",
        "An access token with the claims of a list in it, where the list belongs.",
        draft(**status_list().claims),
        _UNAVAILABLE,
    )


def _signatures() -> Iterator[StatusCase]:
    header, payload, signature = status_list().signed().split(".")
    flipped = bytearray(unb64url(signature))
    flipped[10] ^= 1
    everybody_good = b64url(compact_json(status_list(bytes(4)).claims))
    stranger = Draft({**status_list().header, "kid": STRANGER.kid}, status_list().claims, STRANGER)
    for name, reference, description, served in (
        ("list-signature-with-a-bit-flipped", "RFC 7515 section 5.2", "One bit.",
         f"{header}.{payload}.{b64url(bytes(flipped))}"),
        ("list-changed-after-signing", "RFC 7515 section 5.2", "Somebody cleared all bits.",
         f"{header}.{everybody_good}.{signature}"),
        ("list-without-signature", "RFC 7515 section 5.2", "The signature is empty.",
         f"{header}.{payload}."),
        ("list-of-a-foreign-key-under-our-kid", "RFC 7515 section 5.2",
         "Signed by a stranger in our key's name.",
         Draft(status_list().header, status_list().claims, STRANGER)),
        ("list-of-an-unknown-key", _RULES, "Signed with a key the issuer never had.", stranger),
        ("list-of-alg-none", "RFC 8725 section 2.1", "alg is none.",
         status_list().with_header(alg="none").signed().rpartition(".")[0] + "."),
        ("list-with-a-mac-of-the-public-key", "RFC 8725 section 2.1",
         "The public key, which everybody has, taken for a shared secret.", _mac()),
        ("list-with-a-key-of-its-own", "RFC 8725 section 3.10",
         "The list brings along the key it is to be checked with.",
         stranger.with_header(jwk=STRANGER.public_jwk())),
        ("list-of-another-keys-algorithm", "RFC 8725 section 3.1",
         "The key is for ES256, the header says EdDSA.", status_list().with_header(alg="EdDSA")),
    ):  # fmt: skip
        yield StatusCase(name, reference, description, served, _UNAVAILABLE, keys=(KEYS["ES256"],))
    yield StatusCase(
        "list-of-an-algorithm-off-the-allow-list",
        "RFC 8725 section 3.1",
        "The verifier allows ES256 alone; the list is signed with EdDSA.",
        status_list(algorithm="EdDSA"),
        _UNAVAILABLE,
        policy=policy(algorithms=("ES256",)),
    )


def _mac() -> str:
    public = KEYS["ES256"].private_key.public_key()
    secret = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = {**status_list().header, "alg": "HS256"}
    signed = f"{b64url(compact_json(header))}.{b64url(compact_json(status_list().claims))}"
    return f"{signed}.{b64url(hmac.new(secret, signed.encode(), hashlib.sha256).digest())}"


def _claims() -> Iterator[StatusCase]:
    other = f"{ISSUER}/status-lists/2"
    for name, reference, description, served in (
        ("list-of-another-address", _RULES,
         "Another list of the same issuer, in which the session is good.", status_list(sub=other)),
        ("list-of-almost-this-address", _RULES, "sub has a slash too many.",
         status_list(sub=f"{URI}/")),
        ("list-without-sub", _CLAIMS, "Nobody can say which list it is.", status_list(sub=None)),
        ("list-expired", _RULES, "exp was 30 seconds ago, which is the leeway.",
         status_list(exp=NOW - 30)),
        ("list-issued-in-the-future", _RULES, "iat lies 31 seconds ahead.",
         status_list(iat=NOW + 31)),
        ("list-without-iat", _CLAIMS, "iat is required.", status_list(iat=None)),
        ("list-with-exp-as-text", _CLAIMS, "exp is no number.", status_list(exp=str(NOW + 60))),
        ("list-with-ttl-zero", _CLAIMS, "ttl is positive.", status_list(ttl=0)),
        ("list-with-ttl-negative", _CLAIMS, "ttl is positive.", status_list(ttl=-10)),
    ):  # fmt: skip
        yield StatusCase(name, reference, description, served, _UNAVAILABLE)


def _forms() -> Iterator[StatusCase]:
    stream = zipped(GOOD)
    good = b64url(stream)
    cases: tuple[tuple[str, str, object], ...] = (
        ("list-of-three-bits", "bits is 1, 2, 4 or 8.", {"bits": 3, "lst": good}),
        ("list-of-no-bits", "bits is 1, 2, 4 or 8.", {"bits": 0, "lst": good}),
        ("list-of-sixteen-bits", "bits is 1, 2, 4 or 8.", {"bits": 16, "lst": good}),
        ("list-of-bits-as-text", "bits is a number.", {"bits": "1", "lst": good}),
        ("list-without-bits", "bits is required.", {"lst": good}),
        ("list-without-lst", "lst is required.", {"bits": 1}),
        ("list-of-lst-as-a-number", "lst is a text.", {"bits": 1, "lst": 1}),
        ("list-that-is-a-text", "status_list is an object.", good),
        ("list-not-there", "status_list is required.", None),
        ("list-with-padding", "base64url without padding.", {"bits": 1, "lst": f"{good}=="}),
        ("list-that-is-not-base64url", "A character of the other alphabet.",
         {"bits": 1, "lst": f"+{good[1:]}"}),
        ("list-not-compressed", "The octets as they are.", {"bits": 1, "lst": b64url(GOOD)}),
        ("list-of-bare-deflate", "DEFLATE without ZLIB around it.",
         {"bits": 1, "lst": b64url(deflated(GOOD))}),
        ("list-of-gzip", "gzip instead of ZLIB.",
         {"bits": 1, "lst": b64url(_gzip_head() + deflated(GOOD) + _gzip_tail())}),
        ("list-cut-off", "The checksum is missing.", {"bits": 1, "lst": b64url(stream[:-4])}),
        ("list-with-a-wrong-checksum", "The checksum is another list's.",
         {"bits": 1, "lst": b64url(stream[:-4] + zipped(b"x")[-4:])}),
        ("list-with-something-behind", "An octet behind the stream.",
         {"bits": 1, "lst": b64url(stream + b"\x00")}),
        ("list-empty-text", "lst is empty.", {"bits": 1, "lst": ""}),
    )  # fmt: skip
    for name, description, value in cases:
        served = status_list(status_list=value)
        yield StatusCase(name, _FORM, description, served, _UNAVAILABLE)
    yield StatusCase(
        "list-that-is-a-zlib-bomb",
        "draft-ietf-oauth-status-list section 11",
        "100 KiB that unpack to 16 MiB; more than 1 MiB need not be borne.",
        status_list(bytes(_BOMB_BYTES)),
        _UNAVAILABLE,
    )


def _gzip_head() -> bytes:
    """Return the header of a gzip member (RFC 1952 section 2.3)."""
    return b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


def _gzip_tail() -> bytes:
    return gzip.compress(GOOD)[-8:]


def _documents() -> Iterator[StatusCase]:
    token = status_list().signed()
    for name, description, served in (
        ("list-that-nobody-serves", "The address does not answer.", None),
        ("list-an-empty-document", "It answers with nothing.", ""),
        ("list-not-a-token", "It answers with a page.", "<!doctype html>"),
        ("list-with-a-part-too-many", "Four parts.", f"{token}.{token.rpartition('.')[2]}"),
        ("list-with-a-part-too-few", "Two parts.", token.rpartition(".")[0]),
    ):
        yield StatusCase(name, "RFC 7515 section 7.1", description, served, _UNAVAILABLE)


def _references() -> Iterator[StatusCase]:
    mine = "https://status.example.net/status-lists/1"
    theirs = status_list(sub=mine)
    for name, description, uri in (
        ("reference-to-another-host", "Whoever mints a token must not choose whom a service asks.",
         mine),
        ("reference-over-http", "The issuer is at https.", URI.replace("https:", "http:")),
        ("reference-to-another-port", "Another port is another origin.",
         URI.replace(".com", ".com:8443")),
        ("reference-with-a-user-in-it", "What stands before @ is no host.",
         URI.replace("https://", "https://iam.example.com@status.example.net/")),
    ):  # fmt: skip
        yield StatusCase(
            name,
            "DESIGN section 9",
            description,
            None,
            _BAD_PLACE,
            token=draft(status=at(3, uri)),
            elsewhere={uri: theirs.with_claims(sub=uri)},
        )
    for name, description, index in (
        ("index-negative", "Counting from behind is a forgery.", -1),
        ("index-as-text", "idx is a number.", "3"),
        ("index-with-a-fraction", "idx is a whole number.", 3.5),
    ):
        yield StatusCase(
            name,
            "draft-ietf-oauth-status-list section 6.2",
            description,
            status_list(),
            _BAD_PLACE,
            index=index,
        )
