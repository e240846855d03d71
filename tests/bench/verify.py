"""Verification: beside the bare signature check, PyJWT, joserfc and Authlib."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from apostille import Verifier
from apostille_contracts.claims import Algorithm
from bench.imports import import_table
from bench.report import Section, Table
from bench.rounds import CONTROL, Measure, calls_over, interleave
from bench.series import Budget
from bench.token_cache import cache_tables
from bench.tokens import AUDIENCE, ISSUER, Mint
from bench.verify_peers import BARE, PYJWT, bare_checks, peers, serving

__all__ = ["measure_verify"]

TOKENS = 500
"""Distinct tokens of one algorithm in one round."""

REPEATS = 4_000
"""Calls of a repeated verify in one round, each with a text object of its own."""

OURS = "Apostille, every token new"
AGAIN = "Apostille, the same token again, with has()"
AGAIN_STATUS = "Apostille, the same token again, with has() and status"

FIRST_OVER_BARE: dict[Algorithm, float] = {"ES256": 1.2, "EdDSA": 1.12, "RS256": 1.6}
FIRST_OVER_PYJWT = 0.65
AGAIN_OVER_PYJWT = 1 / 100
AGAIN_MICROSECONDS = 1.0
AGAIN_STATUS_OVER_PYJWT = 1 / 80
AGAIN_STATUS_MICROSECONDS = 1.5

T = TypeVar("T")


def measure_verify() -> Section:
    """Measure everything about verification."""
    section = Section("verify", "Verifying a token")
    section.notes.append(
        "Processor time of one thread, in process. Every verifier checks signature, issuer, "
        f"audience and times of the same {TOKENS} distinct tokens per round; Apostille also checks "
        "`typ`, the type and size of every claim, and the status of the session. *Again* passes "
        "the same token in a text object of its own each time, as requests do, so that its hash is "
        "paid for; a token without status first, then one with. With EdDSA "
        "the signature check alone is so large a part of PyJWT's time that only the other "
        "algorithms are held to a budget beside PyJWT."
    )
    for algorithm in ("ES256", "EdDSA", "RS256", "PS256"):
        _measure_algorithm(section, algorithm)
    section.tables.append(_permissions_table())
    cache_tables(section)
    import_table(section)
    return section


def verifier(mint: Mint) -> Verifier:
    """Return a fresh verifier that holds the mint's key."""
    return Verifier(ISSUER, audience=AUDIENCE, **mint.sources)


def _measure_algorithm(section: Section, algorithm: Algorithm) -> None:
    mint = Mint.of(algorithm)
    tokens = mint.tokens(TOKENS)
    bare = bare_checks(mint, tokens)

    def bare_all() -> tuple[Callable[[Callable[[], object]], object], list[Callable[[], object]]]:
        return (lambda check: check()), bare

    with serving({"/jwks": mint.jwks}) as address:
        subjects: dict[str, Measure] = {BARE: calls_over(bare_all)}
        subjects[OURS] = calls_over(lambda: (verifier(mint).verify, tokens))
        for name, verify in peers(mint, f"{address}/jwks").items():
            verify(tokens[0])
            subjects[name] = calls_over(_constant(verify, tokens))
        plain = replace(mint, with_status=False)
        subjects[AGAIN] = calls_over(lambda: _again(plain, plain.token()))
        subjects[AGAIN_STATUS] = calls_over(lambda: _again(mint, tokens[0]))
        subjects[CONTROL] = calls_over(bare_all)
        rows = interleave(subjects)
    noise = rows.pop(CONTROL).over(rows[BARE])
    section.tables.append(
        Table(
            f"{algorithm}, tokens of {len(tokens[0]):,} characters",
            "µs",
            rows,
            against=(BARE, PYJWT),
            noise=noise,
        )
    )
    first, bare_series, pyjwt = rows[OURS], rows[BARE], rows[PYJWT]
    add = section.budgets.append
    if algorithm in FIRST_OVER_BARE:
        limit = FIRST_OVER_BARE[algorithm]
        text = f"verify, every token new, {algorithm}: beside the bare signature check"
        add(Budget(text, limit, first.over(bare_series), noise.departure))
    if algorithm != "EdDSA":
        text = f"verify, every token new, {algorithm}: beside PyJWT with its key in hand"
        add(Budget(text, FIRST_OVER_PYJWT, first.over(pyjwt), noise.departure))
    for name, what, limit, ratio in (
        (AGAIN, "a permission", AGAIN_MICROSECONDS, AGAIN_OVER_PYJWT),
        (AGAIN_STATUS, "permission and status", AGAIN_STATUS_MICROSECONDS, AGAIN_STATUS_OVER_PYJWT),
    ):
        text = f"verify again with {what}, {algorithm}"
        add(Budget(text, limit, rows[name], noise.departure, unit="µs"))
        add(Budget(f"{text}: beside PyJWT", ratio, rows[name].over(pyjwt), noise.departure))


def _constant(
    function: Callable[[T], object], arguments: list[T]
) -> Callable[[], tuple[Callable[[T], object], list[T]]]:
    return lambda: (function, arguments)


def _again(mint: Mint, token: str) -> tuple[Callable[[str], bool], list[str]]:
    verify = verifier(mint).verify
    verify(token)
    octets = token.encode()
    copies = [octets.decode() for _ in range(REPEATS)]
    return (lambda text: verify(text).has("inventory.write")), copies


def _permissions_table() -> Table:
    subjects: dict[str, Measure] = {}
    for count in (10, 100, 1_000):
        names = tuple(f"a.p{number}" for number in range(count))
        mint = Mint.of("ES256")
        mint = Mint(mint.key, permissions=names)
        tokens = mint.tokens(150)
        subjects[f"{count:,} permissions, every token new"] = calls_over(_fresh(mint, tokens))
        subjects[f"{count:,} permissions, again, with has()"] = calls_over(
            _asking(mint, tokens[0], names[-1])
        )
    rows = interleave(subjects)
    return Table(
        "ES256, by number of permissions",
        "µs",
        rows,
        note="Short names, so that 1,000 of them fit under the 16 KiB a verifier accepts; "
        "an issuer mints at most 8,000 bytes.",
    )


def _fresh(
    mint: Mint, tokens: list[str]
) -> Callable[[], tuple[Callable[[str], object], list[str]]]:
    return lambda: (verifier(mint).verify, tokens)


def _asking(
    mint: Mint, token: str, name: str
) -> Callable[[], tuple[Callable[[str], bool], list[str]]]:
    def prepare() -> tuple[Callable[[str], bool], list[str]]:
        verify = verifier(mint).verify
        verify(token)
        octets = token.encode()
        return (lambda text: verify(text).has(name)), [octets.decode() for _ in range(500)]

    return prepare
