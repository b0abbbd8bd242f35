"""Trees and checkpoints in SQLite: the LedgerStore contract of `store/port.py`."""

from __future__ import annotations

from itertools import islice
from math import inf
from typing import TYPE_CHECKING

from auditlogservice.entries import LogEntry, spell_entry
from auditlogservice.events import EventId, Sequence
from auditlogservice.store.port import MAX_CONTRADICTIONS, Opening, Published
from auditlogservice.store.sqlite.database import Watch
from auditlogservice.store.sqlite.examining import contradictions
from auditlogservice.times import format_micros, from_micros

if TYPE_CHECKING:
    from collections.abc import Iterable

    import apsw

    from auditlogservice.store.sqlite.database import Database
    from auditlogservice.tiles import Tile

_OPENING = "SELECT sequence, id, timestamp, commitment, expires_at"
_BETWEEN = (
    "FROM records JOIN tenants ON number = tenant"
    " WHERE name=? AND sequence >= ? AND sequence < ? ORDER BY sequence"
)


class SqliteLedgerStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def size(self, tenant: str) -> int:
        def work(connection: apsw.Connection) -> int:
            size: int | None = connection.execute(
                "SELECT next_sequence FROM tenants WHERE name=?", (tenant,)
            ).get
            return size or 0

        return await self._database.read(work)

    async def tiles(self, tenant: str, wanted: Iterable[Tile]) -> dict[Tile, bytes]:
        def work(connection: apsw.Connection) -> dict[Tile, bytes]:
            number = _number(connection, tenant)
            return {} if number is None else tiles_of(connection, number, wanted)

        return await self._database.read(work)

    async def opening(self, tenant: str, event_id: EventId) -> Opening | None:
        def work(connection: apsw.Connection) -> Opening | None:
            row = connection.execute(
                f"{_OPENING}, salt, payload FROM records JOIN tenants ON number = tenant"
                " WHERE id=? AND name=?",
                (bytes.fromhex(event_id), tenant),
            ).fetchone()
            opening = _opening(*row) if row else None
            if opening and opening.record:
                opening.record.checked_fields()
            return opening

        return await self._database.read(work)

    async def openings(self, tenant: str, first: int, end: int, *, content: bool) -> list[Opening]:
        columns = f"{_OPENING}, salt, payload" if content else f"{_OPENING}, NULL, NULL"

        def work(connection: apsw.Connection) -> list[Opening]:
            rows = connection.execute(f"{columns} {_BETWEEN}", (tenant, first, end))
            return [_opening(*row) for row in rows]

        return await self._database.read(work)

    async def entries(self, tenant: str, first: int, end: int) -> dict[int, bytes]:
        def work(connection: apsw.Connection) -> dict[int, bytes]:
            rows = connection.execute(f"{_OPENING} {_BETWEEN}", (tenant, first, end))
            return {place: _entry(*told) for place, *told in rows}

        return await self._database.read(work)

    async def salts(self, tenant: str, first: int, end: int) -> dict[int, bytes | None]:
        def work(connection: apsw.Connection) -> dict[int, bytes | None]:
            rows = connection.execute(f"SELECT sequence, salt {_BETWEEN}", (tenant, first, end))
            return dict(rows)

        return await self._database.read(work)

    async def publish(self, tenant: str, checkpoint: Published) -> None:
        def work(connection: apsw.Connection) -> None:
            connection.execute(
                "INSERT INTO checkpoints (tenant, size, note) VALUES (?, ?, ?)"
                " ON CONFLICT DO UPDATE SET size=excluded.size, note=excluded.note"
                " WHERE excluded.size >= size",
                (tenant, checkpoint.size, checkpoint.note),
            )

        await self._database.write(work)

    async def published(self, tenant: str) -> Published | None:
        def work(connection: apsw.Connection) -> Published | None:
            row = connection.execute(
                "SELECT size, note FROM checkpoints WHERE tenant=?", (tenant,)
            ).fetchone()
            return Published(*row) if row else None

        return await self._database.read(work)

    async def examine(self) -> list[str]:
        return await self._database.ask(
            lambda connection: list(islice(contradictions(connection), MAX_CONTRADICTIONS)),
            Watch(inf),  # a large file takes as long as it takes
        )

    async def sizes(self) -> dict[str, int]:
        def work(connection: apsw.Connection) -> dict[str, int]:
            return dict(
                connection.execute("SELECT name, next_sequence FROM tenants WHERE next_sequence")
            )

        return await self._database.read(work)


def tiles_of(
    connection: apsw.Connection, tenant: int, wanted: Iterable[Tile]
) -> dict[Tile, bytes]:
    """Return the hashes of these tiles, as far as they are there."""
    found: dict[Tile, bytes] = {}
    for tile in wanted:
        hashes = connection.execute(
            "SELECT hashes FROM tiles WHERE tenant=? AND level=? AND number=?", (tenant, *tile)
        ).get
        if hashes is not None:
            found[tile] = hashes
    return found


def _number(connection: apsw.Connection, tenant: str) -> int | None:
    number: int | None = connection.execute(
        "SELECT number FROM tenants WHERE name=?", (tenant,)
    ).get
    return number


def _entry(event_id: bytes, timestamp: int, commitment: bytes, expires_at: int | None) -> bytes:
    return spell_entry(
        event_id.hex(),
        commitment,
        timestamp=format_micros(timestamp),
        expires_at=None if expires_at is None else format_micros(expires_at),
    )


def _opening(  # noqa: PLR0913, PLR0917 - the columns of a row
    sequence: int,
    event_id: bytes,
    timestamp: int,
    commitment: bytes,
    expires_at: int | None,
    salt: bytes | None,
    payload: bytes | None,
) -> Opening:
    entry = LogEntry(
        id=EventId(event_id.hex()),
        timestamp=from_micros(timestamp),
        commitment=commitment,
        expires_at=None if expires_at is None else from_micros(expires_at),
    )
    return Opening(sequence=Sequence(sequence), entry=entry, salt=salt, payload=payload)
