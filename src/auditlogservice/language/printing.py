"""Filters written in the `q` language: for each one text, which reads back as that filter."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal

from auditlogservice.filters import (
    EVERYTHING,
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
)
from auditlogservice.language.conditions import TIMES

if TYPE_CHECKING:
    from typing import TypeAlias

# How much a text holds together: alternatives fall apart beside anything, units never.
_Strength: TypeAlias = Literal[0, 1, 2]
_ALTERNATIVES: _Strength = 0
_SEQUENCE: _Strength = 1
_UNIT: _Strength = 2

_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
_PLAIN_NAME = re.compile(r"[^\W\d][\w.@$/-]*")
_PLAIN_VALUE = re.compile(r"(?!.*\.\.)[\w./@+:-]+", re.DOTALL)
_PLAIN = re.compile(r"[\w./@+:-]")
_PAIRS = re.compile(r"\\.|[^\\]", re.DOTALL)


def to_text(where: Filter) -> str:
    """Return the text that `parse_text` reads as `where`, at any time.

    It may be longer than `parse_text` takes.
    """
    return "" if where == EVERYTHING else _print(where, _ALTERNATIVES)


def _print(where: Filter, strength: _Strength) -> str:
    """The text, in parentheses if it is weaker than it has to be."""
    own, text = _text_of(where)
    return text if own >= strength else f"({text})"


def _text_of(where: Filter) -> tuple[_Strength, str]:
    match where:
        case AllOf(()):
            return _UNIT, "()"
        case AllOf(parts):
            return _SEQUENCE, " ".join(_print(part, _UNIT) for part in parts)
        case AnyOf(parts):
            return _ALTERNATIVES, " OR ".join(_print(part, _SEQUENCE) for part in parts)
        case Not(Not() as part):
            return _UNIT, f"-({_print(part, _ALTERNATIVES)})"
        case Not(part):
            return _UNIT, f"-{_print(part, _UNIT)}"
        case _:
            return _UNIT, _term(where)


def _term(  # noqa: PLR0911 - one for each kind of filter
    where: Is | Like | Contains | Compare | Exists | Words | Element,
) -> str:
    match where:
        case Words(words, open_end):
            text = words[0] if len(words) == 1 else _quote(" ".join(words))
            return f"{text}*" if open_end else text
        case Element(path, inner):
            return f"{_name(path)}:({_about_element(inner)})"
        case Exists(path):
            return f"{_name(path)}:*"
        case Is(path, text):
            # Without quotes, a time field takes days and times ago as well.
            return f"{_name(path)}:{_quote(text) if path in TIMES else _value(text)}"
        case Like(path, pattern):
            return f"{_name(path)}:{_pattern(pattern)}"
        case Contains(path, text):
            return f"{_name(path)}:~{_value(text)}"
        case Compare(path, operator, text):
            return f"{_name(path)}:{_OPERATORS[operator]}{_value(text)}"


def _about_element(inner: Filter) -> str:
    """What stands in the parentheses; an empty pair in front if no field tells what they are."""
    if inner == EVERYTHING:
        return ""
    if _names_a_field(inner):
        return _print(inner, _ALTERNATIVES)
    return f"() {_print(inner, _SEQUENCE)}"


def _names_a_field(where: Filter) -> bool:
    match where:
        case Words():
            return False
        case AllOf(parts) | AnyOf(parts):
            # "Every record" is spelled by an empty pair, wherever it stands.
            return not parts or any(map(_names_a_field, parts))
        case Not(part):
            return _names_a_field(part)
        case _:
            return True


# ---- names, values and patterns ------------------------------------------------------


def _name(path: str) -> str:
    return path if _PLAIN_NAME.fullmatch(path) else _quote(path)


def _value(text: str) -> str:
    return text if _PLAIN_VALUE.fullmatch(text) else _quote(text)


def _quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _pattern(pattern: str) -> str:
    pairs = _PAIRS.findall(pattern)
    text = "".join(_piece(before, pair) for before, pair in zip(["", *pairs], pairs, strict=False))
    is_shown = pattern != "*" and any(pair in {"*", "?"} for pair in pairs)
    return text if is_shown else f"~={text or _quote(text)}"


def _piece(before: str, piece: str) -> str:
    """A piece of a pattern, escaped if it would mean something else; two dots are a range."""
    if len(piece) > 1 or piece in {"*", "?"}:
        return piece
    return piece if _PLAIN.match(piece) and before + piece != ".." else f"\\{piece}"
