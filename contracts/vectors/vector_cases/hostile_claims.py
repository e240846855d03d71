"""Step 6: payloads and claims of well signed tokens that say the wrong thing."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any

from apostille_contracts.problems import ProblemCode

from .forge import AUDIENCE, ISSUER, NOW, Case, compact_json, draft, policy, refused

__all__ = ["cases"]

_MALFORMED = refused(ProblemCode.MALFORMED_TOKEN)
_REQUIRED = ("iss", "sub", "aud", "client_id", "exp", "iat", "jti")


def cases() -> Iterator[Case]:
    """Yield hostile cases of payloads and claims."""
    yield from _texts()
    yield from _missing()
    yield from _mistyped()
    yield from _issuers()
    yield from _audiences()
    yield from _times()


def _texts() -> Iterator[Case]:
    good = compact_json(draft().claims)
    utf8 = "RFC 8725 section 3.7"
    for name, reference, description, payload in (
        ("payload-not-json", "RFC 7519 section 7.2", "No JSON.", b"sub=admin"),
        ("payload-an-array", "RFC 7519 section 7.2", "No object.", b"[" + good + b"]"),
        ("payload-a-text", "RFC 7519 section 7.2", "A JSON text.",
         json.dumps(good.decode()).encode()),
        ("payload-with-something-behind", "RFC 7519 section 7.2", "A second object.", good + b"{}"),
        ("payload-cut-off", "RFC 7519 section 7.2", "The closing brace is missing.", good[:-1]),
        ("payload-not-utf-8", utf8, "A stray byte in a claim nobody reads.",
         b'{"note":"\xff",' + good[1:]),
        ("payload-in-latin-1", utf8, "ISO 8859-1.", b'{"roles":["Lagerf\xfchrer"],' + good[1:]),
        ("payload-in-utf-16", utf8, "UTF-16.", good.decode().encode("utf-16")),
        ("payload-with-byte-order-mark", "RFC 8259 section 8.1", "UTF-8 with a byte order mark.",
         b"\xef\xbb\xbf" + good),
        ("payload-with-nan", "RFC 8259 section 6", "NaN is no JSON.", b'{"note":NaN,' + good[1:]),
        ("payload-with-overlong-utf-8", utf8, "A slash in two bytes.",
         b'{"note":"\xc0\xaf",' + good[1:]),
        ("payload-nested-too-deep", "RFC 8259 section 9", "5,000 arrays in an unknown claim.",
         b'{"note":' + b"[" * 5000 + b"]" * 5000 + b"," + good[1:]),
        ("payload-compressed", "RFC 8725 section 3.6", "DEFLATE.", zlib.compress(good)),
        ("payload-a-token", "RFC 7519 section 5.2", "A token inside the token.",
         draft().signed().encode()),
    ):  # fmt: skip
        token = draft().key.token(draft().header, payload)
        yield Case(name, reference, description, token, _MALFORMED)


def _invalid(claim: str) -> Any:
    return refused(ProblemCode.INVALID_CLAIM, claim)


def _missing() -> Iterator[Case]:
    for claim in _REQUIRED:
        yield Case(
            f"{claim.replace('_', '-')}-missing",
            "RFC 9068 section 2.2",
            f"{claim} is required.",
            draft(**{claim: None}),
            _invalid(claim),
        )
    null = compact_json({**draft().claims, "exp": None})
    yield Case(
        "exp-null",
        "RFC 7519 section 4.1.4",
        "null is not absent, and absent is not allowed.",
        draft().key.token(draft().header, null),
        _invalid("exp"),
    )


def _mistyped() -> Iterator[Case]:
    times = "RFC 7519 section 2"
    texts = "RFC 7519 section 4.1"
    for name, claim, reference, description, value in (
        ("exp-a-text", "exp", times, "A number in quotes.", str(NOW + 600)),
        ("exp-a-boolean", "exp", times, "true is no number, though Python thinks so.", True),
        ("exp-a-list", "exp", times, "A list.", [NOW + 600]),
        ("exp-negative", "exp", times, "Before 1970.", -1),
        ("exp-after-the-year-9999", "exp", "DESIGN section 3", "No calendar holds it.",
         253_402_300_800),
        ("exp-enormous", "exp", "DESIGN section 3", "No float holds it exactly.", 10**30),
        ("iat-a-text", "iat", times, "A date in words.", "2027-01-15T08:00:00Z"),
        ("nbf-an-object", "nbf", times, "An object.", {"at": NOW}),
        ("sub-a-number", "sub", texts, "17 and '17' are two users.", 17),
        ("sub-empty", "sub", texts, "Nobody.", ""),
        ("iss-a-list", "iss", texts, "Two issuers.", [ISSUER, "https://evil.example"]),
        ("aud-a-number", "aud", texts, "A number.", 1),
        ("aud-an-object", "aud", texts, "An object whose key is the audience.", {AUDIENCE: True}),
        ("aud-a-list-with-a-number", "aud", texts, "One good entry and one that is no text.",
         [AUDIENCE, 1]),
        ("client-id-a-number", "client_id", texts, "A number.", 1),
        ("jti-a-number", "jti", texts, "A number.", 1),
        ("permissions-a-text", "permissions", "DESIGN section 3",
         "Searched for a substring it would cover a lot.", "inventory.read inventory.write"),
        ("permissions-an-object", "permissions", "DESIGN section 3", "Names as keys.",
         {"inventory.read": False}),
        ("permissions-with-null", "permissions", "DESIGN section 3", "A list with null.", [None]),
        ("roles-a-text", "roles", "DESIGN section 3", "A text.", "superuser"),
        ("scope-a-list", "scope", "RFC 8693 section 4.2", "A list where texts are joined.", ["a"]),
        ("act-a-text", "act", "RFC 8693 section 4.1", "A text.", "support"),
        ("status-without-index", "status", "draft-ietf-oauth-status-list section 6.2",
         "No idx: nothing to look up.", {"status_list": {"uri": f"{ISSUER}/status-lists/1"}}),
        ("status-with-negative-index", "status", "draft-ietf-oauth-status-list section 6.2",
         "idx is below zero.", {"status_list": {"idx": -1, "uri": f"{ISSUER}/status-lists/1"}}),
        ("cnf-a-text", "cnf", "RFC 7800 section 3.1", "A text.", "thumbprint"),
    ):  # fmt: skip
        yield Case(name, reference, description, draft(**{claim: value}), _invalid(claim))


def _issuers() -> Iterator[Case]:
    for name, description, issuer in (
        ("issuer-another", "Another issuer that happens to share a key.", "https://evil.example"),
        ("issuer-with-a-slash", "A slash at the end.", f"{ISSUER}/"),
        ("issuer-in-capitals", "Capitals.", ISSUER.upper()),
        ("issuer-as-prefix", "Ours is a prefix of it.", f"{ISSUER}.evil.example"),
        ("issuer-without-tls", "http.", ISSUER.replace("https", "http")),
        ("issuer-with-a-port", "The default port, spelt out.", f"{ISSUER}:443"),
    ):
        yield Case(
            name,
            "RFC 9068 section 4, RFC 8725 section 3.8",
            f"Issuers are compared letter for letter. {description}",
            draft(iss=issuer),
            refused(ProblemCode.WRONG_ISSUER),
        )


def _audiences() -> Iterator[Case]:
    for name, description, audience in (
        ("audience-another-service", "A token for billing, replayed here.", "billing"),
        ("audience-empty-list", "For nobody.", []),
        ("audience-in-capitals", "Capitals.", AUDIENCE.upper()),
        ("audience-contains-ours", "Ours is a part of it.", f"{AUDIENCE}-admin"),
        ("audience-part-of-ours", "It is a part of ours.", AUDIENCE[:3]),
        ("audience-joined-with-spaces", "A list as one text.", f"billing {AUDIENCE}"),
        ("audience-a-wildcard", "A star means nothing here.", "*"),
        ("audience-the-issuer", "The issuer's own API.", ISSUER),
    ):
        yield Case(
            name,
            "RFC 9068 section 4, RFC 8725 section 3.9",
            description,
            draft(aud=audience),
            refused(ProblemCode.WRONG_AUDIENCE),
        )


def _times() -> Iterator[Case]:
    expired = refused(ProblemCode.EXPIRED_TOKEN)
    early = refused(ProblemCode.NOT_YET_VALID)
    exact = policy(leeway_seconds=0)
    yield Case("expired-this-moment", "RFC 7519 section 4.1.4",
               "now equals exp, and there is no leeway: on or after is too late.",
               draft(), expired, policy=exact, time=NOW + 600)  # fmt: skip
    yield Case("expired-with-the-leeway", "RFC 7519 section 4.1.4",
               "now equals exp plus leeway.", draft(), expired, time=NOW + 630)  # fmt: skip
    yield Case("expired-by-half-a-second", "RFC 7519 section 4.1.4", "exp has a fraction.",
               draft(exp=NOW - 0.5, iat=NOW - 60), expired, policy=exact)  # fmt: skip
    yield Case("expired-long-ago", "RFC 7519 section 4.1.4", "exp is zero.",
               draft(exp=0, iat=0), expired)  # fmt: skip
    doubled = compact_json(draft().claims)[:-1] + f',"exp":{NOW - 3600}}}'.encode()
    yield Case("expired-in-the-claim-that-counts", "RFC 7519 section 4",
               "exp stands twice; the last one is over.",
               draft().key.token(draft().header, doubled), expired)  # fmt: skip
    yield Case("not-before-a-second-beyond-the-leeway", "RFC 7519 section 4.1.5",
               "nbf lies leeway and a second ahead.", draft(nbf=NOW + 31), early)  # fmt: skip
    yield Case("not-before-without-leeway", "RFC 7519 section 4.1.5",
               "nbf lies a second ahead, and there is no leeway.",
               draft(nbf=NOW + 1), early, policy=exact)  # fmt: skip
    yield Case("issued-in-the-future", "RFC 7519 section 4.1.6",
               "iat lies leeway and a second ahead.", draft(iat=NOW + 31), early)  # fmt: skip
