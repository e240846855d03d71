"""Step 3: headers that ask for what they must not (RFC 8725 section 3, RFC 7515 section 4)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterator
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from apostille._forgeries import Draft
from apostille_contracts.problems import ProblemCode

from .forge import KEYS, STRANGER, Case, b64url, compact_json, draft, policy, refused

__all__ = ["cases"]

_MALFORMED = refused(ProblemCode.MALFORMED_TOKEN)
_WRONG_TYPE = refused(ProblemCode.WRONG_TYPE)
_NOT_ALLOWED = refused(ProblemCode.ALGORITHM_NOT_ALLOWED)


def cases() -> Iterator[Case]:
    """Yield hostile cases of headers."""
    yield from _texts()
    yield from _algorithms()
    yield from _mac_confusion()
    yield from _types()
    yield from _members()
    yield from _key_ids()


def _signed(header: bytes) -> str:
    """Return a token with this very *header*, under a good signature."""
    return draft().key.token(header, draft().claims)


def _texts() -> Iterator[Case]:
    good = compact_json(draft().header)
    rule = "RFC 7515 section 4"
    for name, reference, description, header in (
        ("header-not-json", rule, "The header is no JSON.", b"typ=at+jwt"),
        ("header-an-array", rule, "The header is JSON, but no object.", b"[" + good + b"]"),
        ("header-null", rule, "The header is null.", b"null"),
        ("header-with-something-behind", rule, "A second object behind it.", good + b"{}"),
        ("header-cut-off", rule, "The closing brace is missing.", good[:-1]),
        ("header-in-utf-16", "RFC 8725 section 3.7", "UTF-16.", good.decode().encode("utf-16")),
        ("header-in-utf-16-without-mark", "RFC 8725 section 3.7", "UTF-16, no byte order mark.",
         good.decode().encode("utf-16-le")),
        ("header-with-byte-order-mark", "RFC 8259 section 8.1", "UTF-8 with a byte order mark.",
         b"\xef\xbb\xbf" + good),
        ("header-not-utf-8", "RFC 8725 section 3.7", "A stray byte in an unknown member.",
         b'{"note":"\xff",' + good[1:]),
        ("header-with-nan", "RFC 8259 section 6", "NaN is no JSON.", b'{"note":NaN,' + good[1:]),
        ("header-nested-too-deep", "RFC 8259 section 9", "4,000 arrays in an unknown member.",
         b'{"note":' + b"[" * 4000 + b"]" * 4000 + b"," + good[1:]),
        ("header-names-alg-twice", rule, "Two readers see two algorithms.",
         good[:-1] + b',"alg":"none"}'),
        ("header-names-kid-twice", rule, "Two readers see two keys.",
         b'{"kid":"another",' + good[1:]),
        ("header-names-alg-twice-once-in-escapes", rule, "One name, spelt in two ways.",
         b'{"\\u0061lg":"none",' + good[1:]),
    ):  # fmt: skip
        yield Case(name, reference, description, _signed(header), _MALFORMED)


def _unsigned(spoilt: Draft) -> str:
    return spoilt.signed().rpartition(".")[0] + "."


def _algorithms() -> Iterator[Case]:
    rule = "RFC 8725 section 3.1"
    for name, alg in (("alg-none", "none"), ("alg-none-in-odd-case", "nOnE"), ("alg-empty", "")):
        token = _unsigned(draft().with_header(alg=alg))
        description = f"alg is {alg!r} and the signature is empty."
        yield Case(name, "RFC 8725 section 2.1", description, token, _NOT_ALLOWED)
    others: tuple[tuple[str, str, Any], ...] = (
        ("alg-none-with-a-good-signature", "none, and signed all the same.", "none"),
        ("alg-missing", "No alg.", None),
        ("alg-a-number", "alg is a number.", 256),
        ("alg-a-list", "alg is a list.", ["ES256"]),
        ("alg-in-lower-case", "Names of algorithms are case-sensitive.", "es256"),
        ("alg-outside-the-contract", "ES384 is no algorithm of contract v1.", "ES384"),
        ("alg-es256k", "The other curve of 256 bits.", "ES256K"),
        ("alg-eddsa-on-another-curve", "Ed448 is no algorithm of contract v1.", "Ed448"),
        ("alg-of-an-encryption", "A key agreement is no signature.", "ECDH-ES"),
    )
    for name, description, value in others:
        yield Case(name, rule, description, draft().with_header(alg=value), _NOT_ALLOWED)
    yield Case(
        "alg-not-on-the-allow-list",
        rule,
        "A good EdDSA token where the verifier allows ES256 alone.",
        draft("EdDSA"),
        _NOT_ALLOWED,
        policy=policy(algorithms=("ES256",)),
    )
    for name, header_alg, key_alg in (
        ("rs256-token-names-an-es256-key", "RS256", "ES256"),
        ("es256-token-names-an-rs256-key", "ES256", "RS256"),
        ("rs256-under-a-ps256-key", "RS256", "PS256"),
        ("ps256-under-an-rs256-key", "PS256", "RS256"),
        ("es256-token-names-an-eddsa-key", "ES256", "EdDSA"),
    ):
        spoilt = draft(key_alg).with_header(alg=header_alg)  # type: ignore[arg-type] # literal strings in a table
        yield Case(
            name,
            "RFC 8725bis section 3.1",
            f"One key, one algorithm: the key is for {key_alg}, the header says {header_alg}.",
            spoilt,
            _NOT_ALLOWED,
        )


def _mac_confusion() -> Iterator[Case]:
    public = KEYS["RS256"].private_key.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    jwk = compact_json(KEYS["RS256"].public_jwk())
    for name, description, secret in (
        ("hmac-with-public-key-pem", "The public key as PEM text is the secret.", pem),
        ("hmac-with-public-key-der", "The public key as DER is the secret.", der),
        ("hmac-with-public-jwk", "The published JWK is the secret.", jwk),
        ("hmac-with-empty-secret", "The secret is empty.", b""),
    ):
        yield Case(
            name,
            "RFC 8725 section 2.1, CVE-2015-9256",
            f"HS256 under the kid of an RSA key. {description}",
            _mac(draft("RS256"), secret),
            _NOT_ALLOWED,
            keys=(KEYS["RS256"],),
        )


def _mac(spoilt: Draft, secret: bytes) -> str:
    header, claims = {**spoilt.header, "alg": "HS256"}, spoilt.claims
    signing_input = f"{b64url(compact_json(header))}.{b64url(compact_json(claims))}"
    mac = hmac.new(secret, signing_input.encode("ascii"), hashlib.sha256).digest()
    return f"{signing_input}.{b64url(mac)}"


def _types() -> Iterator[Case]:
    rule = "RFC 9068 section 4, RFC 8725 section 3.11"
    for name, description, typ in (
        ("type-missing", "No typ.", None),
        ("id-token", "An ID token has typ JWT.", "JWT"),
        ("id-token-under-the-long-type", "application/jwt.", "application/jwt"),
        ("logout-token", "OpenID Connect Back-Channel Logout.", "logout+jwt"),
        ("status-list-token", "draft-ietf-oauth-status-list.", "statuslist+jwt"),
        ("dpop-proof", "RFC 9449 section 4.2.", "dpop+jwt"),
        ("security-event-token", "RFC 8417 section 2.3.", "secevent+jwt"),
        ("type-a-list", "typ is a list.", ["at+jwt"]),
        ("type-with-a-space", "Nearly an access token.", "at+jwt "),
        ("type-of-another-tree", "Only application/ may stand before it.", "text/at+jwt"),
    ):
        yield Case(name, rule, description, draft().with_header(typ=typ), _WRONG_TYPE)


def _members() -> Iterator[Case]:
    crit = "RFC 7515 section 4.1.11"
    brought = "RFC 8725 section 3.10"
    stranger = Draft(draft().header, draft().claims, STRANGER)
    attacks: tuple[tuple[str, str, str, Draft, dict[str, Any]], ...] = (
        ("crit-unknown-extension", crit, "An extension nobody here understands.", draft(),
         {"crit": ["http://example.com/x"], "http://example.com/x": 1}),
        ("crit-empty", crit, "crit must not be empty.", draft(), {"crit": []}),
        ("crit-not-a-list", crit, "crit is a text.", draft(), {"crit": "exp"}),
        ("crit-names-b64", "RFC 7797 section 7", "An unencoded payload is not for JWTs.", draft(),
         {"crit": ["b64"], "b64": True}),
        ("b64-false", "RFC 7797 section 7", "Without crit.", draft(), {"b64": False}),
        ("key-brought-along", brought, "The signer's own key in jwk, and he signed with it.",
         stranger, {"jwk": STRANGER.public_jwk()}),
        ("key-brought-along-without-kid", brought, "The same without a kid.", stranger,
         {"jwk": STRANGER.public_jwk(), "kid": None}),
        ("key-address-brought-along", brought, "jku points to the attacker.", stranger,
         {"jku": "https://attacker.example/jwks.json"}),
        ("certificate-address-brought-along", brought, "x5u points inside.", draft(),
         {"x5u": "http://169.254.169.254/latest/"}),
        ("certificate-brought-along", brought, "x5c.", draft(), {"x5c": ["MIIB"]}),
    )  # fmt: skip
    for name, reference, description, spoilt, changes in attacks:
        token = spoilt.with_header(**changes)
        yield Case(name, reference, description, token, _MALFORMED, keys=(KEYS["ES256"],))


def _key_ids() -> Iterator[Case]:
    for name, description, kid in (
        ("kid-missing", "No kid.", None),
        ("kid-empty", "kid is empty.", ""),
        ("kid-a-number", "kid is a number.", 1),
        ("kid-a-list", "kid is a list.", ["a"]),
        ("kid-too-long", "2,000 characters.", "k" * 2000),
    ):
        yield Case(name, "DESIGN section 3", description, draft().with_header(kid=kid), _MALFORMED)
    for name, kid in (
        ("kid-a-file", "../../../../dev/null"),
        ("kid-an-injection", "x' UNION SELECT 'secret' -- "),
        ("kid-a-command", "|id>/tmp/x"),
    ):
        yield Case(
            name,
            "RFC 8725 section 3.10",
            "kid is looked up and nothing else.",
            draft().with_header(kid=kid),
            refused(ProblemCode.UNKNOWN_KEY),
        )
