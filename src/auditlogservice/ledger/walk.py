"""Reading a log on from a place, oldest first, whatever is asked and however long the log is.

Where no index helps with a filter, every record is looked at, and no question about a whole long
log could end within its time limit. So each question is about a stretch of the log, and one that
takes too long is asked again about a smaller stretch. Only one page is in memory at a time.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

from auditlogservice.errors import QueryTimeout
from auditlogservice.events import Sequence
from auditlogservice.filters import Compare, all_of
from auditlogservice.store.port import PageQuery

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from auditlogservice.events import Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

START = Sequence(-1)  # the place before the first record
LAST = Sequence(2**63 - 2)  # the last place that there can be, so that one more is a number too

WIDEST = 65_536  # sequences that one question looks through
SECONDS = 5.0  # for one question
PAGE = 1_000  # records at a time; large ones fill a page sooner
_NARROWEST = 512  # a question that takes too long over so few has another reason
_NARROWER = 8


class Walk:
    """Where a reader has come to: `place` is the last sequence that was looked at.

    Each question to the store is asked within a `turn` of its own.
    """

    def __init__(  # noqa: PLR0913 - what is read, each by its name
        self,
        store: EventStore,
        tenant: str,
        where: Filter,
        *,
        after: Sequence,
        limit: int = PAGE,
        seconds: float = SECONDS,
        turn: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    ) -> None:
        self.place = after
        self._store = store
        self._tenant = tenant
        self._where = where
        self._limit = limit
        self._seconds = seconds
        self._turn = turn
        self._width = WIDEST

    async def step(self, end: Sequence) -> list[Record]:
        """Return the next records that match before `end`, perhaps none; `place` moves on.

        Raises QueryTimeout if even a narrow stretch takes too long.
        """
        while True:
            high = Sequence(min(self.place + 1 + self._width, end))
            query = self._query(high)
            try:
                async with self._turn():
                    records = await self._store.page(query)
            except QueryTimeout:
                self._narrow(high)
            else:
                self._move(high, records, is_full=query.is_full(records))
                return records

    def _query(self, high: Sequence) -> PageQuery:
        return PageQuery(
            tenant=self._tenant,
            where=all_of(self._where, Compare("sequence", "lt", str(high))),
            order="oldest",
            beyond=None if self.place == START else self.place,
            limit=self._limit,
            seconds=self._seconds,
        )

    def _narrow(self, high: Sequence) -> None:
        looked = high - self.place - 1
        if looked <= _NARROWEST:
            raise QueryTimeout
        self._width = max(looked // _NARROWER, _NARROWEST)

    def _move(self, high: Sequence, records: list[Record], *, is_full: bool) -> None:
        if is_full:
            self.place = records[-1].sequence
        else:
            self.place = Sequence(high - 1)
            self._width = min(self._width * 2, WIDEST)
