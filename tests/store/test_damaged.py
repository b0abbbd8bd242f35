"""A log that someone has damaged: nothing more is appended to a tree that is not whole, and a lost
record is no reason to lose another. Each damage is done behind the back of a store, and found by
the next one that opens.
"""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import TYPE_CHECKING, Any, Protocol

import apsw
import pytest
from asking import append, burial, keep, page, question, where
from bson import Int64
from pymongo.uri_parser import parse_uri
from trees import examined

from answers import outcomes_of
from auditlogservice.errors import LogDamaged, StoreBroken
from auditlogservice.filters import EVERYTHING, Is, Not
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.mongodb.schema import EVENTS, LOGS
from auditlogservice.store.port import Appended, Replayed, Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.tiles import Tile
from strategies import draft

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo import MongoClient

    from auditlogservice.filters import Filter
    from auditlogservice.runtime.stores import Store

MIDDLE = 150
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

    def set_back(self, size: int) -> None:
        """Let the log say that it ends here."""
        ...

    def spoil(self, column: str, value: object) -> None:
        """Put this in the place of the payload or the timestamp of the record in the middle."""
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

    def set_back(self, size: int) -> None:
        self._execute("UPDATE tenants SET next_sequence=? WHERE name='acme'", (size,))

    def spoil(self, column: str, value: object) -> None:
        self._execute(f"UPDATE records SET {column}=? WHERE sequence=?", (value, MIDDLE))

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

    def set_back(self, size: int) -> None:
        change = {"$set": {"n": Int64(size)}}
        assert self._database[LOGS].update_one({"_id": "acme"}, change).modified_count

    def spoil(self, column: str, value: object) -> None:
        change = {"$set": {{"payload": "p", "timestamp": "at"}[column]: value}}
        place = {"t": "acme", "s": MIDDLE}
        assert self._database[EVENTS].update_one(place, change).modified_count


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
    await keep(store.events, *(draft() for _ in range(SIZE - 1)), draft(key="k"))
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
        # What is there is told all the same, and what comes beside it for another tenant is kept.
        new, others, known = draft(), draft(tenant="other"), draft(key="k")
        submissions = [Submission((each,)) for each in (new, others, known)]
        broken, *answers = await store.events.append(submissions)
        assert isinstance(broken, LogDamaged)
        kinds = [type(outcome) for (outcome,) in outcomes_of(answers)]
        assert kinds == [Appended, Replayed]
        with pytest.raises(StoreBroken):
            await store.events.erase("acme", [burial(before[0].entry.id)])
    # Nothing was kept, nothing was lost, and the log of another tenant goes on.
    assert await store.ledger.openings("acme", 0, SIZE + 1, content=True) == before
    assert len(await examined(store, "other")) == 3
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


async def test_what_lies_beside_a_record_that_someone_took_away_is_found(
    damaged: Damaged,
) -> None:
    damaged.delete_last()
    store = await damaged.opened()
    found = await page(store.events, where(event_type="auth.login"))
    assert [record.sequence for record in found] == [*range(SIZE - 1)]
    await store.close()


@pytest.mark.parametrize("size", [0, MIDDLE, SIZE - 1])
async def test_a_log_that_was_set_back_keeps_nothing_and_holds_up_nobody(
    damaged: Damaged, size: int
) -> None:
    """A place that is taken is not given again, and that is known at once."""
    damaged.set_back(size)
    store = await damaged.opened()
    for _ in range(2):
        async with asyncio.timeout(5):
            submissions = [Submission((draft(),)), Submission((draft(tenant="other"),))]
            broken, other = await store.events.append(submissions)
        assert isinstance(broken, LogDamaged)
        assert [type(outcome) for (outcome,) in outcomes_of([other])] == [Appended]
    damaged.set_back(SIZE)
    await keep(store.events, draft())
    assert len(await examined(store)) == SIZE + 1
    await store.close()


async def test_a_log_that_is_set_back_under_a_node_that_writes_it_keeps_nothing(
    damaged: Damaged,
) -> None:
    store = await damaged.opened()
    await keep(store.events, draft())  # so that the node knows where the log ends
    damaged.set_back(MIDDLE)
    with pytest.raises(LogDamaged):
        await append(store.events, draft())
    damaged.set_back(SIZE + 1)
    await keep(store.events, draft())
    assert len(await examined(store)) == SIZE + 2
    await store.close()


@pytest.mark.parametrize(
    "payload", [b"\xff", b"", b"[]", b"1", b'{"name":', b"{}", b'{"name":"x"} ', b'{"name":"}']
)
@pytest.mark.parametrize(
    "asked",
    [where(event_type="auth.login"), Not(Is("name", "another")), EVERYTHING],
    ids=["by term", "in order", "everything"],
)
async def test_a_record_that_is_none_any_more_is_told_as_damage(
    damaged: Damaged, payload: bytes, asked: Filter
) -> None:
    damaged.spoil("payload", payload)
    store = await damaged.opened()
    (there,) = await store.ledger.openings("acme", MIDDLE, MIDDLE + 1, content=False)
    with pytest.raises(StoreBroken):
        await page(store.events, asked)
    with pytest.raises(StoreBroken):
        await store.events.listing(question(asked))
    with pytest.raises(StoreBroken):
        await store.events.find("acme", there.entry.id)
    with pytest.raises(StoreBroken):
        await store.ledger.opening("acme", there.entry.id)
    # Whoever looks elsewhere is answered, and every log goes on.
    assert len(await page(store.events, asked, limit=MIDDLE)) == MIDDLE
    await keep(store.events, draft())
    await keep(store.events, draft(tenant="other"))
    await store.close()


@pytest.mark.parametrize("payload", [b"\xff", b"", b"[]", b'{"name":'])
async def test_a_record_that_is_none_any_more_is_not_erased_either(
    damaged: Damaged, payload: bytes
) -> None:
    damaged.spoil("payload", payload)
    store = await damaged.opened()
    (there,) = await store.ledger.openings("acme", MIDDLE, MIDDLE + 1, content=False)
    with pytest.raises(StoreBroken):
        await store.events.erase("acme", [burial(there.entry.id)])
    await store.close()


async def test_a_moment_beyond_all_dates_is_told_as_damage(damaged: Damaged) -> None:
    damaged.spoil("timestamp", 2**62)
    store = await damaged.opened()
    with pytest.raises(StoreBroken):
        await store.ledger.openings("acme", 0, SIZE, content=False)
    assert len(await store.ledger.openings("acme", 0, MIDDLE, content=False)) == MIDDLE
    await keep(store.events, draft())
    await store.close()
