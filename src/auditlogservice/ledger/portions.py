"""How many records to ask a store for at once, so that an answer keeps to a size in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.events import Record

PORTION_BYTES = 8 * 1024 * 1024
_FIRST = 100  # 25 MiB if each is as large as an event may be
_MOST = 2_000


class Portions:
    """Learns from the records that came how large the next ones may be."""

    def __init__(self) -> None:
        self.records = 0
        self.bytes = 0

    def took(self, records: Iterable[Record]) -> None:
        for record in records:
            self.records += 1
            self.bytes += len(record.payload)

    def next(self) -> int:
        """Return a number of records that should take about PORTION_BYTES."""
        if not self.records:
            return _FIRST
        return max(1, min(_MOST, PORTION_BYTES * self.records // self.bytes))
