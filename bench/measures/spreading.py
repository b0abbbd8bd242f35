"""One, two and four processes over one MongoDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.events import body
from bench.load import Request, drive
from bench.servers import ours, running

if TYPE_CHECKING:
    from bench.field import Field

CLIENTS = 64


def measure(field: Field) -> None:
    if field.mongo is None:
        return
    requests = [Request("POST", "/events", body(number)) for number in range(1_000)]
    server = ours("workers", field.folder / "workers", store=field.mongo.url("workers"))
    for workers in field.plan.workers:
        server.settings["AUDITLOG_WORKERS"] = str(workers)
        server.url = ""  # of the run before
        with running(server):
            turns = [
                drive(server, requests, clients=CLIENTS, seconds=field.plan.seconds)
                for _ in range(field.plan.rounds + 1)
            ]
        # The first turn warms up.
        name = f"{workers} process{'es' if workers > 1 else ''}"
        field.book.turns(f"single POST, {CLIENTS} clients, MongoDB", name, turns[1:])
