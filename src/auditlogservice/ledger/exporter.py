"""A tenant's records that match, all of them, in order, as they are at one moment.

The end of the log, read once when an export starts, is its snapshot: what is recorded later has a
later sequence and is left out. What is erased while it runs is left out from then on, since an
erased payload is gone. Only one page is in memory at a time, however long the log is.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from auditlogservice.ledger.walk import PAGE, Walk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from contextlib import AbstractAsyncContextManager

    from auditlogservice.access import Principal
    from auditlogservice.events import Record, Sequence
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore


@dataclass(frozen=True, slots=True)
class Export:
    """An export that has started: `end` is the first sequence that is not in it."""

    end: Sequence
    pages: AsyncIterator[list[Record]]


class Exporter:
    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def start(
        self,
        principal: Principal,
        where: Filter,
        *,
        after: Sequence,
        turn: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    ) -> Export:
        """Start an export behind the sequence `after`; -1 is before the first.

        Each page is read within a `turn` of its own.

        The first page is read before this returns, so that what is wrong from the start is raised
        here: QueryTimeout, StoreUnreachable. A failure later is raised by `pages`, which does
        nothing to hide that the export is incomplete.
        """
        end = await self._store.end(principal.tenant)
        walk = Walk(self._store, principal.tenant, where, after=after, limit=PAGE, turn=turn)
        page = await walk.step(end) if walk.place + 1 < end else []
        return Export(end, _pages(page, walk, end))


async def _pages(page: list[Record], walk: Walk, end: Sequence) -> AsyncIterator[list[Record]]:
    if page:
        yield page
    while walk.place + 1 < end:
        del page  # before the next is read: only one is in memory
        page = await walk.step(end)
        if page:
            yield page
