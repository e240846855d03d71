"""What a verifier cannot be constructed with; and what it says of itself."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from apostille import AsyncVerifier, StaticKeys, Verifier
from apostille.clock import SYSTEM_CLOCK
from apostille.errors import ConfigurationError
from support.minting import AUDIENCE, ISSUER, key_of

KEYS = StaticKeys({"keys": [key_of("ES256").public_jwk()]})

MISTAKES: list[dict[str, Any]] = [
    {"issuer": ""},
    {"issuer": None},
    {"issuer": " https://a"},
    {"audience": ""},
    {"audience": []},
    {"audience": None},
    {"audience": 7},
    {"audience": ["inventory", ""]},
    {"audience": ["inventory", 7]},
    {"audience": "inventory "},
    {"algorithms": []},
    {"algorithms": ["none"]},
    {"algorithms": ["HS256"]},
    {"algorithms": "ES256"},
    {"leeway": 30},
    {"leeway": timedelta(seconds=-1)},
    {"leeway": timedelta(minutes=6)},
    {"fresh_for": timedelta(0)},
    {"fresh_for": timedelta(days=2)},
    {"stale_if_error": timedelta(seconds=-1)},
    {"stale_if_error": None},
    {"max_staleness": timedelta(seconds=1)},
    {"max_staleness": timedelta(days=2)},
    {"status": "https://issuer.test"},
    {"cooldown": timedelta(0)},
    {"timeout": timedelta(0)},
    {"timeout": timedelta(minutes=2)},
    {"cache_size": -1},
    {"cache_size": True},
    {"cache_size": 1.5},
]


@pytest.mark.parametrize("changes", MISTAKES, ids=repr)
@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_a_mistake_is_named_at_construction(kind: Any, changes: dict[str, Any]) -> None:
    arguments = {"issuer": ISSUER, "audience": AUDIENCE, "keys": KEYS, **changes}
    with pytest.raises(ConfigurationError) as refused:
        kind(arguments.pop("issuer"), **arguments)
    assert next(iter(changes)).removesuffix("s")[:8] in str(refused.value)


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_the_audience_cannot_be_left_out(kind: Any) -> None:
    with pytest.raises(TypeError):
        kind(ISSUER, keys=KEYS)


@pytest.mark.parametrize("kind", [Verifier, AsyncVerifier])
def test_a_verifier_says_whom_it_serves(kind: Any) -> None:
    verifier = kind(ISSUER, audience=["a", "b"], keys=KEYS)
    assert verifier.issuer == ISSUER
    assert verifier.issuers == (ISSUER,)
    assert verifier.audience == ("a", "b")
    assert repr(verifier) == f"{kind.__name__}('https://issuer.test', audience=['a', 'b'])"
    assert verifier.health().ready


def test_given_keys_know_no_address() -> None:
    assert Verifier("urn:example:issuer", audience=AUDIENCE, keys=KEYS).issuer


def test_the_default_clock_is_the_machines() -> None:
    assert repr(SYSTEM_CLOCK) == "SYSTEM_CLOCK"
    assert SYSTEM_CLOCK.time() > 1_700_000_000
    assert SYSTEM_CLOCK.monotonic() <= SYSTEM_CLOCK.monotonic()


def test_closing_a_verifier_of_given_keys_is_nothing() -> None:
    Verifier(ISSUER, audience=AUDIENCE, keys=KEYS).close()
    asyncio.run(AsyncVerifier(ISSUER, audience=AUDIENCE, keys=KEYS).aclose())
