"""Room for what takes much memory: so much of it at once, and no more, in fair parts."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditlogservice.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator


class Places:
    """So many places. A source may have up to `share` times as many as stay free for others.

    So whoever comes alone gets most of them, and never the last one if it has any.
    """

    def __init__(self, count: int, *, share: int) -> None:
        self._free = count
        self._share = share
        self._taken: Counter[Hashable] = Counter()

    @contextmanager
    def take(self, source: Hashable) -> Iterator[None]:
        """Take a place, and give it back. Raises Overloaded if there is none: nobody waits."""
        if not self._free or self._taken[source] >= self._share * self._free:
            raise Overloaded
        self._free -= 1
        self._taken[source] += 1
        try:
            yield
        finally:
            self._free += 1
            self._taken[source] -= 1
            if not self._taken[source]:
                del self._taken[source]
