"""Following: always on, however long the log; and one look at its end for all who wait."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

import pytest
from shelf import Shelf

from auditlogservice.bounds import bounds_of
from auditlogservice.errors import QueryTimeout
from auditlogservice.filters import EVERYTHING, Is
from auditlogservice.ledger import follower, walk
from auditlogservice.ledger.follower import Follower, News
from auditlogservice.ledger.walk import START

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.events import Sequence
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore, PageQuery

SOON = 10.0


@asynccontextmanager
async def following(shelf: Shelf) -> AsyncIterator[Follower]:
    subject = Follower(cast("EventStore", shelf))
    async with asyncio.timeout(2 * SOON), asyncio.TaskGroup() as tasks:
        tasks.create_task(subject.run())
        yield subject
        subject.close()


async def read(
    subject: Follower, where: Filter = EVERYTHING, *, after: Sequence = START, wait: float = 0
) -> News:
    return await subject.read_on("acme", where, after=after, limit=5, wait=wait)


@pytest.fixture
def long_log(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    """A log of which the store can look through 20 records at a time."""
    monkeypatch.setattr(walk, "WIDEST", 64)
    monkeypatch.setattr(walk, "_NARROWEST", 2)
    shelf = Shelf(1_000)

    def slow(query: PageQuery) -> None:
        last = bounds_of(query.where).last
        assert last is not None
        if last - (-1 if query.beyond is None else query.beyond) > 20:
            raise QueryTimeout

    shelf.disturb = slow
    return shelf


async def test_a_filter_that_only_a_scan_answers_gets_to_the_end_of_a_long_log(
    long_log: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LEAST_READING", 60)
    async with following(long_log) as subject:
        assert await read(subject, Is("name", "other")) == News([], long_log.records[-1].sequence)


async def test_each_call_gets_on_even_if_there_is_time_for_one_question_only(
    long_log: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower, "LEAST_READING", 0)
    async with following(long_log) as subject:
        place, calls = START, 0
        while place < long_log.records[-1].sequence:
            news = await read(subject, Is("name", "other"), after=place)
            assert news.last > place
            place, calls = news.last, calls + 1
        assert calls > 1
        assert (await read(subject, Is("name", "other"), after=place)).last == place


async def test_nothing_that_matches_is_passed_over(long_log: Shelf) -> None:
    async with following(long_log) as subject:
        met, place = [], START
        while place < long_log.records[-1].sequence:
            news = await read(subject, Is("name", "n1"), after=place)
            met += news.records
            place = news.last
    assert met == long_log.records[1::3]


async def test_only_logs_that_were_written_are_looked_at_when_this_process_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(follower, "LOOK_EVERY", 60)
    shelf = Shelf(3)
    place = shelf.records[-1].sequence
    async with following(shelf) as subject, asyncio.TaskGroup() as tasks:
        waiting = {
            tenant: tasks.create_task(
                subject.read_on(tenant, EVERYTHING, after=place, limit=5, wait=SOON)
            )
            for tenant in ("acme", "other")
        }
        while {"acme", "other"} - set(shelf.ends_asked[2:]):  # noqa: ASYNC110 - no event tells
            await asyncio.sleep(0.01)
        shelf.ends_asked.clear()
        shelf.add(1)
        subject.nudge({"acme", "nobody waits for this one"})
        assert (await waiting["acme"]).records == shelf.records[3:]
        assert shelf.ends_asked == ["acme"]
        assert not waiting["other"].done()
        subject.close()


async def test_a_place_beyond_the_end_hides_nothing_from_others() -> None:
    """Whoever waits for what is far ahead says nothing about where the log ends."""
    shelf = Shelf(1)
    async with following(shelf) as subject, asyncio.TaskGroup() as tasks:
        ahead = tasks.create_task(
            subject.read_on("acme", EVERYTHING, after=cast("Sequence", 50), limit=5, wait=SOON)
        )
        others = [
            tasks.create_task(read(subject, after=shelf.records[0].sequence, wait=SOON))
            for _ in range(3)
        ]
        await asyncio.sleep(0.1)
        shelf.add(2)
        for other in others:
            assert (await other).records == shelf.records[1:]
        assert not ahead.done()
        subject.close()
