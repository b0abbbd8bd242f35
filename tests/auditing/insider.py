"""Someone who has the database and not the key: rows are taken out, changed, and put back."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import apsw
from bson import Binary, Int64, ObjectId
from pymongo import MongoClient

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.entries import LogEntry, commitment
from auditlogservice.events import EventId
from auditlogservice.merkle import HASH_BYTES, leaf_hash
from auditlogservice.tiles import WIDTH, extended, growing_tiles
from auditlogservice.times import from_micros

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from auditlogservice.runtime.settings import Settings
    from auditlogservice.tiles import Tile


@dataclass(frozen=True, kw_only=True)
class Row:
    """What the store keeps of a record that the tree has something to say about."""

    id: str
    sequence: int
    timestamp: int
    expires_at: int | None
    commitment: bytes
    salt: bytes | None
    payload: bytes | None

    @property
    def leaf(self) -> bytes:
        expires = None if self.expires_at is None else from_micros(self.expires_at)
        entry = LogEntry(EventId(self.id), from_micros(self.timestamp), self.commitment, expires)
        return leaf_hash(entry.to_bytes())

    @property
    def committed(self) -> bytes:
        """The commitment that the content should have."""
        assert self.salt is not None
        assert self.payload is not None
        return commitment(self.salt, EventId(self.id), self.payload)


class Insider(Protocol):
    def rows(self) -> list[Row]: ...

    def put(self, rows: list[Row]) -> None:
        """Make these the log's records, whatever was there, and say that it ends with them."""
        ...

    def put_tree(self, rows: list[Row]) -> None:
        """Make the tree of these rows the log's."""
        ...

    def put_checkpoint(self, note: bytes, size: int) -> None: ...

    def backup(self) -> Any: ...

    def restore(self, backup: Any) -> None: ...


def insider_of(settings: Settings) -> Insider:
    url = settings.store_url
    if url.startswith("sqlite"):
        return _Sqlite(Path(url.removeprefix("sqlite:///")))
    return _Mongo(url)


def _tiles(rows: list[Row]) -> dict[Tile, bytes]:
    return extended(0, {}, [row.leaf for row in sorted(rows, key=lambda row: row.sequence)])


class _Sqlite:
    def __init__(self, path: Path) -> None:
        self._path = path

    def _run(self, statement: str, rows: Iterable[tuple[Any, ...]] = ((),)) -> list[Any]:
        connection = apsw.Connection(str(self._path))
        try:
            return [found for row in rows for found in connection.execute(statement, row)]
        finally:
            connection.close()

    def rows(self) -> list[Row]:
        found = self._run(
            "SELECT lower(hex(id)), sequence, timestamp, expires_at, commitment, salt, payload"
            " FROM records ORDER BY sequence"
        )
        names = Row.__dataclass_fields__
        return [Row(**dict(zip(names, row, strict=True))) for row in found]

    def put(self, rows: list[Row]) -> None:
        kept = {row.id for row in rows}
        gone = [row for row in self.rows() if row.id not in kept]
        self._run("DELETE FROM records WHERE id=?", [(bytes.fromhex(row.id),) for row in gone])
        self._run("UPDATE records SET sequence = -1 - sequence")
        self._run(
            "INSERT INTO records (id, tenant, sequence, timestamp, expires_at, commitment, salt,"
            " payload, fingerprint) VALUES (?, 1, ?, ?, ?, ?, ?, ?, x'00')"
            " ON CONFLICT (id) DO UPDATE SET sequence=excluded.sequence,"
            " timestamp=excluded.timestamp, commitment=excluded.commitment, salt=excluded.salt,"
            " payload=excluded.payload, fingerprint=excluded.fingerprint, erased_at=NULL",
            [_values(row) for row in rows],
        )
        self._run(
            "UPDATE tenants SET next_sequence=?, last_timestamp=?",
            [(rows[-1].sequence + 1, rows[-1].timestamp)],
        )

    def put_tree(self, rows: list[Row]) -> None:
        self._run("DELETE FROM tiles")
        self._run(
            "INSERT INTO tiles VALUES (1, ?, ?, ?)",
            [(tile.level, tile.number, hashes) for tile, hashes in _tiles(rows).items()],
        )

    def put_checkpoint(self, note: bytes, size: int) -> None:
        self._run("UPDATE checkpoints SET note=?, size=?", [(note, size)])

    def backup(self) -> Any:
        return self._path.read_bytes()

    def restore(self, backup: Any) -> None:
        self._path.write_bytes(backup)


def _values(row: Row) -> tuple[Any, ...]:
    return (
        bytes.fromhex(row.id), row.sequence, row.timestamp, row.expires_at, row.commitment,
        row.salt, row.payload,
    )  # fmt: skip


class _Mongo:
    def __init__(self, url: str) -> None:
        self._url = url

    @contextmanager
    def _database(self) -> Iterator[Any]:
        with MongoClient[dict[str, Any]](self._url) as client:
            yield client.get_default_database()

    def rows(self) -> list[Row]:
        with self._database() as database:
            found = list(database.events.find(sort=[("s", 1)]))
        return [
            Row(
                id=str(one["_id"]),
                sequence=int(one["s"]),
                timestamp=int(one["at"]),
                expires_at=one["exp"],
                commitment=bytes(one["c"]),
                salt=one.get("salt"),
                payload=one.get("p"),
            )
            for one in found
        ]

    def put(self, rows: list[Row]) -> None:
        kept = [ObjectId(row.id) for row in rows]
        with self._database() as database:
            database.events.delete_many({"_id": {"$nin": kept}})
            # The sequences are unique: the old ones make room first.
            database.events.update_many({}, [{"$set": {"s": {"$subtract": [-1, "$s"]}}}])
            for row in rows:
                told: dict[str, Any] = {
                    "s": Int64(row.sequence),
                    "at": Int64(row.timestamp),
                    "c": Binary(row.commitment),
                }
                if row.salt and row.payload:
                    told |= {"salt": Binary(row.salt), "p": Binary(row.payload)}
                new: dict[str, Any] = {"t": DEFAULT_TENANT, "exp": None}
                new |= {"fp": Binary(b""), "terms": []}
                database.events.update_one(
                    {"_id": ObjectId(row.id)},
                    {"$set": told, "$setOnInsert": new, "$unset": {"gone": ""}},
                    upsert=True,
                )
            head = {"n": Int64(rows[-1].sequence + 1), "at": Int64(rows[-1].timestamp)}
            database.logs.update_one({}, {"$set": head})

    def put_tree(self, rows: list[Row]) -> None:
        tiles = _tiles(rows)
        growing = {str(tile.level): Binary(tiles[tile]) for tile in growing_tiles(len(rows))}
        full = [
            {"_id": f"{DEFAULT_TENANT}/{tile.level}/{tile.number}", "h": Binary(hashes)}
            for tile, hashes in tiles.items()
            if len(hashes) == WIDTH * HASH_BYTES
        ]
        with self._database() as database:
            database.logs.update_one({}, {"$set": {"tiles": growing}})
            database.tiles.delete_many({})
            if full:
                database.tiles.insert_many(full)

    def put_checkpoint(self, note: bytes, size: int) -> None:
        new = {"note": Binary(note), "size": Int64(size)}
        with self._database() as database:
            database.checkpoints.update_one({}, {"$set": new})

    def backup(self) -> Any:
        with self._database() as database:
            names = database.list_collection_names()
            return {name: list(database[name].find()) for name in names}

    def restore(self, backup: Any) -> None:
        with self._database() as database:
            for name, documents in backup.items():
                database[name].delete_many({})
                if documents:
                    database[name].insert_many(documents)
