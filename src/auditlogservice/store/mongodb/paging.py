"""Pages of records that match: which way candidates are looked for, and how they are read.

There are three ways. Along the index of terms, candidates come in order of sequence if the way is
some exact terms; where it takes in many terms (a prefix, a range), their places are collected
first, and sorted. Where several such ways seldom meet, and where nearly everything is ruled out,
`places` tells where to look.
Along the sequence, every record is looked at, by the server: that is sooner done where many
match. All of it ends when the time is up, here and on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from bson import MinKey, ObjectId
from pymongo import ASCENDING, DESCENDING

from auditlogservice.bounds import bounds_of
from auditlogservice.errors import QueryTimeout, StoreUnreachable
from auditlogservice.events import Listing
from auditlogservice.store.filling import Filling
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import RECORD, listing_of, record_of
from auditlogservice.store.mongodb.failures import asking
from auditlogservice.store.mongodb.places import Meeting, Places, end_of
from auditlogservice.store.mongodb.schema import BY_ID, BY_SEQUENCE, BY_TERM, BY_TIME
from auditlogservice.store.mongodb.searching import (
    Stretch,
    Way,
    condition_of,
    only_checked,
    ways,
)
from auditlogservice.terms import asked_by, ruled_out_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.cursor import AsyncCursor

    from auditlogservice.events import Record
    from auditlogservice.store.mongodb.schema import Document, Keys
    from auditlogservice.store.port import PageQuery

Events: TypeAlias = "AsyncCollection[Document]"

_CHUNK, _LONGEST_CHUNK = 100, 500  # candidates asked for at once while a page is filled
_WINDOW, _LONGEST_WINDOW = 10_000, 40_000  # records that the server looks at in one go, in order
_SPARSE = 50  # records for each candidate from which on the index is the shorter way
_FEW = 1_000  # candidates that are looked at without further thought
_TRIED = 200  # records that the server looks at in order before coarse ways are collected
_PARTS = 10  # a way is followed on if _FEW of its candidates are such a part of a page
_MANY = 20_000  # candidates that are more than it is worth to find in the index and to sort
_AT_ONCE = 256 * 1024  # bytes of records that are joined in 0.7 ms: a thread would cost 0.1 more
_CHUNK_BYTES = 8 * 1024 * 1024  # of candidates that are in memory at once
_PLACE = {"_id": False, "s": True}
_NOT_ERASED = {"gone": {"$exists": False}}
_GRACE = 0.3  # seconds for the server to say itself that the time is up


async def first_at(
    events: Events, tenant: str, micros: int, max_time_ms: int | None = None
) -> int | None:
    """Return the first sequence at this moment or later; None if there is none yet."""
    document = await events.find_one(
        {"t": tenant, "at": {"$gte": micros}},
        {"_id": False, "s": True},
        sort=BY_TIME[1:],
        hint=BY_TIME,
        max_time_ms=max_time_ms,
    )
    return int(document["s"]) if document else None


@dataclass(frozen=True, slots=True)
class _Chunk:
    """The first documents of those asked for, in order; `is_all` if there are no others."""

    documents: list[Document]
    is_all: bool


class Search:
    """One question of one tenant."""

    def __init__(
        self, events: Events, places: Places, query: PageQuery, *, seconds: float
    ) -> None:
        self._events = events
        self._known = places
        self._query = query
        self._deadline = Deadline(seconds)
        self._bounds = bounds_of(query.where)
        self._asked = asked_by(query.where)
        ruled_out = ruled_out_by(query.where)
        self._ruled_out = [Way(frozenset({term})) for term in ruled_out]
        self._condition = condition_of(self._asked, ruled_out)
        self._filling = Filling(query)

    async def page(self) -> list[Record]:
        async with self._limited():
            left = await self._stretch()
            if self._bounds.ids is not None:
                await self._look_up(self._bounds.ids, left)
            elif self._asked is None and not self._ruled_out:
                await self._walk(left)
            else:
                await self._choose(left)
        return self._filling.records

    async def listing(self) -> Listing:
        """Return the page as it goes out."""
        listed = await self._list() if self._filling.is_decided else None
        return self._query.listing(await self.page()) if listed is None else listed

    async def _list(self) -> Listing | None:
        """Return the listing of all records there are; None if large ones end the page early.

        Of a page of 100, to make records took a third of the time.
        """
        async with self._limited():
            left = await self._stretch()
            if not left:
                return Listing()
            chunk = await self._ask({"s": left.condition()}, BY_SEQUENCE, self._query.limit)
            more = len(chunk.documents) >= self._query.limit
            size = sum(len(each["p"]) for each in chunk.documents)
            if size >= self._query.most_bytes or not (more or chunk.is_all):
                return None
            if size <= _AT_ONCE:
                return listing_of(chunk.documents, more=more)
            return await asyncio.to_thread(listing_of, chunk.documents, more=more)

    # ---- time ---------------------------------------------------------------------------

    @asynccontextmanager
    async def _limited(self) -> AsyncIterator[None]:
        """Raise QueryTimeout if the server says so; StoreUnreachable if it says nothing."""
        try:
            async with asyncio.timeout(self._deadline.left() + _GRACE):
                with asking():
                    yield
        except TimeoutError:
            raise StoreUnreachable from None

    def _milliseconds(self) -> int:
        """Return the time that is left for the server; raise QueryTimeout if there is none."""
        left = self._deadline.left()
        if not left:
            raise QueryTimeout
        return ceil(left * 1_000)  # 0 would be no limit

    # ---- where to look --------------------------------------------------------------------

    async def _stretch(self) -> Stretch:
        """Turn bounds into sequences: in a log, time never goes back."""
        bounds, query = self._bounds, self._query
        stretch = Stretch()
        if query.beyond is not None:
            stretch = stretch.beyond(query.beyond, query.order)
        if bounds.first is not None:
            stretch = stretch.beyond(bounds.first - 1, "oldest")
        if bounds.last is not None:
            stretch = stretch.beyond(bounds.last + 1, "newest")
        if bounds.since is not None:
            first = await self._first_at(bounds.since)
            stretch = Stretch(0, -1) if first is None else stretch.beyond(first - 1, "oldest")
        if bounds.until is not None and stretch:
            following = await self._first_at(bounds.until + 1)
            stretch = stretch if following is None else stretch.beyond(following, "newest")
        return stretch

    async def _first_at(self, micros: int) -> int | None:
        return await first_at(self._events, self._query.tenant, micros, self._milliseconds())

    async def _choose(self, left: Stretch) -> None:
        """Take the shortest way there is, having looked ahead a little in the index."""
        there = [] if self._asked is None else ways(self._asked)
        in_order = [way for way in there if way.is_in_order]
        coarse = [way for way in there if not way.is_in_order]
        if len(in_order) == 1 and not coarse and not self._ruled_out:
            await self._follow(in_order[0], left)
            return
        end = await end_of(self._events, self._query.tenant)
        left = left.beyond(end, "newest")
        if await self._look_at_few(in_order, coarse, left):
            return
        if in_order:
            left = await self._follow_farthest(in_order, left)
        else:
            left = await self._walk(left, while_dense=True)
        if self._is_full or (left.rows > _WINDOW and await self._collect(coarse, left, _MANY)):
            return
        if len(in_order) > 1 or self._ruled_out:
            await self._look_where_they_meet(in_order, left)
        elif in_order:
            await self._follow(in_order[0], left)
        else:
            await self._walk(left)

    async def _look_at_few(self, in_order: list[Way], coarse: list[Way], left: Stretch) -> bool:
        """Look at all candidates of a way that has few; False if none has."""
        if in_order:
            count, way = await self._rarest(in_order, left, _FEW)
            if count < _FEW:
                await self._follow(way, left)
                return True
        return await self._collect(coarse, left, _FEW)

    async def _follow_farthest(self, in_order: list[Way], left: Stretch) -> Stretch:
        """Follow the way that leads farthest; return what is left once matches are seldom.

        What is rare in one part of a log may be common in another. To look ahead takes a
        microsecond for each candidate, to look at it ten.
        """
        enough = ceil(self._query.limit / _PARTS)
        while left and not self._is_full:
            there = len(self._filling.records)
            parts = [(await self._part_of(way, left), way) for way in in_order]
            part, way = max(parts, key=lambda each: each[0].rows)
            await self._follow(way, part)
            left = left.beyond(part.last(self._query.order), self._query.order)
            if len(self._filling.records) < there + enough:
                break
        return left

    async def _look_where_they_meet(self, in_order: list[Way], left: Stretch) -> None:
        """Look at the candidates that are on all these ways, and are not ruled out."""
        meeting = Meeting(
            self._events, self._known, self._query.tenant,
            ways=in_order, without=self._ruled_out, milliseconds=self._milliseconds,
        )  # fmt: skip
        waiting: list[int] = []
        async with aclosing(meeting.places(left, self._query.order)) as blocks:
            async for places in blocks:
                waiting += places
                if len(waiting) >= self._query.limit:
                    await self._gather(waiting)
                    waiting = []
                    if self._is_full:
                        return
        await self._gather(waiting)

    async def _rarest(self, in_order: list[Way], left: Stretch, most: int) -> tuple[int, Way]:
        """Return the way with the fewest candidates, and how many: `most` are as good as more."""
        counted = [(await self._count(way, left, most), way) for way in in_order]
        return min(counted, key=lambda each: each[0])

    async def _count(self, way: Way, left: Stretch, most: int) -> int:
        return await self._events.count_documents(
            {"t": self._query.tenant, "s": left.condition(), **way.condition()},
            limit=most,
            hint=BY_TERM,
            maxTimeMS=self._milliseconds(),
        )

    async def _part_of(self, way: Way, left: Stretch) -> Stretch:
        """Return the stretch of the next few candidates: everything, if there are no more."""
        order = self._query.order
        # Of the index alone: no record is read.
        following = await self._events.find_one(
            {"t": self._query.tenant, "s": left.condition(), **way.condition()},
            _PLACE,
            sort=[("s", self._direction)],
            hint=BY_TERM,
            skip=_FEW,
            max_time_ms=self._milliseconds(),
        )
        if following is None:
            return left
        return left.first(left.rows - left.beyond(following["s"], order).rows - 1, order)

    async def _collect(self, coarse: list[Way], left: Stretch, most: int) -> bool:
        """Look at all candidates of a way that has fewer than so many; False if none has."""
        for way in coarse:
            places = await self._places(way, most)
            if len(places) < most:
                await self._gather([place for place in places if place in left])
                return True
        return False

    async def _places(self, way: Way, most: int) -> set[int]:
        """Return where the candidates on the way lie in the log, or `most` of them."""
        places: set[int] = set()
        if way.terms:
            condition = {"t": self._query.tenant, **way.condition()}
            places = await self._read(self._entries(condition, most))
        for low, high in way.intervals():
            if len(places) < most:
                # Bounds of the index, since for a condition the server would read each record:
                # 20 µs instead of 1.5.
                entries = self._entries({}, most).min(self._entry(low)).max(self._entry(high))
                places |= await self._read(entries)
        return places

    async def _read(self, entries: AsyncCursor[Document]) -> set[int]:
        return {entry["s"] for entry in await entries.to_list()}

    def _entries(self, condition: Document, most: int) -> AsyncCursor[Document]:
        return self._events.find(
            condition,
            _PLACE,
            hint=BY_TERM,
            limit=most,
            batch_size=most,
            max_time_ms=self._milliseconds(),
        )

    def _entry(self, term: str | Document) -> list[tuple[str, Any]]:
        """Return the place in BY_TERM before every record with this term."""
        return [("t", self._query.tenant), ("terms", term), ("s", MinKey())]

    # ---- looking ----------------------------------------------------------------------------

    async def _walk(self, left: Stretch, *, while_dense: bool = False) -> Stretch:
        """Look at all records in order; return what is left once candidates are far between."""
        window = _TRIED if while_dense else _WINDOW
        if not self._condition:
            window = left.rows
        size = self._query.limit if self._filling.is_decided else max(self._query.limit, _CHUNK)
        while left and not self._is_full:
            part = left.first(window, self._query.order)
            chunk = await self._ask({"s": part.condition(), **self._condition}, BY_SEQUENCE, size)
            await self._take(chunk.documents)
            order = self._query.order
            reached = part.last(order) if chunk.is_all else chunk.documents[-1]["s"]
            rows = part.rows - part.beyond(reached, order).rows
            left = left.beyond(reached, order)
            if while_dense and len(chunk.documents) * _SPARSE < rows:
                break
            size = max(size, min(2 * size, _LONGEST_CHUNK))
            window = max(window, min(2 * window, _LONGEST_WINDOW))
        return left

    async def _follow(self, way: Way, left: Stretch) -> None:
        """Look at the candidates on a way that is in order."""
        condition = way.condition() | self._checked()
        size = self._query.limit
        while left and not self._is_full:
            chunk = await self._ask({"s": left.condition(), **condition}, BY_TERM, size)
            await self._take(chunk.documents)
            if chunk.is_all:
                return
            left = left.beyond(chunk.documents[-1]["s"], self._query.order)
            size = max(size, min(2 * size, _LONGEST_CHUNK))

    async def _gather(self, places: list[int]) -> None:
        """Look at the candidates at these places."""
        checked = self._checked()
        waiting = sorted(places, reverse=self._is_backwards)
        size = max(self._query.limit, _CHUNK)
        while waiting and not self._is_full:
            condition = {"s": {"$in": waiting[:size]}, **checked}
            chunk = await self._ask(condition, BY_SEQUENCE, size + 1)
            await self._take(chunk.documents)
            seen = size if chunk.is_all else waiting.index(chunk.documents[-1]["s"]) + 1
            waiting = waiting[seen:]
            size = max(size, min(2 * size, _LONGEST_CHUNK))

    def _checked(self) -> Document:
        """Return what the server checks of each candidate, so that fewer are sent."""
        return only_checked(self._condition)

    async def _look_up(self, ids: Iterable[str], left: Stretch) -> None:
        condition = {"_id": {"$in": [ObjectId(one) for one in sorted(ids)]}}
        found = self._events.find(
            {"t": self._query.tenant, **condition, **_NOT_ERASED},
            RECORD,
            hint=BY_ID,
            max_time_ms=self._milliseconds(),
        )
        there = await found.to_list()
        there.sort(key=lambda one: one["s"], reverse=self._is_backwards)
        await self._take(one for one in there if one["s"] in left)

    async def _ask(self, condition: Document, hint: Keys, size: int) -> _Chunk:
        """Return the first documents in order: `size` of them, or what one answer has room for.

        The index is told, not left to the planner. By a negative limit the server gives one
        answer (of at most 16 MiB, and then of more than _CHUNK_BYTES) and keeps no cursor. Read
        in one go: a step of the loop for each document took more time than reading it.
        """
        documents = await self._events.find(
            {"t": self._query.tenant, **condition, **_NOT_ERASED},
            RECORD,
            sort=[("s", self._direction)],
            hint=hint,
            limit=-size,
            batch_size=size,
            max_time_ms=self._milliseconds(),
        ).to_list()
        kept, room = 0, _CHUNK_BYTES
        while kept < len(documents) and room > 0:
            room -= len(documents[kept]["p"])
            kept += 1
        del documents[kept:]
        return _Chunk(documents, is_all=kept < size and room > 0)

    async def _take(self, documents: Iterable[Document]) -> None:
        """Take in what matches; in a thread, since others wait for the loop."""
        await asyncio.to_thread(self._decide, documents)

    def _decide(self, documents: Iterable[Document]) -> None:
        for document in documents:
            if self._is_full:
                return
            if self._filling.may_match(document["p"]):
                self._filling.take(record_of(document))

    @property
    def _is_backwards(self) -> bool:
        return self._query.order == "newest"

    @property
    def _direction(self) -> int:
        return DESCENDING if self._is_backwards else ASCENDING

    @property
    def _is_full(self) -> bool:
        return self._filling.is_full
