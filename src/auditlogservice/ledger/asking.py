"""What each request asks of the store: remembered for a moment, and asked once for all who wait.

While a question is under way, whoever wants to know the same waits for its answer instead of
asking too; with many callers that is most of them, each time that a moment is over.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from auditlogservice.ledger.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Hashable
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock

K = TypeVar("K", bound="Hashable")
V = TypeVar("V")

_AT_ONCE = timedelta(0)


@dataclass(frozen=True, slots=True)
class _Known(Generic[V]):
    """An answer, and when its question was asked: from then on it may be out of date."""

    value: V
    at: datetime


@dataclass(frozen=True, slots=True)
class _Question(Generic[V]):
    """One that is under way. Its answer is None if whoever asked it was cancelled."""

    number: int
    at: datetime
    answer: asyncio.Future[tuple[V | None] | None]


class Asking(Generic[K, V]):
    """Asks by key, and holds an answer good for `freshness` from when it was asked for.

    `ask` gives None for what is not there. That is never remembered: anybody can make up keys,
    and shall not push out of memory what is there.
    """

    def __init__(
        self,
        ask: Callable[[K], Awaitable[V | None]],
        *,
        freshness: timedelta,
        capacity: int,
        clock: Clock,
    ) -> None:
        self._ask = ask
        self._freshness = freshness
        self._clock = clock
        self._known: Recent[K, _Known[V]] = Recent(capacity)
        self._under_way: dict[K, _Question[V]] = {}
        self._asked = 0  # questions, so that it can be told which of two was first

    async def find(self, key: K, *, suits: Callable[[V], bool] = lambda _: True) -> V | None:
        """Return what is there, as of `freshness` ago or later; None if there is nothing.

        What does not suit, or is not there, is believed only if it was asked for after this call.
        Raises what `ask` raises: one failure is told to all who wait for it.
        """
        known = self._known.get(key)
        if known and self._is_fresh(known.at) and suits(known.value):
            return known.value
        before = self._asked
        while (question := self._under_way.get(key)) and self._is_fresh(question.at):
            # Shielded, so that who hangs up does not take the answer away from the others.
            answer = await asyncio.shield(question.answer)
            if answer is None:
                continue  # whoever comes here first asks in the place of who hung up
            (found,) = answer
            if question.number > before or (found is not None and suits(found)):
                return found
        return await self.ask(key)

    async def ask(self, key: K) -> V | None:
        """Return what is there now, whatever is known, and remember it. Raises what `ask` does."""
        self._asked += 1
        answer = asyncio.get_running_loop().create_future()
        question = self._under_way[key] = _Question(self._asked, self._clock(), answer)
        try:
            found = await self._ask(key)
            if self._under_way.get(key) is question:
                self._remember(key, found, question.at)
            answer.set_result((found,))
        except Exception as error:
            answer.set_exception(error)
            answer.exception()  # raised here, so it is no failure that nobody has seen
            raise
        finally:
            if self._under_way.get(key) is question:
                del self._under_way[key]
            if not answer.done():
                answer.set_result(None)
        return found

    def forget(self, key: K) -> None:
        """Ask the store the next time: something was changed, and holds at once.

        A question that is under way may have been answered before the change.
        """
        self._known.pop(key, None)
        self._under_way.pop(key, None)

    def _remember(self, key: K, found: V | None, at: datetime) -> None:
        if found is None:
            self._known.pop(key, None)
        else:
            self._known.put(key, _Known(found, at))

    def _is_fresh(self, at: datetime) -> bool:
        # A moment from before the question, so that freshness counts from when it was true.
        return _AT_ONCE <= self._clock() - at < self._freshness
