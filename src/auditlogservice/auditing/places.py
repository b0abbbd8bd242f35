"""Places of a log about which something is still open, in 25 bytes each.

A log may have been erased almost wholly, and a tombstone comes long after what it speaks of.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK_BYTES = 16


class Open(IntEnum):
    """What is open about a place."""

    SETTLED = 0  # nothing any more
    NO_CONTENT = 1  # neither content nor salt: a tombstone may explain it
    ONLY_SALT = 2  # the content went, and what hides it stayed
    NO_SALT = 3  # content that nothing can prove
    MISFIT = 4  # the entry is not the one that its tile holds; all else is right
    JUDGED = 5  # altered or lost; no tombstone changes that


class Places:
    """In order, each with what is open about it and with a mark that a tombstone must know."""

    def __init__(self) -> None:
        self._places = array("Q")
        self._open = bytearray()
        self._marks = bytearray()

    def add(self, place: int, what: Open, mark: bytes) -> None:
        """Take in a place behind all others."""
        self._places.append(place)
        self._open.append(what)
        self._marks += mark

    def get(self, place: int) -> tuple[Open, bytes] | None:
        at = self._at(place)
        if at is None:
            return None
        return Open(self._open[at]), bytes(self._marks[at * MARK_BYTES : (at + 1) * MARK_BYTES])

    def change(self, place: int, what: Open) -> None:
        """Say what is open about a place that is there."""
        at = self._at(place)
        if at is not None:
            self._open[at] = what

    def __iter__(self) -> Iterator[tuple[int, Open]]:
        for place, what in zip(self._places, self._open, strict=True):
            yield place, Open(what)

    def _at(self, place: int) -> int | None:
        at = bisect_left(self._places, place)
        return at if at < len(self._places) and self._places[at] == place else None
