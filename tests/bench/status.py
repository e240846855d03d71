"""Status lists of one million sessions: served, held, checked and made anew."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from apostille import StaticKeys, Verifier
from apostille.status import StaticStatus
from apostille_issuer.issuer import Issuer
from apostille_issuer.settings import Settings
from apostille_issuer.status.schemas import LISTS_PATH, STATUS_LIST_MEDIA_TYPE
from apostille_issuer.status.service import StatusService
from bench.fresh import probe
from bench.issuer_targets import (
    CONNECTIONS,
    apostille_server,
    bare_litestar,
    migrate,
    serve_environment,
)
from bench.load import Conversation
from bench.loads import Load, rate_of
from bench.million import LISTS, SESSIONS, Million
from bench.processes import LoadGenerator
from bench.report import Section, Table
from bench.rounds import CONTROL, ROUNDS, Measure, calls_over, clock, interleave
from bench.series import Better, Budget, Series
from bench.tokens import AUDIENCE, ISSUER, Mint
from support.http_server import IssuerServer, document

__all__ = ["measure_status"]

TOKENS = 1_000
"""Distinct tokens, each verified once before a round and once in it."""

ROUTE_OVER_BARE = 0.9
CHECK_MICROSECONDS = 0.5

BARE = "bare Litestar, the same bytes"
WHOLE = "Apostille, a list"
UNCHANGED = "Apostille, a list that the caller has (304)"


def measure_status() -> Section:
    """Measure everything about status lists."""
    section = Section("status", "Status lists")
    million = Million()
    section.notes.append(
        f"{SESSIONS:,} sessions in {LISTS} lists, 1 in 100 revoked, at random places. Status lists "
        "know nothing of sessions but their places, so the issuer's database holds lists and bits, "
        "and no sessions."
    )
    with tempfile.TemporaryDirectory(prefix="apostille-bench-") as name:
        folder = Path(name)
        migrate(folder / "data", serve_environment())
        million.write(_database(folder))
        _measure_route(section, folder)
        _measure_rebuilding(section, million, folder)
    _measure_check(section, million)
    _measure_memory(section, million)
    return section


def _database(folder: Path) -> Path:
    return folder / "data" / "apostille.sqlite3"


def _path(number: int) -> str:
    return f"{LISTS_PATH}/{number}"


def _measure_route(section: Section, folder: Path) -> None:
    with ExitStack() as stack:
        ours = stack.enter_context(apostille_server(folder / "data", folder / "log"))
        answers = _whole_lists(ours.port)
        _size_table(section, answers)
        first = answers[0]
        bare = stack.enter_context(bare_litestar(folder, len(first.content))).server
        generator = stack.enter_context(LoadGenerator())
        known = Conversation(path=_path(1), headers={"If-None-Match": first.headers["etag"]})
        loads = {
            BARE: Load(bare, [Conversation(path="/document")] * CONNECTIONS),
            CONTROL: Load(bare, [Conversation(path="/document")] * CONNECTIONS),
            WHOLE: Load(ours, [Conversation(path=_path(1))] * CONNECTIONS),
            UNCHANGED: Load(ours, [known] * CONNECTIONS),
        }
        subjects = {name: rate_of(generator, name, load) for name, load in loads.items()}
        for measure in subjects.values():
            measure()
        rates = interleave(subjects)
    noise = rates.pop(CONTROL).over(rates[BARE])
    note = (
        f"The first list, {len(first.content):,} bytes, over {CONNECTIONS} connections; servers "
        "and load as in the section on the issuer."
    )
    section.tables.append(Table("The route", "1/s", rates, (BARE,), noise=noise, note=note))
    text = "status list beside a bare Litestar route"
    ratio = rates[WHOLE].over(rates[BARE])
    section.budgets.append(Budget(text, ROUTE_OVER_BARE, ratio, noise.departure, Better.HIGHER))


def _whole_lists(port: int) -> list[httpx.Response]:
    with httpx.Client(
        base_url=f"http://127.0.0.1:{port}", headers={"accept-encoding": ""}, trust_env=False
    ) as client:
        answers = [client.get(_path(number)) for number in range(1, LISTS + 1)]
    for answer in answers:
        answer.raise_for_status()
    return answers


def _size_table(section: Section, answers: list[httpx.Response]) -> None:
    sizes = [len(answer.content) / 1024 for answer in answers]
    rows = {
        "one list": Series.of(sizes),
        f"all {LISTS}": Series.of([sum(sizes)]),
    }
    note = "As the SDK asks for them; the bodies of answers with 200. One that has not changed is "
    note += "answered with 304 and no body."
    section.tables.append(Table("Size on the wire", "KiB", rows, note=note))


def _measure_rebuilding(section: Section, million: Million, folder: Path) -> None:
    stack = AsyncExitStack()
    with asyncio.Runner() as runner:
        issuer = Issuer(Settings(data=folder / "data"))
        runner.run(stack.enter_async_context(issuer.running()))
        status = _service(issuer)
        runner.run(status.document(1))
        database = _database(folder)

        def change() -> StatusService:
            million.revoke_one_more(database)
            status._board.changed()
            return status

        def look() -> StatusService:
            status._board.changed()
            return status

        subjects: dict[str, Measure] = {
            "a process that begins: all lists read, one packed and signed": _document(
                runner, lambda: _service(issuer)
            ),
            "one session more: its bit read, its list packed and signed": _document(runner, change),
            "nothing new since half a second: the database asked": _document(runner, look),
            "asked for within half a second: from memory": _document(runner, lambda: status),
        }
        rows = interleave(subjects)
        runner.run(stack.aclose())
    note = "Processor time of the issuer until a list is there, in process, on SQLite, ES256."
    section.tables.append(Table("Making a list anew", "ms", rows, note=note))


def _service(issuer: Issuer) -> StatusService:
    """Return a status service that knows nothing yet, over the database of *issuer*."""
    settings = issuer.settings
    return StatusService(
        issuer.database,
        issuer.clock,
        keys=issuer.keys,
        issuer_url=settings.issuer_url,
        ttl=settings.status_ttl,
    )


def _document(runner: asyncio.Runner, prepare: Callable[[], StatusService]) -> Measure:
    async def timed(ask: Callable[[int], Awaitable[object]]) -> float:
        begin = clock()
        await ask(1)
        return (clock() - begin) * 1e3

    return lambda: runner.run(timed(prepare().document))


def _measure_check(section: Section, million: Million) -> None:
    mint = Mint.of("ES256")
    lists = {f"{ISSUER}{_path(number)}": bits.octets for number, bits in million.bits().items()}
    places = [(f"{ISSUER}{_path(number)}", index) for number, index in million.good_places(TOKENS)]
    verifier = Verifier(
        ISSUER, audience=AUDIENCE, keys=StaticKeys(mint.jwks), status=StaticStatus(lists)
    )
    plain = Mint(mint.key, with_status=False).tokens(TOKENS)
    standing = [mint.token(place) for place in places]
    without, checked = "without a status", "with a status"
    subjects = {
        without: _again(verifier, plain),
        CONTROL: _again(verifier, plain),
        checked: _again(verifier, standing),
    }
    rows = interleave(subjects)
    noise = rows.pop(CONTROL).over(rows[without])
    note = f"{TOKENS:,} tokens, ES256, each verified once before; their places are all over."
    table = Table("Verifying again", "µs", rows, above=without, noise=noise, note=note)
    section.tables.append(table)
    cost = rows[checked].minus(rows[without])
    text = "check of a session's status in a repeated verify"
    section.budgets.append(Budget(text, CHECK_MICROSECONDS, cost, noise.departure, unit="µs"))


def _again(verifier: Verifier, tokens: list[str]) -> Measure:
    for token in tokens:
        verifier.verify(token)
    octets = [token.encode() for token in tokens]
    # A text object of its own each time, as requests have.
    return calls_over(lambda: (verifier.verify, [each.decode() for each in octets]))


def _measure_memory(section: Section, million: Million) -> None:
    key = Mint.of("ES256").key
    with IssuerServer(key) as server:
        mint = Mint(key, issuer=server.issuer)
        tokens = [Mint(key, issuer=server.issuer, with_status=False).token()]
        now = int(time.time())
        for number, bits in million.bits().items():
            uri = f"{server.issuer}{_path(number)}"
            claims = {
                "sub": uri,
                "iat": now,
                "exp": now + 3_600,
                "ttl": 300,
                "status_list": {"bits": 1, "lst": bits.encoded()},
            }
            served = mint.signed("statuslist+jwt", claims).encode()
            server.behaviours[urlsplit(uri).path] = document(served, STATUS_LIST_MEDIA_TYPE)
            tokens.append(mint.token((uri, million.good_places(1)[0][1])))
        figures = [
            json.loads(probe("bench.status_memory", server.issuer, AUDIENCE, *tokens))
            for _ in range(ROUNDS)
        ]
    rows = {
        name: Series.of([figure[what] / 1024 for figure in figures])
        for name, what in (("allocated by Python", "allocated"), ("resident", "resident"))
    }
    note = f"All {LISTS} lists, fetched over HTTP by a verifier in an interpreter of its own."
    section.tables.append(Table("Memory in a service", "KiB", rows, note=note))
