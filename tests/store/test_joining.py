"""What SQLite joins itself is what is made of the same records one by one, damage and all."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from asking import either, erase, keep, question, where
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlogservice.bounds import Bounds, bounds_of
from auditlogservice.errors import StoreBroken
from auditlogservice.events import Record, Sequence
from auditlogservice.filters import (
    Compare,
    Contains,
    Is,
    Not,
    all_of,
    any_of,
    as_moment,
    matches,
)
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.store.sqlite.joining import Candidates, Condition, condition_for, join_rows
from auditlogservice.times import to_micros
from strategies import NOON, draft, filters, told, told_events

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.events import Listing
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import Order, PageQuery
    from auditlogservice.store.sqlite import SqliteStore

LOG = Candidates("records WHERE tenant=?", (1,), "sequence")
NONE = Condition("1")


async def _joined(store: SqliteStore, query: PageQuery) -> Listing | None:
    """What is joined of a whole log; None if that is left to who looks at each record."""

    def work(connection: apsw.Connection) -> Listing | None:
        return join_rows(connection, LOG, NONE, query)

    return await store.ledger._database.write(work)


async def _spoil(store: SqliteStore, sequence: int, payload: bytes) -> None:
    def work(connection: apsw.Connection) -> None:
        connection.execute("UPDATE records SET payload=? WHERE sequence=?", (payload, sequence))

    await store.ledger._database.write(work)


@settings(max_examples=100)
@given(
    events=st.lists(told_events, min_size=1, max_size=5),
    order=st.sampled_from(["oldest", "newest"]),
    limit=st.integers(2, 7),
    erased=st.integers(0, 4),
)
async def test_every_event_is_joined_as_it_is_answered(
    events: list[dict[str, Json]], order: Order, limit: int, erased: int
) -> None:
    store = await open_sqlite(":memory:")
    records = await keep(store.events, *(draft(event, user='é"\\') for event in events))
    if erased < len(records):
        await erase(store.events, records[erased].id)
    query = question(order=order, limit=limit)
    assert await _joined(store, query) == query.listing(await store.events.page(query))
    await store.close()


def _spoilt(payload: bytes) -> st.SearchStrategy[bytes]:
    """The payload with a few bytes in the place of some of its own."""
    new = st.binary(max_size=3) | st.sampled_from([b'"', b"}", b'"}', b'"},{"a":"', b"\0"])
    return st.builds(
        lambda begin, length, other: payload[:begin] + other + payload[begin + length :],
        st.integers(0, len(payload)), st.integers(0, 3), new,
    )  # fmt: skip


@settings(max_examples=300)
@given(data=st.data())
async def test_whatever_became_of_a_record_is_told_as_it_is_of_the_record(
    data: st.DataObject,
) -> None:
    store = await open_sqlite(":memory:")
    what = told(detail='é 😀 "\\\x00', event_data={"a": [1.5, None]})
    records = await keep(store.events, draft(), draft(what), draft())
    await _spoil(store, 1, data.draw(_spoilt(records[1].payload)))
    query = question()
    try:
        expected = query.listing(await store.events.page(query))
    except StoreBroken:
        with pytest.raises(StoreBroken):
            await store.events.listing(query)
    else:
        assert await store.events.listing(query) == expected
    await store.close()


@pytest.mark.parametrize(
    "payload", [b'{"a":"b"}\0"}', b'{"a":"\xff"}', b'{"a":"b"}, {"c":"d"}', b'["}"}']
)
async def test_what_is_nearly_json_is_left_to_who_looks_at_each_record(payload: bytes) -> None:
    """Each passes one of the looks: SQLite's own, or that at the beginning and the end."""
    store = await open_sqlite(":memory:")
    await keep(store.events, draft(), draft())
    assert await _joined(store, question()) is not None
    await _spoil(store, 1, payload)
    assert await _joined(store, question()) is None
    await store.close()


async def test_no_more_is_joined_than_a_page_may_have() -> None:
    store = await open_sqlite(":memory:")
    records = await keep(store.events, *(draft(told(detail="x" * 1_000)) for _ in range(3)))
    size = sum(len(record.payload) for record in records)
    assert await _joined(store, question(most_bytes=size)) is None
    assert await _joined(store, question(most_bytes=size + 1)) is not None
    await store.close()


def _tells(condition: Condition, payload: bytes) -> object:
    with closing(apsw.Connection(":memory:")) as connection:
        asked = f"SELECT {condition.expression} FROM (SELECT ? AS payload)"
        return connection.execute(asked, (*condition.values, payload)).get


@given(told_events, st.data())
def test_a_record_that_sqlite_finds_to_match_does(
    event: dict[str, Json], data: st.DataObject
) -> None:
    sent = draft(event)
    record = Record(id=sent.id, sequence=Sequence(7), payload=sent.payload(NOON))
    asked = data.draw(filters([record]))
    condition = condition_for(asked)
    if condition is not None and _is_within(bounds_of(asked), record):
        assert matches(asked, record.fields()) or not _tells(condition, record.payload)


def _is_within(bounds: Bounds, record: Record) -> bool:
    """Whether the record lies where rows are asked for; an id sets no bound there."""
    moment = as_moment(str(record.fields()["timestamp"]))
    assert moment is not None
    pairs = (
        (bounds.since, to_micros(moment)),
        (to_micros(moment), bounds.until),
        (bounds.first, record.sequence),
        (record.sequence, bounds.last),
    )
    return all(low is None or high is None or low <= high for low, high in pairs)


@pytest.mark.parametrize(
    ("asked", "told_so"),
    [
        (where(name="User Logged In", event_type="auth.login"), True),
        (where(name="user logged in"), False),
        (where(user_id="alice", event_data__a__b="x"), True),
        (either("event_data.a.b", "y", "x"), True),
        (either("event_data.a.b", "y", "z"), False),
        (where(event_data__a="x"), False),
        (where(event_data__text="a"), False),
        (where(event_data__text="a\0b"), True),
        (all_of(where(name="User Logged In"), Compare("timestamp", "lt", "2027-01-01T00:00:00Z")),
         True),
    ],
)  # fmt: skip
def test_sqlite_can_tell_that_a_text_stands_in_a_record(asked: Filter, *, told_so: bool) -> None:
    data = {"a": {"b": "x"}, "text": "a\0b"}
    condition = condition_for(asked)
    assert condition is not None
    assert bool(_tells(condition, draft(told(event_data=data)).payload(NOON))) == told_so


@pytest.mark.parametrize(
    "asked",
    [Is("event_data.n", "1"), Is("event_data.n", "true"), Is("event_data.n", "null"),
     Is("targets.id", "x"), Is('event_data."', "x"), Is("event_data.a[0]", "x"), Is("a..b", "x"),
     Not(Is("name", "x")), Contains("name", "x"), any_of(Is("name", "x"), Contains("name", "x")),
     all_of(Is("name", "x"), Contains("name", "x")),
     any_of(all_of(Is("name", "x"), Compare("sequence", "lt", "3")), Is("name", "y"))],
)  # fmt: skip
def test_of_all_else_sqlite_is_not_asked(asked: Filter) -> None:
    assert condition_for(asked) is None


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_a_page_by_a_value_leaves_out_what_the_index_takes_for_it(order: Order) -> None:
    """To the index, a blank is a tilde."""
    store = await open_sqlite(":memory:")
    names = ["Rare~name", "Rare name", "Rare~name", "other", "Rare~name"]
    kept = await keep(store.events, *(draft(told(name)) for name in names))
    found = await store.events.listing(question(where(name="Rare~name"), order=order))
    wanted = [kept[place].answer() for place in (0, 2, 4)]
    assert found.answers == b",".join(wanted if order == "oldest" else wanted[::-1])
    await store.close()


class _Meddled:
    """A connection, on which a record is erased before the second statement."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._statements = 0

    def execute(self, statement: str, values: Any) -> apsw.Cursor:
        self._statements += 1
        if self._statements == 2:
            self._connection.execute(
                "UPDATE records SET payload=NULL, salt=NULL, fingerprint=NULL, erased_at=1"
                " WHERE sequence=1"
            )
        return self._connection.execute(statement, values)


@pytest.mark.parametrize("limit", [3, 9])
async def test_where_a_record_is_erased_meanwhile_nothing_is_joined(limit: int) -> None:
    """The next record would take its place, and the one that tells of more would be shown."""
    store = await open_sqlite(":memory:")
    await keep(store.events, *(draft() for _ in range(5)))

    def work(connection: apsw.Connection) -> Listing | None:
        return join_rows(_Meddled(connection), LOG, NONE, question(limit=limit))  # type: ignore[arg-type] # all of one that is used

    assert await store.ledger._database.write(work) is None
    await store.close()
