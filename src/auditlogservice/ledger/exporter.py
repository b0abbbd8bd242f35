"""A tenant's records that match, all of them, in order, as they are at one moment.

The end of the log, read once when an export starts, is its snapshot: what is recorded later has a
later sequence and is left out. What is erased while it runs is left out from then on, since an
erased payload is gone. Only one page is in memory at a time, however long the log is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditlogservice.errors import QueryTimeout
from auditlogservice.events import Sequence
from auditlogservice.filters import Compare, all_of
from auditlogservice.store.port import PageQuery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.access import Principal
    from auditlogservice.events import Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

PAGE = 250  # records at a time: 64 MiB if each is as large as an event may be
WIDEST = 65_536  # sequences that one query looks through
_NARROWEST = 512  # a query that takes too long over so few has another reason
_NARROWER = 8


@dataclass(frozen=True, slots=True)
class Export:
    """An export that has started: `end` is the first sequence that is not in it."""

    end: Sequence
    pages: AsyncIterator[list[Record]]


@dataclass(frozen=True, slots=True)
class _Ask:
    """What is still to be looked at: the sequences from `low`, before `end`."""

    tenant: str
    where: Filter
    low: int
    end: int
    width: int = WIDEST

    @property
    def is_done(self) -> bool:
        return self.low >= self.end

    @property
    def high(self) -> int:
        """Where the next query ends: not included."""
        return min(self.low + self.width, self.end)

    def query(self) -> PageQuery:
        bound = Compare("sequence", "lt", str(self.high))
        return PageQuery(
            tenant=self.tenant,
            where=all_of(self.where, bound),
            order="oldest",
            beyond=Sequence(self.low - 1) if self.low else None,
            limit=PAGE,
        )

    def beyond(self, page: list[Record]) -> _Ask:
        """What is left after the answer to `query`."""
        if len(page) == PAGE:
            return replace(self, low=page[-1].sequence + 1)
        return replace(self, low=self.high, width=min(self.width * 2, WIDEST))

    def narrower(self) -> _Ask | None:
        """The same with a smaller step; None if it is as small as it gets."""
        width = min(self.width, self.end - self.low)
        if width <= _NARROWEST:
            return None
        return replace(self, width=max(width // _NARROWER, _NARROWEST))


class Exporter:
    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def start(self, principal: Principal, where: Filter, *, after: Sequence) -> Export:
        """Start an export behind the sequence `after`; -1 is before the first.

        The first page is read before this returns, so that what is wrong from the start is raised
        here: QueryTimeout, StoreUnreachable. A failure later is raised by `pages`, which does
        nothing to hide that the export is incomplete.
        """
        end = await self._store.end(principal.tenant)
        ask = _Ask(principal.tenant, where, after + 1, end)
        if ask.is_done:
            return Export(end, _nothing())
        page, rest = await self._step(ask)
        return Export(end, self._pages(page, rest))

    async def _pages(self, page: list[Record], ask: _Ask) -> AsyncIterator[list[Record]]:
        if page:
            yield page
        while not ask.is_done:
            del page  # before the next is read: only one is in memory
            page, ask = await self._step(ask)
            if page:
                yield page

    async def _step(self, ask: _Ask) -> tuple[list[Record], _Ask]:
        """Read the next page; what takes too long is asked in smaller steps."""
        while True:
            try:
                page = await self._store.page(ask.query())
            except QueryTimeout:
                narrower = ask.narrower()
                if narrower is None:
                    raise
                ask = narrower
            else:
                return page, ask.beyond(page)


async def _nothing() -> AsyncIterator[list[Record]]:
    return
    yield  # what makes it a generator
