"""What the ledger costs: commitments, leaves, tiles and signatures, against a run without them.

Two servers of each store take turns, new ones, so that their logs are as long.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from bench.events import body
from bench.field import Log
from bench.load import WARM_SECONDS, Request, drive
from bench.ratios import in_turns
from bench.servers import ours, running

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.field import Field
    from bench.load import Turn
    from bench.servers import Server

CLIENTS = 64
_SHARE = 15  # per cent, the goal
_MODULES = {"ledger on": "auditlogservice", "ledger off": "bench.limits.unsealed"}
_REQUESTS = [Request("POST", "/events", body(number)) for number in range(1_000)]


def measure(field: Field) -> None:
    for name in field.logs:
        with field.book.part(f"sealing, {name}"):
            _compare(field, name)


def _compare(field: Field, name: str) -> None:
    plan, mongo = field.plan, field.mongo if name == "MongoDB" else None
    on, off = (
        ours(f"{name}, {side}", field.folder / f"{name} {side}".replace(" ", "-"), mongo=mongo,
             module=module)
        for side, module in _MODULES.items()
    )  # fmt: skip
    with running(on), running(off):
        _post(on, seconds=WARM_SECONDS)
        _post(off, seconds=WARM_SECONDS)
        singles = in_turns(
            {each.name: partial(_post, each, seconds=plan.seconds) for each in (on, off)},
            plan.rounds,
        )
        logs = {each.name: Log(each) for each in (on, off)}
        events = plan.batches * plan.batch_events
        batches = in_turns(
            {
                name: partial(_fill, log, events, plan.batch_events)
                for name, log in logs.items()
            },
            plan.rounds,
        )  # fmt: skip
    _note(field, f"single POST, {CLIENTS} clients", name, singles)
    _note(field, f"batches of {plan.batch_events:,}", name, batches)


def _post(server: Server, *, seconds: float) -> Turn:
    return drive(server, _REQUESTS, clients=CLIENTS, seconds=seconds)


def _fill(log: Log, events: int, batch: int) -> Turn:
    return log.fill(log.told + events, batch=batch)


def _note(field: Field, what: str, name: str, turns: dict[str, list[Turn]]) -> None:
    for side, taken in turns.items():
        field.book.turns(what, side, taken)
    on, off = ([each.rate for each in taken] for taken in turns.values())
    field.book.at_most(f"the ledger's cost, {what}, {name}", _lost(on, off), _SHARE, "%")


def _lost(on: Sequence[float], off: Sequence[float]) -> list[float]:
    """Return the per cent of the rate that each turn is short of its neighbour."""
    return [(1 - one / other) * 100 for one, other in zip(on, off, strict=True)]
