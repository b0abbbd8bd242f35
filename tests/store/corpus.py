"""Made records, and questions about them: nasty values, few enough kinds that many match.

Made by a seeded `random`, not drawn: hypothesis chooses the questions, and hundreds of records
for each would leave no time to ask any.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, get_args

from hypothesis import strategies as st

from auditlogservice.filters import (
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Operator,
    Words,
    all_of,
    any_of,
    spell,
    words_of,
)
from auditlogservice.times import format_utc
from naive import leaves
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft, Record

# ---- records --------------------------------------------------------------------------

_VALUES: tuple[Json, ...] = (
    None, True, False, 0, 1, -1, 7, 42, 2**53, 2**53 + 1, 2**63 - 1, -(2**63), -0.0, 0.1, 1.5,
    1e16, 1e21, 5e-324, -1.7976931348623157e308, "", "a", "A", "ab", "a b", "İstanbul", "istanbul",
    "Straße", "STRASSE", "50%", "5_0", "a*b", "a?b", "a\\b", "$ne", 'say "hi"', "it's", "a.b",
    "a=b", "nul\x00byte", "nul", "😀", "😀 grin", "\ud7ff", "\ue000", "\uffff", "\U0010ffff",
    "42", "42.0", "null", "true", "2026-01-31T12:00:00Z", "2026-01-31T13:00:00.5+01:00",
    "x" * 70, "x" * 69 + "y", "word " * 20, "é", "e\u0301", "[]", "~a", "*", "#", "@",
)  # fmt: skip
_KEYS = (
    "a", "b", "c", "A", "a.b", "b.c", "$where", "é", "", "k\x00", "name", "😀", "x" * 100, "=",
)  # fmt: skip


def made_drafts(seed: int, number: int, tenant: str) -> list[Draft]:
    """Drafts of a log; clocks go on now and then, by a little."""
    chance = random.Random(seed)
    moment, drafts = NOON, []
    for _ in range(number):
        moment += timedelta(microseconds=chance.choice((0, 0, 1, 1_000)))
        drafts.append(draft(_told(chance), tenant=tenant, user=chance.choice("ab"), at=moment))
    return drafts


def _told(chance: random.Random) -> dict[str, Json]:
    what = told(
        chance.choice(("User Logged In", "Straße", "file*read", "😀")),
        event_type=chance.choice(("auth.login", "auth.logout", "file.read")),
        detail=" ".join(chance.choices(("Alice", "bob", "signed", "in", "ALICE_9", "é"), k=3)),
        event_data=_object(chance, 2) if chance.random() < 0.9 else None,
    )
    if chance.random() < 0.9:  # so that to hide one outcome hides nearly everything
        what["outcome"] = chance.choice(("success",) * 8 + ("failure", "unknown"))
    if chance.random() < 0.6:
        what["actor"] = {"id": f"u{chance.randrange(20)}", "role": _value(chance, 1)}
    if chance.random() < 0.6:
        what["targets"] = [{"id": chance.choice("abc"), "type": chance.choice("xy")} for _ in "ab"]
    if chance.random() < 0.5:
        what["occurred_at"] = f"2026-01-31T12:00:0{chance.randrange(10)}.5Z"
    return what


def _object(chance: random.Random, depth: int) -> dict[str, Json]:
    return {chance.choice(_KEYS): _value(chance, depth) for _ in range(chance.randrange(5))}


def _value(chance: random.Random, depth: int) -> Json:
    if depth and chance.random() < 0.25:
        return [_value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if depth and chance.random() < 0.35:
        return _object(chance, depth - 1)
    return chance.choice(_VALUES)


# ---- questions ------------------------------------------------------------------------


@dataclass(frozen=True)
class Asked:
    """A filter, and which page of its answer is to be read."""

    where: Filter
    order: Literal["oldest", "newest"]
    beyond: int | None
    limit: int


_NUMBERS = ("0", "-0", "1.5", "42", "1e16", "9007199254740993", "9223372036854775807", "1e400")
_MOMENTS = ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000500Z", "2026-01-31T13:00:00.5+01:00")
_OPERATORS: st.SearchStrategy[Operator] = st.sampled_from(get_args(Operator))


def asked_about(records: Sequence[Record]) -> st.SearchStrategy[Asked]:
    places = st.none() | st.integers(-1, len(records))
    limits = st.sampled_from([1, 3, 40, 1_000])
    return st.builds(Asked, trees(records), st.sampled_from(["oldest", "newest"]), places, limits)


def trees(records: Sequence[Record]) -> st.SearchStrategy[Filter]:
    """Trees about what these records have, nearly have, or do not have."""
    known = [pair for record in records[:50] for pair in leaves(record.fields())]
    leaf = _leaf(known)
    return st.recursive(
        leaf,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda parts: all_of(*parts)),
            st.lists(inner, min_size=2, max_size=3).map(lambda parts: any_of(*parts)),
            inner.map(Not),
            _elements(known),
        ),
        max_leaves=5,
    )


@st.composite
def _leaf(  # noqa: PLR0911 - one for each kind of leaf
    draw: st.DrawFn, known: Sequence[tuple[str, Json]]
) -> Filter:
    path, value = draw(st.sampled_from(known))
    text = draw(st.just(spell(value)) | st.sampled_from(_NUMBERS + _MOMENTS))
    match draw(st.sampled_from(["is", "like", "contains", "compare", "exists", "words", "time"])):
        case "is":
            return Is(path, draw(st.sampled_from([text, text, text.upper(), f"{text}.0"])))
        case "like":
            return Like(path, _pattern(text, draw(st.integers(0, 6)), draw(st.integers(0, 3))))
        case "contains":
            return Contains(path, text[draw(st.integers(0, 3)) :][:4].upper())
        case "compare":
            return Compare(path, draw(_OPERATORS), text)
        case "exists":
            return Exists(draw(st.sampled_from([path, path.split(".", maxsplit=1)[0], path[:-1]])))
        case "words":
            return _words(words_of(spell(value)), draw(st.integers(0, 3)), draw(st.booleans()))
        case _:
            micros = timedelta(microseconds=draw(st.integers(-2, 100_000)))
            return Compare("timestamp", draw(_OPERATORS), format_utc(NOON + micros))


def _pattern(text: str, cut: int, kind: int) -> str:
    head = "".join("\\" + each if each in "*?\\" else each for each in text[:cut])
    tail = "".join("\\" + each if each in "*?\\" else each for each in text[cut:])
    return (f"{head}*", f"{head}{tail}", f"*{tail}".upper(), f"{head}?*")[kind]


def _words(found: list[str], start: int, open_end: bool) -> Filter:  # noqa: FBT001 - drawn
    words = tuple(found[start : start + 2]) or ("alice",)
    if open_end:
        words = (*words[:-1], words[-1][:3])
    return Words(words, open_end=open_end)


@st.composite
def _elements(draw: st.DrawFn, known: Sequence[tuple[str, Json]]) -> Filter:
    """Ask for two things within one object, some of which do stand in one."""
    path, value = draw(st.sampled_from([pair for pair in known if "." in pair[0]]))
    around, _, key = path.rpartition(".")
    others = [pair for pair in known if pair[0].startswith(f"{around}.")]
    other, there = draw(st.sampled_from(others))
    inner = other[len(around) + 1 :]
    same = Is(inner, spell(there))
    choices: list[Filter] = [same, Exists(inner), Not(same)]
    second = draw(st.sampled_from(choices))
    return Element(around, all_of(Is(key, spell(value)), second))
