"""What a record takes: room for an event of 400 bytes; behind the service, traffic and indexes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.sqlite import open_sqlite
from bench.events import USER, draft, event, keep
from bench.room import in_mongodb, in_sqlite, records_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.events import Draft
    from auditlogservice.store.mongodb import MongoStore
    from auditlogservice.store.sqlite import SqliteStore
    from bench.events import Told
    from bench.field import Field, Log

_EVENTS = 20_000  # with more of them the room for one hardly changes
_MOST_BYTES = 1_200  # the goal
_WHAT = "bytes on disk for a small event, indexes and tree included"


def measure(field: Field) -> None:
    size = field.plan.batch_events
    told = [_small(number) for number in range(min(_EVENTS, field.plan.events))]
    drafts = [
        draft(number, each, tenant=DEFAULT_TENANT, user=USER) for number, each in enumerate(told)
    ]
    batches = [drafts[first : first + size] for first in range(0, len(drafts), size)]
    length = sum(len(json.dumps(each, separators=(",", ":"))) for each in told) / len(told)
    path = field.folder / "small" / "audit.db"
    path.parent.mkdir()
    asyncio.run(_fill(path, batches))
    rooms = {"SQLite": in_sqlite(path)}
    if field.mongo is not None:
        url = field.mongo.url("small")
        asyncio.run(_fill(url, batches))
        room = in_mongodb(url)
        rooms["MongoDB"] = room.data + room.indexes
        _behind(field, field.logs["MongoDB"])
    for name, room_taken in rooms.items():
        each = room_taken / len(drafts)
        field.book.values(_WHAT, name, [each], f"for {length:,.0f} told")
        field.book.at_most(f"{_WHAT}, {name}", [each], _MOST_BYTES)


def _small(number: int) -> Told:
    """Return a web login, the shortest of the shapes, with a trace: about 400 bytes."""
    told = event(4 * number + 3)
    return {**told, "event_data": {"method": "passkey", "trace": f"{number:032x}"}}


async def _fill(place: Any, batches: Sequence[Sequence[Draft]]) -> None:
    store: SqliteStore | MongoStore
    store = await (open_mongodb if isinstance(place, str) else open_sqlite)(str(place))
    try:
        for batch in batches:
            await keep(store.events, batch)
    finally:
        await store.close()


def _behind(field: Field, log: Log) -> None:
    """Note what goes over the network to mongod, and how its room is divided."""
    url, events = log.server.settings["AUDITLOG_STORE"], field.plan.turn_events
    before = _network(url)
    log.add(events, batch=field.plan.batch_events)
    sent = (_network(url) - before) / events
    room, records = in_mongodb(url), records_of(log.server)
    for what, each in {
        "bytes sent to mongod": sent,
        "bytes on disk without indexes": room.data / records,
        "bytes on disk of indexes": room.indexes / records,
    }.items():
        field.book.values(f"{what}, one event of a batch", "MongoDB", [each], "bytes")


def _network(url: str) -> int:
    with MongoClient[dict[str, Any]](url) as client:
        return int(client.admin.command("serverStatus")["network"]["bytesIn"])
