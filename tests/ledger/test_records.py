"""Reading: page by page, each record once, with cursors that nobody else can make."""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from answers import outcomes_of
from auditlogservice.access import Principal, Scope
from auditlogservice.errors import BadCursor, EventErased, EventNotFound
from auditlogservice.filters import (
    EVERYTHING,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
)
from auditlogservice.language import MAX_NESTING
from auditlogservice.ledger.records import Page, Question, Records, asked_at
from auditlogservice.store.port import PAGE_BYTES, Appended, Burial, Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.times import format_utc
from strategies import NOON, draft, told, tombstone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.events import Record
    from auditlogservice.store.port import EventStore, Order
    from auditlogservice.store.sqlite import SqliteStore

ALICE = Principal(user_id="u1", name="alice", tenant="acme", scopes=frozenset(Scope))
STRANGER = Principal(user_id="u2", name="eve", tenant="other", scopes=frozenset(Scope))
LATER = NOON + timedelta(hours=1)
SECRET = b"a secret of the nodes" * 2


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    opened = await open_sqlite(":memory:")
    yield opened
    await opened.close()


@pytest.fixture
def records(store: SqliteStore) -> Records:
    return _records(store.events)


def _records(store: EventStore, secret: bytes = SECRET) -> Records:
    return Records(store, clock=lambda: LATER, cursor_secret=secret)


async def _keep(
    store: SqliteStore, count: int, tenant: str = "acme", name: str = "n"
) -> list[Record]:
    drafts = tuple(draft(told(name), tenant=tenant) for _ in range(count))
    (outcomes,) = outcomes_of(await store.events.append([Submission(drafts)]))
    return [outcome.record for outcome in outcomes if isinstance(outcome, Appended)]


async def _erase(store: SqliteStore, record: Record, reason: str | None = None) -> None:
    grave = tombstone(record.id, at=LATER)
    burial = Burial(id=record.id, by="alice", reason=reason, tombstone=grave)
    await store.events.erase("acme", [burial])


async def _page(
    records: Records,
    who: Principal,
    where: Filter,
    *,
    order: Order,
    limit: int,
    cursor: str | None,
) -> Page:
    now = LATER if cursor is None else asked_at(cursor)
    return await records.page(who, Question(where, order, limit, cursor, now))


def _sequences(page: Page) -> list[int]:
    return [answer["sequence"] for answer in orjson.loads(b"[%b]" % page.listing.answers)]


async def _cursor(
    records: Records, where: Filter = EVERYTHING, order: Order = "oldest", who: Principal = ALICE
) -> str:
    page = await _page(records, who, where, order=order, limit=1, cursor=None)
    assert page.next is not None
    return page.next


async def _is_refused(
    records: Records,
    cursor: str,
    where: Filter = EVERYTHING,
    order: Order = "oldest",
    who: Principal = ALICE,
) -> bool:
    try:
        await _page(records, who, where, order=order, limit=1, cursor=cursor)
    except BadCursor:
        return True
    return False


# ---- one record -------------------------------------------------------------------------


async def test_a_record_is_found_by_its_id_in_any_case(
    store: SqliteStore, records: Records
) -> None:
    (record,) = await _keep(store, 1)
    assert await records.get(ALICE, record.id) == record
    assert await records.get(ALICE, record.id.upper()) == record


@pytest.mark.parametrize("event_id", ["f" * 24, "", "x", "f" * 23, "../" * 8, "$where", "\x00"])
async def test_what_is_not_there_or_no_id_at_all_is_not_found(
    records: Records, event_id: str
) -> None:
    with pytest.raises(EventNotFound):
        await records.get(ALICE, event_id)


async def test_another_tenants_record_is_not_there(store: SqliteStore, records: Records) -> None:
    (record,) = await _keep(store, 1)
    with pytest.raises(EventNotFound):
        await records.get(STRANGER, record.id)
    assert await records.get(ALICE, record.id) == record


async def test_an_erased_record_tells_who_erased_it_when_and_why(
    store: SqliteStore, records: Records
) -> None:
    (record,) = await _keep(store, 1)
    await _erase(store, record, reason="asked for")
    with pytest.raises(EventErased) as caught:
        await records.get(ALICE, record.id)
    error = caught.value
    assert (error.event_id, error.sequence) == (record.id, record.sequence)
    assert (error.at, error.by, error.reason) == (LATER, "alice", "asked for")


# ---- pages ------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("count", "limit"), [(0, 3), (1, 3), (3, 3), (4, 3), (6, 3), (7, 1), (5, 1000)]
)
async def test_walking_the_pages_meets_each_record_once_and_ends(
    store: SqliteStore, records: Records, order: Order, count: int, limit: int
) -> None:
    kept = await _keep(store, count)
    met, cursor = list[int](), None
    while True:
        page = await _page(records, ALICE, EVERYTHING, order=order, limit=limit, cursor=cursor)
        met += _sequences(page)
        cursor = page.next
        if cursor is None:
            break
        assert page.listing.count == limit
    assert met == [record.sequence for record in (kept if order == "oldest" else kept[::-1])]


@settings(max_examples=30)
@given(
    order=st.sampled_from(["oldest", "newest"]),
    limit=st.integers(1, 4),
    growth=st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=1, max_size=8),
)
async def test_walking_meets_each_record_once_while_others_are_added_and_erased(
    order: Order, limit: int, growth: list[tuple[int, bool]]
) -> None:
    store = await open_sqlite(":memory:")
    records = _records(store.events)
    where = Is("name", "n")
    kept = await _keep(store, 5)
    erased: set[int] = set()
    met, cursor, first = list[int](), None, True
    plan = iter(growth)
    while first or cursor:
        first = False
        page = await _page(records, ALICE, where, order=order, limit=limit, cursor=cursor)
        met += _sequences(page)
        cursor = page.next
        more, erase = next(plan, (0, False))
        kept += await _keep(store, more)
        await _keep(store, more, name="noise")
        if erase:
            await _erase(store, kept[0])
            erased.add(kept[0].sequence)
            del kept[0]
    assert len(set(met)) == len(met)
    assert met == sorted(met, reverse=order == "newest")
    # Everything is met that was there when the walk began and is there now.
    stayed = {record.sequence for record in kept if record.sequence < 5}
    assert stayed <= set(met) <= stayed | erased | {r.sequence for r in kept}
    await store.close()


async def test_a_follower_that_reads_to_the_end_and_comes_back_misses_nothing(
    store: SqliteStore, records: Records
) -> None:
    """A cursor stays good for as long as its question does."""
    await _keep(store, 3)
    cursor = await _cursor(records)
    first = await _page(records, ALICE, EVERYTHING, order="oldest", limit=9, cursor=cursor)
    await _keep(store, 2)
    again = await _page(records, ALICE, EVERYTHING, order="oldest", limit=9, cursor=cursor)
    assert _sequences(first) == [1, 2]
    assert _sequences(again) == [1, 2, 3, 4]


# ---- cursors ------------------------------------------------------------------------------


async def test_a_cursor_is_good_on_every_node_and_means_its_place(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 3)
    other, cursor = _records(store.events), await _cursor(records)
    page = await _page(other, ALICE, EVERYTHING, order="oldest", limit=2, cursor=cursor)
    assert _sequences(page) == [1, 2]


async def test_a_cursor_changed_in_any_byte_is_refused(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 2)
    raw = base64.urlsafe_b64decode(await _cursor(records))
    for place in range(len(raw)):
        for flip in (0x01, 0x80, 0xFF):
            forged = raw[:place] + bytes([raw[place] ^ flip]) + raw[place + 1 :]
            assert await _is_refused(records, base64.urlsafe_b64encode(forged).decode()), place


async def test_a_cursor_changed_in_any_character_is_refused(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 2)
    cursor = await _cursor(records)
    for place in range(len(cursor)):
        for other in "Az09-_=!é\n ":
            forged = cursor[:place] + other + cursor[place + 1 :]
            assert forged == cursor or await _is_refused(records, forged), (place, other)


async def test_a_cursor_that_is_cut_or_has_something_added_is_refused(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 2)
    cursor = await _cursor(records)
    for length in range(len(cursor)):
        assert await _is_refused(records, cursor[:length])
        assert await _is_refused(records, cursor[length + 1 :])
    for forged in (
        "",
        "=",
        "\x00",
        "A" * 44,
        "A" * 10**6,
        cursor + cursor,
        cursor + "=",
        f" {cursor}",
    ):
        assert await _is_refused(records, forged), forged[:50]


async def test_a_cursor_is_of_one_tenant_one_order_and_one_question(
    store: SqliteStore, records: Records
) -> None:
    for tenant in ("acme", "other"):
        await _keep(store, 2, tenant)
    a, b = Is("name", "n"), any_of(Is("detail", ""), Is("detail", "x"))
    questions = [
        (EVERYTHING, "oldest", ALICE),
        (EVERYTHING, "newest", ALICE),
        (EVERYTHING, "oldest", STRANGER),
        (a, "oldest", ALICE),
        (b, "oldest", ALICE),
        (all_of(a, b), "oldest", ALICE),
        (Compare("timestamp", "gte", format_utc(NOON)), "oldest", ALICE),
        (Compare("timestamp", "lt", format_utc(LATER)), "oldest", ALICE),
    ]
    cursors = [await _cursor(records, *question) for question in questions]  # type: ignore[arg-type] # mypy joins the types of a tuple
    for number, cursor in enumerate(cursors):
        for other, question in enumerate(questions):
            refused = await _is_refused(records, cursor, *question)  # type: ignore[arg-type] # mypy joins the types of a tuple
            assert refused == (number != other), (number, other)


async def test_a_cursor_remembers_when_its_question_was_first_asked(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 2)
    assert asked_at(await _cursor(records)) == LATER


async def test_a_page_of_large_records_ends_early_and_leads_on(
    store: SqliteStore, records: Records
) -> None:
    drafts = tuple(draft(told(f"n{n}", detail="x" * 250_000)) for n in range(60))
    await store.events.append([Submission(drafts)])
    sizes, cursor = list[int](), None
    while cursor or not sizes:
        page = await _page(records, ALICE, EVERYTHING, order="oldest", limit=1_000, cursor=cursor)
        sizes.append(page.listing.count)
        cursor = page.next
    assert sum(sizes) == 60
    assert max(sizes) * 250_000 <= PAGE_BYTES
    assert sizes[-1] > 0


async def test_a_cursor_of_another_secret_is_refused(store: SqliteStore, records: Records) -> None:
    await _keep(store, 2)
    forged = await _cursor(_records(store.events, b"a guess"))
    assert await _is_refused(records, forged)


async def test_a_cursor_tells_nothing_but_a_place(store: SqliteStore, records: Records) -> None:
    await _keep(store, 2)
    asked = Is("name", "n")
    raw = base64.urlsafe_b64decode(await _cursor(records, asked))
    assert int.from_bytes(raw[:8], "big") == 0
    assert len(raw) == 32


async def test_a_cursor_of_an_earlier_version_is_accepted(
    store: SqliteStore, records: Records
) -> None:
    """A cursor is good for ever: whatever is sealed, and how, has to stay as it is here."""
    await _keep(store, 2)
    asked = all_of(
        Is("name", "n"),
        any_of(Like("event_type", "auth.*"), Contains("detail", "é")),
        Not(Element("targets", all_of(Exists("id"), Words(("a", "b"), open_end=True)))),
        Compare("timestamp", "gte", format_utc(NOON)),
    )
    pinned = "AAAAAAAAAAAABkmuqtzUAR9xohsgaHIXHunP6U9Jyx4="
    page = await _page(records, ALICE, asked, order="oldest", limit=1, cursor=pinned)
    assert _sequences(page) == [1]


async def test_a_question_of_the_deepest_nesting_has_pages(
    store: SqliteStore, records: Records
) -> None:
    await _keep(store, 2)
    asked: Filter = Is("name", "n")
    for _ in range(MAX_NESTING // 2):
        asked = any_of(all_of(asked, Exists("name")), Is("name", "x"))
    cursor = await _cursor(records, all_of(asked, Compare("timestamp", "gte", format_utc(NOON))))
    assert await _is_refused(records, cursor, asked)
