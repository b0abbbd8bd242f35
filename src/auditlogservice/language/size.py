"""How much one question may ask: what it takes to look at one record grows with all of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.filters import AllOf, AnyOf, Element, Filter, Like, Not, Words

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_CONDITIONS = 100  # in one question; each word of a phrase counts as one
MAX_PATTERN = 200  # characters of a pattern, each of which may be looked for from every place
MAX_PATTERNS = 1_000  # characters of all patterns in one question
MAX_WORDS = 100  # in one phrase


def check_size(where: Filter) -> None:
    """Raise ValueError, with a sentence that says the limit, if the question asks too much."""
    leaves = list(_leaves(where))
    if sum(len(leaf.words) if isinstance(leaf, Words) else 1 for leaf in leaves) > MAX_CONDITIONS:
        raise ValueError(
            f"a question may have {MAX_CONDITIONS} conditions, and each word counts as one"
        )
    if sum(len(leaf.pattern) for leaf in leaves if isinstance(leaf, Like)) > MAX_PATTERNS:
        raise ValueError(
            f"the patterns of a question may have {MAX_PATTERNS:,} characters together"
        )


def _leaves(where: Filter) -> Iterator[Filter]:
    match where:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _leaves(part)
        case Not(part) | Element(_, part):
            yield from _leaves(part)
        case _:
            yield where
