"""Room for what takes much memory: so much of it at once, and no more."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from auditlogservice.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Iterator


class Places:
    def __init__(self, count: int) -> None:
        self._free = count

    @contextmanager
    def take(self) -> Iterator[None]:
        """Take a place, and give it back. Raises Overloaded if there is none: nobody waits."""
        if not self._free:
            raise Overloaded
        self._free -= 1
        try:
            yield
        finally:
            self._free += 1
