"""A walk through a log: all records of a stretch that match, oldest first, a page at a time.

A page is asked for within a narrow part of the log, so that no question has to look through all
of it within one time limit; what takes too long is asked again in smaller steps. Only one page is
in memory at a time, however long the log is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditlogservice.errors import QueryTimeout
from auditlogservice.events import Sequence
from auditlogservice.filters import Compare, all_of
from auditlogservice.store.port import PageQuery

if TYPE_CHECKING:
    from auditlogservice.events import Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

PAGE = 250  # records at a time: 64 MiB if each is as large as an event may be
WIDEST = 65_536  # sequences that one query looks through
_NARROWEST = 512  # a query that takes too long over so few has another reason
_NARROWER = 8


@dataclass(slots=True, kw_only=True)
class Walk:
    """Where a walk is: everything up to `last` has been seen; before `end` it is over.

    A page has so many records at most, and a question may take so many `seconds`.
    """

    store: EventStore
    tenant: str
    where: Filter
    last: Sequence
    end: Sequence
    page: int = field(default_factory=lambda: PAGE)
    width: int = field(default_factory=lambda: WIDEST)
    seconds: float = 10.0

    @property
    def is_done(self) -> bool:
        return self.last + 1 >= self.end

    async def step(self) -> list[Record]:
        """Return the next records, perhaps none; a part of the log need not have any."""
        while True:
            high = min(self.last + 1 + self.width, self.end)
            try:
                records = await self.store.page(self._query(high))
            except QueryTimeout:
                width = high - self.last - 1
                if width <= _NARROWEST:
                    raise
                self.width = max(width // _NARROWER, _NARROWEST)
            else:
                if len(records) == self.page:
                    self.last = records[-1].sequence
                else:
                    self.last = Sequence(high - 1)
                    self.width = min(self.width * 2, WIDEST)
                return records

    def _query(self, high: int) -> PageQuery:
        return PageQuery(
            tenant=self.tenant,
            where=all_of(self.where, Compare("sequence", "lt", str(high))),
            order="oldest",
            beyond=self.last if self.last >= 0 else None,
            limit=self.page,
            seconds=self.seconds,
        )
