"""Tokens that every verifier accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from apostille_contracts.claims import ALGORITHMS

from .forge import (
    AUDIENCE,
    ISSUER,
    KEYS,
    NEXT,
    NOW,
    SUBJECT,
    Case,
    accepted,
    b64url,
    compact_json,
    draft,
    policy,
    unb64url,
)

__all__ = ["cases"]

# The order of the group of P-256 (SEC 2 section 2.4.2).
_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def cases() -> Iterator[Case]:
    """Yield all good cases."""
    yield from _algorithms()
    yield from _headers()
    yield from _keys()
    yield from _claims()
    yield from _times()
    yield from _encodings()


def _algorithms() -> Iterator[Case]:
    for algorithm in ALGORITHMS:
        yield Case(
            f"{algorithm.lower()}-required-claims-only",
            "RFC 9068 section 2.2",
            f"The seven required claims and nothing else, signed with {algorithm}.",
            draft(algorithm, permissions=None),
            accepted(sub=SUBJECT, client_id="apostille", aud=AUDIENCE, iss=ISSUER),
        )
    signing_input, _, signature = draft().signed().rpartition(".")
    numbers = unb64url(signature)
    s = _P256_ORDER - int.from_bytes(numbers[32:], "big")
    yield Case(
        "es256-signature-in-its-other-form",
        "SEC 1 section 4.1.4",
        "(r, n-s) verifies wherever (r, s) does. Accept it, and never take a token's hash for "
        "its identity: one token has two.",
        f"{signing_input}.{b64url(numbers[:32] + s.to_bytes(32, 'big'))}",
        accepted(),
    )
    yield Case(
        "eddsa-key-under-its-new-name",
        "RFC 9864 section 2.2",
        "The key set says EdDSA, the token Ed25519: two names of one algorithm over this curve.",
        draft("EdDSA").with_header(alg="Ed25519"),
        accepted(),
    )
    yield Case(
        "allow-list-of-one",
        "RFC 8725 section 3.1",
        "The verifier allows ES256 alone, and that is what the token has.",
        draft(),
        accepted(),
        policy=policy(algorithms=("ES256",)),
    )


def _headers() -> Iterator[Case]:
    for name, kind in (("long-type", "application/at+jwt"), ("type-in-capitals", "AT+JWT")):
        yield Case(
            name,
            "RFC 9068 section 4, RFC 7515 section 4.1.9",
            "A media type may carry the prefix application/, and its case does not matter.",
            draft().with_header(typ=kind),
            accepted(),
        )
    yield Case(
        "unknown-header-member",
        "RFC 7515 section 4",
        "Header members nobody knows are ignored unless crit names them.",
        draft().with_header(note={"written": "by somebody"}),
        accepted(),
    )
    yield Case(
        "header-members-in-another-order-with-spaces",
        "RFC 8259 sections 2 and 4",
        "White space and order mean nothing in JSON.",
        draft().key.token(
            json.dumps(dict(reversed(list(draft().header.items()))), indent=2).encode(),
            draft().claims,
        ),
        accepted(),
    )


def _spread_out(header: Mapping[str, Any]) -> bytes:
    return json.dumps(dict(reversed(list(header.items()))), indent=2).encode()


def _keys() -> Iterator[Case]:
    yield Case(
        "key-among-many",
        "RFC 7517 section 5",
        "The key set holds a key for each algorithm; kid finds the one.",
        draft("PS256"),
        accepted(),
        keys=tuple(KEYS.values()),
    )
    yield Case(
        "retiring-key-still-published",
        "RFC 7517 section 5",
        "The issuer signs with a new key already; the old one verifies as long as it is published.",
        draft(),
        accepted(),
        keys=(NEXT, KEYS["ES256"]),
    )
    minimal = {name: KEYS["ES256"].public_jwk()[name] for name in ("kty", "crv", "x", "y", "kid")}
    yield Case(
        "key-without-alg-and-use",
        "RFC 7517 section 4",
        "A P-256 key has one algorithm in this contract, whether it says so or not.",
        draft(),
        accepted(),
        keys=(minimal,),
    )
    yield Case(
        "unusable-keys-beside-a-good-one",
        "RFC 7517 section 5",
        "A key of an unknown type, a malformed one and one for encryption are skipped one by one.",
        draft(),
        accepted(),
        keys=(
            {"kty": "unheard-of", "kid": "a"},
            {"kty": "EC", "crv": "P-256", "kid": "b", "x": "AA", "y": "AA"},
            {**KEYS["RS256"].public_jwk(), "use": "enc"},
            KEYS["ES256"],
        ),
    )


def _claims() -> Iterator[Case]:
    everything: dict[str, Any] = {
        "auth_time": NOW - 60,
        "acr": "urn:example:loa:2",
        "amr": ["pwd", "otp"],
        "sid": "0190f5f0-0000-7000-8000-00000000000a",
        "tid": "0190f5f0-0000-7000-8000-00000000000b",
        "org": "0190f5f0-0000-7000-8000-00000000000c",
        "roles": ["clerk", "keeper"],
        "permissions": ["billing.invoices.read", "inventory.*"],
        "scope": "openid profile",
        "plan": "pro",
        "status": {"status_list": {"idx": 7, "uri": f"{ISSUER}/status-lists/1"}},
        "cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
    }
    yield Case(
        "every-claim",
        "DESIGN section 3",
        "Every claim of contract v1 but act, which has a vector of its own.",
        draft(**everything),
        accepted(**everything),
    )
    actor = {"sub": "support", "act": {"sub": "escalation"}}
    yield Case(
        "impersonation",
        "RFC 8693 section 4.1",
        "Somebody acts for the subject; the nested actor is history.",
        draft(act=actor),
        accepted(act=actor),
    )
    yield Case(
        "audience-among-several",
        "RFC 7519 section 4.1.3",
        "aud is a list, and this service is on it.",
        draft(aud=["billing", AUDIENCE]),
        accepted(aud=["billing", AUDIENCE]),
    )
    yield Case(
        "service-with-two-audiences",
        "RFC 7519 section 4.1.3",
        "The service answers to two names; the token has one of them.",
        draft(),
        accepted(),
        policy=policy(audience=("stock", AUDIENCE)),
    )
    yield Case(
        "superuser",
        "DESIGN section 4",
        "The grant * covers every permission.",
        draft(permissions=["*"]),
        accepted(permissions=["*"]),
    )
    yield Case(
        "no-permissions",
        "DESIGN section 3",
        "Whoever may do nothing is known all the same.",
        draft(permissions=[]),
        accepted(permissions=[]),
    )
    many = [f"inventory.area-{number:03}.read" for number in range(200)]
    yield Case(
        "two-hundred-permissions",
        "DESIGN section 3",
        "A token of over 6,000 characters.",
        draft(permissions=many),
        accepted(permissions=many),
    )
    yield Case(
        "claims-nobody-knows",
        "RFC 7519 section 4",
        "Unknown claims of any shape are ignored.",
        draft(nickname="Joe", extra={"exp": "never", "list": [1, None, {"deep": [[[]]]}]}),
        accepted(),
    )


def _times() -> Iterator[Case]:
    yield Case(
        "last-moment-of-the-leeway",
        "RFC 7519 section 4.1.4",
        "One second before exp plus leeway.",
        draft(),
        accepted(exp=NOW + 600),
        time=NOW + 600 + 29,
    )
    yield Case(
        "last-moment-without-leeway",
        "RFC 7519 section 4.1.4",
        "One second before exp, and no leeway.",
        draft(),
        accepted(),
        policy=policy(leeway_seconds=0),
        time=NOW + 599,
    )
    yield Case(
        "not-before-within-the-leeway",
        "RFC 7519 section 4.1.5",
        "nbf lies exactly the leeway ahead.",
        draft(nbf=NOW + 30),
        accepted(nbf=NOW + 30),
    )
    yield Case(
        "issued-within-the-leeway",
        "RFC 7519 section 4.1.6",
        "iat lies exactly the leeway ahead: the issuer's clock is fast.",
        draft(iat=NOW + 30),
        accepted(iat=NOW + 30),
    )
    yield Case(
        "fractions-of-a-second",
        "RFC 7519 section 2",
        "NumericDate may have a fraction.",
        draft(exp=NOW + 0.5, iat=NOW - 0.25),
        accepted(exp=NOW + 0.5, iat=NOW - 0.25),
        policy=policy(leeway_seconds=0),
    )


def _encodings() -> Iterator[Case]:
    yield Case(
        "claims-in-unicode",
        "RFC 8259 section 8.1",
        "UTF-8, within and beyond the basic plane.",
        draft(roles=["Lagerführer", "倉庫係", "📦"]),
        accepted(roles=["Lagerführer", "倉庫係", "📦"]),
    )
    escaped = json.dumps({**draft().claims, "roles": ["Lagerführer", "📦"]}).encode("ascii")
    yield Case(
        "claims-in-escapes",
        "RFC 8259 section 7",
        "The same characters as escapes, with a surrogate pair.",
        draft().key.token(draft().header, escaped),
        accepted(roles=["Lagerführer", "📦"]),
    )
    doubled = b'{"permissions":["*"],' + compact_json(draft().claims)[1:]
    yield Case(
        "claim-twice-the-last-counts",
        "RFC 7519 section 4",
        "Of a claim that stands twice the last one counts, as in every JSON parser that does not "
        "refuse it.",
        draft().key.token(draft().header, doubled),
        accepted(permissions=["inventory.read"]),
    )
