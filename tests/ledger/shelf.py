"""A log in memory, for claims about how it is read."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING

from auditlogservice.events import EventId, Record, Sequence
from auditlogservice.filters import matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.store.port import PageQuery


class Page(list[Record]):
    """A list that can be watched."""


class Shelf:
    """The log of every tenant. Before each page, `disturb` may change it, or raise."""

    def __init__(self, count: int) -> None:
        self.records: list[Record] = []
        self.pages: list[weakref.ref[Page]] = []
        self.most_alive = 0
        self.asked = 0
        self.ends_asked: list[str] = []
        self.disturb: Callable[[PageQuery], None] = lambda _: None
        self.add(count)

    def add(self, count: int) -> None:
        start = len(self.records)
        for n in range(start, start + count):
            payload = b'{"name":"n%d"}' % (n % 3)
            record = Record(id=EventId(f"{n:024x}"), sequence=Sequence(n), payload=payload)
            self.records.append(record)

    async def end(self, tenant: str) -> Sequence:
        self.ends_asked.append(tenant)
        return Sequence(len(self.records))

    async def page(self, query: PageQuery) -> list[Record]:
        self.asked += 1
        self.disturb(query)
        beyond = -1 if query.beyond is None else query.beyond
        page = Page(
            record
            for record in self.records[beyond + 1 :]
            if matches(query.where, record.fields())
        )
        del page[query.limit :]
        self.pages.append(weakref.ref(page))
        self.most_alive = max(self.most_alive, sum(ref() is not None for ref in self.pages))
        return page
