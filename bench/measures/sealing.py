"""What the ledger costs: commitments, leaves, tiles and signatures, against a run without them.

Two servers of each store take turns, new ones, so that their logs are as long. They are sent
batches: the less else there is to do for an event, the larger is the ledger's share.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.field import Log
from bench.measures import batching
from bench.ratios import in_turns
from bench.servers import ours, running

if TYPE_CHECKING:
    from bench.field import Field
    from bench.servers import Server

_SHARE = 15  # per cent, the goal


def measure(field: Field) -> None:
    for name in field.logs:
        with field.book.part(f"sealing, {name}"):
            _compare(field, name)


def _compare(field: Field, name: str) -> None:
    plan = field.plan
    on = _server(field, name, "ledger-on", "auditlogservice")
    off = _server(field, name, "ledger-off", "bench.limits.unsealed")
    with running(on), running(off):
        sides = {
            "ledger on": partial(Log(on).add, plan.turn_events, batch=plan.batch_events),
            "ledger off": partial(Log(off).add, plan.turn_events, batch=plan.batch_events),
        }
        for take in sides.values():
            take()  # a turn that does not count
        turns = in_turns(sides, plan.rounds)
    for side, taken in turns.items():
        field.book.turns(batching.what(plan), f"{name}, {side}", taken, "events/s")
    lost = [
        (1 - one.rate / other.rate) * 100
        for one, other in zip(turns["ledger on"], turns["ledger off"], strict=True)
    ]
    field.book.at_most(f"the ledger's cost, {batching.what(plan)}, {name}", lost, _SHARE, "%")


def _server(field: Field, name: str, side: str, module: str) -> Server:
    mongo = field.mongo if name == "MongoDB" else None
    return ours(side, field.folder / f"{name}-{side}", mongo=mongo, module=module)
