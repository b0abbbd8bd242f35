"""How long a record waits for the checkpoint that covers it, at 70 % of what can be written.

Events come in at their times, by as many callers as `posting` has. Whoever asks the service for a
checkpoint has one signed at once, so what is published is looked for in the store, past the
service.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from bisect import bisect_right
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import apsw
from pymongo import MongoClient

from auditlogservice.access import DEFAULT_TENANT
from bench.events import body
from bench.load import Connection, Failed, Request
from bench.measures.posting import CLIENTS, WHAT
from bench.ratios import percentile_99

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bench.field import Field
    from bench.servers import Server

SHARE = 0.7
AIM_MS = 1_000
_LOOK = 0.01  # seconds between two looks at what is published
_PATIENCE = 20.0  # seconds for the last checkpoint
_TURNS = 2  # so many of one turn it lasts
_CREATED = 201
_SIZE = "SELECT size FROM checkpoints WHERE tenant = ?"


@dataclass(slots=True)
class _Published:
    """The sizes of the trees that were signed, as they were seen, and when."""

    times: list[float] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def covers(self, sequence: int) -> float:
        """Return when a tree with this record was first seen; infinity if none was."""
        place = bisect_right(self.sizes, sequence)
        return self.times[place] if place < len(self.times) else float("inf")


def measure(field: Field) -> None:
    for name, log in field.logs.items():
        with field.book.part(f"lagging, {name}"):
            note(field, name, log.server, field.book.median(WHAT, name))


def note(field: Field, name: str, server: Server, rate: float) -> None:
    """Measure the lag of a server that can write so many events a second."""
    waits = lag(server, rate=rate * SHARE, seconds=field.plan.seconds * _TURNS)
    p99 = percentile_99(waits)
    what = f"from a record's answer to its checkpoint, at {SHARE:.0%} load"
    field.book.times(what, name, p50=median(waits), p99=p99)
    field.book.at_most(f"sealing lag at {SHARE:.0%} load, {name}: p99", [p99], AIM_MS, "ms")


def lag(server: Server, *, rate: float, seconds: float) -> list[float]:
    """Send single events at this rate; return the milliseconds that each one waited."""
    with _watching(server) as published:
        answered = asyncio.run(_send(server, rate, seconds))
        last, end = max(sequence for _, sequence in answered), time.perf_counter() + _PATIENCE
        while published.covers(last) == float("inf") and time.perf_counter() < end:
            time.sleep(_LOOK)
    return [max(0.0, published.covers(each) - at) * 1e3 for at, each in answered]


async def _send(server: Server, rate: float, seconds: float) -> list[tuple[float, int]]:
    """Return when each event was answered, and its sequence."""
    answered = list[tuple[float, int]]()
    clients = max(1, min(CLIENTS, int(rate * seconds)))
    start = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(clients):
            first = start + number / rate
            group.create_task(
                _go_on(server, first, clients / rate, start + seconds, answered)
            )  # fmt: skip
    return answered


async def _go_on(
    server: Server, due: float, every: float, end: float, answered: list[tuple[float, int]]
) -> None:
    connection, number = Connection(server.url, server.token), 0
    try:
        while due < end:
            await asyncio.sleep(due - time.perf_counter())
            answer = await connection.send(Request("POST", "/events", body(number)))
            if answer.status != _CREATED:
                raise Failed(f"{answer.status}: {answer.body[:200]!r}")
            answered.append((time.perf_counter(), json.loads(answer.body)["sequence"]))
            due, number = due + every, number + 1
    finally:
        connection.close()


# ---- what is published --------------------------------------------------------------------


@contextmanager
def _watching(server: Server) -> Iterator[_Published]:
    published, done = _Published(), threading.Event()

    def watch() -> None:
        with _sizes(server) as size:
            while not done.wait(_LOOK):
                if (now := size()) > (published.sizes[-1] if published.sizes else 0):
                    published.times.append(time.perf_counter())
                    published.sizes.append(now)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield published
    finally:
        done.set()
        thread.join()


@contextmanager
def _sizes(server: Server) -> Iterator[Callable[[], int]]:
    """Give what tells how large the published tree is now."""
    url = server.settings.get("AUDITLOG_STORE")
    if url is not None:
        with MongoClient[dict[str, Any]](url) as client:
            checkpoints = client.get_default_database()["checkpoints"]
            yield lambda: int((checkpoints.find_one(DEFAULT_TENANT) or {"size": 0})["size"])
        return
    path = server.folder / "data" / "audit.db"
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        yield lambda: int(connection.execute(_SIZE, (DEFAULT_TENANT,)).get or 0)
