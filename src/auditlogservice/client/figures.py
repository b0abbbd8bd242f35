"""Counts, histograms and facets as a server tells them, each with how far it can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from auditlogservice.canonical import Json, parse
from auditlogservice.client.values import array_of, moment_of, object_of, text_of, whole_of
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
    value = object_of(parse(raw))
    since = value.get("complete_since")
    return Histogram(
        text_of(value.get("interval")),
        tuple(
            Bucket(moment_of(item.get("start")), whole_of(item.get("count")))
            for item in map(object_of, array_of(value.get("buckets")))
        ),
        _relation(value.get("relation")),
        None if since is None else moment_of(since),
    )


def read_facets(raw: bytes) -> Facets:
    value = object_of(parse(raw))
    values = tuple(
        Facet(text_of(item.get("value")), whole_of(item.get("count")))
        for item in map(object_of, array_of(value.get("values")))
    )
    return Facets(text_of(value.get("field")), values, count_of(value.get("records")))


def count_of(value: Json) -> Count:
    told = object_of(value)
    return Count(whole_of(told.get("value")), _relation(told.get("relation")))


def _relation(value: Json) -> Relation:
    if value not in get_args(Relation):
        raise MalformedInput("a figure must say how exact it is")
    return cast("Relation", value)
