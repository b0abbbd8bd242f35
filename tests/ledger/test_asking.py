"""What each request asks of the store is asked once for all who want to know it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import StoreUnreachable
from auditlogservice.ledger.asking import Asking
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable
    from datetime import datetime

HALF_A_SECOND = timedelta(seconds=0.5)


@dataclass
class World:
    """A store whose questions are answered when the test says so, and a clock."""

    now: datetime = NOON
    open: list[tuple[str, asyncio.Future[int | None]]] = field(default_factory=list)
    tasks: list[asyncio.Task[int | None]] = field(default_factory=list)
    asking: Asking[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.asking = Asking(
            self._ask, freshness=HALF_A_SECOND, capacity=2, clock=lambda: self.now
        )

    def _ask(self, key: str) -> Awaitable[int | None]:
        answer = asyncio.get_running_loop().create_future()
        self.open.append((key, answer))
        return answer

    async def begin(self, key: str = "a", *, least: int = 0) -> asyncio.Task[int | None]:
        """Let somebody want to know, to whom only an answer of at least so much suits."""
        finding = self.asking.find(key, suits=lambda value: value >= least)
        task = asyncio.get_running_loop().create_task(finding)
        self.tasks.append(task)
        await settle()
        return task

    async def tell(self, value: int | Exception | None) -> None:
        """Answer the question that was asked first."""
        _, answer = self.open.pop(0)
        if isinstance(value, Exception):
            answer.set_exception(value)
        else:
            answer.set_result(value)
        await settle()


async def settle() -> None:
    for _ in range(8):
        await asyncio.sleep(0)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    world = World()
    yield world
    for task in world.tasks:
        task.cancel()
    await asyncio.gather(*world.tasks, return_exceptions=True)


def results(tasks: list[asyncio.Task[int | None]]) -> list[int | None]:
    assert all(task.done() for task in tasks)
    return [task.result() for task in tasks]


async def test_one_question_answers_all_who_wait(world: World) -> None:
    waiting = [await world.begin() for _ in range(5)]
    assert [key for key, _ in world.open] == ["a"]
    await world.tell(1)
    assert results(waiting) == [1] * 5


async def test_other_keys_are_other_questions(world: World) -> None:
    both = [await world.begin("a"), await world.begin("b")]
    assert [key for key, _ in world.open] == ["a", "b"]
    await world.tell(1)
    await world.tell(2)
    assert results(both) == [1, 2]


async def test_an_answer_is_good_from_when_it_was_asked_for(world: World) -> None:
    first = await world.begin()
    world.now += HALF_A_SECOND / 2
    await world.tell(1)
    world.now += HALF_A_SECOND / 2 - timedelta.resolution
    assert results([first, await world.begin()]) == [1, 1]
    world.now += timedelta.resolution
    await world.begin()
    assert len(world.open) == 1


async def test_a_question_that_takes_too_long_is_not_waited_for(world: World) -> None:
    slow = await world.begin()
    world.now += HALF_A_SECOND
    quick = await world.begin()
    _, late = world.open.pop(0)
    await world.tell(2)
    late.set_result(1)
    await settle()
    assert results([slow, quick, await world.begin()]) == [1, 2, 2]


async def test_nothing_is_believed_when_the_clock_has_gone_back(world: World) -> None:
    await world.begin()
    await world.tell(1)
    world.now -= timedelta.resolution
    await world.begin()
    assert len(world.open) == 1


async def test_a_failure_is_told_to_all_who_wait_and_is_not_remembered(world: World) -> None:
    waiting = [await world.begin() for _ in range(3)]
    await world.tell(StoreUnreachable())
    assert [type(task.exception()) for task in waiting] == [StoreUnreachable] * 3
    again = await world.begin()
    await world.tell(1)
    assert results([again]) == [1]


async def test_who_waits_and_hangs_up_takes_nothing_away_from_the_others(world: World) -> None:
    waiting = [await world.begin() for _ in range(3)]
    waiting[1].cancel()
    await settle()
    assert waiting[1].cancelled()
    await world.tell(1)
    assert results([waiting[0], waiting[2]]) == [1, 1]


async def test_if_the_one_who_asks_hangs_up_one_of_the_others_asks(world: World) -> None:
    asker, *others = [await world.begin() for _ in range(4)]
    asker.cancel()
    await settle()
    assert [answer.cancelled() for _, answer in world.open] == [True, False]
    world.open.pop(0)
    await world.tell(1)
    assert results(others) == [1] * 3


async def test_what_is_asked_before_a_change_is_not_told_after_it(world: World) -> None:
    before = await world.begin()
    world.asking.forget("a")
    after = await world.begin()
    await world.tell(1)
    assert results([before]) == [1]
    assert not after.done()
    await world.tell(2)
    assert results([after, await world.begin()]) == [2, 2]


async def test_a_known_answer_is_forgotten_when_it_changes(world: World) -> None:
    await world.begin()
    await world.tell(1)
    world.asking.forget("a")
    await world.begin()
    assert len(world.open) == 1


async def test_what_does_not_suit_is_asked_for_again_once_for_all(world: World) -> None:
    early = await world.begin()
    late = [await world.begin(least=2) for _ in range(3)]
    await world.tell(1)
    assert results([early]) == [1]
    assert len(world.open) == 1
    await world.tell(1)  # nobody knows more, so this is how it is
    assert results(late) == [1] * 3


async def test_what_is_not_there_is_believed_of_a_later_question_alone(world: World) -> None:
    early, late = await world.begin(), await world.begin()
    await world.tell(None)
    assert results([early]) == [None]
    assert not late.done()
    await world.tell(None)
    assert results([late]) == [None]
    await world.begin()
    assert len(world.open) == 1  # it is not remembered either


async def test_what_was_asked_for_on_purpose_is_remembered(world: World) -> None:
    await world.begin()
    await world.tell(1)
    asking = asyncio.get_running_loop().create_task(world.asking.ask("a"))
    await settle()
    await world.tell(2)
    assert await asking == 2
    assert results([await world.begin()]) == [2]


async def test_what_was_asked_for_first_goes_when_there_is_no_room(world: World) -> None:
    for number, key in enumerate("abc"):
        await world.begin(key)
        await world.tell(number)
    assert results([await world.begin("b"), await world.begin("c")]) == [1, 2]
    await world.begin("a")
    assert [key for key, _ in world.open] == ["a"]
