"""A filter as MongoDB can serve it: bounds on the sequence, and terms to look up. Pure.

Each value of a caller becomes a BSON value beside an operator written here; none becomes an
operator. What this finds are candidates: `filters.matches` decides.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from bson import Int64, ObjectId

from auditlogservice.events import parse_event_id
from auditlogservice.filters import candidates, leaf_equals
from auditlogservice.store.mongodb.schema import BY_ID, BY_SEQUENCE, BY_TERM
from auditlogservice.times import format_utc, parse_rfc3339, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Literal

    from auditlogservice.filters import Filter, Is
    from auditlogservice.store.mongodb.schema import Document, Keys

Terms: TypeAlias = tuple[str, ...]

_END = 2**63 - 1  # no record has it: the last sequence that could be is one less


@dataclass(frozen=True, slots=True)
class Span:
    """The sequences after one place and before another, both left out."""

    after: int = -1
    before: int = _END

    def within(self, other: Span) -> Span:
        return Span(max(self.after, other.after), min(self.before, other.before))

    def beyond(self, place: int | None, order: Literal["oldest", "newest"]) -> Span:
        """Return what is left when reading in this order has come to this place."""
        if place is None:
            return self
        return self.within(Span(after=place) if order == "oldest" else Span(before=place))

    def condition(self) -> Document:
        return {"$gt": Int64(self.after), "$lt": Int64(self.before)}


@dataclass(frozen=True, slots=True)
class Search:
    """What to ask for. `terms` has a group per field, the one to walk along first."""

    tenant: str
    terms: tuple[Terms, ...]
    ids: frozenset[str] | None  # None: any
    sequences: frozenset[int] | None
    micros: frozenset[int] | None

    @property
    def is_hopeless(self) -> bool:
        """Whether no record can match, because a field is asked to be what it never is."""
        return any(
            pins is not None and not pins for pins in (self.ids, self.sequences, self.micros)
        )

    @property
    def hint(self) -> Keys:
        """The index to walk. Told, not left to the planner, which would race them and guess."""
        if self.ids is not None:
            return BY_ID
        if self.sequences is not None or not self.terms:
            return BY_SEQUENCE
        return BY_TERM

    def condition(self, span: Span) -> Document:
        asked: Document = {
            "t": self.tenant,
            "s": span.condition(),
            "gone": {"$exists": False},
        }
        if self.terms:  # the planner walks along the first group that it meets
            asked["$and"] = [{"terms": {"$in": list(group)}} for group in self.terms]
        if self.ids is not None:
            asked["_id"] = {"$in": [ObjectId(one) for one in sorted(self.ids)]}
        if self.sequences is not None:
            asked["s"]["$in"] = [Int64(one) for one in sorted(self.sequences)]
        return asked

    def condition_of(self, group: Terms, span: Span) -> Document:
        """Return the question how many records one group finds, answered by the index alone."""
        return {"t": self.tenant, "terms": {"$in": list(group)}, "s": span.condition()}

    def along(self, terms: Iterable[Terms]) -> Search:
        """Return the same search with its groups in this order."""
        return replace(self, terms=tuple(terms))


def search_for(tenant: str, where: Filter) -> Search:
    return Search(
        tenant=tenant,
        terms=tuple(filter(None, map(candidates, where.fields))),
        ids=_pins(where.fields, "_id", _id_of),
        sequences=_pins(where.fields, "sequence", _sequence_of),
        micros=_pins(where.fields, "timestamp", _micros_of),
    )


def received_between(search: Search, where: Filter) -> tuple[int | None, int | None]:
    """Return the first moment that is asked for and the first after it, in microseconds."""
    since, until = where.received.since, where.received.until
    starts = [] if since is None else [to_micros(since)]
    ends = [] if until is None else [to_micros(until)]
    if search.micros:
        starts.append(min(search.micros))
        ends.append(max(search.micros) + 1)
    return max(starts, default=None), min(ends, default=None)


# ---- fields that are columns ------------------------------------------------------


def _pins(
    fields: Iterable[Is], path: str, read: Callable[[str], Any | None]
) -> frozenset[Any] | None:
    """Return the values that the column may have; None if nothing is asked of it."""
    pins = [
        frozenset(value for text in field.texts if (value := read(text)) is not None)
        for field in fields
        if field.path == path
    ]
    return frozenset.intersection(*pins) if pins else None


def _id_of(text: str) -> str | None:
    return text if parse_event_id(text) == text else None


def _sequence_of(text: str) -> int | None:
    """Return the sequence that the text spells, as `matches` understands it: also `3.0`."""
    for read in (int, float):
        with suppress(ValueError, OverflowError):
            number = int(read(text))
            if 0 <= number < _END and leaf_equals(number, text):
                return number
    return None


def _micros_of(text: str) -> int | None:
    with suppress(ValueError):
        moment = parse_rfc3339(text)
        return to_micros(moment) if format_utc(moment) == text else None
    return None
