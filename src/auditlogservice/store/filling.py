"""A page while it fills: which candidates belong on it, and when it has enough. Pure.

Where to look for candidates is each store's own; what becomes of them is the same for all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.bounds import is_only_bounds
from auditlogservice.filters import matcher
from auditlogservice.glance import glance_for

if TYPE_CHECKING:
    from auditlogservice.events import Record
    from auditlogservice.store.port import PageQuery


class Filling:
    """One page. `records` are those that it has, in the order in which they were taken in.

    If a question `is_decided`, every record between its bounds matches.
    """

    def __init__(self, query: PageQuery) -> None:
        self.is_decided = is_only_bounds(query.where)
        # Of a payload, before a record is made of it. Where no index helps, a page is mostly of
        # records that this turns away in a microsecond; to parse them took 10 to 60.
        self.may_match = glance_for(query.where)
        self.records: list[Record] = []
        self._matches = matcher(query.where)
        self._limit = query.limit
        self._room = query.most_bytes

    @property
    def is_full(self) -> bool:
        return len(self.records) >= self._limit or self._room <= 0

    def take(self, record: Record) -> None:
        """Take the record in if it matches. Raises what `Record.checked_fields` does."""
        fields = record.checked_fields()  # also where nothing is left to decide
        if self.is_decided or self._matches(fields):
            self.records.append(record)
            self._room -= len(record.payload)
