"""A log that someone has damaged: nothing more is appended to a tree that is not whole, and a lost
record is no reason to lose another. Each damage is done behind the back of a store, and found by
the next one that opens.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import apsw
import pytest
from asking import append, burial, keep
from pymongo.uri_parser import parse_uri
from trees import examined

from auditlogservice.errors import StoreBroken
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.mongodb.schema import EVENTS, LOGS
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.tiles import Tile
from strategies import draft

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo import MongoClient

    from conftest import Store

SIZE = 300  # so that the growing tiles are 0/1, with 44 hashes, and 1/0, with one
GROWING = (Tile(0, 1), Tile(1, 0))


class Damaged(Protocol):
    """A store's content, as someone reaches it who does not ask the store."""

    async def opened(self) -> Store: ...

    def put_tile(self, tile: Tile, hashes: bytes | None) -> None:
        """Put these hashes in the place of a growing tile; None takes it away."""
        ...

    def delete_last(self) -> None:
        """Take away the record with the last sequence."""
        ...


class DamagedSqlite:
    def __init__(self, path: Path) -> None:
        self._path = str(path)

    async def opened(self) -> Store:
        return await open_sqlite(self._path)

    def put_tile(self, tile: Tile, hashes: bytes | None) -> None:
        if hashes is None:
            self._execute("DELETE FROM tiles WHERE level=? AND number=?", tile)
        else:
            self._execute("REPLACE INTO tiles SELECT 1, ?, ?, ?", (*tile, hashes))

    def delete_last(self) -> None:
        self._execute("DELETE FROM records WHERE sequence=?", (SIZE - 1,))

    def _execute(self, statement: str, values: tuple[object, ...]) -> None:
        with closing(apsw.Connection(self._path)) as connection:
            connection.execute(statement, values)
            assert connection.total_changes()


class DamagedMongo:
    def __init__(self, url: str, mongo: MongoClient[dict[str, Any]]) -> None:
        self._url = url
        self._database = mongo[parse_uri(url)["database"]]

    async def opened(self) -> Store:
        return await open_mongodb(self._url)

    def put_tile(self, tile: Tile, hashes: bytes | None) -> None:
        name = f"tiles.{tile.level}"
        change = {"$unset": {name: ""}} if hashes is None else {"$set": {name: hashes}}
        assert self._database[LOGS].update_one({"_id": "acme"}, change).modified_count

    def delete_last(self) -> None:
        assert self._database[EVENTS].delete_one({"t": "acme", "s": SIZE - 1}).deleted_count


@pytest.fixture(params=["sqlite", "mongodb"])
async def damaged(request: pytest.FixtureRequest, tmp_path: Path) -> Damaged:
    """A log of 300 records, and another of one."""
    made: DamagedSqlite | DamagedMongo
    if request.param == "sqlite":
        made = DamagedSqlite(tmp_path / "audit.db")
    else:
        url = request.getfixturevalue("mongodb_url")
        made = DamagedMongo(url, request.getfixturevalue("mongo"))
    store = await made.opened()
    await keep(store.events, *(draft() for _ in range(SIZE)))
    await keep(store.events, draft(tenant="other"))
    await store.close()
    return made


@pytest.mark.parametrize("tile", GROWING)
@pytest.mark.parametrize("harm", ["missing", "empty", "shorter", "longer", "torn"])
async def test_nothing_is_appended_to_a_tree_whose_growing_tile_is_not_whole(
    damaged: Damaged, tile: Tile, harm: str
) -> None:
    store = await damaged.opened()
    whole = (await store.ledger.tiles("acme", [tile]))[tile]
    before = await examined(store)
    await store.close()
    harmed = {
        "missing": None,
        "empty": b"",
        "shorter": whole[:-32],
        "longer": whole + bytes(32),
        "torn": whole[:-1],
    }
    damaged.put_tile(tile, harmed[harm])
    store = await damaged.opened()
    for _ in range(2):
        with pytest.raises(StoreBroken):
            await append(store.events, draft())
        with pytest.raises(StoreBroken):
            await store.events.erase("acme", [burial(before[0].entry.id)])
    # Nothing was kept, nothing was lost, and the log of another tenant goes on.
    assert await store.ledger.openings("acme", 0, SIZE + 1, content=True) == before
    await keep(store.events, draft(tenant="other"))
    assert len(await examined(store, "other")) == 2
    # Whoever puts the tile back, which is computed from the entries, has mended the log.
    damaged.put_tile(tile, whole)
    await keep(store.events, draft())
    assert len(await examined(store)) == SIZE + 1
    await store.close()


async def test_a_log_goes_on_behind_a_record_that_someone_took_away(damaged: Damaged) -> None:
    """Its leaf stays in the tree, so that whoever verifies finds it missing."""
    store = await damaged.opened()
    tiles = await store.ledger.tiles("acme", GROWING)
    await store.close()
    damaged.delete_last()
    store = await damaged.opened()
    assert await store.ledger.size("acme") == SIZE
    (record,) = await keep(store.events, draft())
    assert record.sequence == SIZE
    assert await store.ledger.size("acme") == await store.events.end("acme") == SIZE + 1
    there = await store.ledger.openings("acme", 0, SIZE + 1, content=False)
    assert [each.sequence for each in there] == [*range(SIZE - 1), SIZE]
    for tile, hashes in (await store.ledger.tiles("acme", GROWING)).items():
        assert hashes.startswith(tiles[tile])
    await store.close()
