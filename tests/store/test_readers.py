"""Threads that read: everybody who waits is told, and what is its own."""

from __future__ import annotations

import asyncio
import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from auditlogservice.store.sqlite.readers import Readers

if TYPE_CHECKING:
    from collections.abc import Iterator

SOON = 10.0


@pytest.fixture
def readers() -> Iterator[Readers]:
    made = Readers(2, "test")
    yield made
    made.close()


def _doubled(number: int) -> int:
    if number % 7 == 0:
        raise LookupError(number)
    return 2 * number


async def test_many_who_ask_at_once_are_told_what_is_their_own(readers: Readers) -> None:
    async def ask_again_and_again(first: int) -> None:
        for number in range(first, first + 50):
            if number % 7 == 0:
                with pytest.raises(LookupError, match=str(number)):
                    await readers.run(partial(_doubled, number))
            else:
                assert await readers.run(partial(_doubled, number)) == 2 * number

    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        for first in range(1, 3_000, 50):
            tasks.create_task(ask_again_and_again(first))


async def test_one_thread_serves_who_takes_little_time(
    readers: Readers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditlogservice.store.sqlite.readers._PATIENCE", SOON)
    names = [readers.run(lambda: threading.current_thread().name) for _ in range(50)]
    assert len(set(await asyncio.gather(*names))) == 1


async def test_nobody_waits_behind_one_who_takes_long(readers: Readers) -> None:
    may_end = threading.Event()
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        slow = tasks.create_task(readers.run(partial(may_end.wait, SOON)))
        try:
            others = [readers.run(partial(_doubled, each)) for each in (1, 2, 3)]
            assert await asyncio.gather(*others) == [2, 4, 6]
            assert not slow.done()
        finally:
            may_end.set()


async def test_who_no_longer_waits_keeps_nothing_from_the_others(readers: Readers) -> None:
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        asked = [tasks.create_task(readers.run(partial(_doubled, 1))) for _ in range(20)]
        await asyncio.sleep(0)
        for one in asked[::2]:
            one.cancel()
        assert await asyncio.gather(*asked[1::2]) == [2] * 10


async def test_who_asks_after_the_end_is_told_so_each_time() -> None:
    closed = Readers(1, "test")
    closed.close()
    for _ in range(2):
        with pytest.raises(RuntimeError, match="shutdown"):
            await asyncio.wait_for(closed.run(lambda: None), SOON)


def _nothing_left() -> None:
    next(iter(()))


async def test_work_that_ends_with_stop_iteration_fails_and_the_others_are_told(
    readers: Readers,
) -> None:
    """No future takes that error: whoever asked, and all who come after, would wait forever."""
    async with asyncio.timeout(SOON):
        asked = [readers.run(work) for work in (_nothing_left, partial(_doubled, 1))]
        failed, answered = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(failed, RuntimeError)
    assert isinstance(failed.__cause__, StopIteration)
    assert answered == 2
    assert await asyncio.wait_for(readers.run(partial(_doubled, 2)), SOON) == 4
