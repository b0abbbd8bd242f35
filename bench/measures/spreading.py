"""One, two and four processes over one MongoDB, and whether the checkpoints keep up with them."""

from __future__ import annotations

from statistics import median
from typing import TYPE_CHECKING

from bench.events import body
from bench.load import WARM_SECONDS, Request, drive
from bench.measures import lagging
from bench.servers import ours, running

if TYPE_CHECKING:
    from bench.field import Field

CLIENTS = 64


def measure(field: Field) -> None:
    if field.mongo is None:
        return
    server = ours("workers", field.folder / "workers", mongo=field.mongo)
    requests = [Request("POST", "/events", body(number)) for number in range(1_000)]
    for workers in field.plan.workers:
        server.settings["AUDITLOG_WORKERS"] = str(workers)
        server.url = ""  # of the run before
        name = f"{workers} process{'es' if workers > 1 else ''}"
        with field.book.part(f"spreading, {name}"), running(server):
            drive(server, requests, clients=CLIENTS, seconds=WARM_SECONDS)
            turns = [
                drive(server, requests, clients=CLIENTS, seconds=field.plan.seconds)
                for _ in range(field.plan.rounds)
            ]
            field.book.turns(f"single POST, {CLIENTS} clients, MongoDB", name, turns)
            lagging.note(field, f"MongoDB, {name}", server, median(each.rate for each in turns))
