"""An export of the whole log as NDJSON: how fast, and how much memory it takes meanwhile."""

from __future__ import annotations

import time
from statistics import median
from typing import TYPE_CHECKING

from bench.calls import calling

if TYPE_CHECKING:
    from bench.field import Field
    from bench.servers import Server

_CHUNK = 256 * 1024
_LOOK = 0.05  # seconds between two looks at the server's memory
_RATE, _GROWTH_MIB = 50_000, 32  # goals


def measure(field: Field) -> None:
    for name, log in field.logs.items():
        with field.book.part(f"exporting, {name}"):
            _note(field, name, [_export(log.server) for _ in range(field.plan.rounds)])


def _note(field: Field, name: str, turns: list[tuple[float, float]]) -> None:
    rates, growth = ([*each] for each in zip(*turns, strict=True))
    field.book.values("export, NDJSON", name, rates, "events/s")
    field.book.at_least(f"export, NDJSON, {name}", [median(rates)], _RATE, "events/s")
    # What the first one took may stay, so that the others take nothing.
    field.book.at_most(f"memory that an export takes, {name}", [max(growth)], _GROWTH_MIB, "MiB")


def _export(server: Server) -> tuple[float, float]:
    """Return events a second, and MiB by which the server grew."""
    with calling(server) as caller:
        before = most = server.resident_mib()
        start = time.perf_counter()
        response = caller.open("GET", "/events/export?format=ndjson")
        lines, looked = 0, start
        while chunk := response.read(_CHUNK):
            lines += chunk.count(b"\n")
            if (now := time.perf_counter()) > looked + _LOOK:
                most, looked = max(most, server.resident_mib()), now
        return lines / (time.perf_counter() - start), most - before
