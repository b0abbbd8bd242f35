"""Pages of records that match: which way they are looked for, and the looking itself.

There are two ways. Along the index of terms, candidates come in order of sequence if the way is
some exact terms; where it takes in many terms (a prefix, a range), their places are collected
first, and sorted.
Along the sequence, every record is looked at, by the server: that is sooner done where many
match. All of it ends when the time is up, here and on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, Any, TypeAlias

from bson import MinKey, ObjectId
from pymongo import ASCENDING, DESCENDING

from auditlogservice.bounds import bounds_of, is_only_bounds
from auditlogservice.errors import QueryTimeout, StoreUnreachable
from auditlogservice.filters import matcher
from auditlogservice.glance import glance_for
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import RECORD, record_of
from auditlogservice.store.mongodb.failures import asking
from auditlogservice.store.mongodb.schema import BY_ID, BY_SEQUENCE, BY_TERM, BY_TIME
from auditlogservice.store.mongodb.searching import Stretch, condition_of, only_checked, ways
from auditlogservice.terms import asked_by

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.cursor import AsyncCursor

    from auditlogservice.events import Record
    from auditlogservice.store.mongodb.schema import Document, Keys
    from auditlogservice.store.mongodb.searching import Way
    from auditlogservice.store.port import PageQuery

Events: TypeAlias = "AsyncCollection[Document]"

_CHUNK, _LONGEST_CHUNK = 100, 500  # candidates asked for at once while a page is filled
_WINDOW, _LONGEST_WINDOW = 10_000, 40_000  # records that the server looks at in one go, in order
_SPARSE = 50  # records for each candidate from which on the index is the shorter way
_FEW = 1_000  # candidates that are looked at without further thought
_MANY = 20_000  # candidates that are more than it is worth to find in the index and to sort
_CHUNK_BYTES = 8 * 1024 * 1024  # of candidates that are in memory at once
_PLACE = {"_id": False, "s": True}
_NOT_ERASED = {"gone": {"$exists": False}}
_GRACE = 0.3  # seconds for the server to say itself that the time is up


async def end_of(events: Events, tenant: str) -> int:
    """Return the sequence after the last one of the tenant."""
    last = await events.find_one(
        {"t": tenant}, {"_id": False, "s": True}, sort=[("s", DESCENDING)], hint=BY_SEQUENCE
    )
    return int(last["s"]) + 1 if last else 0


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

    def __init__(self, events: Events, query: PageQuery, *, seconds: float) -> None:
        self._events = events
        self._query = query
        self._deadline = Deadline(seconds)
        self._bounds = bounds_of(query.where)
        self._asked = asked_by(query.where)
        # Where only bounds are asked for, the records between them match.
        self._decided = is_only_bounds(query.where)
        self._matches = matcher(query.where)
        self._may_match = glance_for(query.where)
        self._found: list[Record] = []
        self._bytes = 0

    async def page(self) -> list[Record]:
        async with self._limited():
            left = await self._stretch()
            if self._bounds.ids is not None:
                await self._look_up(self._bounds.ids, left)
            elif self._asked is None:
                await self._walk(left)
            else:
                await self._choose(left)
        return self._found

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
        assert self._asked is not None  # noqa: S101 - or there is nothing to choose from
        there = ways(self._asked)
        in_order = [way for way in there if way.is_in_order]
        coarse = [way for way in there if not way.is_in_order]
        if not coarse and len(in_order) == 1:
            await self._follow(in_order[0], left)
            return
        end = await end_of(self._events, self._query.tenant)
        left = left.beyond(end, "newest")
        if in_order:
            count, way = await self._rarest(in_order, left, _FEW)
            if count < _FEW:
                await self._follow(way, left)
                return
        if await self._collect(coarse, left, _FEW):
            return
        if in_order:
            await self._follow_farthest(in_order, left)
            return
        left = await self._walk(left, while_dense=True)
        if self._is_full or (left.rows > _WINDOW and await self._collect(coarse, left, _MANY)):
            return
        await self._walk(left)

    async def _follow_farthest(self, in_order: list[Way], left: Stretch) -> None:
        """Follow the way with the fewest candidates, and see from time to time which one it is.

        What is rare in one part of a log may be common in another. To look ahead takes a
        microsecond for each candidate, to look at it ten.
        """
        ahead = _FEW
        while left and not self._is_full:
            way, part = await self._farthest(in_order, left, ahead)
            await self._follow(way, part)
            left = left.beyond(part.last(self._query.order), self._query.order)
            ahead = min(4 * ahead, _MANY)

    async def _farthest(
        self, in_order: list[Way], left: Stretch, ahead: int
    ) -> tuple[Way, Stretch]:
        """Return the way whose next so many candidates lead farthest, and how far they do."""
        parts = [(await self._part_of(way, left, ahead), way) for way in in_order]
        ending = [way for part, way in parts if part == left]
        if ending:
            return (await self._rarest(ending, left, ahead + 1))[1], left
        part, way = max(parts, key=lambda each: each[0].rows)
        return way, part

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

    async def _part_of(self, way: Way, left: Stretch, ahead: int) -> Stretch:
        """Return the stretch of the next so many candidates: everything, if there are no more."""
        order = self._query.order
        # Of the index alone: no record is read.
        following = await self._events.find_one(
            {"t": self._query.tenant, "s": left.condition(), **way.condition()},
            _PLACE,
            sort=[("s", self._direction)],
            hint=BY_TERM,
            skip=ahead,
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
            places = {entry["s"] async for entry in self._entries(condition, most)}
        for low, high in way.intervals():
            if len(places) < most:
                # Bounds of the index, since for a condition the server would read each record:
                # 20 µs instead of 1.5.
                entries = self._entries({}, most).min(self._entry(low)).max(self._entry(high))
                places |= {entry["s"] async for entry in entries}
        return places

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
        more = {} if self._asked is None else condition_of(self._asked)
        window = _WINDOW // 5 if while_dense else _WINDOW
        if self._asked is None:
            window = left.rows
        size = self._query.limit if self._decided else max(self._query.limit, _CHUNK)
        while left and not self._is_full:
            part = left.first(window, self._query.order)
            chunk = await self._ask({"s": part.condition(), **more}, BY_SEQUENCE, size)
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
        assert self._asked is not None  # noqa: S101 - there is a way
        return only_checked(condition_of(self._asked))

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
            # Parsing a record that does not match takes ten times as long as this glance.
            if not self._may_match(document["p"]):
                continue
            record = record_of(document)
            fields = record.checked_fields()  # also where nothing is left to decide
            if self._decided or self._matches(fields):
                self._found.append(record)
                self._bytes += len(record.payload)

    @property
    def _is_backwards(self) -> bool:
        return self._query.order == "newest"

    @property
    def _direction(self) -> int:
        return DESCENDING if self._is_backwards else ASCENDING

    @property
    def _is_full(self) -> bool:
        query = self._query
        return len(self._found) >= query.limit or self._bytes >= query.most_bytes
