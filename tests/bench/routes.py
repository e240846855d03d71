"""A protected route above the same route unprotected: ours and the frameworks' usual ways."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import uvloop

from bench.in_process import Route
from bench.report import Section, Table
from bench.rounds import CONTROL, MICROSECONDS, Measure, clock, interleave
from bench.routes_django import django_routes
from bench.routes_fastapi import fastapi_routes
from bench.routes_flask import flask_routes
from bench.routes_litestar import litestar_routes
from bench.series import Budget
from bench.tokens import Mint

__all__ = ["measure_routes"]

REQUESTS = 200
"""Of one route in one round."""

UNPROTECTED = "unprotected"
OURS = "Apostille"
FASTAPI_MICROSECONDS = 30.0

MakeRoutes = Callable[[asyncio.Runner, Mint], dict[str, Route]]
"""Returns :data:`UNPROTECTED`, :data:`OURS` and the peers by name."""

_FRAMEWORKS: dict[str, MakeRoutes] = {
    "FastAPI": fastapi_routes,
    "Litestar": litestar_routes,
    "Flask": flask_routes,
    "Django REST Framework": django_routes,
}


def measure_routes() -> Section:
    """Measure all frameworks, one table each."""
    section = Section("routes", "A protected route")
    section.notes.append(
        "Processor time of one thread, in process, without sockets: the application is called "
        "with what its server would hand it. Every protected route asks for one permission. "
        "ES256; the figure that counts is what a route costs above the same route unprotected."
    )
    mint = Mint.of("ES256")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for framework, make_routes in _FRAMEWORKS.items():
            _measure_framework(section, framework, make_routes(runner, mint), mint)
    return section


def _measure_framework(
    section: Section, framework: str, routes: dict[str, Route], mint: Mint
) -> None:
    token = mint.token()
    same = [token] * REQUESTS
    subjects: dict[str, Measure] = {}
    for name, route in routes.items():
        route(same[:3])
        if name == UNPROTECTED:
            subjects[name] = _requests(route, lambda: [None] * REQUESTS)
            subjects[CONTROL] = _requests(route, lambda: [None] * REQUESTS)
        else:
            subjects[f"{name}, the same token again"] = _requests(route, lambda: same)
            subjects[f"{name}, every token new"] = _requests(route, lambda: mint.tokens(REQUESTS))
    rows = interleave(subjects)
    noise = rows.pop(CONTROL).over(rows[UNPROTECTED])
    section.tables.append(Table(framework, "µs", rows, above=UNPROTECTED, noise=noise))
    if framework == "FastAPI":
        above = rows[f"{OURS}, the same token again"].minus(rows[UNPROTECTED])
        text = "a protected FastAPI route above the same route unprotected"
        section.budgets.append(
            Budget(text, FASTAPI_MICROSECONDS, above, noise.departure, unit="µs")
        )


def _requests(route: Route, tokens: Callable[[], Sequence[str | None]]) -> Measure:
    def measure() -> float:
        carried = tokens()
        begin = clock()
        route(carried)
        return (clock() - begin) / len(carried) * MICROSECONDS

    return measure
