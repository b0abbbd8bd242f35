"""Counts, histograms and facets as a server tells them, each with how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from auditlogservice.canonical import Json, parse
from auditlogservice.client.values import as_array, as_moment, as_object, as_text, as_whole
from auditlogservice.errors import MalformedInput

if TYPE_CHECKING:
    from datetime import datetime

# Exactly, at least, at most.
Relation: TypeAlias = Literal["eq", "gte", "lte"]


@dataclass(frozen=True, slots=True)
class Count:
    """How many records match."""

    value: int
    relation: Relation


@dataclass(frozen=True, slots=True)
class Bucket:
    start: datetime
    count: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many records came in from the start of each bucket until the next one starts.

    Buckets that begin before `complete_since` may lack records; None if all are complete.
    """

    interval: str
    buckets: tuple[Bucket, ...]
    relation: Relation
    complete_since: datetime | None


@dataclass(frozen=True, slots=True)
class Facet:
    value: str
    count: int


@dataclass(frozen=True, slots=True)
class Facets:
    """The most frequent values of a field, and among how many records they were counted."""

    field: str
    values: tuple[Facet, ...]
    records: Count


def read_count(raw: bytes) -> Count:
    return count_of(parse(raw))


def read_histogram(raw: bytes) -> Histogram:
    value = as_object(parse(raw))
    since = value.get("complete_since")
    return Histogram(
        as_text(value.get("interval")),
        tuple(
            Bucket(as_moment(item.get("start")), as_whole(item.get("count")))
            for item in map(as_object, as_array(value.get("buckets")))
        ),
        _relation(value.get("relation")),
        None if since is None else as_moment(since),
    )


def read_facets(raw: bytes) -> Facets:
    value = as_object(parse(raw))
    values = tuple(
        Facet(as_text(item.get("value")), as_whole(item.get("count")))
        for item in map(as_object, as_array(value.get("values")))
    )
    return Facets(as_text(value.get("field")), values, count_of(value.get("records")))


def count_of(value: Json) -> Count:
    told = as_object(value)
    return Count(as_whole(told.get("value")), _relation(told.get("relation")))


def _relation(value: Json) -> Relation:
    if value not in get_args(Relation):
        raise MalformedInput("a figure must say how exact it is")
    return cast("Relation", value)
