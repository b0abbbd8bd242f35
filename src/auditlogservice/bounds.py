"""Where in a log everything that matches a filter lies: by time, by sequence and by id.

What a record has a column for needs no index of terms; these bounds say where to look.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from auditlogservice.events import parse_event_id
from auditlogservice.filters import (
    AllOf,
    AnyOf,
    Compare,
    Filter,
    Is,
    as_moment,
    is_number,
    to_number,
)
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.events import EventId
    from auditlogservice.filters import Operator


@dataclass(frozen=True, slots=True)
class Bounds:
    """Where in a log everything that matches lies; each bound is included, None is no bound."""

    since: int | None = None  # timestamp, microseconds since 1970
    until: int | None = None
    first: int | None = None  # sequence
    last: int | None = None
    ids: frozenset[EventId] | None = None


def bounds_of(where: Filter) -> Bounds:
    """Return the bounds that `where` sets on what each record has a column for."""
    bounds = Bounds()
    for part in where.parts if isinstance(where, AllOf) else (where,):
        bounds = _narrow(bounds, _bounds(part))
    return bounds


def _bounds(part: Filter) -> Bounds:  # noqa: PLR0911 - one for each kind of filter
    match part:
        case Is("_id", text):
            return Bounds(ids=_ids([text]))
        case AnyOf(parts) if all(isinstance(one, Is) and one.path == "_id" for one in parts):
            return Bounds(ids=_ids([one.text for one in parts if isinstance(one, Is)]))
        case Is("sequence", text) if is_number(text):
            return _sequence_bounds("gte", text, _sequence_bounds("lte", text, Bounds()))
        case Compare("sequence", operator, text) if is_number(text):
            return _sequence_bounds(operator, text, Bounds())
        case Is("timestamp", text) if moment := as_moment(text):
            return Bounds(since=to_micros(moment), until=to_micros(moment))
        case Compare("timestamp", operator, text) if moment := as_moment(text):
            return _time_bounds(operator, to_micros(moment))
        case _:
            return Bounds()


def _ids(texts: list[str]) -> frozenset[EventId]:
    return frozenset(found for text in texts if (found := parse_event_id(text)))


def _time_bounds(operator: Operator, micros: int) -> Bounds:
    match operator:
        case "gte":
            return Bounds(since=micros)
        case "gt":
            return Bounds(since=micros + 1)
        case "lte":
            return Bounds(until=micros)
        case "lt":
            return Bounds(until=micros - 1)


def _sequence_bounds(operator: Operator, text: str, bounds: Bounds) -> Bounds:
    # Beyond all sequences there are, one place is as good as another; infinity is none.
    number = max(-1, min(to_number(text), 2**62))
    match operator:
        case "gte":
            return replace(bounds, first=math.ceil(number))
        case "gt":
            return replace(bounds, first=math.floor(number) + 1)
        case "lte":
            return replace(bounds, last=math.floor(number))
        case "lt":
            return replace(bounds, last=math.ceil(number) - 1)


def _narrow(one: Bounds, other: Bounds) -> Bounds:
    return Bounds(
        since=_tighter(max, one.since, other.since),
        until=_tighter(min, one.until, other.until),
        first=_tighter(max, one.first, other.first),
        last=_tighter(min, one.last, other.last),
        ids=_common(one.ids, other.ids),
    )


def _tighter(choose: Callable[[int, int], int], one: int | None, other: int | None) -> int | None:
    if one is None or other is None:
        return other if one is None else one
    return choose(one, other)


def _common(
    one: frozenset[EventId] | None, other: frozenset[EventId] | None
) -> frozenset[EventId] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


def is_only_bounds(where: Filter) -> bool:
    """Whether every record within `bounds_of(where)` matches, so that none need be looked at."""
    return all(map(is_bound, where.parts if isinstance(where, AllOf) else (where,)))


def is_bound(part: Filter) -> bool:
    """Whether `bounds_of` says all that this part of a conjunction asks for."""
    match part:
        case Compare("sequence", _, text):
            return is_number(text)
        case Compare("timestamp", _, text):
            return as_moment(text) is not None
        case _:
            return False
