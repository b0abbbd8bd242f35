"""How many records match, when they came in, and what values they have.

Each answer looks at a bounded number of records, the newest first, for a bounded time, and says
so when it has not seen them all: a figure marked "gte" is what was counted, and there may be more.
One marked "lte" was taken from the places in the log, and counts erased records too.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Literal, TypeAlias

from auditlogservice.bounds import bounds_of, is_only_bounds
from auditlogservice.errors import Flaw, InvalidInput, QueryTimeout
from auditlogservice.filters import EVERYTHING, leaves_at, spell
from auditlogservice.ledger.walk import LAST
from auditlogservice.store.port import PageQuery
from auditlogservice.times import from_micros, parse_rfc3339, to_micros

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from auditlogservice.events import Record, Sequence
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

Relation: TypeAlias = Literal["eq", "gte", "lte"]

COUNT_CAP = 10_000  # records looked at for a count or for facets
HISTOGRAM_CAP = 100_000
PAGE = 2_000  # records at a time; large ones fill a page sooner
SECONDS = 5.0  # for one answer
_FIRST_SECONDS = 1.0  # to find the first record that matches
MAX_BUCKETS = 500
_WANTED_BUCKETS = 60

_MICROS = 1_000_000  # in a second
_SECOND, _MINUTE, _HOUR, _DAY = 1, 60, 3_600, 86_400
INTERVALS: dict[str, int] = {
    "1s": _SECOND, "5s": 5 * _SECOND, "15s": 15 * _SECOND, "30s": 30 * _SECOND,
    "1m": _MINUTE, "5m": 5 * _MINUTE, "15m": 15 * _MINUTE, "30m": 30 * _MINUTE,
    "1h": _HOUR, "3h": 3 * _HOUR, "6h": 6 * _HOUR, "12h": 12 * _HOUR,
    "1d": _DAY, "7d": 7 * _DAY, "30d": 30 * _DAY, "90d": 90 * _DAY, "365d": 365 * _DAY,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Count:
    value: int
    relation: Relation


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many records came in from the start of each bucket until the next one starts.

    Buckets that begin before `complete_since` may lack records; None if all are complete.
    """

    interval: str
    buckets: list[tuple[datetime, int]]
    relation: Relation
    complete_since: datetime | None


@dataclass(frozen=True, slots=True)
class Facets:
    """The most frequent values of a field among the records looked at, the most frequent first."""

    field: str
    values: list[tuple[str, int]]
    records: Count


class Statistics:
    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def count(self, tenant: str, where: Filter, *, cap: int = COUNT_CAP) -> Count:
        newest = _Newest(self._store, tenant, where, cap)
        async for _ in newest.pages():
            pass
        return newest.count()

    async def facets(self, tenant: str, where: Filter, *, field: str, limit: int) -> Facets:
        """Count the values of `field`; a record that has a value twice counts once for it."""
        counter: Counter[str] = Counter()
        newest = _Newest(self._store, tenant, where, COUNT_CAP)
        async for records in newest.pages():
            counter.update(await asyncio.to_thread(_values, records, field))
        # Equal counts in order of value, so that the answer does not depend on chance.
        ranked = sorted(counter.items(), key=lambda pair: (-pair[1], pair[0]))[:limit]
        return Facets(field, ranked, newest.count())

    async def histogram(self, tenant: str, where: Filter, *, interval: str | None) -> Histogram:
        """Count per bucket, from the first record that can match to the last.

        `interval` is one of INTERVALS; None chooses one that gives about sixty buckets. Raises
        InvalidInput if the interval would give more than MAX_BUCKETS.
        """
        extent = await self._extent(tenant, where)
        if extent is None:
            return Histogram(interval or "1m", [], "eq", None)
        chosen = interval or _fitting(extent[1] - extent[0])
        step = timedelta(seconds=INTERVALS[chosen])
        starts = _starts(*extent, step)
        if is_only_bounds(where):
            return await self._by_place(tenant, where, chosen, starts)
        counts: Counter[int] = Counter()
        oldest = extent[0]
        newest = _Newest(self._store, tenant, where, HISTOGRAM_CAP)
        async for records in newest.pages():
            moments = await asyncio.to_thread(_moments, records)
            counts.update((moment - starts[0]) // step for moment in moments)
            oldest = min(moments, default=oldest)
        buckets = [(start, counts[number]) for number, start in enumerate(starts)]
        since = None if newest.complete else oldest
        return Histogram(chosen, buckets, newest.count().relation, since)

    async def _by_place(
        self, tenant: str, where: Filter, interval: str, starts: list[datetime]
    ) -> Histogram:
        """Take the size of each bucket from the places of its ends, if only bounds matter."""
        edges = [*map(to_micros, starts)]
        edges.append(edges[-1] + INTERVALS[interval] * _MICROS)
        # What matches lies between the bounds, so they cut off no more than the outer edges.
        bounds = bounds_of(where)
        if bounds.since is not None:
            edges[0] = max(edges[0], bounds.since)
        if bounds.until is not None:
            edges[-1] = min(edges[-1], bounds.until + 1)
        places = await self._store.places(tenant, [from_micros(edge) for edge in edges])
        low = 0 if bounds.first is None else bounds.first
        high = LAST if bounds.last is None else bounds.last + 1
        within = [max(low, min(place, high)) for place in places]
        counts = [after - before for before, after in pairwise(within)]
        return Histogram(interval, list(zip(starts, counts, strict=True)), "lte", None)

    async def _extent(self, tenant: str, where: Filter) -> tuple[datetime, datetime] | None:
        """The moments of the first and the last record that matches.

        What is counted begins at the last. If the first is not found soon, that of the first
        record that may match stands for it, so that no answer fails for a search from the far end.
        """
        last = await self._end(tenant, where, "newest", SECONDS)
        if last is None:
            return None
        try:
            first = await self._end(tenant, where, "oldest", _FIRST_SECONDS)
        except QueryTimeout:
            first = await self._end(tenant, EVERYTHING, "oldest", SECONDS)
            since = bounds_of(where).since
            if first is not None and since is not None:
                first = max(first, from_micros(since))
        return first or last, last

    async def _end(
        self, tenant: str, where: Filter, order: Literal["oldest", "newest"], seconds: float
    ) -> datetime | None:
        query = PageQuery(
            tenant=tenant, where=where, order=order, beyond=None, limit=1, seconds=seconds
        )
        found = await self._store.page(query)
        return _timestamp(found[0]) if found else None


class _Newest:
    """What matches, newest first: up to `cap` records, for up to SECONDS."""

    def __init__(self, store: EventStore, tenant: str, where: Filter, cap: int) -> None:
        self._store = store
        self._tenant = tenant
        self._where = where
        self._cap = cap
        self._seen = 0
        self.complete = False

    def count(self) -> Count:
        """Return how many were seen, and whether these are all."""
        return Count(self._seen, "eq" if self.complete else "gte")

    async def pages(self) -> AsyncIterator[list[Record]]:
        """Yield page after page. Raises QueryTimeout if not even the first is there in time."""
        clock = asyncio.get_running_loop().time
        until = clock() + SECONDS
        beyond: Sequence | None = None
        while not self.complete and self._seen < self._cap:
            # At the cap, one record more tells whether there are others.
            limit = min(PAGE, self._cap + 1 - self._seen)
            query = PageQuery(
                tenant=self._tenant, where=self._where, order="newest", beyond=beyond,
                limit=limit, seconds=until - clock(),
            )  # fmt: skip
            try:
                records = await self._store.page(query)
            except QueryTimeout:
                if beyond is None:
                    raise
                return
            self.complete = not query.is_full(records)
            beyond = records[-1].sequence if records else beyond
            records = records[: self._cap - self._seen]
            self._seen += len(records)
            yield records


def _values(records: list[Record], field: str) -> Counter[str]:
    """Count the values of a field. Reading JSON takes its time; run it in a thread."""
    counter: Counter[str] = Counter()
    for record in records:
        counter.update({spell(leaf) for leaf in leaves_at(record.fields(), field)})
    return counter


def _moments(records: list[Record]) -> list[datetime]:
    """Return when each came in. Reading JSON takes its time; run it in a thread."""
    return [_timestamp(record) for record in records]


def _timestamp(record: Record) -> datetime:
    return parse_rfc3339(str(record.fields()["timestamp"]))


def _fitting(span: timedelta) -> str:
    for name, seconds in INTERVALS.items():
        if span / timedelta(seconds=seconds) <= _WANTED_BUCKETS:
            return name
    return list(INTERVALS)[-1]


def _starts(first: datetime, last: datetime, step: timedelta) -> list[datetime]:
    """The starts of the buckets from `first` to `last`: multiples of the step since 1970, UTC."""
    width = step // timedelta(microseconds=1)
    low, high = to_micros(first) // width, to_micros(last) // width
    if high - low >= MAX_BUCKETS:
        raise InvalidInput(
            [Flaw("interval", f"this gives {high - low + 1:,} buckets; {MAX_BUCKETS} is the most")]
        )
    return [from_micros(number * width) for number in range(low, high + 1)]
