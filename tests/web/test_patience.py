"""Of two things that are done at once the first one counts, and the other one ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import NotFound
from auditlogservice.web.patience import first_of

if TYPE_CHECKING:
    from collections.abc import Coroutine


class Doing:
    """Something that gives a value or raises, after so many turns of the loop: None is never."""

    def __init__(self, outcome: str | Exception, *, after: int | None) -> None:
        self._outcome = outcome
        self._after = after
        self.cancelled = False

    async def __call__(self) -> str:
        try:
            if self._after is None:
                await asyncio.get_running_loop().create_future()
            for _ in range(self._after or 0):
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if isinstance(self._outcome, Exception):
            raise self._outcome
        return self._outcome


def never() -> Doing:
    return Doing("never", after=None)


@pytest.mark.parametrize("after", [1, 5])
async def test_what_is_first_is_told_and_the_other_one_is_cancelled(after: int) -> None:
    other = never()
    assert await first_of(Doing("work", after=after)(), other()) == "work"
    assert other.cancelled
    work = never()
    assert await first_of(work(), Doing("other", after=after)()) == "other"
    assert work.cancelled


async def test_what_goes_wrong_first_is_raised_as_it_is() -> None:
    for pair in (
        (Doing(NotFound("it"), after=1)(), never()()),
        (never()(), Doing(NotFound("it"), after=1)()),
    ):
        with pytest.raises(NotFound):
            await first_of(*pair)


@pytest.mark.parametrize("outcome", ["work", NotFound("it")])
async def test_what_waits_for_nothing_needs_no_other(outcome: str | Exception) -> None:
    other = never()
    doing: Coroutine[object, object, str] = other()
    if isinstance(outcome, Exception):
        with pytest.raises(NotFound):
            await first_of(Doing(outcome, after=0)(), doing)
    else:
        assert await first_of(Doing(outcome, after=0)(), doing) == outcome
    assert doing.cr_frame is None  # type: ignore[attr-defined] # a coroutine that is over


async def test_who_is_cancelled_ends_both() -> None:
    work, other = never(), never()
    task = asyncio.get_running_loop().create_task(first_of(work(), other()))
    for _ in range(3):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (work.cancelled, other.cancelled) == (True, True)
