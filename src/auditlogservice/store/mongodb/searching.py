"""What is asked of MongoDB for a filter: conditions, and ways along the index of terms. Pure.

Each text of a caller becomes a BSON value beside an operator written here; none becomes an
operator or a pattern. What this finds are candidates: `filters.matches` decides.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bson import Int64

from auditlogservice.asked import Asked, Both, Either, Span, Start, Term, conjuncts

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import Order

# Terms that the server can merge in order of sequence; it would merge up to 200, unless its
# internalQueryMaxScansToExplode says otherwise, and sorts where it does not.
_MERGED = 150
_FIRST = "\x00"  # a text with this at its end is the first one after that text


@dataclass(frozen=True, slots=True)
class Stretch:
    """The sequences from `low` to `high`, both included: none if `high` is less than `low`."""

    low: int = 0
    high: int = 2**63 - 1

    def __bool__(self) -> bool:
        return self.low <= self.high

    def __contains__(self, place: int) -> bool:
        return self.low <= place <= self.high

    @property
    def rows(self) -> int:
        return max(0, self.high - self.low + 1)

    def beyond(self, place: int, order: Order) -> Stretch:
        """Return what is left when reading in this order has come to this place."""
        if order == "oldest":
            return Stretch(max(self.low, place + 1), self.high)
        return Stretch(self.low, min(self.high, place - 1))

    def first(self, rows: int, order: Order) -> Stretch:
        """Return the first so many sequences in this order."""
        if order == "oldest":
            return Stretch(self.low, min(self.high, self.low + rows - 1))
        return Stretch(max(self.low, self.high - rows + 1), self.high)

    def last(self, order: Order) -> int:
        """Return the sequence that is read last in this order."""
        return self.high if order == "oldest" else self.low

    def condition(self) -> Document:
        return {"$gte": Int64(self.low), "$lte": Int64(self.high)}


@dataclass(frozen=True, slots=True)
class Way:
    """Places in the index of terms: every candidate lies at one of them, or at several."""

    terms: frozenset[str] = frozenset()
    ranges: tuple[Start | Span, ...] = ()

    @property
    def is_in_order(self) -> bool:
        """Whether the server finds the first candidates without looking at all of them."""
        return not self.ranges and len(self.terms) <= _MERGED

    def condition(self) -> Document:
        """Return what leads to the exact terms of the way."""
        return {"terms": {"$in": sorted(self.terms)}}

    def intervals(self) -> Iterator[tuple[str, str | Document]]:
        """Yield where in the index each range begins and ends; the end is not in it."""
        for each in self.ranges:
            low, end = _range(each)
            # In the order of BSON, objects come after all strings.
            yield low, end or {}


def ways(asked: Asked) -> list[Way]:
    """Return all ways on which every candidate lies."""
    return [_way(part) for part in conjuncts(asked)]


def _way(asked: Asked) -> Way:
    match asked:
        case Term(text):
            return Way(frozenset({text}))
        case Start() | Span():
            return Way(ranges=(asked,))
        case Both(parts) | Either(parts):
            return _joined([_shortest(ways(part)) for part in parts])


def _shortest(all_ways: list[Way]) -> Way:
    return min(all_ways, key=lambda way: (len(way.ranges), len(way.terms)))


def _joined(all_ways: list[Way]) -> Way:
    ranges = dict.fromkeys(each for way in all_ways for each in way.ranges)
    return Way(frozenset[str]().union(*(way.terms for way in all_ways)), tuple(ranges))


def condition_of(asked: Asked | None, ruled_out: Collection[str] = ()) -> Document:
    """Return what the terms of every candidate must be, and what none of them may be."""
    parts = [] if asked is None else [_required(asked)]
    if ruled_out:
        parts.append({"terms": {"$nin": list(ruled_out)}})
    return {"$and": parts} if len(parts) > 1 else parts[0] if parts else {}


def only_checked(condition: Document) -> Document:
    """Return the same condition, in a form that the planner looks for in no index.

    It can follow one condition on `terms` along the index, and this must not be the one.
    """
    return {"$nor": [{"$nor": [condition]}]} if condition else {}


def _required(asked: Asked) -> Document:
    match asked:
        case Term(text):
            return {"terms": text}
        case Both(parts):
            return {"$and": [_required(part) for part in parts]}
        case Either(parts):
            return {"$or": [_required(part) for part in parts]}
        case Span() | Start():
            return _within(asked)


def _within(asked: Start | Span) -> Document:
    low, end = _range(asked)
    # One and the same term must be on both sides of the range.
    return {"terms": {"$elemMatch": {"$gte": low} | ({"$lt": end} if end else {})}}


def _range(asked: Start | Span) -> tuple[str, str]:
    """Return the first text of the range, and the first after it: empty if there is none."""
    match asked:
        case Span(low, high):
            return low, high + _FIRST
        case Start(text):
            return text, _after(text)


def _after(start: str) -> str:
    """Return the first text that is after all that start so, in code points; empty if none is."""
    kept = start.rstrip(chr(sys.maxunicode))
    if not kept:
        return ""
    following = ord(kept[-1]) + 1
    return kept[:-1] + chr(_AFTER_SURROGATES if following == _FIRST_SURROGATE else following)


_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000  # what UTF-8 has no bytes for
