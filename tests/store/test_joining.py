"""What SQLite joins itself is what is made of the same records one by one, damage and all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from asking import erase, keep, question
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlogservice.errors import StoreBroken
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.store.sqlite.joining import join_rows
from strategies import draft, told, told_events

if TYPE_CHECKING:
    import apsw

    from auditlogservice.canonical import Json
    from auditlogservice.events import Listing
    from auditlogservice.store.port import Order, PageQuery
    from auditlogservice.store.sqlite import SqliteStore

FIRST_TENANT = 1


async def _joined(store: SqliteStore, query: PageQuery) -> Listing | None:
    """What is joined of a whole log; None if that is left to who looks at each record."""

    def work(connection: apsw.Connection) -> Listing | None:
        return join_rows(connection, FIRST_TENANT, 0, 2**62, query)

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
