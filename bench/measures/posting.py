"""Single events, from many clients at once: ours, the naive service, and the framework alone."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.events import body
from bench.load import Request, drive, drive_in_turns

if TYPE_CHECKING:
    from bench.field import Field

CLIENTS = 64
WHAT = f"single POST, {CLIENTS} clients"
_BODIES = 2_000
# Goals: how many times as fast.
_BY_NAIVE = {"SQLite": 10, "MongoDB": 6}
_BY_FRAMEWORK = 0.8  # SQLite


def measure(field: Field) -> None:
    requests = [Request("POST", "/events", body(number)) for number in range(_BODIES)]
    servers = [log.server for log in field.logs.values()] + [field.framework]
    servers += [field.naive] if field.naive else []
    sides = {server.name: partial(drive, server, requests, clients=CLIENTS) for server in servers}
    turns = drive_in_turns(sides, field.plan)
    rates = {name: [each.rate for each in taken] for name, taken in turns.items()}
    for name, taken in turns.items():
        field.book.turns(WHAT, name, taken)
    for name in field.logs:
        if field.naive is not None:
            aim = _BY_NAIVE[name]
            field.book.times_as_much(f"{WHAT}, {name} by naive", rates[name], rates["naive"], aim)
    field.book.times_as_much(
        f"{WHAT}, SQLite by framework", rates["SQLite"], rates["framework"], _BY_FRAMEWORK
    )
