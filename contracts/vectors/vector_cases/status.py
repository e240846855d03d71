"""Step 7: good status lists, and what they say of sessions."""

from __future__ import annotations

from collections.abc import Iterator

from apostille._forgeries import Draft
from apostille_contracts.key_sets import key_set_thumbprint
from apostille_contracts.problems import ProblemCode

from .forge import KEYS, NEXT, NOW, accepted, draft, refused
from .lists import SUSPENDED, StatusCase, at, packed, status_list

__all__ = ["cases"]

_RULES = "draft-ietf-oauth-status-list section 8.3"
_TYPES = "draft-ietf-oauth-status-list section 7.1"
_CLAIMS = "draft-ietf-oauth-status-list section 5.1"
_KEY_SET = "apostille_contracts.key_sets"

_REVOKED = refused(ProblemCode.REVOKED_TOKEN)
_NO_SUCH_PLACE = refused(ProblemCode.INVALID_CLAIM, "status")

_NUMBERS = {1: "one-bit", 2: "two-bits", 4: "four-bits", 8: "eight-bits"}


def cases() -> Iterator[StatusCase]:
    """Yield cases whose list is good."""
    yield from _statuses()
    yield from _places()
    yield from _tokens()
    yield from _key_sets()
    yield from _signatures()
    yield from _order()


def _statuses() -> Iterator[StatusCase]:
    for bits, name in _NUMBERS.items():
        highest = (1 << bits) - 1
        statuses = [highest, 0, 1, SUSPENDED & highest, highest, 0, 1, 0, highest, 0]
        served = status_list(packed(bits, statuses), bits)
        where = f"Statuses of {bits} bit{'s' * (bits > 1)}."
        yield StatusCase(f"{name}-valid", _TYPES, f"{where} This one is 0.", served, accepted(),
                         index=5)  # fmt: skip
        yield StatusCase(f"{name}-invalid", _TYPES, f"{where} This one is 1: the session has "
                         "ended.", served, _REVOKED, index=6)  # fmt: skip
        if bits > 1:
            yield StatusCase(f"{name}-suspended", _TYPES, f"{where} This one is 2: not now, "
                             "perhaps later.", served, _REVOKED, index=3)  # fmt: skip
            yield StatusCase(f"{name}-that-nobody-knows", _TYPES, f"{where} This one is "
                             f"{highest}, which says anything but valid.", served, _REVOKED,
                             index=8)  # fmt: skip


def _places() -> Iterator[StatusCase]:
    mixed = status_list(b"\x01\x80")
    for name, description, index, expected in (
        ("first-place", "Index 0 is the least significant bit of the first octet.", 0, _REVOKED),
        ("first-octet-read-from-its-least-end", "Who counts from the other end is wrong.", 7,
         accepted()),
        ("last-place", "Index 15 is the most significant bit of the second octet.", 15, _REVOKED),
        ("next-to-last-place", "Its neighbour is good.", 14, accepted()),
        ("place-behind-the-last", "The list has 16 places, the session claims the 17th.", 16,
         _NO_SUCH_PLACE),
        ("place-far-behind-the-last", "2^53 - 1: whoever multiplies it must not wrap around.",
         2**53 - 1, _NO_SUCH_PLACE),
    ):  # fmt: skip
        yield StatusCase(name, _RULES, description, mixed, expected, index=index)
    octets = bytearray(2**17 // 8)
    octets[-1] = 0x80
    large = status_list(bytes(octets))
    for name, description, index, expected in (
        ("large-list-good-place", "131,072 places, as the issuer cuts its lists.", 131_070,
         accepted()),
        ("large-list-last-place", "The last of 131,072 places is set.", 131_071, _REVOKED),
        ("place-behind-a-large-list", "One more than there are.", 131_072, _NO_SUCH_PLACE),
    ):  # fmt: skip
        yield StatusCase(name, _RULES, description, large, expected, index=index)
    yield StatusCase(
        "empty-list",
        _RULES,
        "A list without places: nobody stands there.",
        status_list(b""),
        _NO_SUCH_PLACE,
        index=0,
    )


def _tokens() -> Iterator[StatusCase]:
    for name, reference, description, served in (
        ("list-of-the-long-type", "RFC 7515 section 4.1.9", "The prefix application/ may be there.",
         status_list().with_header(typ="application/statuslist+jwt")),
        ("list-without-exp-and-ttl", _CLAIMS, "Both are optional.",
         status_list(exp=None, ttl=None)),
        ("list-with-more-to-say", _CLAIMS, "Claims and members nobody knows are ignored.",
         status_list(iss="https://iam.example.com", aggregation=True)),
        ("list-issued-within-the-leeway", _RULES, "iat lies 30 seconds ahead.",
         status_list(iat=NOW + 30)),
        ("list-in-the-last-moment-of-its-leeway", _RULES, "exp was 29 seconds ago.",
         status_list(exp=NOW - 29)),
    ):  # fmt: skip
        yield StatusCase(name, reference, description, served, accepted())


def _key_sets() -> Iterator[StatusCase]:
    ours = key_set_thumbprint([KEYS["ES256"].public_jwk()])
    theirs = key_set_thumbprint([KEYS["EdDSA"].public_jwk()])
    for name, description, served in (
        (
            "list-that-names-the-key-set",
            "key_set names the keys there are: nothing is to be fetched.",
            status_list(key_set=ours),
        ),
        (
            "list-that-names-another-key-set",
            "key_set says that there are other keys, which are to be fetched. The list is good.",
            status_list(key_set=theirs),
        ),
        (
            "list-whose-key-set-is-no-name",
            "key_set is another issuer's claim: it is ignored.",
            status_list(key_set={"keys": []}),
        ),
    ):
        yield StatusCase(name, _KEY_SET, description, served, accepted())


def _signatures() -> Iterator[StatusCase]:
    for algorithm in ("RS256", "PS256", "EdDSA"):
        yield StatusCase(
            f"{algorithm.lower()}-list",
            _RULES,
            f"The issuer signs its lists with {algorithm} and its tokens with ES256.",
            status_list(algorithm=algorithm),
            accepted(),
        )
    claims = status_list().claims
    yield StatusCase(
        "list-of-the-next-key",
        _RULES,
        "The keys have rotated: the list has the next one, the token still the one before.",
        Draft({**status_list().header, "kid": NEXT.kid}, claims, NEXT),
        accepted(),
        keys=(KEYS["ES256"], NEXT),
    )


def _order() -> Iterator[StatusCase]:
    yield StatusCase(
        "expired-token-of-an-ended-session",
        "DESIGN section 5 steps 6 and 7",
        "The token has expired, and its session has ended: the former comes first.",
        status_list(),
        refused(ProblemCode.EXPIRED_TOKEN),
        token=draft(status=at(17), exp=NOW - 30),
    )
    yield StatusCase(
        "token-without-status",
        "DESIGN section 3",
        "Not every token has a status; no list is asked for.",
        None,
        accepted(),
        token=draft(),
    )
