"""An export is the log at one moment, whole, in order, and one page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shelf import Shelf

from auditlogservice.access import Principal, Scope
from auditlogservice.bounds import bounds_of
from auditlogservice.errors import QueryTimeout, StoreUnreachable
from auditlogservice.events import Record, Sequence
from auditlogservice.filters import EVERYTHING, Is, matches
from auditlogservice.ledger import exporter, walk
from auditlogservice.ledger.exporter import Exporter

if TYPE_CHECKING:
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore, PageQuery

ALICE = Principal(user_id="u1", name="alice", tenant="acme", scopes=frozenset(Scope))
START = Sequence(-1)


async def exported(
    shelf: Shelf, where: Filter = EVERYTHING, *, after: Sequence = START
) -> list[Record]:
    export = await Exporter(cast("EventStore", shelf)).start(ALICE, where, after=after)
    return [record async for page in export.pages for record in page]


@pytest.fixture(autouse=True)
def _small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PAGE", 4)
    monkeypatch.setattr(walk, "WIDEST", 16)
    monkeypatch.setattr(walk, "_NARROWEST", 1)


@pytest.mark.parametrize("count", [0, 1, 3, 4, 5, 8, 16, 17, 32, 33, 100])
async def test_everything_is_there_once_and_in_order(count: int) -> None:
    shelf = Shelf(count)
    assert await exported(shelf) == shelf.records


@pytest.mark.parametrize("after", range(-1, 22))
async def test_an_export_goes_on_behind_any_sequence(after: int) -> None:
    shelf = Shelf(20)
    assert await exported(shelf, after=Sequence(after)) == shelf.records[after + 1 :]


async def test_what_does_not_match_is_left_out() -> None:
    shelf = Shelf(50)
    assert await exported(shelf, Is("name", "n1")) == shelf.records[1::3]
    assert await exported(shelf, Is("name", "other")) == []


async def test_what_comes_in_meanwhile_is_left_out() -> None:
    shelf = Shelf(21)
    before = list(shelf.records)
    shelf.disturb = lambda _: shelf.add(7)
    export = await Exporter(cast("EventStore", shelf)).start(ALICE, EVERYTHING, after=START)
    assert export.end == len(before)
    assert [record async for page in export.pages for record in page] == before
    assert len(shelf.records) > len(before)


async def test_only_the_page_that_is_read_and_the_next_are_in_memory() -> None:
    shelf = Shelf(200)
    export = await Exporter(cast("EventStore", shelf)).start(ALICE, EVERYTHING, after=START)
    async for page in export.pages:
        assert len(page) <= 4
    assert shelf.asked >= 50
    assert shelf.most_alive <= 2


async def test_nothing_is_read_ahead_of_a_reader_that_waits() -> None:
    shelf = Shelf(100)
    export = await Exporter(cast("EventStore", shelf)).start(ALICE, EVERYTHING, after=START)
    assert shelf.asked == 1
    await anext(export.pages)
    assert shelf.asked == 1


async def test_a_question_that_takes_too_long_is_asked_in_smaller_steps() -> None:
    shelf = Shelf(100)

    def slow(query: PageQuery) -> None:
        last = bounds_of(query.where).last
        assert last is not None
        if last - (-1 if query.beyond is None else query.beyond) > 2:
            raise QueryTimeout

    shelf.disturb = slow
    assert await exported(shelf, Is("name", "n2")) == shelf.records[2::3]


async def test_a_question_that_always_takes_too_long_is_refused_at_the_start() -> None:
    shelf = Shelf(100)

    def stuck(_: PageQuery) -> None:
        raise QueryTimeout

    shelf.disturb = stuck
    with pytest.raises(QueryTimeout):
        await Exporter(cast("EventStore", shelf)).start(ALICE, EVERYTHING, after=START)
    assert shelf.asked <= 3


async def test_a_failure_on_the_way_is_raised_and_not_taken_for_the_end() -> None:
    shelf = Shelf(20)

    def gone(query: PageQuery) -> None:
        if query.beyond == 11:
            raise StoreUnreachable

    shelf.disturb = gone
    export = await Exporter(cast("EventStore", shelf)).start(ALICE, EVERYTHING, after=START)
    seen: list[Record] = []

    async def read() -> None:
        async for page in export.pages:
            seen.extend(page)

    with pytest.raises(StoreUnreachable):
        await read()
    assert seen == shelf.records[:12]
    shelf.disturb = lambda _: None
    assert seen + await exported(shelf, after=seen[-1].sequence) == shelf.records


@given(st.integers(0, 60), st.sets(st.integers(0, 60)), st.integers(-1, 60))
async def test_erased_records_are_gaps_that_an_export_steps_over(
    count: int, erased: set[int], after: int
) -> None:
    shelf = Shelf(count)
    left = [r for r in shelf.records if r.sequence not in erased and r.sequence > after]

    async def page(query: PageQuery) -> list[Record]:
        beyond = -1 if query.beyond is None else query.beyond
        found = [r for r in left if r.sequence > beyond and matches(query.where, r.fields())]
        return found[: query.limit]

    shelf.page = page  # type: ignore[method-assign] # a fault
    assert await exported(shelf, after=Sequence(after)) == left
