"""Trees and checkpoints in MongoDB: the LedgerStore contract of `store/port.py`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bson import Binary, Int64, ObjectId
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError

from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import (
    entry_of,
    growing_of,
    name_of_tile,
    opening_of,
    salt_of,
)
from auditlogservice.store.mongodb.examining import contradictions
from auditlogservice.store.mongodb.failures import reading, writing
from auditlogservice.store.mongodb.schema import (
    BY_ID,
    BY_SEQUENCE,
    CHECKPOINTS,
    EVENTS,
    LOGS,
    TILES,
)
from auditlogservice.store.port import Published

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pymongo.asynchronous.cursor import AsyncCursor
    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.events import EventId
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import Opening
    from auditlogservice.tiles import Tile

_ENTRY = {"s": True, "at": True, "c": True, "exp": True}
_SALT = {"s": True, "salt": True}
_OPENING = {**_ENTRY, "salt": True, "p": True}


class MongoLedgerStore:
    """Keeps the LedgerStore contract of `store/port.py`."""

    def __init__(self, database: AsyncDatabase[Document], *, timeout: float) -> None:
        self._database = database
        self._events = database[EVENTS]
        self._logs = database[LOGS]
        self._tiles = database[TILES]
        self._checkpoints = database[CHECKPOINTS]
        self._timeout = timeout

    async def size(self, tenant: str) -> int:
        with reading(), Deadline(self._timeout).limit():
            log = await self._logs.find_one({"_id": tenant}, {"n": True})
            return int(log["n"]) if log else 0

    async def tiles(self, tenant: str, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        """Return those of the log's own document, and the full ones."""
        names = {name_of_tile(tenant, tile): tile for tile in wanted}
        with reading(), Deadline(self._timeout).limit():
            log, full = await asyncio.gather(
                self._logs.find_one({"_id": tenant}), self._full_tiles(names)
            )
            growing = growing_of(log) if log else {}
            found = {tile: growing[tile] for tile in names.values() if tile in growing} | full
            # One that became full in between is there now.
            missed = {name: tile for name, tile in names.items() if tile not in found}
            return found | await self._full_tiles(missed) if missed else found

    async def _full_tiles(self, names: Mapping[str, Tile]) -> dict[Tile, bytes]:
        found = await self._tiles.find({"_id": {"$in": list(names)}}).to_list()
        return {names[one["_id"]]: bytes(one["h"]) for one in found}

    async def opening(self, tenant: str, event_id: EventId) -> Opening | None:
        wanted = {"_id": ObjectId(event_id), "t": tenant}
        with reading(), Deadline(self._timeout).limit():
            found = await self._events.find_one(wanted, _OPENING, hint=BY_ID)
            opening = opening_of(found) if found else None
            if opening and opening.record:
                opening.record.checked_fields()
            return opening

    async def openings(self, tenant: str, first: int, end: int, *, content: bool) -> list[Opening]:
        with reading(), Deadline(self._timeout).limit():
            found = self._between(tenant, first, end, _OPENING if content else _ENTRY)
            return [opening_of(document) for document in await found.to_list()]

    async def entries(self, tenant: str, first: int, end: int) -> dict[int, bytes]:
        with reading(), Deadline(self._timeout).limit():
            found = self._between(tenant, first, end, _ENTRY)
            return {int(document["s"]): entry_of(document) for document in await found.to_list()}

    async def salts(self, tenant: str, first: int, end: int) -> dict[int, bytes | None]:
        with reading(), Deadline(self._timeout).limit():
            found = self._between(tenant, first, end, _SALT)
            return {int(document["s"]): salt_of(document) for document in await found.to_list()}

    def _between(
        self, tenant: str, first: int, end: int, fields: Document
    ) -> AsyncCursor[Document]:
        return self._events.find(
            {"t": tenant, "s": {"$gte": Int64(first), "$lt": Int64(end)}},
            fields,
            sort=[("s", ASCENDING)],
            hint=BY_SEQUENCE,
        )

    async def publish(self, tenant: str, checkpoint: Published) -> None:
        older = {"_id": tenant, "size": {"$lte": checkpoint.size}}
        new = {"$set": {"size": Int64(checkpoint.size), "note": Binary(checkpoint.note)}}
        with writing(), Deadline(self._timeout).limit():
            try:
                await self._checkpoints.update_one(older, new, upsert=True)
            except DuplicateKeyError:
                # One of a larger tree is there; or another node's first one was a moment faster.
                await self._checkpoints.update_one(older, new)

    async def published(self, tenant: str) -> Published | None:
        with reading(), Deadline(self._timeout).limit():
            found = await self._checkpoints.find_one({"_id": tenant})
            return Published(int(found["size"]), bytes(found["note"])) if found else None

    async def examine(self) -> list[str]:
        with reading():
            return await contradictions(self._database)

    async def sizes(self) -> dict[str, int]:
        with reading(), Deadline(self._timeout).limit():
            logs = self._logs.find({"n": {"$gt": 0}}, {"n": True})
            return {log["_id"]: int(log["n"]) async for log in logs}
