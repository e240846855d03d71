"""The form of a golden vector: one token, and the one verdict it must get.

``contracts/vectors`` holds them as JSON, one file each, for a verifier in any
language: decode *keys* as the issuer's key set, set the clock to *time*,
verify *token* under *policy*, compare with *expected*. Where the session of a
token stands in a status list, the vector brings the list along.
"""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta, Struct

from .claims import Algorithm
from .problems import ProblemCode

__all__ = ["ExpectedVerdict", "StatusVector", "Vector", "VectorPolicy"]


class VectorPolicy(Struct, frozen=True, forbid_unknown_fields=True):
    """What the verifier is configured with."""

    issuer: str
    audience: Annotated[tuple[str, ...], Meta(min_length=1)]
    """The token must be for at least one of these."""
    algorithms: Annotated[tuple[Algorithm, ...], Meta(min_length=1)]
    """The allow-list."""
    leeway_seconds: Annotated[int, Meta(ge=0)]


class ExpectedVerdict(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Accepted with *claims*, or refused with *code*."""

    valid: bool
    claims: dict[str, Any] = {}
    """With a valid token: claims it must yield; there may be more."""
    code: ProblemCode | None = None
    """With a refused token: the one code that is right."""
    claim: str | None = None
    """With the code ``invalid_claim``: the claim at fault."""

    def __post_init__(self) -> None:
        if self.valid == (self.code is not None):
            raise ValueError("a verdict is valid or has a code, never both and never neither")
        if (self.claim is not None) != (self.code == ProblemCode.INVALID_CLAIM):
            raise ValueError("a claim is named with the code invalid_claim, and only with it")


class Vector(Struct, frozen=True, forbid_unknown_fields=True):
    """One golden vector."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    """The file's name without ``.json``; for a hostile one, the attack."""
    description: Annotated[str, Meta(min_length=1)]
    reference: Annotated[str, Meta(min_length=1)]
    """The rule that decides, as section of an RFC or name of an attack."""
    keys: dict[str, Any]
    """The issuer's published key set (RFC 7517 section 5)."""
    policy: VectorPolicy
    time: int
    """The moment of verification, in seconds since the epoch."""
    token: str
    expected: ExpectedVerdict


class StatusVector(Vector, frozen=True, forbid_unknown_fields=True):
    """A golden vector whose token names a status list (draft-ietf-oauth-status-list)."""

    status_lists: dict[str, str]
    """What each address answers: a status list token. No other address answers at all."""
