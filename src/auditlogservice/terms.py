"""The index of records: which terms a record has, and which terms a filter asks for.

A record has one term for each distinct value (`path=text`), one more for each number (`path#…`)
and date-time (`path@…`), spelled so that their order is that of the values (and `path#*` if there
are several at a path), and one for each word of its text (`~word`). Terms are without case, long
ones are cut and get a digest.

A filter asks for terms in a way that finds every record that matches, and perhaps others: the
index proposes, `filters.matches` decides. So an index may be coarse, never wrong.
"""

from __future__ import annotations

import hashlib
import math
import string
import struct
from contextlib import suppress
from typing import TYPE_CHECKING

from auditlogservice import filters
from auditlogservice.asked import Either, Span, Start, Term, both
from auditlogservice.filters import (
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
    as_moment,
    compile_pattern,
    is_number,
    leaves_at,
    spell,
    to_number,
    values_at,
    without,
    words_of,
)
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.asked import Asked
    from auditlogservice.canonical import Json

MAX_TERMS = 1_000  # a record with more has OVERFLOW instead of those that are not ALWAYS there
OVERFLOW = "*"  # the term of such records: what is asked of other fields takes them all in

# Plain fields whose values are indexed in every record, however much else there is in it.
ALWAYS = frozenset({
    "actor.id", "actor.name", "actor.type", "detail", "event_type", "name", "occurred_at",
    "outcome", "source", "user_id",
})  # fmt: skip

OUTCOMES = frozenset({"success", "failure", "unknown"})  # all values of `outcome` that there are

_COLUMNS = filters.NOT_TEXT  # fields with a column of their own instead of terms
_MAX_PATH = 96
_MAX_TEXT = 64
_DIGEST = 16
_ORDERED = 16  # hexadecimal digits of a number or a moment
_SEVERAL = "*"  # in their place: the record has several at this path
_PATH_KEPT = _MAX_PATH - _DIGEST  # what a long path keeps of its beginning
_TEXT_KEPT = _MAX_TEXT - _DIGEST

# ---- what a filter asks for -------------------------------------------------------


def asked_by(where: Filter) -> Asked | None:
    """Return which records can match; None if the index cannot tell any of them from the rest."""
    return _asked(where, "")


def ruled_out_by(where: Filter) -> tuple[str, ...]:
    """Return terms that no record has that matches.

    Of few questions this can be told, since a term stands for values of any case: of an outcome
    and of words, whose case does not count. But of one that hides nearly everything, such as
    "not success", it spares looking at what is hidden.
    """
    match where:
        case AllOf(parts):
            return tuple(dict.fromkeys(term for part in parts for term in ruled_out_by(part)))
        case Not(AnyOf(parts)):
            return ruled_out_by(AllOf(tuple(Not(part) for part in parts)))
        case Not(Is("outcome", text)) if text in OUTCOMES:
            return (_text_term("outcome", text),)
        case Not(Words((word,), open_end=False)) if len(word) <= _MAX_TEXT:
            return (_word_term(word),)
        case _:
            return ()


def _asked(where: Filter, inside: str) -> Asked | None:
    """What `where` asks for, its paths being relative to `inside` (empty, or with a last dot)."""
    match where:
        case AllOf(parts):
            return _both(_asked_together(parts, inside))
        case AnyOf(parts):
            return _either([_asked(part, inside) for part in parts])
        case Element(path, inner):
            return _asked(inner, f"{inside}{path}.")
        case Not():
            return None
        case Words():
            return Either((_asked_by_words(where), Term(OVERFLOW)))
        case _:
            return _asked_of_field(f"{inside}{where.path}", where)


def _asked_of_field(path: str, where: Is | Like | Contains | Compare | Exists) -> Asked | None:
    if path in _COLUMNS:
        return None
    asked = _asked_by_value(path, where)
    return asked if path in ALWAYS else Either((asked, Term(OVERFLOW)))


def _asked_together(parts: tuple[Filter, ...], inside: str) -> list[Asked | None]:
    """What each part asks for; but both bounds of one field ask for what lies between them.

    Each of two values may be on one side only, so records with several values are taken in.
    """
    asked: list[Asked | None] = []
    spans: dict[str, list[Span]] = {}
    for part in parts:
        span = _span_of(part, inside)
        if span is None:
            asked.append(_asked(part, inside))
        else:
            spans.setdefault(span.low[:-_ORDERED], []).append(span)
    for head, sides in spans.items():
        low, high = max(each.low for each in sides), min(each.high for each in sides)
        others = [Term(OVERFLOW), *([Term(head + _SEVERAL)] if len(sides) > 1 else [])]
        asked.append(Either((*([Span(low, high)] if low <= high else []), *others)))
    return asked


def _span_of(part: Filter, inside: str) -> Span | None:
    if not isinstance(part, Compare) or (path := f"{inside}{part.path}") in _COLUMNS:
        return None
    asked = _asked_by_order(path, part.operator, part.text)
    return asked if isinstance(asked, Span) else None


def _asked_by_words(where: Words) -> Asked:
    *whole, last = where.words
    asked: list[Asked] = [Term(_word_term(word)) for word in whole]
    asked.append(Start(f"~{last[:_TEXT_KEPT]}") if where.open_end else Term(_word_term(last)))
    return both(list(dict.fromkeys(asked)))


def _asked_by_value(path: str, where: Is | Like | Contains | Compare | Exists) -> Asked:
    match where:
        case Exists():
            below = Start(f"{path}.".casefold()[:_PATH_KEPT])
            return Either((Start(_head(path, "=")), below))
        case Is(_, text):
            spellings = dict.fromkeys(_text_term(path, each) for each in _spellings(text))
            terms = tuple(Term(term) for term in spellings)
            return terms[0] if len(terms) == 1 else Either(terms)
        case Like(_, pattern):
            form = compile_pattern(pattern)
            if form.is_literal:
                return Term(_text_term(path, form.start))
            return Start(_head(path, "=") + form.start[:_TEXT_KEPT])
        case Contains():
            return Start(_head(path, "="))
        case Compare(_, operator, text):
            return _asked_by_order(path, operator, text)


def _asked_by_order(path: str, operator: filters.Operator, text: str) -> Asked:
    upwards = operator in {"gt", "gte"}
    if is_number(text):
        mark, spelled = "#", _ordered_number(to_number(text))
    elif moment := as_moment(text):
        mark, spelled = "@", _ordered_integer(to_micros(moment))
    else:
        return Start(_head(path, "="))
    head = _head(path, mark)
    low, high = (spelled, "f" * _ORDERED) if upwards else ("0" * _ORDERED, spelled)
    return Span(head + low, head + high)


def _both(parts: list[Asked | None]) -> Asked | None:
    known = [part for part in parts if part is not None]
    return both(known) if known else None


def _either(parts: list[Asked | None]) -> Asked | None:
    known = tuple(part for part in parts if part is not None)
    return Either(known) if len(known) == len(parts) else None


def _spellings(text: str) -> Iterator[str]:
    """The spellings of every value that `Is` takes for this text."""
    yield text
    if is_number(text):
        number = to_number(text)
        yield spell(float(number))
        if math.isfinite(number) and number == int(number):
            yield str(int(number))


# ---- what a record has ------------------------------------------------------------
#
# The largest part of what recording costs (docs/performance.md). So it is one walk, which has a
# generator for arrays alone, and the words of all texts are found at once.


def terms_of(fields: dict[str, Json]) -> tuple[str, ...]:
    """Return the distinct terms of a record: those of ALWAYS, and all or none of the rest.

    All if there are at most MAX_TERMS; else OVERFLOW stands for the rest. Not many more than
    these are ever spelled, since a record can have tens of thousands.
    """
    gathering = _Gathering()
    with suppress(_TooMany):
        gathering.walk("", without(fields, _COLUMNS))
        # Those of values have a sign in them that no word has, so that no term is there twice.
        terms = (*gathering.terms, *_word_terms("\n".join(gathering.texts)))
        if len(terms) <= MAX_TERMS:
            return terms
    return (*_always_terms(fields), OVERFLOW)


class _TooMany(Exception):
    """There are more than MAX_TERMS terms already."""


class _Gathering:
    """One walk through a record: the terms of its values, and the texts that have its words."""

    __slots__ = ("_first", "terms", "texts")

    def __init__(self) -> None:
        self.terms: dict[str, None] = {}
        self.texts: list[str] = []
        self._first: dict[str, str] = {}  # of the numbers, and of the moments, at each path

    def walk(self, above: str, fields: dict[str, Json]) -> None:
        """Take in what lies in an object; `above` is its path, without case, and a dot."""
        members = {key.casefold(): value for key, value in fields.items()}
        for key, value in (members if len(members) == len(fields) else _merged([fields])).items():
            match value:
                case str():
                    self._text(_shorten(above + key, _MAX_PATH), value)
                case dict():
                    self.walk(f"{above}{key}.", value)
                case list():
                    self._array(above + key, value)
                case _:
                    self._constant(_shorten(above + key, _MAX_PATH), value)
        self._stop_if_too_many()

    def _array(self, path: str, items: list[Json]) -> None:
        objects: list[dict[str, Json]] = []
        place: str | None = None  # a long path takes time to shorten, and may have no values
        for item in values_at(items, None):
            if isinstance(item, dict):
                objects.append(item)
                continue
            place = place or _shorten(path, _MAX_PATH)
            self.leaf(place, item)
            self._stop_if_too_many()
        if objects:
            self.walk(f"{path}.", objects[0] if len(objects) == 1 else _merged(objects))

    def leaf(self, place: str, value: Json) -> None:
        """Take in a value whose path, shortened, is `place`."""
        if isinstance(value, str):
            self._text(place, value)
        else:
            self._constant(place, value)

    def _text(self, place: str, text: str) -> None:
        self.terms[f"{place}={_shorten(text.casefold(), _MAX_TEXT)}"] = None
        self.texts.append(text)
        # A glance saves asking of each text, since few have this sign where a year ends.
        if text[4:5] == "-" and (moment := as_moment(text)):
            self._ordered(f"{place}@", _ordered_integer(to_micros(moment)))

    def _constant(self, place: str, value: Json) -> None:
        text = spell(value)
        self.terms[f"{place}={text}"] = None
        if value is not None:
            self.texts.append(text)
        if isinstance(value, int | float) and not isinstance(value, bool):
            self._ordered(f"{place}#", _ordered_number(value))

    def _ordered(self, head: str, digits: str) -> None:
        self.terms[head + digits] = None
        if self._first.setdefault(head, digits) != digits:
            self.terms[head + _SEVERAL] = None

    def _stop_if_too_many(self) -> None:
        if len(self.terms) > MAX_TERMS:
            raise _TooMany


def _merged(objects: list[dict[str, Json]]) -> dict[str, Json]:
    """Return one object with the terms of all: at each key, without case, an array of values.

    So a path is spelled out once, however many objects of an array have it: it can be as long as
    sixty keys, and there can be thousands.
    """
    merged: dict[str, list[Json]] = {}
    for fields in objects:
        for key, value in fields.items():
            merged.setdefault(key.casefold(), []).append(value)
    return dict(merged)


def _always_terms(fields: dict[str, Json]) -> dict[str, None]:
    terms: dict[str, None] = {}
    for path in sorted(ALWAYS):
        for leaf in leaves_at(fields, path):
            alone = _Gathering()  # so that it says nothing of others at its path
            alone.leaf(path, leaf)
            terms |= alone.terms
    return terms


_IN_WORDS = f"{string.ascii_letters}{string.digits}_"
# Without case, and a blank for whatever is in no word.
_WORDS_APART = bytes(
    ord(chr(code).lower() if chr(code) in _IN_WORDS else " ") for code in range(256)
)


def _word_terms(text: str) -> list[str]:
    """The terms of the distinct words of a text: those of `words_of`."""
    if text.isascii():
        # In half the time that a regular expression takes, since no step of it is about one word.
        words = dict.fromkeys(text.encode().translate(_WORDS_APART).split())
        terms = (b"~" + b"\n~".join(words)).decode().split("\n") if words else []
    else:
        terms = ["~" + word for word in dict.fromkeys(words_of(text))]
    if max(map(len, terms), default=0) > 1 + _MAX_TEXT:
        return [_word_term(term[1:]) for term in terms]
    return terms


def _text_term(path: str, text: str) -> str:
    return _head(path, "=") + _shorten(text.casefold(), _MAX_TEXT)


def _word_term(word: str) -> str:
    return "~" + _shorten(word, _MAX_TEXT)


def _head(path: str, mark: str) -> str:
    return _shorten(path.casefold(), _MAX_PATH) + mark


def _shorten(text: str, length: int) -> str:
    """Keep short texts readable; cut long ones, and tell them apart by a digest of the whole."""
    if len(text) <= length:
        return text
    return text[: length - _DIGEST] + hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def _ordered_number(number: float) -> str:
    """Sixteen hexadecimal digits whose order is that of the numbers, as doubles."""
    (bits,) = struct.unpack(">Q", struct.pack(">d", float(number) + 0.0))
    # IEEE 754: positive numbers sort by their bits, negative ones backwards and below.
    return f"{bits ^ (0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else 1 << 63):016x}"


def _ordered_integer(number: int) -> str:
    return f"{number + (1 << 63):016x}"
