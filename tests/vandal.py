"""Whoever can write into the database, past the service: in each store the same misdeeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bson import Binary, Int64

from auditlogservice.store.sqlite import SqliteStore

if TYPE_CHECKING:
    import apsw

    from auditlogservice.runtime.stores import Store


class Vandal(Protocol):
    async def delete(self, tenant: str, sequence: int) -> None:
        """Take a record out."""

    async def recommit(self, tenant: str, sequence: int) -> None:
        """Give a record another commitment."""

    async def garble(self, tenant: str, sequence: int) -> None:
        """Give a record a moment that no calendar has."""

    async def flip_tile(self, tenant: str) -> None:
        """Change a bit of the log's newest hash of level 0. Doing it twice mends it."""

    async def set_checkpoint(self, tenant: str, size: int, note: bytes) -> None:
        """Put this in the place of what was published."""


def vandal_of(store: Store) -> Vandal:
    return SqliteVandal(store) if isinstance(store, SqliteStore) else MongoVandal(store)


_AGES_AWAY = 2**62  # microseconds: 146,000 years
_OTHER = bytes(32)


def _flipped(hashes: bytes) -> bytes:
    return hashes[:-1] + bytes([hashes[-1] ^ 1])


@dataclass
class SqliteVandal:
    store: SqliteStore

    async def _run(self, statement: str, *values: Any) -> None:
        def work(connection: apsw.Connection) -> None:
            connection.execute(statement, values)

        await self.store.ledger._database.write(work)

    async def delete(self, tenant: str, sequence: int) -> None:
        await self._run(f"DELETE FROM records WHERE {_HERE}", tenant, sequence)

    async def recommit(self, tenant: str, sequence: int) -> None:
        await self._run(
            f"UPDATE records SET commitment=zeroblob(32) WHERE {_HERE}", tenant, sequence
        )

    async def garble(self, tenant: str, sequence: int) -> None:
        await self._run(
            f"UPDATE records SET timestamp={_AGES_AWAY} WHERE {_HERE}", tenant, sequence
        )

    async def flip_tile(self, tenant: str) -> None:
        def work(connection: apsw.Connection) -> None:
            ((row, hashes),) = connection.execute(
                "SELECT tiles.rowid, hashes FROM tiles JOIN tenants ON tenant=tenants.number"
                " WHERE level=0 AND name=? ORDER BY tiles.number DESC LIMIT 1",
                (tenant,),
            )
            connection.execute("UPDATE tiles SET hashes=? WHERE rowid=?", (_flipped(hashes), row))

        await self.store.ledger._database.write(work)

    async def set_checkpoint(self, tenant: str, size: int, note: bytes) -> None:
        await self._run("REPLACE INTO checkpoints VALUES (?, ?, ?)", tenant, size, note)


_HERE = "tenant=(SELECT number FROM tenants WHERE name=?) AND sequence=?"


@dataclass
class MongoVandal:
    store: Any  # a MongoStore, whose collections are used as they are

    async def delete(self, tenant: str, sequence: int) -> None:
        await self.store.ledger._events.delete_one({"t": tenant, "s": sequence})

    async def _set(self, tenant: str, sequence: int, **fields: object) -> None:
        here = {"t": tenant, "s": sequence}
        await self.store.ledger._events.update_one(here, {"$set": fields})

    async def recommit(self, tenant: str, sequence: int) -> None:
        await self._set(tenant, sequence, c=Binary(_OTHER))

    async def garble(self, tenant: str, sequence: int) -> None:
        await self._set(tenant, sequence, at=Int64(_AGES_AWAY))

    async def flip_tile(self, tenant: str) -> None:
        logs = self.store.ledger._logs
        log = await logs.find_one({"_id": tenant})
        hashes = Binary(_flipped(log["tiles"]["0"]))
        await logs.update_one({"_id": tenant}, {"$set": {"tiles.0": hashes}})

    async def set_checkpoint(self, tenant: str, size: int, note: bytes) -> None:
        await self.store.ledger._checkpoints.replace_one(
            {"_id": tenant}, {"size": Int64(size), "note": Binary(note)}, upsert=True
        )
