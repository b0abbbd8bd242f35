"""MongoDB reads few records beside those it answers with: what it read is asked of the server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from asking import keep, page, where
from pymongo.uri_parser import parse_uri

from auditlogservice.filters import Compare, Filter, Like, Words, all_of
from auditlogservice.store.mongodb import open_mongodb, paging, places
from strategies import draft, told

if TYPE_CHECKING:
    from pymongo import MongoClient

    from auditlogservice.store.port import Order

_RECORDS = 400
_SLACK = 25  # records read in vain


def _records_read(mongo: MongoClient[dict[str, Any]], database: str) -> int:
    reads = {"op": {"$in": ["query", "getmore", "command"]}}
    profile = mongo[database]["system.profile"].find(reads)
    return sum(one.get("docsExamined", 0) for one in profile)


QUESTIONS: dict[str, tuple[Filter, int]] = {
    # Every other record and every tenth, which are others: the tenth part is followed.
    "values that never meet": (where(source="even", outcome="success"), 40),
    # The first half of the log and its last tenth, of which no more is read than there is.
    "values of other times": (where(user_id="alice", actor__type="early", name="late"), 40),
    "a beginning of many texts": (Like("actor.id", "u1*"), 14),
    "a range of numbers": (
        all_of(Compare("event_data.n", "gte", "100"), Compare("event_data.n", "lt", "120")), 14,
    ),
    "the beginning of a word": (Words(("u1",), open_end=True), 14),
}  # fmt: skip


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_page_is_found_without_reading_much_else(
    mongodb_url: str,
    mongo: MongoClient[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    order: Order,
) -> None:
    # As if the log were long.
    for size, value in {"_FEW": 8, "_MANY": 150, "_WINDOW": 50, "_CHUNK": 7}.items():
        monkeypatch.setattr(paging, size, value)
    for size, value in {"_BLOCK": 32, "_FEW": 5}.items():
        monkeypatch.setattr(places, size, value)
    store = await open_mongodb(mongodb_url)
    await keep(store.events, *(draft(_event(number)) for number in range(_RECORDS)))
    database = parse_uri(mongodb_url)["database"]
    asked, most = QUESTIONS[name]
    mongo[database].command("profile", 2)
    await page(store.events, asked, order=order, limit=5)
    mongo[database].command("profile", 0)
    await store.close()
    assert _records_read(mongo, database) <= most + _SLACK


def _event(number: int) -> dict[str, Any]:
    return told(
        name="late" if number >= _RECORDS * 9 // 10 else "any",
        actor={"id": f"u{number:03}", "type": "early" if number < _RECORDS // 2 else "rest"},
        source="odd" if number % 2 else "even",
        outcome="success" if number % 10 == 1 else "failure",
        event_data={"n": number},
    )
