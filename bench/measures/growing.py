"""How the answers change as a log grows: ingest, questions, proofs, start, memory and disk."""

from __future__ import annotations

import random
import time
from statistics import median
from typing import TYPE_CHECKING

from bench.calls import calling
from bench.events import INSTANCES, USER, WORDS, body, instance, word
from bench.load import Request, drive
from bench.measures.posting import CLIENTS, WHAT
from bench.ratios import percentile_99
from bench.room import bytes_on_disk, records_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.calls import Caller
    from bench.field import Field, Log
    from bench.servers import Server

PAGE, NESTED, WORD, PROOF, COUNT = (
    "page of 100, one event in four, ms",
    "equality on a nested path, ms",
    "word search, ms",
    "proof of inclusion, ms",
    "count, ms",
)
BATCHES, START = "in batches, events/s", "start to ready, s"
_FILLERS = 2  # callers with batches: one waits while the other makes the next one
_WARM = 3  # answers that are not counted
_PATIENCE = 8.0  # seconds for one question; fewer answers do where each takes long
_LEAST = 5  # answers all the same
_PAGES = 1_000  # of a walk through a log
_ENDS = 20  # pages that are looked at, at either end of it
_SAME = 1.3  # how much longer a page may take: in the largest log, or at the end of a walk


def measure(field: Field) -> None:
    for events in field.plan.sizes:
        for name, log in field.logs.items():
            with field.book.part(f"growing, {name}, {events:,} events"):
                _grow(field, name, log, events)
    for name, log in field.logs.items():
        with field.book.part(f"growing, {name}"):
            _judge(field, name)
            _walk(field, name, log.server)


def _grow(field: Field, name: str, log: Log, events: int) -> None:
    book, server = field.book, log.server
    filled = log.add(events - log.told, batch=field.plan.batch_events, callers=_FILLERS)
    book.point(BATCHES, name, events, filled.rate)
    with calling(server) as caller:
        for what, question in _questions(log, random.Random(1)).items():
            spent = _ask(caller, question, field.plan.asked)
            book.point(what, name, events, median(spent), percentile_99(spent))
    book.point("memory of the server, MiB", name, events, server.resident_mib())
    starts = field.plan.rounds if events == field.plan.events else 1
    book.point(START, name, events, median([server.restart() for _ in range(starts)]))
    requests = [Request("POST", "/events", body(number)) for number in range(500)]
    turn = drive(server, requests, clients=CLIENTS, seconds=field.plan.seconds)
    book.point(f"{WHAT}, events/s", name, events, turn.rate)
    book.point("CPU of a single POST, µs", name, events, turn.cpu)
    book.point("bytes on disk an event", name, events, bytes_on_disk(server) / records_of(server))


def _questions(log: Log, chance: random.Random) -> dict[str, Callable[[], str]]:
    return {
        PAGE: lambda: "/events?event_type=auth.login&sort=-timestamp",
        NESTED: lambda: (
            "/events?event_data.requestParameters.instanceId="
            + instance(chance.randrange(min(INSTANCES, log.told // 4)))
        ),
        WORD: lambda: "/events?q=" + word(chance.randrange(min(WORDS, log.told))),
        PROOF: lambda: f"/events/{chance.choice(log.ids)}/proof",
        COUNT: lambda: "/events/count?event_type=auth.login",
    }


def _ask(caller: Caller, question: Callable[[], str], most: int) -> list[float]:
    """Return the milliseconds that each answer took."""
    for _ in range(_WARM):
        caller.get(question())
    spent, end = list[float](), time.perf_counter() + _PATIENCE
    while len(spent) < most and (len(spent) < _LEAST or time.perf_counter() < end):
        spent.append(caller.get(question()).seconds * 1e3)
    return spent


def _judge(field: Field, name: str) -> None:
    book, most = field.book, field.plan.events
    for what, aim in ((PAGE, 50), (NESTED, 50), (WORD, 50), (PROOF, 5)):
        p99 = book.points[what][name][-1].p99
        book.at_most(
            f"{what.removesuffix(', ms')}, {name}: p99 at {most:,}", [p99 or 0], aim, "ms"
        )
    pages = book.points[PAGE][name]
    grown = pages[-1].value / pages[0].value
    book.at_most(
        f"page of 100, {name}: p50 at {most:,} by that at {pages[0].events:,}", [grown], _SAME, "×"
    )
    start = book.points[START][name][-1].value
    book.at_most(f"start to ready, {name}: at {most:,}", [start], 2, "s")


def _walk(field: Field, name: str, server: Server) -> None:
    """Compare the first pages of a walk through the log with the last ones."""
    spent, path = list[float](), f"/events?user_id={USER}"
    with calling(server) as caller:
        for _ in range(_WARM):
            caller.get(path)
        while path and len(spent) < _PAGES:
            page = caller.get(path)
            spent.append(page.seconds * 1e3)
            path = _next(page.headers.get("link", ""))
    if not path and len(spent) > 1:
        spent.pop()  # which is seldom full
    end = max(1, min(_ENDS, len(spent) // 3))
    first, last = median(spent[:end]), median(spent[-end:])
    what = f"pages up to {len(spent):,} by the first ones, {name}: p50"
    field.book.at_most(what, [last / first], _SAME, "×")


def _next(link: str) -> str:
    return link[1 : link.index(">")] if 'rel="next"' in link else ""
