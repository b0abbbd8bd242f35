"""What a filter means and which terms a record has, as one would write it down at first.

Every leaf stands there with its whole path, which can take a thousand times the memory of the
record. What the service does instead has to come to the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.filters import (
    NOT_TEXT,
    AllOf,
    AnyOf,
    Element,
    Exists,
    Filter,
    Not,
    Words,
    _says,
    _test,
    as_moment,
    spell,
    words_of,
)
from auditlogservice.terms import (
    _SEVERAL,
    ALWAYS,
    MAX_TERMS,
    OVERFLOW,
    _head,
    _ordered_integer,
    _ordered_number,
    _text_term,
    _word_term,
)
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.canonical import Json


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


def objects(fields: dict[str, Json]) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield each object inside with its dotted path."""
    for key, value in fields.items():
        yield from _objects(key, value)


def _objects(path: str, value: Json) -> Iterator[tuple[str, dict[str, Json]]]:
    match value:
        case dict():
            yield path, value
            for key, item in value.items():
                yield from _objects(f"{path}.{key}", item)
        case list():
            for item in value:
                yield from _objects(path, item)
        case _:
            return


# ---- what a filter means ------------------------------------------------------------------


def matches(where: Filter, fields: dict[str, Json]) -> bool:
    return _holds(where, fields, NOT_TEXT)


def _holds(  # noqa: PLR0911 - one for each kind of filter
    where: Filter, fields: dict[str, Json], not_text: frozenset[str]
) -> bool:
    found = list(leaves(fields))
    match where:
        case AllOf(parts):
            return all(_holds(part, fields, not_text) for part in parts)
        case AnyOf(parts):
            return any(_holds(part, fields, not_text) for part in parts)
        case Not(part):
            return not _holds(part, fields, not_text)
        case Element(path, inner):
            return any(
                _holds(inner, each, frozenset()) for at, each in objects(fields) if at == path
            )
        case Words():
            return any(_says(leaf, where) for at, leaf in found if at not in not_text)
        case Exists(path):
            return any(
                leaf is not None and (at == path or at.startswith(f"{path}."))
                for at, leaf in found
            )
        case _:
            return any(_test(where)(leaf) for at, leaf in found if at == where.path)


# ---- which terms a record has ----------------------------------------------------------------


def terms_of(fields: dict[str, Json]) -> set[str]:
    found = [(path, leaf) for path, leaf in leaves(fields) if path not in NOT_TEXT]
    always = {
        term for path, leaf in found if path in ALWAYS for _, term in _value_terms(path, leaf)
    }
    terms = set(always)
    ordered: dict[str, set[str]] = {}
    for path, leaf in found:
        for head, term in _value_terms(path, leaf):
            terms.add(term)
            ordered.setdefault(head, set()).add(term)
        if leaf is not None:
            terms.update(map(_word_term, words_of(spell(leaf))))
    terms.update(
        head + _SEVERAL
        for head, some in ordered.items()
        if len(some) > 1 and not head.endswith("=")
    )
    return terms if len(terms) <= MAX_TERMS else {*always, OVERFLOW}


def _value_terms(path: str, leaf: Json) -> Iterator[tuple[str, str]]:
    """The terms of a value, each with what the terms of its kind at this path begin with."""
    head = _head(path, "=")
    yield head, _text_term(path, spell(leaf))
    match leaf:
        case None | bool():
            return
        case int() | float():
            head = _head(path, "#")
            yield head, head + _ordered_number(leaf)
        case str() if moment := as_moment(leaf):
            head = _head(path, "@")
            yield head, head + _ordered_integer(to_micros(moment))
        case _:
            return
