"""Five times as many batches as can be written: what is refused, how soon, and what is kept.

Batches come in at their times, whether or not those before were answered. Each has a connection
of its own, as from so many callers.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from bench.events import batch_body
from bench.load import Connection, Request
from bench.measures import batching
from bench.ratios import percentile_99
from bench.room import records_of

if TYPE_CHECKING:
    from bench.book import Book
    from bench.field import Field, Log
    from bench.servers import Server

_TIMES = 5
_TURNS = 3  # so many of one turn it lasts
_LEAST = 40  # batches: more than may be on their way in at once
_MOST = 400  # batches, so that this program stays smaller than what it measures
_OK, _UNAVAILABLE = 200, 503
_REFUSAL_MS = 50  # the goal
_LOOK = 0.1


@dataclass(slots=True)
class _Seen:
    kept: int = 0  # events
    refusals: list[float] = field(default_factory=list)  # milliseconds
    without_retry_after: int = 0
    lost: int = 0  # requests without an answer, whose fate nobody told
    other: int = 0
    most_mib: float = 0.0


def measure(field: Field) -> None:
    for name, log in field.logs.items():
        with field.book.part(f"pressing, {name}"):
            events = field.book.median(batching.what(field.plan), name)
            _press(field, name, log, events / field.plan.batch_events * _TIMES)


def _press(field: Field, name: str, log: Log, rate: float) -> None:
    before, memory = records_of(log.server), log.server.resident_mib()
    request = Request("POST", "/events/batch", batch_body(0, field.plan.batch_events))
    seen = asyncio.run(_send(log.server, request, rate, field.plan.seconds * _TURNS))
    unit = f"/s offered, {_TIMES}× what was written before"
    field.book.values("back-pressure, batches", name, [rate], unit)
    taken = seen.most_mib - memory
    field.book.values("back-pressure, memory that was taken", name, [taken], "MiB")
    _judge(field.book, name, seen, records_of(log.server) - before)


def _judge(book: Book, name: str, seen: _Seen, grown: int) -> None:
    if seen.refusals:
        p99 = percentile_99(seen.refusals)
        book.times("back-pressure, refusals", name, p50=median(seen.refusals), p99=p99)
        book.at_most(f"back-pressure, {name}: p99 of refusals", [p99], _REFUSAL_MS, "ms")
    for what, number in {
        "refusals without Retry-After": seen.without_retry_after,
        "accepted events that are not there": max(0, seen.kept - grown),
        "answers of another kind": seen.other,
    }.items():
        book.at_most(f"back-pressure, {name}: {what}", [number], 0)
    book.notes.append(
        f"Back-pressure, {name}: {seen.kept:,} events accepted, {len(seen.refusals):,} batches "
        f"refused with 503, {seen.lost:,} connections ended without an answer; the log grew by "
        f"{grown:,}."
    )


async def _send(server: Server, request: Request, rate: float, seconds: float) -> _Seen:
    seen = _Seen()
    count = min(max(_LEAST, int(rate * seconds)), _MOST)
    async with asyncio.timeout(300):
        watch = asyncio.ensure_future(_watch(server, seen))
        try:
            async with asyncio.TaskGroup() as group:
                start = time.perf_counter()
                for number in range(count):
                    await asyncio.sleep(start + number / rate - time.perf_counter())
                    group.create_task(_one(server, request, seen))
        finally:
            watch.cancel()
    return seen


async def _one(server: Server, request: Request, seen: _Seen) -> None:
    connection = Connection(server.url, server.token)
    try:
        answer = await connection.send(request)
    except (OSError, asyncio.IncompleteReadError):
        seen.lost += 1
        return
    finally:
        connection.close()
    if answer.status == _OK:
        seen.kept += answer.body.count(b'"sequence":')
    elif answer.status == _UNAVAILABLE:
        seen.refusals.append(answer.seconds * 1e3)
        seen.without_retry_after += b"\r\nretry-after:" not in answer.head.lower()
    else:
        seen.other += 1


async def _watch(server: Server, seen: _Seen) -> None:
    while True:
        seen.most_mib = max(seen.most_mib, server.resident_mib())
        await asyncio.sleep(_LOOK)
