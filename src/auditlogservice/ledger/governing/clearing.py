"""Erasing what matches in a stretch of a log: in small portions, with room for writers between.

What a legal hold covers is left out, and counted. In the transaction that erases, the store looks
at the holds that were placed meanwhile.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.events import Erasure
from auditlogservice.governance import holds_on, read_hold
from auditlogservice.ledger.governing.eraser import MAX_BURIALS
from auditlogservice.ledger.walk import Walk
from auditlogservice.store.port import Held

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from auditlogservice.canonical import Json
    from auditlogservice.events import Record, Sequence
    from auditlogservice.filters import Filter
    from auditlogservice.ledger.governing.eraser import Eraser
    from auditlogservice.store.port import Document, DocumentStore, EventStore

# For one question, which is asked up to four times in ever smaller steps: a portion has to be
# done before the claim on the work is old.
_SECONDS = 3.0
_LEAST_REST, _LONGEST_REST = 0.01, 1.0  # seconds between two portions


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is to be erased: what matches `where` behind `after` and before `end`, if it `fits`."""

    tenant: str
    where: Filter
    after: Sequence
    end: Sequence
    by: str
    reason: str
    erasure: str | None = None
    fits: Callable[[dict[str, Json]], bool] = lambda _: True


@dataclass(frozen=True, slots=True)
class Cleared:
    """A portion: how many records were erased, how many held, and what has been looked at."""

    last: Sequence
    erased: int
    held: int


class Clearing:
    def __init__(self, store: EventStore, documents: DocumentStore, eraser: Eraser) -> None:
        self._store = store
        self._documents = documents
        self._eraser = eraser

    async def portions(self, wish: Wish) -> AsyncGenerator[Cleared, None]:
        """Erase portion after portion, resting after each for as long as it took."""
        clock = asyncio.get_running_loop().time
        way = Walk(
            self._store,
            wish.tenant,
            wish.where,
            after=wish.after,
            limit=MAX_BURIALS,
            seconds=_SECONDS,
        )
        while way.place + 1 < wish.end:
            start = clock()
            erased, held = await self._bury(wish, await way.step(wish.end))
            yield Cleared(way.place, erased, held)
            await asyncio.sleep(min(max(clock() - start, _LEAST_REST), _LONGEST_REST))

    async def _bury(self, wish: Wish, found: list[Record]) -> tuple[int, int]:
        documents = await self._documents.all("hold", wish.tenant)
        # In a thread: many holds take a while to look through, and others want answers.
        free, held = await asyncio.to_thread(_sorted_out, wish, found, documents)
        if not free:
            return 0, held
        fates = await self._eraser.bury(
            wish.tenant,
            free,
            by=wish.by,
            reason=wish.reason,
            erasure=wish.erasure,
            passed={each.id for each in documents},
        )
        erased = sum(isinstance(fate, Erasure) for fate in fates)
        return erased, held + sum(isinstance(fate, Held) for fate in fates)


def _sorted_out(
    wish: Wish, found: list[Record], documents: list[Document]
) -> tuple[list[Record], int]:
    """Return what may be erased, and how many records that fit are held."""
    holds = [read_hold(each.id, each.body) for each in documents]
    fitting = [(record, fields) for record in found if wish.fits(fields := record.fields())]
    free = [record for record, fields in fitting if not holds_on(holds, fields)]
    return free, len(fitting) - len(free)
