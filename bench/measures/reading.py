"""Reads by many at once, against the naive service with the same events."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from bench.events import INSTANCES, RARE_NAME, USER, event, instance
from bench.load import Request, drive, drive_in_turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.field import Field

CLIENTS = 32
_FILL = 2_000
_PATH = "event_data.requestParameters.instanceId"
_NAME = RARE_NAME.replace(" ", "%20")
# Goals: how many times as fast as the naive service.
_BY_ID, _FIRST, _BY_FIELD = 8, 8, 50


def measure(field: Field) -> None:
    if field.mongo is not None:
        _fill(field, field.mongo.url("naive"))
    _compare(field, "read by id", _BY_ID, lambda ids: [f"/events/{each}" for each in ids])
    _compare(field, "first 100 of all", _FIRST, lambda _: ["/events"])
    _compare(
        field, "100 by name", _BY_FIELD, lambda _: [f"/events?name={_NAME}"],
        lambda _: [f"/events?field=name&value={_NAME}"],
    )  # fmt: skip
    wanted = [instance(number) for number in range(min(INSTANCES, field.plan.events // 4))]
    random.Random(1).shuffle(wanted)
    _compare(
        field, "by a nested path", _BY_FIELD, lambda _: [f"/events?{_PATH}={i}" for i in wanted],
        lambda _: [f"/events?field={_PATH}&value={i}" for i in wanted],
    )  # fmt: skip


def _fill(field: Field, database: str) -> None:
    """Put the events into the naive service's database, past the service, to save time."""
    with MongoClient[dict[str, Any]](database) as client:
        events = client.get_default_database()["events"]
        for first in range(0, field.plan.events, _FILL):
            last = min(first + _FILL, field.plan.events)
            documents = [{**event(number), "user_id": USER} for number in range(first, last)]
            inserted = events.insert_many(documents)
            field.naive_ids += [str(each) for each in inserted.inserted_ids[::20]]


def _compare(
    field: Field,
    what: str,
    aim: float,
    paths: Callable[[list[str]], list[str]],
    naive_paths: Callable[[list[str]], list[str]] | None = None,
) -> None:
    with field.book.part(what):
        _drive_all(field, what, aim, paths, naive_paths or paths)


def _drive_all(
    field: Field, what: str, aim: float,
    paths: Callable[[list[str]], list[str]], naive_paths: Callable[[list[str]], list[str]],
) -> None:  # fmt: skip
    asked = {name: (log.server, paths(log.ids)) for name, log in field.logs.items()}
    if field.naive is not None:
        asked["naive"] = field.naive, naive_paths(field.naive_ids)
    sides = {
        name: partial(drive, server, [Request("GET", path) for path in of], clients=CLIENTS)
        for name, (server, of) in asked.items()
    }
    turns = drive_in_turns(sides, field.plan)
    for name, taken in turns.items():
        field.book.turns(f"{what}, {CLIENTS} clients", name, taken)
    for name in field.logs:
        if field.naive is not None:
            ours, naive = ([each.rate for each in turns[side]] for side in (name, "naive"))
            field.book.times_as_much(f"{what}, {name} by naive", ours, naive, aim)
