"""How much a caller may use: rates as people write them, and where a caller stands.

What counts is `ledger/sharing`; how it is told is `web/budgets.py`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Self

RATE_PATTERN = r"[1-9][0-9]{0,11}/[smhd]"
_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


class Budget(StrEnum):
    """What is counted apart: writing, asking, taking away, signing in."""

    INGEST = "ingest"
    SEARCH = "search"
    EXPORT = "export"
    TOKEN = "token"  # noqa: S105 - the name of a budget


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds, and no more than so many at once."""

    amount: int
    seconds: int

    def to_text(self) -> str:
        unit = next(unit for unit, seconds in _SECONDS.items() if seconds == self.seconds)
        return f"{self.amount}/{unit}"

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read `5000/s`, or a number a minute (`m`), hour (`h`) or day (`d`).

        Raises ValueError for anything else.
        """
        if not re.fullmatch(RATE_PATTERN, text):
            raise ValueError(f"{text!r} is not a rate such as 5000/s")
        amount, unit = text.split("/")
        return cls(int(amount), _SECONDS[unit])


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a caller stands with a policy: `quota` in `window` seconds, and `left` of it.

    After `reset` seconds the whole quota is there again.
    """

    policy: str
    quota: int
    window: int
    left: int
    reset: int
