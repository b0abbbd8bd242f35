"""One, two and four processes over one MongoDB, and whether the checkpoints keep up with them.

To the log of one tenant they write one after another, as each group has to follow the last one.
So what more processes do is seen with several tenants, who have their users write at once.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from statistics import median
from typing import TYPE_CHECKING

from bench.events import body
from bench.load import Meter, Request, Turn, drive, drive_in_turns
from bench.measures import lagging
from bench.measures.posting import CLIENTS, WHAT
from bench.servers import add_user, ours, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.field import Field
    from bench.servers import Server

TENANTS = 4
_REQUESTS = [Request("POST", "/events", body(number)) for number in range(1_000)]


def measure(field: Field) -> None:
    if field.mongo is None or not field.plan.workers:
        return
    server = ours("workers", field.folder / "workers", mongo=field.mongo)
    names = [f"writer{number}" for number in range(TENANTS)]
    for name in names:
        add_user(server, name, "--tenant", f"of-{name}")
    for workers in field.plan.workers:
        server.settings["AUDITLOG_WORKERS"] = str(workers)
        server.url = ""  # of the run before
        side = f"{workers} process{'es' if workers > 1 else ''}"
        with field.book.part(f"spreading, {side}"), running(server):
            _compare(field, side, server, [_signed_in(server, name) for name in names])


def _signed_in(server: Server, name: str) -> Server:
    """Return the same server, as this user sees it."""
    seen = replace(server)
    seen.login(name)
    return seen


def _compare(field: Field, side: str, server: Server, tenants: Sequence[Server]) -> None:
    sides = {
        "one tenant": partial(_together, [server]),
        f"{TENANTS} tenants": partial(_together, tenants),
    }
    turns = drive_in_turns(sides, field.plan)
    for name, taken in turns.items():
        field.book.turns(f"{WHAT}, MongoDB, {name}", side, taken)
    rate = median(each.rate for each in turns["one tenant"])
    lagging.note(field, f"MongoDB, {side}", server, rate)


def _together(seen: Sequence[Server], *, seconds: float) -> Turn:
    """Let each of them have its share of the clients, all at once."""
    clients, meter = CLIENTS // len(seen), Meter(seen[0])
    with ThreadPoolExecutor(len(seen)) as threads:
        turns = list(
            threads.map(
                lambda each: drive(each, _REQUESTS, clients=clients, seconds=seconds), seen
            )
        )  # fmt: skip
    rate = sum(each.rate for each in turns)
    whole = Turn(rate, median(each.p50 for each in turns), max(each.p99 for each in turns))
    return meter.read(whole, rate * seconds)
