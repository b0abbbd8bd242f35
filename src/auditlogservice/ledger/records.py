"""Reading records, page by page, and erasing one. Writing is `recorder.py`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from auditlogservice.errors import BadCursor, EventNotFound
from auditlogservice.events import Erasure, EventId, Record, Sequence, parse_event_id
from auditlogservice.store.port import PageQuery

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.filters import Filter
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import EventStore

Order: TypeAlias = Literal["oldest", "newest"]

MAX_LIMIT = 1_000
_MAC_BYTES = 16
_SEQUENCE_BYTES = 8


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and the cursor of the next page: None if there is none."""

    records: list[Record]
    next: str | None


class Records:
    def __init__(self, store: EventStore, *, clock: Clock, cursor_secret: bytes) -> None:
        self._store = store
        self._clock = clock
        self._secret = cursor_secret

    async def get(self, principal: Principal, event_id: str) -> Record:
        """Return the record. Raises EventNotFound, also for ids that are none; EventErased."""
        kept = await self._store.find(principal.tenant, _parse_id(event_id))
        if kept is None:
            raise EventNotFound(event_id)
        if isinstance(kept, Erasure):
            raise kept.error()
        return kept

    async def page(
        self, principal: Principal, where: Filter, *, order: Order, limit: int, cursor: str | None
    ) -> Page:
        """Return a page of what matches. Raises BadCursor if the cursor is of another question."""
        context = _context(principal.tenant, where, order)
        beyond = None if cursor is None else self._read_cursor(cursor, context)
        # One more than asked for tells whether there is a next page.
        found = await self._store.page(
            PageQuery(
                tenant=principal.tenant, where=where, order=order, beyond=beyond, limit=limit + 1
            )
        )
        records = found[:limit]
        more = len(found) > limit
        return Page(records, self._cursor(records[-1].sequence, context) if more else None)

    async def erase(self, principal: Principal, event_id: str, *, reason: str | None) -> None:
        """Destroy the content of a record. Raises EventNotFound; EventErased if it is gone."""
        before = await self._store.find(principal.tenant, _parse_id(event_id))
        if isinstance(before, Erasure):
            raise before.error()
        erasure = before and await self._store.erase(
            principal.tenant,
            before.id,
            at=self._clock(),
            by=principal.name,
            reason=reason,
        )
        if erasure is None:
            raise EventNotFound(event_id)

    # ---- cursors: a place, sealed to the question it belongs to ------------------

    def _cursor(self, place: Sequence, context: bytes) -> str:
        raw = place.to_bytes(_SEQUENCE_BYTES, "big")
        return base64.urlsafe_b64encode(raw + self._mac(raw, context)).decode()

    def _read_cursor(self, cursor: str, context: bytes) -> Sequence:
        try:
            raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
        except (UnicodeEncodeError, binascii.Error):
            raise BadCursor from None
        place = Sequence(int.from_bytes(raw[:_SEQUENCE_BYTES], "big"))
        # Compared as text, so that a cursor has one spelling.
        if not hmac.compare_digest(cursor, self._cursor(place, context)):
            raise BadCursor
        return place

    def _mac(self, place: bytes, context: bytes) -> bytes:
        return hmac.digest(self._secret, context + place, hashlib.sha256)[:_MAC_BYTES]


def _context(tenant: str, where: Filter, order: Order) -> bytes:
    return b"\0".join((b"cursor/v1", tenant.encode(), order.encode(), where.spelling(), b""))


def _parse_id(text: str) -> EventId:
    event_id = parse_event_id(text)
    if event_id is None:
        raise EventNotFound(text)
    return event_id
