"""Time and chance as arguments: what the ledger is given instead of reading them itself."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeAlias

Clock: TypeAlias = Callable[[], datetime]  # the time now, with a zone
Entropy: TypeAlias = Callable[[int], bytes]  # so many random bytes, fit for keys


def new_id(now: datetime, entropy: Entropy) -> str:
    """Return 24 hex digits that nothing else has: the second it is made in, and chance."""
    return (int(now.timestamp()).to_bytes(4) + entropy(8)).hex()
