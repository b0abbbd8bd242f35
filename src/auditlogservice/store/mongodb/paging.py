"""Pages of records that match: which way they are looked for, and the looking itself.

There are two ways. Along the index of terms, candidates come in order of sequence if the way is
a few exact terms; what takes in many terms (a prefix, a range) the server must collect and sort.
Along the sequence, every record is looked at, by the server: that is sooner done where many
match. All of it ends when the time is up, here and on the server.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from math import ceil
from typing import TYPE_CHECKING, TypeAlias

from bson import ObjectId
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

    from auditlogservice.events import Record
    from auditlogservice.store.mongodb.schema import Document, Keys
    from auditlogservice.store.mongodb.searching import Way
    from auditlogservice.store.port import PageQuery

Events: TypeAlias = "AsyncCollection[Document]"

_CHUNK, _LONGEST_CHUNK = 100, 500  # candidates asked for at once while a page is filled
_WINDOW, _LONGEST_WINDOW = 10_000, 40_000  # records that the server looks at in one go, in order
_SPARSE = 50  # records for each candidate from which on the index is the shorter way
_FEW = 1_000  # candidates that are collected and sorted without further thought
_MANY = 20_000  # candidates that are more than it is worth to collect and sort
_CHUNK_BYTES = 8 * 1024 * 1024  # of candidates that are in memory at once
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
        """Take the shortest way there is, counting a little in the index."""
        assert self._asked is not None  # noqa: S101 - or there is nothing to choose from
        there = ways(self._asked)
        in_order = [way for way in there if way.is_in_order]
        if len(there) == len(in_order) == 1:
            await self._follow(in_order[0], left)
            return
        end = await end_of(self._events, self._query.tenant)
        left = left.beyond(end, "newest")
        if not in_order and left.rows <= _WINDOW:
            await self._walk(left)
            return
        counted = [
            (await self._count(way, left, _FEW), number) for number, way in enumerate(there)
        ]
        count, number = min(counted)
        if count < _FEW:
            await self._follow(there[number], left)
        elif in_order:
            await self._follow(in_order[0], left)
        else:
            left = await self._walk(left, while_dense=True)
            if self._is_full or await self._count(there[number], left, _MANY) >= _MANY:
                await self._walk(left)
            else:
                await self._follow(there[number], left)

    async def _count(self, way: Way, left: Stretch, most: int) -> int:
        """Count candidates on the way, up to `most` of each of its parts."""
        # In a range of terms, the server would look at all in search of these sequences.
        asked = {"s": left.condition()} if way.is_in_order else {}
        return sum(
            [
                await self._events.count_documents(
                    {"t": self._query.tenant, **condition, **asked},
                    limit=most,
                    hint=BY_TERM,
                    maxTimeMS=self._milliseconds(),
                )
                for condition in way.conditions()
            ]
        )

    # ---- looking ----------------------------------------------------------------------------

    async def _walk(self, left: Stretch, *, while_dense: bool = False) -> Stretch:
        """Look at all records in order; return what is left once candidates are far between."""
        more = {} if self._asked is None else condition_of(self._asked)
        window = left.rows if self._asked is None else _WINDOW
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
        """Look at the candidates on the way, in order of sequence."""
        assert self._asked is not None  # noqa: S101 - there is a way
        checked = only_checked(condition_of(self._asked))
        conditions = list(way.conditions())
        # What has to be collected anyway may be looked at in longer pieces.
        size = self._query.limit if way.is_in_order else max(self._query.limit, _CHUNK)
        while left and not self._is_full:
            more = {"s": left.condition(), **checked}
            parts = [
                await self._ask(condition | more, BY_TERM, size, share=1 / len(conditions))
                for condition in conditions
            ]
            merged = self._merged([part.documents for part in parts])
            ends = [part.documents[-1]["s"] for part in parts if not part.is_all]
            if not ends:
                await self._take(merged)
                return
            # Behind the nearest of these ends, its part of the index was not read yet.
            nearest = min(ends) if self._query.order == "oldest" else max(ends)
            left = left.beyond(nearest, self._query.order)
            await self._take(one for one in merged if one["s"] not in left)
            size = max(size, min(2 * size, _LONGEST_CHUNK))

    async def _look_up(self, ids: Iterable[str], left: Stretch) -> None:
        condition = {"_id": {"$in": [ObjectId(one) for one in sorted(ids)]}}
        found = self._events.find(
            {"t": self._query.tenant, "gone": {"$exists": False}, **condition},
            RECORD,
            hint=BY_ID,
            max_time_ms=self._milliseconds(),
        )
        there = await found.to_list()
        await self._take(self._merged([[one for one in there if one["s"] in left]]))

    async def _ask(
        self, condition: Document, hint: Keys, size: int, *, share: float = 1.0
    ) -> _Chunk:
        """Return the first documents in order: `size` of them, or what one answer has room for.

        The index is told, not left to the planner. By a negative limit the server gives one
        answer (of at most 16 MiB, and then of more than _CHUNK_BYTES) and keeps no cursor. Read
        in one go: a step of the loop for each document took more time than reading it.
        """
        documents = await self._events.find(
            {"t": self._query.tenant, **condition, "gone": {"$exists": False}},
            RECORD,
            sort=[("s", ASCENDING if self._query.order == "oldest" else DESCENDING)],
            hint=hint,
            limit=-size,
            batch_size=size,
            max_time_ms=self._milliseconds(),
        ).to_list()
        kept, room = 0, _CHUNK_BYTES * share
        while kept < len(documents) and room > 0:
            room -= len(documents[kept]["p"])
            kept += 1
        del documents[kept:]
        return _Chunk(documents, is_all=kept < size and room > 0)

    def _merged(self, parts: list[list[Document]]) -> list[Document]:
        distinct = {document["s"]: document for part in parts for document in part}
        backwards = self._query.order == "newest"
        return [distinct[place] for place in sorted(distinct, reverse=backwards)]

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
    def _is_full(self) -> bool:
        query = self._query
        return len(self._found) >= query.limit or self._bytes >= query.most_bytes
