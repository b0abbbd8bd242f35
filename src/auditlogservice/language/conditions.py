"""Conditions on a field, checked: what the parameters, the text and the JSON form all share.

Raises ValueError, with a sentence for people, for whatever cannot be asked; where it stood is for
the caller to say.
"""

from __future__ import annotations

import re
from datetime import timedelta
from typing import TYPE_CHECKING

from auditlogservice.filters import (
    TOP_LEVEL,
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
    compile_pattern,
    words_of,
)
from auditlogservice.language.size import MAX_PATTERN, MAX_WORDS
from auditlogservice.times import format_utc, parse_when

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditlogservice.filters import Operator

MAX_NESTING = 32  # filters inside one another

TIMES = frozenset({"timestamp", "occurred_at"})  # what these hold is compared as moments only

_AGO = re.compile(r"\d+[a-z]", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_LAST_MOMENT = timedelta(days=1) - timedelta(microseconds=1)  # of a day, from its first
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)

# ---- names ------------------------------------------------------------------------


def check_field(path: str) -> None:
    """Raise ValueError if no record has such a field at its top."""
    if path.partition(".")[0] not in TOP_LEVEL:
        known = ", ".join(sorted(TOP_LEVEL))
        raise ValueError(f"no such field; the fields are {known}, and paths into them")


# ---- field and operator --------------------------------------------------------------


def condition(  # noqa: C901 - one arm for each operator
    path: str, operator: str, values: Sequence[str], *, now: datetime, inside: bool = False
) -> Filter:
    """Return the filter that a field, the name of an operator and values are.

    There is at least one value, and one that fits is enough (none may, for `ne`). `inside` says
    that the field is one of an `Element`, so that it may have any name.
    """
    if not inside:
        check_field(path)
    match operator:
        case "exists":
            return _exists(path, values)
        case "ne":
            return Not(any_of(*(Is(path, text) for text in values)))
        case "eq" | "in":
            return any_of(*(Is(path, text) for text in values))
        case "like":
            return any_of(*(like(path, text) for text in values))
        case "contains":
            return any_of(*(Contains(path, text) for text in values))
        case "gt" | "gte" | "lt" | "lte":
            if path in TIMES and not inside:
                values = [_bound(operator, text, now) for text in values]
            return any_of(*(Compare(path, operator, text) for text in values))
        case _:
            known = ", ".join(NAMES)
            raise ValueError(f"there is no operator {operator}; the operators are {known}")


NAMES = ("eq", "ne", "in", "like", "contains", "gt", "gte", "lt", "lte", "exists")


def like(path: str, pattern: str) -> Like:
    """Return the filter, with no more escapes in the pattern than it needs."""
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"a pattern may have {MAX_PATTERN} characters")
    compile_pattern(pattern)
    # Pairs are taken from the left: the second half of a doubled backslash escapes nothing.
    plain = _ESCAPE.sub(lambda pair: pair[0] if pair[1] in "*?\\" else pair[1], pattern)
    return Like(path, plain)


def _exists(path: str, values: Sequence[str]) -> Filter:
    match list(values):
        case ["true"]:
            return Exists(path)
        case ["false"]:
            return Not(Exists(path))
        case _:
            raise ValueError("exists is true or false")


def phrase(text: str) -> Words:
    """Return what looks for the words of `text`; a `*` at the end leaves the last word open."""
    words = words_of(text)
    if not words:
        raise ValueError("there is no word in this; words are made of letters and digits")
    if len(words) > MAX_WORDS:
        raise ValueError(f"these are {len(words):,} words; a phrase may have {MAX_WORDS}")
    open_end = text.endswith("*") and bool(words_of(text[-2:-1]))
    return Words(tuple(words), open_end)


# ---- time fields ------------------------------------------------------------------------


def read_moment(text: str, *, now: datetime) -> str:
    """Return the moment that a person means, in its one spelling."""
    return format_utc(parse_when(text, now=now))


def at_moment(path: str, text: str, *, now: datetime) -> Filter:
    """Return what a time field has to be: within a day, at a moment, or since so long ago."""
    since = condition(path, "gte", [text], now=now)
    if _AGO.fullmatch(text):
        return since
    return all_of(since, condition(path, "lte", [text], now=now))


def _bound(operator: Operator, text: str, now: datetime) -> str:
    """A day is all of its moments: after it, and up to it, are counted from its end."""
    moment = parse_when(text, now=now)
    if _DAY.fullmatch(text) and operator in {"gt", "lte"}:
        moment += _LAST_MOMENT
    return format_utc(moment)


# ---- nesting ------------------------------------------------------------------------------


def nesting_of(where: Filter) -> int:
    """Return how many filters stand around the innermost one."""
    deepest, level = 0, _parts(where)
    while level:
        deepest += 1
        level = tuple(inner for each in level for inner in _parts(each))
    return deepest


def _parts(where: Filter) -> tuple[Filter, ...]:
    match where:
        case AllOf(parts) | AnyOf(parts):
            return parts
        case Not(part) | Element(_, part):
            return (part,)
        case _:
            return ()
