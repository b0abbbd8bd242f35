"""Questions about records: a closed tree, and a pure `matches()` that decides.

What a leaf of the tree means is said in its docstring, and nowhere else. A path is dotted:
`actor.id`, `event_data.order.total`; a dot may also be part of a key, and arrays are looked
through: one element that fits is enough. Case counts in `Is` and `Compare`; it does not in
`Like`, `Contains` and `Words`. Accents always count.

How a store finds candidates without looking at every record is `terms.py`; whatever it proposes,
`matches()` has the last word, so that both stores give one answer by construction.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from operator import ge, gt, le, lt
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from auditlogservice.canonical import dump_float
from auditlogservice.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditlogservice.canonical import Json

TOP_LEVEL = frozenset({
    "_id", "actor", "context", "detail", "event_data", "event_type", "flagged", "name",
    "occurred_at", "on_behalf_of", "outcome", "redacted", "sequence", "source", "targets",
    "timestamp", "user_id",
})  # fmt: skip

Operator: TypeAlias = Literal["gt", "gte", "lt", "lte"]

# ---- the tree -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Is:
    """A value at `path` is `text`: that very string, or the number, true, false or null it spells.

    `42` is 42, 42.0 and "42"; `null` is null and "null".
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Like:
    """A value at `path`, as text, has the form of `pattern`, whatever its case.

    `*` stands for any characters, `?` for one, and a backslash takes the meaning from what
    follows it.
    """

    path: str
    pattern: str


@dataclass(frozen=True, slots=True)
class Contains:
    """A value at `path`, as text, has `text` somewhere in it, whatever its case."""

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class Compare:
    """A value at `path` lies on this side of `text`, compared as what `text` is.

    A number is compared with numbers; an RFC 3339 date-time with date-times, as moments; any
    other text with strings, by code point.
    """

    path: str
    operator: Operator
    text: str


@dataclass(frozen=True, slots=True)
class Exists:
    """There is a value other than null at `path`, or below it."""

    path: str


@dataclass(frozen=True, slots=True)
class Words:
    """These words stand one after another in some text of the record, whatever their case.

    The last may be only the start of a word, if `open_end`. The text is every value but `_id`,
    `sequence` and `timestamp`; words are runs of letters, digits and underscores.
    """

    words: tuple[str, ...]
    open_end: bool = False


@dataclass(frozen=True, slots=True)
class Element:
    """`where` holds within one object at `path`: in an array, within one and the same element."""

    path: str
    where: Filter


@dataclass(frozen=True, slots=True)
class Not:
    part: Filter


@dataclass(frozen=True, slots=True)
class AllOf:
    """Every part holds; without parts, it holds for every record. Made by `all_of`."""

    parts: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class AnyOf:
    """At least one part holds; there are at least two. Made by `any_of`."""

    parts: tuple[Filter, ...]


Filter: TypeAlias = Is | Like | Contains | Compare | Exists | Words | Element | Not | AllOf | AnyOf

EVERYTHING = AllOf()

Test: TypeAlias = "Callable[[dict[str, Json]], bool]"


def all_of(*parts: Filter) -> Filter:
    """Return the one spelling of "all of these": flat, and no list around a single part."""
    flat = [
        inner for part in parts for inner in (part.parts if isinstance(part, AllOf) else (part,))
    ]
    return flat[0] if len(flat) == 1 else AllOf(tuple(flat))


def any_of(first: Filter, *others: Filter) -> Filter:
    """Return the one spelling of "any of these": flat, and no list around a single part."""
    flat = [
        inner
        for part in (first, *others)
        for inner in (part.parts if isinstance(part, AnyOf) else (part,))
    ]
    return flat[0] if len(flat) == 1 else AnyOf(tuple(flat))


# ---- the oracle -----------------------------------------------------------------


def matches(where: Filter, fields: dict[str, Json]) -> bool:
    """Whether the record with these `fields` matches: the definition of every answer."""
    return matcher(where)(fields)


def matcher(where: Filter) -> Test:
    """Return what says of the `fields` of a record whether it matches; for many records.

    To read the filter anew for each of them takes as long as to parse the record.
    """
    return _matcher(where, NOT_TEXT)


def _matcher(  # noqa: PLR0911 - one for each kind of filter
    where: Filter, not_text: frozenset[str]
) -> Test:
    """What says it of a record, or of an object in it, where every value is text."""
    match where:
        case AllOf(parts):
            tests = [_matcher(part, not_text) for part in parts]
            return lambda fields: all(test(fields) for test in tests)
        case AnyOf(parts):
            tests = [_matcher(part, not_text) for part in parts]
            return lambda fields: any(test(fields) for test in tests)
        case Not(part):
            test = _matcher(part, not_text)
            return lambda fields: not test(fields)
        case Element(path, inner):
            test = _matcher(inner, frozenset())
            return lambda fields: any(
                isinstance(each, dict) and test(each) for each in values_at(fields, path)
            )
        case Words():
            return lambda fields: any(
                _says(leaf, where) for leaf in _leaves_in(without(fields, not_text))
            )
        case Exists(path):
            return lambda fields: _exists(fields, path)
        case _:
            fits, path = _test(where), where.path
            return lambda fields: any(map(fits, leaves_at(fields, path)))


def _test(where: Is | Like | Contains | Compare) -> Callable[[Json], bool]:
    """What a single value must be."""
    match where:
        case Is(_, text):
            return lambda leaf: equals(leaf, text)
        case Like(_, pattern):
            fits = compile_pattern(pattern).fits
            return lambda leaf: fits(spell(leaf).casefold())
        case Contains(_, text):
            sought = text.casefold()
            return lambda leaf: sought in spell(leaf).casefold()
        case Compare(_, operator, text):
            bound = bound_of(text)
            return lambda leaf: _compares(leaf, operator, bound)


def equals(leaf: Json, text: str) -> bool:
    """Whether `text` is this string, or spells this number, boolean or null."""
    match leaf:
        case str():
            return leaf == text
        case None | bool():
            return text == spell(leaf)
        case int() | float():
            return is_number(text) and to_number(text) == leaf
        case _:
            return False


def _compares(leaf: Json, operator: Operator, bound: Bound) -> bool:
    value = _comparable(leaf, bound)  # of the kind that `bound` is
    return value is not None and _COMPARISONS[operator](value, bound)


_COMPARISONS: dict[Operator, Callable[[Any, Any], bool]] = {
    "gt": gt, "gte": ge, "lt": lt, "lte": le,
}  # fmt: skip

Bound: TypeAlias = "int | float | datetime | str"


def bound_of(text: str) -> Bound:
    """Return what `text` is when something is compared with it."""
    if is_number(text):
        return to_number(text)
    return as_moment(text) or text


def _comparable(leaf: Json, bound: Bound) -> Any:
    """The leaf, as what the bound is; None if it is nothing of the kind."""
    match leaf, bound:
        case (bool(), _):
            return None
        case (int() | float(), int() | float()) | (str(), str()):
            return leaf
        case (str(), datetime()):
            return as_moment(leaf)
        case _:
            return None


def _says(leaf: Json, where: Words) -> bool:
    if leaf is None:
        return False
    said = words_of(spell(leaf))
    length = len(where.words)
    return any(
        _is_phrase(said[start : start + length], where) for start in range(len(said) - length + 1)
    )


def _is_phrase(said: list[str], where: Words) -> bool:
    if not where.open_end:
        return said == list(where.words)
    *whole, last = where.words
    return said[:-1] == whole and said[-1].startswith(last)


# ---- values, and the texts that stand for them ------------------------------------

NOT_TEXT = frozenset({"_id", "sequence", "timestamp"})  # no words are looked for in these

_WORD = re.compile(r"\w+")
_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[Tt]", re.ASCII)
_MAX_DIGITS = 20  # more than any integer that is kept can have
_CONSTANTS: dict[bool | None, str] = {None: "null", True: "true", False: "false"}


def words_of(text: str) -> list[str]:
    """Return the words of a text, in order, without regard to case."""
    return _WORD.findall(text.casefold())


def is_number(text: str) -> bool:
    """Whether `text` is a number as JSON spells them."""
    return bool(_NUMBER.fullmatch(text))


def to_number(text: str) -> int | float:
    """Return the number that `is_number` text spells; beyond a double it is infinite."""
    if text.lstrip("-").isdigit() and len(text) <= _MAX_DIGITS:
        return int(text)
    return float(text)


def as_moment(text: str) -> datetime | None:
    """Return the moment that an RFC 3339 date-time names; None for any other text."""
    if not _MOMENT.match(text):
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None


def spell(leaf: Json) -> str:
    """Return a string as it is, and any other leaf as JSON spells it."""
    match leaf:
        case str():
            return leaf
        case None | bool():
            return _CONSTANTS[leaf]
        case float():
            return dump_float(leaf).decode()
        case _:
            return str(leaf)


# ---- walking ----------------------------------------------------------------------
#
# Along the path that is asked for: the paths of all leaves, spelled out, can take a thousand times
# the memory of the record.


def leaves_at(fields: dict[str, Json], path: str) -> Iterator[Json]:
    """Yield each string, number, boolean and null at the dotted path."""
    return (each for each in values_at(fields, path) if not isinstance(each, dict))


def values_at(value: Json, path: str | None) -> Iterator[Json]:
    """Yield what the path leads to, but no arrays; None is the end of one, "" may be a key."""
    match value:
        case list():
            for item in value:
                yield from values_at(item, path)
        case dict() if path is not None:
            if path in value:
                yield from values_at(value[path], None)
            # Each part of the path that ends before a dot may be a key: an object can have a
            # thousand keys, and a path has few dots.
            dot = path.find(".")
            while dot >= 0:
                if (key := path[:dot]) in value:
                    yield from values_at(value[key], path[dot + 1 :])
                dot = path.find(".", dot + 1)
        case _ if path is None:
            yield value


def _exists(value: Json, path: str) -> bool:
    """Whether there is a leaf other than null where the path leads, or below it."""
    match value:
        case list():
            return any(_exists(item, path) for item in value)
        case dict():
            return any(
                # A key that has dots in it may lead beyond the end of the path.
                any(leaf is not None for leaf in _leaves_in(item))
                if f"{key}.".startswith(f"{path}.")
                else _exists(item, path[len(key) + 1 :])
                for key, item in value.items()
                if f"{key}.".startswith(f"{path}.") or path.startswith(f"{key}.")
            )
        case _:
            return False


def _leaves_in(value: Json) -> Iterator[Json]:
    """Yield each string, number, boolean and null, in no order."""
    waiting = [value]
    while waiting:
        match waiting.pop():
            case dict() as fields:
                waiting.extend(fields.values())
            case list() as items:
                waiting.extend(items)
            case leaf:
                yield leaf


def without(fields: dict[str, Json], columns: frozenset[str]) -> dict[str, Json]:
    """Return the fields without the leaves at these; those below them have other paths."""
    return {
        key: [each for each in values_at(value, None) if isinstance(each, dict)]
        if key in columns
        else value
        for key, value in fields.items()
    }


# ---- patterns -------------------------------------------------------------------


@lru_cache(maxsize=1_000)
def compile_pattern(pattern: str) -> Pattern:
    """Return the pattern, ready for use. Raises ValueError if a backslash stands at the end."""
    pieces: list[list[str | None]] = [[]]
    characters = iter(pattern)
    for character in characters:
        match character:
            case "*":
                pieces.append([])
            case "?":
                pieces[-1].append(None)
            case "\\":
                escaped = next(characters, None)
                if escaped is None:
                    raise ValueError("a pattern cannot end in a backslash")
                pieces[-1].append(escaped)
            case _:
                pieces[-1].append(character)
    return Pattern(tuple(_Piece(piece) for piece in pieces))


class _Piece:
    """What stands between two `*`: characters, and None where a `?` stands for any one."""

    def __init__(self, characters: list[str | None]) -> None:
        folded = [each if each is None else each.casefold() for each in characters]
        literal = folded[: folded.index(None)] if None in folded else folded
        self.start = "".join(each for each in literal if each is not None)
        self.is_literal = None not in folded
        self.length = sum(1 if each is None else len(each) for each in folded)
        form = "".join("." if each is None else re.escape(each) for each in folded)
        self.form = re.compile(form, re.DOTALL)


@dataclass(frozen=True, slots=True)
class Pattern:
    """Pieces of text with a `*` between each two. Matching takes time linear in the text."""

    pieces: tuple[_Piece, ...]

    def fits(self, text: str) -> bool:
        """Whether the whole of `text`, already without case, has this form."""
        first, *others = self.pieces
        if not others:
            return first.form.fullmatch(text) is not None
        begin = first.form.match(text)
        if begin is None:
            return False
        *middle, last = others
        position = begin.end()
        # The leftmost place for each piece leaves the most room for those that follow, so that
        # no choice has ever to be taken back.
        for piece in middle:
            found = piece.form.search(text, position)
            if found is None:
                return False
            position = found.end()
        return _ends_with(text, last, position)

    @property
    def start(self) -> str:
        """The text, without case, that everything of this form begins with."""
        return self.pieces[0].start

    @property
    def is_literal(self) -> bool:
        """Whether the form is that of one text only."""
        return len(self.pieces) == 1 and self.pieces[0].is_literal


def _ends_with(text: str, piece: _Piece, after: int) -> bool:
    begin = len(text) - piece.length
    return begin >= after and piece.form.fullmatch(text, begin) is not None
