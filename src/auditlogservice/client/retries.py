"""When to try a call again, and how long to wait. Pure: chance and time are arguments."""

from __future__ import annotations

from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# Each says "not now": a line that was too slow, the limit, a proxy that lost the server, the
# server itself.
WORTH_REPEATING = frozenset({408, 429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How often to try, and how long to wait in between: twice as long each time, to a limit."""

    attempts: int = 5
    first_wait: float = 0.2
    longest_wait: float = 20.0

    def wait(self, attempt: int, *, asked: float | None, chance: float) -> float:
        """Return the seconds before the next attempt; `chance` from 0 to 1 spreads callers.

        What the server asked for is the least that is waited, up to the limit.
        """
        backoff = min(self.longest_wait, self.first_wait * 2.0 ** min(attempt, 30))
        return max(backoff * (0.5 + chance / 2), min(asked or 0, self.longest_wait))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that `Retry-After` asks for; a date counts from the server's own."""
    asked = headers.get("retry-after", "").strip()
    if asked.isdecimal():
        return float(asked)
    try:
        then, now = parsedate_to_datetime(asked), parsedate_to_datetime(headers.get("date", ""))
        return max((then - now).total_seconds(), 0)
    except (ValueError, TypeError):
        return None
