"""How long a call may take, told once and shared by every step of it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pymongo

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_LEAST = 0.001  # the driver reads 0 as "no limit"


class Deadline:
    """The time limit of one call. It starts to run when it is made."""

    def __init__(self, seconds: float) -> None:
        self._clock = asyncio.get_running_loop().time
        self._start = self._clock()
        self._seconds = seconds

    def left(self, share: float = 1.0) -> float:
        """Return the seconds that are left of the first `share` of the limit; never negative."""
        return max(0.0, self._start + self._seconds * share - self._clock())

    def limit(self, share: float = 1.0) -> AbstractContextManager[object]:
        """Hold every driver call of the block within the first `share` of the limit."""
        return pymongo.timeout(max(self.left(share), _LEAST))
