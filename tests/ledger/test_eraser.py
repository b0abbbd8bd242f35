"""Erasing one record: who may not, what stops it, and what the log says of it afterwards."""

from __future__ import annotations

import asyncio
import secrets
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from answers import outcomes_of
from auditlogservice.access import Principal, Scope
from auditlogservice.errors import EventErased, EventHeld, EventNotFound, OwnRecordKept
from auditlogservice.events import Record, tombstone_id
from auditlogservice.filters import EVERYTHING
from auditlogservice.governance import SERVICE_USER, TOMBSTONE_TYPE, Hold
from auditlogservice.ledger.governing.eraser import Eraser
from auditlogservice.merkle import leaf_hash
from auditlogservice.store.port import Appended, Document, Submission
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.store.sqlite import SqliteStore

ALICE = Principal(user_id="u1", name="alice", tenant="acme", scopes=frozenset(Scope))
BOB = Principal(user_id="u3", name="bob", tenant="acme", scopes=frozenset(Scope))
STRANGER = Principal(user_id="u2", name="eve", tenant="other", scopes=frozenset(Scope))
LATER = NOON + timedelta(hours=1)


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(":memory:")
    yield opened
    await opened.close()


@pytest.fixture
def eraser(store: SqliteStore) -> Eraser:
    return Eraser(
        store.events,
        store.ledger,
        clock=lambda: LATER,
        entropy=secrets.token_bytes,
        on_commit=lambda _: None,
    )


@pytest.fixture
async def record(store: SqliteStore) -> Record:
    ((outcome,),) = outcomes_of(await store.events.append([Submission((draft(),))]))
    assert isinstance(outcome, Appended)
    return outcome.record


@pytest.mark.parametrize("event_id", ["f" * 24, "", "x", "f" * 23, "../" * 8, "$where", "\x00"])
async def test_what_is_not_there_or_no_id_at_all_is_not_found(
    eraser: Eraser, event_id: str
) -> None:
    with pytest.raises(EventNotFound):
        await eraser.erase(ALICE, event_id, reason=None)


async def test_another_tenants_record_is_not_there(
    store: SqliteStore, eraser: Eraser, record: Record
) -> None:
    with pytest.raises(EventNotFound):
        await eraser.erase(STRANGER, record.id, reason=None)
    assert await store.events.find("acme", record.id) == record


async def test_who_comes_second_hears_who_erased_it_when_and_why(
    eraser: Eraser, record: Record
) -> None:
    await eraser.erase(ALICE, record.id, reason="asked for")
    with pytest.raises(EventErased) as caught:
        await eraser.erase(BOB, record.id, reason="another")
    error = caught.value
    assert (error.event_id, error.sequence) == (record.id, record.sequence)
    assert (error.at, error.by, error.reason) == (LATER, "alice", "asked for")


async def test_who_comes_second_by_a_moment_hears_it_too(eraser: Eraser, record: Record) -> None:
    """Or else they would believe that their own name and reason are on record."""
    outcomes = await asyncio.gather(
        eraser.erase(ALICE, record.id, reason="hers"),
        eraser.erase(BOB, record.id, reason="his"),
        return_exceptions=True,
    )
    first = outcomes.index(None)
    refused = outcomes[1 - first]
    assert isinstance(refused, EventErased)
    assert (refused.by, refused.reason) == (("alice", "hers"), ("bob", "his"))[first]


async def test_the_tombstone_says_which_leaf_who_and_why(
    store: SqliteStore, eraser: Eraser, record: Record
) -> None:
    (opening,) = await store.ledger.openings("acme", 0, 1, content=False)
    await eraser.erase(ALICE, record.id, reason="asked for")
    left = await store.events.find("acme", tombstone_id("acme", record.id))
    assert isinstance(left, Record)
    told = left.fields()
    assert (told["event_type"], told["user_id"]) == (TOMBSTONE_TYPE, SERVICE_USER)
    assert told["actor"] == {"id": "alice", "name": "alice", "type": "user"}
    assert told["event_data"] == {
        "_id": record.id,
        "sequence": 0,
        "leaf_hash": leaf_hash(opening.entry.to_bytes()).hex(),
        "reason": "asked for",
    }


async def test_a_tombstone_is_not_erased(eraser: Eraser, record: Record) -> None:
    await eraser.erase(ALICE, record.id, reason=None)
    with pytest.raises(OwnRecordKept):
        await eraser.erase(ALICE, tombstone_id("acme", record.id), reason=None)


async def test_what_the_service_itself_put_on_record_is_not_erased(
    store: SqliteStore, eraser: Eraser
) -> None:
    placed = told("Hold placed", event_type="audit.hold.placed")
    drafts = (draft(placed, user=SERVICE_USER), draft(placed))
    ((own, forged),) = outcomes_of(await store.events.append([Submission(drafts)]))
    assert isinstance(own, Appended)
    assert isinstance(forged, Appended)
    with pytest.raises(OwnRecordKept):
        await eraser.erase(ALICE, own.record.id, reason=None)
    await eraser.erase(ALICE, forged.record.id, reason=None)


async def test_what_a_hold_covers_is_not_erased_and_the_hold_is_named(
    store: SqliteStore, eraser: Eraser, record: Record
) -> None:
    hold = Hold(id="h", where=EVERYTHING, reason="suit", placed_by="bob", placed_at=NOON)
    await store.documents.put(Document(kind="hold", tenant="acme", id="h", body=hold.to_body()))
    with pytest.raises(EventHeld) as caught:
        await eraser.erase(ALICE, record.id, reason=None)
    assert caught.value.holds == ("h",)
    assert await store.events.find("acme", record.id) == record


async def test_a_record_that_someone_took_out_of_the_store_is_not_found(
    store: SqliteStore, eraser: Eraser, record: Record
) -> None:
    connection = store.events._database._write_connection
    assert connection
    connection.execute("DELETE FROM records")
    with pytest.raises(EventNotFound):
        await eraser.bury("acme", [record], by="alice", reason=None)
