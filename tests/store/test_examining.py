"""What no tree can tell: a store says where it contradicts itself, and never where it does not."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any, Literal

import apsw
import pytest
from corpus import made_drafts

from answers import outcomes_of
from auditlogservice.filters import Is
from auditlogservice.governance import Hold
from auditlogservice.ledger.governing.eraser import Eraser
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.port import Appended, Document, Submission
from auditlogservice.store.sqlite import database, open_sqlite
from strategies import NOON, draft

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pymongo import MongoClient

    from auditlogservice.events import Record
    from auditlogservice.runtime.stores import Store

    Mongo = MongoClient[dict[str, Any]]

TENANT = "acme"


async def kept(store: Store, seed: int = 1, number: int = 60) -> list[Record]:
    submission = Submission(tuple(made_drafts(seed, number, TENANT)))
    (outcomes,) = outcomes_of(await store.events.append([submission]))
    return [outcome.record for outcome in outcomes if isinstance(outcome, Appended)]


async def erase(store: Store, record: Record) -> None:
    eraser = Eraser(
        store.events,
        store.ledger,
        clock=lambda: NOON,
        entropy=secrets.token_bytes,
        on_commit=lambda _: None,
    )
    await eraser.bury(TENANT, [record], by="bob", reason="asked")


@pytest.mark.parametrize("seed", range(4))
async def test_a_store_of_awkward_records_and_erasures_does_not_contradict_itself(
    store: Store, seed: int
) -> None:
    records = await kept(store, seed)
    await store.events.append([Submission((draft(tenant="other"),))])
    for record in records[::7]:
        await erase(store, record)
    assert await store.ledger.examine() == []


async def test_what_comes_in_and_goes_meanwhile_is_no_contradiction(store: Store) -> None:
    """`fsck` runs beside servers that write."""
    records = await kept(store)

    enough = asyncio.Event()

    async def work() -> None:
        for n, record in enumerate(records):
            drafts = draft(tenant=TENANT), draft(tenant=f"tenant-{n}")
            await store.events.append([Submission((each,)) for each in drafts])
            await erase(store, record)
            if enough.is_set():
                return

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(work())
        found = [await store.ledger.examine() for _ in range(5)]
        enough.set()
    assert found == [[]] * 5


@pytest.mark.parametrize("kind", ["hold", "erasure"])
async def test_what_stops_all_erasing_because_it_cannot_be_read_is_told(
    store: Store, kind: Literal["hold", "erasure"]
) -> None:
    hold = Hold(
        id="h1", where=Is("actor.id", "bob"), reason="case", placed_by="eve", placed_at=NOON
    )
    await store.documents.put(
        Document(kind="hold", tenant=TENANT, id=hold.id, body=hold.to_body())
    )
    assert await store.ledger.examine() == []
    await store.documents.put(Document(kind=kind, tenant=TENANT, id="x1", body=b'{"where":'))
    assert await store.ledger.examine() == [f"the {kind} x1 of acme cannot be read"]


async def test_an_empty_store_does_not_contradict_itself(store: Store) -> None:
    assert await store.ledger.examine() == []


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("INSERT INTO terms (rowid, words) VALUES (3, '1:more')", "index of terms"),
        ("INSERT INTO terms (terms) VALUES ('delete-all')", "index of terms"),
        ("UPDATE tenants SET next_sequence = next_sequence + 1", "should have"),
        ("UPDATE tenants SET last_timestamp = 7", "last timestamp"),
        ("UPDATE records SET fingerprint = x'00' WHERE row = 3", "fingerprint"),
        ("UPDATE records SET erased_by = 'eve' WHERE erased_by IS NOT NULL", "tombstone"),
        ("UPDATE records SET erased_why = NULL WHERE erased_by IS NOT NULL", "tombstone"),
        ("DELETE FROM records WHERE row = (SELECT max(row) FROM records)", "tombstone"),
        ("DROP INDEX records_by_time", "records_by_time is not defined"),
        ("CREATE TABLE more (a)", "more is not defined"),
        ("INSERT INTO checkpoints VALUES ('acme', 1, x'00')", "checkpoint of acme is none"),
    ],
)
async def test_sqlite_says_where_it_contradicts_itself(
    tmp_path: Path, statement: str, said: str
) -> None:
    path = str(tmp_path / "audit.db")
    store = await open_sqlite(path)
    await erase(store, (await kept(store))[5])
    await store.close()
    with apsw.Connection(path) as connection:
        connection.execute(statement)
    connection.close()
    store = await open_sqlite(path)
    try:
        found = await store.ledger.examine()
    finally:
        await store.close()
    assert any(said in sentence for sentence in found), found


CHANGES: list[tuple[Callable[[Any], Any], str]] = [
    (lambda there: there.events.update_one({"s": 3}, {"$push": {"terms": "more"}}), "other terms"),
    (lambda there: there.events.update_one({"s": 3}, {"$set": {"terms": []}}), "other terms"),
    (lambda there: there.events.update_one({"s": 3}, {"$unset": {"fp": ""}}), "cannot be read"),
    (lambda there: there.events.update_one({"s": 3}, {"$set": {"fp": b"0"}}), "fingerprint"),
    (lambda there: there.events.update_one({"s": 5}, {"$set": {"gone.by": "eve"}}), "tombstone"),
    (lambda there: there.events.update_one({"s": 5}, {"$set": {"salt": b"0"}}), "has still: salt"),
    (lambda there: there.events.delete_one({"s": 60}), "no tombstone"),
    (lambda there: there.logs.update_one({}, {"$inc": {"n": 1}}), "should have"),
    (lambda there: there.logs.update_one({}, {"$set": {"at": 7}}), "last timestamp"),
    (lambda there: there.logs.delete_many({}), "no end"),
    (
        lambda there: there.checkpoints.insert_one({"_id": "acme", "size": 1, "note": b"0"}),
        "checkpoint of acme is none",
    ),
    (
        lambda there: there.checkpoints.insert_one({"_id": "acme", "size": {}, "note": 1}),
        "checkpoint of acme cannot be read",
    ),
]


@pytest.mark.parametrize(("change", "said"), CHANGES)
async def test_mongodb_says_where_it_contradicts_itself(
    mongodb_url: str, mongo: Mongo, change: Callable[[Any], Any], said: str
) -> None:
    store = await open_mongodb(mongodb_url)
    try:
        await erase(store, (await kept(store))[5])
        name = mongodb_url.rpartition("/")[2].partition("?")[0]
        change(mongo[name])
        found = await store.ledger.examine()
    finally:
        await store.close()
    assert any(said in sentence for sentence in found), found


async def test_to_examine_a_large_file_takes_as_long_as_it_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What takes long is not damaged: no time limit of other reads breaks it off."""
    store = await open_sqlite(str(tmp_path / "audit.db"))
    await kept(store)
    monkeypatch.setattr(database, "_READ_SECONDS", 0.0)
    monkeypatch.setattr(database, "_STEPS_BETWEEN_LOOKS", 1)
    assert await store.ledger.examine() == []
    await store.close()
