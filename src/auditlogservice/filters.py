"""Questions about records: a closed tree, and a pure `matches()` that decides.

A store answers in two steps. Its index, made of the `terms` of each record, gives candidates:
all that match, and perhaps a few that do not. `matches()` then decides on the record itself. So
the index may fold case, cut long values and hash long paths, both stores give one answer by
construction, and no text of a caller ever becomes an operator, a pattern or SQL.
"""

from __future__ import annotations

import hashlib
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import orjson

from auditlogservice.canonical import dump_float
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlogservice.canonical import Json

TOP_LEVEL = frozenset({
    "_id", "actor", "context", "detail", "event_data", "event_type", "name", "occurred_at",
    "on_behalf_of", "outcome", "sequence", "source", "targets", "timestamp", "user_id",
})  # fmt: skip

MAX_TERMS = 1_000  # an event with more carries OVERFLOW instead of the rest
OVERFLOW = "*"  # the term of records whose terms are not all indexed; every query takes it in

_NOT_INDEXED = frozenset({"_id", "sequence", "timestamp"})  # columns of their own
_MAX_PATH = 96
_MAX_VALUE = 64
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Is:
    """The field at `path` has one of these values.

    `path` is dotted: `actor.id`, `event_data.order.total`. A dot may also be part of a key. In an
    array, one element that matches is enough. A text matches a string that is equal to it, and a
    number, true, false or null that it spells: `42` matches 42, 42.0 and "42".
    """

    path: str
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Received:
    """`timestamp` lies in `since` (included) to `until` (not included)."""

    since: datetime | None = None
    until: datetime | None = None


@dataclass(frozen=True, slots=True)
class Filter:
    """All of these hold. Without any, every record matches."""

    received: Received = Received()
    fields: tuple[Is, ...] = ()

    def spelling(self) -> bytes:
        """Return one text per meaning: what a cursor is bound to."""
        bounds = (self.received.since, self.received.until)
        fields = sorted({(field.path, tuple(sorted(set(field.texts)))) for field in self.fields})
        return orjson.dumps([[bound and format_utc(bound) for bound in bounds], fields])


# ---- the oracle ---------------------------------------------------------------


def matches(where: Filter, fields: dict[str, Json]) -> bool:
    """Whether the record with these `fields` matches: the definition of every answer."""
    if where.received != _ALWAYS and not _received(where.received, fields):
        return False
    return all(_is(field, fields) for field in where.fields)


def _received(bounds: Received, fields: dict[str, Json]) -> bool:
    moment = parse_rfc3339(str(fields["timestamp"]))
    return (bounds.since is None or bounds.since <= moment) and (
        bounds.until is None or moment < bounds.until
    )


def _is(field: Is, fields: dict[str, Json]) -> bool:
    return any(
        leaf_equals(leaf, text)
        for path, leaf in leaves(fields)
        if path == field.path
        for text in field.texts
    )


def leaf_equals(leaf: Json, text: str) -> bool:
    """Whether `text` is this string, or spells this number, boolean or null."""
    match leaf:
        case str():
            return leaf == text
        case None | bool():
            return text == _spell(leaf)
        case int() | float():
            return is_number(text) and _number(text) == leaf
        case _:
            return False


def is_number(text: str) -> bool:
    """Whether `text` is a number as JSON spells them."""
    return bool(_NUMBER.fullmatch(text))


def leaves(fields: dict[str, Json]) -> Iterator[tuple[str, Json]]:
    """Yield each string, number, boolean and null with its dotted path."""
    for key, value in fields.items():
        yield from _leaves(key, value)


def _leaves(path: str, value: Json) -> Iterator[tuple[str, Json]]:
    match value:
        case dict():
            for key, item in value.items():
                yield from _leaves(f"{path}.{key}", item)
        case list():
            for item in value:
                yield from _leaves(path, item)
        case _:
            yield path, value


# ---- the index ----------------------------------------------------------------


def terms_of(fields: dict[str, Json]) -> tuple[str, ...]:
    """Return the index terms of a record: one for each distinct leaf, at most MAX_TERMS."""
    terms = {
        _term(path, _spell(leaf)): None
        for path, leaf in leaves(fields)
        if path not in _NOT_INDEXED
    }
    if len(terms) <= MAX_TERMS:
        return tuple(terms)
    # Sorted: the same ones must be left out again when the record is erased.
    return (*sorted(terms)[: MAX_TERMS - 1], OVERFLOW)


def candidates(field: Is) -> tuple[str, ...] | None:
    """Return the terms of which each record that matches has at least one.

    None if the index does not know this field, so that all records are candidates.
    """
    if field.path in _NOT_INDEXED:
        return None
    spellings = [spelling for text in field.texts for spelling in _spellings(text)]
    return (*dict.fromkeys(_term(field.path, spelling) for spelling in spellings), OVERFLOW)


def _term(path: str, spelling: str) -> str:
    return f"{_shorten(path, _MAX_PATH)}={_shorten(spelling, _MAX_VALUE)}".lower()


def _shorten(text: str, length: int) -> str:
    """Keep short texts readable; give long ones a digest, so that a shared start tells apart."""
    if len(text) <= length:
        return text
    return text[: length - 16] + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _spell(leaf: Json) -> str:
    match leaf:
        case str():
            return leaf
        case float():
            return dump_float(leaf).decode()
        case None | bool():
            return _CONSTANTS[leaf]
        case _:
            return str(leaf)


def _spellings(text: str) -> Iterator[str]:
    yield text
    if is_number(text):
        number = _number(text)
        if math.isinf(number):
            return  # beyond every number that is kept
        yield _spell(float(number))
        if number == int(number):
            yield str(int(number))


def _number(text: str) -> int | float:
    if text.lstrip("-").isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return float(text)


_CONSTANTS: dict[bool | None, str] = {None: "null", True: "true", False: "false"}
_MAX_DIGITS = 20  # more than any integer that is kept can have
_ALWAYS = Received()
