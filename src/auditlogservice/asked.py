"""What is asked of an index: records that have a term, or one of many, joined by "and" and "or".

The two stores put it into their own languages; what is true of it in both stands here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

_SPAN_DEPTH = 10  # digits of a span looked at beyond those that both ends share


@dataclass(frozen=True, slots=True)
class Term:
    """Records with this term."""

    text: str


@dataclass(frozen=True, slots=True)
class Start:
    """Records with a term that starts so."""

    text: str


@dataclass(frozen=True, slots=True)
class Span:
    """Records with a term from `low` to `high`, both included.

    Both have the same length, and from where they differ on, both are hexadecimal digits.
    """

    low: str
    high: str


@dataclass(frozen=True, slots=True)
class Both:
    """Records that every part asks for."""

    parts: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Either:
    """Records that at least one part asks for."""

    parts: tuple[Asked, ...]


Asked: TypeAlias = Term | Start | Span | Both | Either


def both(parts: list[Asked]) -> Asked:
    """Return what asks for every part, of which there is at least one."""
    return parts[0] if len(parts) == 1 else Both(tuple(parts))


def is_coarse(asked: Asked) -> bool:
    """Whether it may take in many terms."""
    match asked:
        case Term():
            return False
        case Start() | Span():
            return True
        case Both(parts) | Either(parts):
            return any(map(is_coarse, parts))


def conjuncts(asked: Asked) -> list[Asked]:
    """Return questions of which each takes in every candidate, and all together no others."""
    match asked:
        case Both(parts):
            return [each for part in parts for each in conjuncts(part)]
        case Either((first, *others)) if len(split := conjuncts(first)) > 1:
            # "(a and b) or c" is "(a or c) and (b or c)".
            return [Either((part, *others)) for part in split]
        case _:
            return [asked]


# ---- spans ------------------------------------------------------------------------


def starts_of(span: Span) -> list[str]:
    """Return beginnings that cover the span, for an index that can look for these only.

    A hundred or two at most: they may take in a little more than the span at its two ends, by a
    millionth of a number, or by a few seconds.
    """
    shared = 0
    while shared < len(span.low) and span.low[shared] == span.high[shared]:
        shared += 1
    head, cut = span.low[:shared], shared + _SPAN_DEPTH
    low, high = span.low[shared:cut], span.high[shared:cut]
    if not low:
        return [head]
    return [head + start for start in _cover(int(low, 16), int(high, 16), len(low))]


def _cover(low: int, high: int, digits: int) -> list[str]:
    """The hexadecimal beginnings of `digits` at most that cover the numbers low to high."""
    starts: list[str] = []
    while low <= high:
        # As many numbers at once as begin here and end before `high`: 1, 16, 256, …
        dropped = 0
        while (
            dropped < digits
            and low % 16 ** (dropped + 1) == 0
            and low + 16 ** (dropped + 1) - 1 <= high
        ):
            dropped += 1
        starts.append(f"{low:0{digits}x}"[: digits - dropped])
        low += 16**dropped
    return starts
