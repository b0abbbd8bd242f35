"""MongoDB reads few records beside those it answers with: what it read is asked of the server."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from asking import either, erase, keep, page, question, where
from pymongo.uri_parser import parse_uri

from auditlogservice.filters import Compare, Filter, Like, Not, Words, all_of
from auditlogservice.store.mongodb import open_mongodb, paging, places
from strategies import draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from pymongo import MongoClient

    from auditlogservice.store.mongodb import MongoStore
    from auditlogservice.store.port import Order

_RECORDS = 400
_SLACK = 25  # records read in vain


@contextmanager
def _counting(mongo: MongoClient[dict[str, Any]], url: str) -> Iterator[dict[str, int]]:
    """Fill in, at the end, how many records and how many entries of indexes were read."""
    database = mongo[parse_uri(url)["database"]]
    counts: dict[str, int] = {}
    database.command("profile", 2)
    yield counts
    database.command("profile", 0)
    reads = list(database["system.profile"].find({"op": {"$in": ["query", "getmore", "command"]}}))
    counts["records"] = sum(one.get("docsExamined", 0) for one in reads)
    counts["entries"] = sum(one.get("keysExamined", 0) for one in reads)
    database["system.profile"].drop()


@pytest.fixture
async def store(mongodb_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[MongoStore]:
    """A store whose log is taken for a long one."""
    sizes = {"_FEW": 8, "_TRIED": 10, "_MANY": 150, "_WINDOW": 50, "_CHUNK": 7}
    for size, value in sizes.items():
        monkeypatch.setattr(paging, size, value)
    for size, value in {"_BLOCK": 32, "_FEW": 1}.items():
        monkeypatch.setattr(places, size, value)
    opened = await open_mongodb(mongodb_url)
    await keep(opened.events, *(draft(_event(number)) for number in range(_RECORDS)))
    yield opened
    await opened.close()


QUESTIONS: dict[str, tuple[Filter, int]] = {
    # Every other record and every tenth, which are others: the tenth part is followed.
    "values that never meet": (where(source="even", outcome="success"), 40),
    # The first half of the log and its last tenth, of which no more is read than there is.
    "values of other times": (where(user_id="alice", actor__type="early", name="late"), 40),
    "a beginning of many texts": (Like("actor.id", "u1*"), 14),
    "a range of numbers": (
        all_of(Compare("event_data.n", "gte", "100"), Compare("event_data.n", "lt", "120")), 14,
    ),
    # Of what is common, 75 or 85 records lie before the range.
    "a common value in a range": (
        all_of(
            where(source="even"),
            Compare("event_data.n", "gte", "150"),
            Compare("event_data.n", "lt", "230"),
        ),
        20,
    ),
    "what two outcomes hide": (Not(either("outcome", "success", "failure")), 4),
    "a common value, and what they hide": (
        all_of(where(source="even"), Not(either("outcome", "success", "failure"))),
        12,
    ),
    "the beginning of a word": (Words(("u1",), open_end=True), 14),
}  # fmt: skip


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_page_is_found_without_reading_much_else(
    store: MongoStore,
    mongodb_url: str,
    mongo: MongoClient[dict[str, Any]],
    name: str,
    order: Order,
) -> None:
    asked, most = QUESTIONS[name]
    with _counting(mongo, mongodb_url) as read:
        await store.events.page(question(asked, order=order, limit=5))
    assert read["records"] <= most + _SLACK


_APART = where(source="even", outcome="success")  # 200 records and 40: they never meet


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_what_is_known_of_a_log_is_not_read_from_the_index_again(
    store: MongoStore, mongodb_url: str, mongo: MongoClient[dict[str, Any]], order: Order
) -> None:
    with _counting(mongo, mongodb_url) as first:
        assert await store.events.page(question(_APART, order=order)) == []
    with _counting(mongo, mongodb_url) as second:
        assert await store.events.page(question(_APART, order=order)) == []
    # What is left is looking ahead, and the last block, which is not full yet.
    assert second["entries"] < first["entries"] / 2


async def test_records_that_came_in_since_places_were_read_are_found(store: MongoStore) -> None:
    assert await page(store.events, _APART) == []
    late = [
        (await keep(store.events, draft(_event(number) | {"source": "even"})))[0]
        for number in range(_RECORDS, _RECORDS + 50)
    ]
    found = [record for record in late if record.fields()["outcome"] == "success"]
    assert len(found) == 5
    assert await page(store.events, _APART) == found


async def test_a_record_that_was_erased_since_its_place_was_read_is_not_found(
    store: MongoStore,
) -> None:
    asked = where(source="odd", outcome="success")
    before = await page(store.events, asked)
    gone = before[len(before) // 2]
    await erase(store.events, gone.id)
    assert await page(store.events, asked) == [each for each in before if each != gone]


async def test_what_is_known_takes_no_more_memory_than_it_may(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(places, "_ROOM", 1_000)  # three blocks
    for asked in (_APART, where(source="odd", outcome="success")):
        await page(store.events, asked)
        assert 0 < store.events._places.size <= 1_000


_OUTCOMES = {50: "unknown"}  # of a hundred


def _event(number: int) -> dict[str, Any]:
    return told(
        name="late" if number >= _RECORDS * 9 // 10 else "any",
        actor={"id": f"u{number:03}", "type": "early" if number < _RECORDS // 2 else "rest"},
        source="odd" if number % 2 else "even",
        outcome=_OUTCOMES.get(number % 100, "success" if number % 10 == 1 else "failure"),
        event_data={"n": number},
    )
