"""Batches over HTTP, against the store alone with what the service would write."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from bench.limits.stores import RawMongo, RawSqlite, entries
from bench.load import Turn
from bench.ratios import in_turns

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlogservice.store.admission import Entry
    from bench.field import Field
    from bench.plan import Plan

_BY_RAW = 0.5  # the goal: how much of the store's own rate


def what(plan: Plan) -> str:
    """Return the name of these figures in the book."""
    return f"batches of {plan.batch_events:,}"


def measure(field: Field) -> None:
    plan = field.plan
    made = entries(0, plan.turn_events)
    batches = [
        made[first : first + plan.batch_events] for first in range(0, len(made), plan.batch_events)
    ]
    raw: dict[str, RawSqlite | RawMongo] = {"SQLite": RawSqlite(field.folder / "raw" / "audit.db")}
    if field.mongo is not None:
        raw["MongoDB"] = RawMongo(field.mongo.url("raw"))
    sides: dict[str, Callable[[], Turn]] = {}
    for name, store in raw.items():
        asyncio.run(store.prepare())
        sides[name] = partial(field.logs[name].add, plan.turn_events, batch=plan.batch_events)
        sides[f"{name} alone"] = partial(_alone, store, batches)
    turns = in_turns(sides, plan.rounds)
    for name, taken in turns.items():
        field.book.turns(what(plan), name, taken, "events/s")
    for name in raw:
        ours, alone = ([each.rate for each in turns[side]] for side in (name, f"{name} alone"))
        field.book.times_as_much(f"{what(plan)}, {name} by the store alone", ours, alone, _BY_RAW)


def _alone(store: RawSqlite | RawMongo, batches: Sequence[Sequence[Entry]]) -> Turn:
    seconds = store.insert(batches)
    each = seconds / len(batches) * 1e3
    return Turn(sum(map(len, batches)) / seconds, p50=each, p99=each)
