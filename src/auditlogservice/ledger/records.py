"""Reading records, page by page. Writing is `recorder.py`, erasing `governing/eraser.py`."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import orjson

from auditlogservice.errors import BadCursor, EventNotFound
from auditlogservice.events import Erasure, EventId, Sequence, parse_event_id
from auditlogservice.language import to_document
from auditlogservice.store.port import PageQuery
from auditlogservice.times import from_micros, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.access import Principal
    from auditlogservice.events import Listing, Record
    from auditlogservice.filters import Filter
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import EventStore, Order

MAX_LIMIT = 1_000
MAX_SECONDS = 10.0  # for a page
_MAC_BYTES = 16
_SEQUENCE_BYTES = 8
_MOMENT_BYTES = 8
_LATEST_MICROS = 253_402_300_799_000_000  # the year 9999


@dataclass(frozen=True, slots=True)
class Page:
    """Some records, and the cursor of the next page: None if there is none."""

    listing: Listing
    next: str | None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked for, in which order, and which page; `now` is when it was first asked."""

    where: Filter
    order: Order
    limit: int
    cursor: str | None
    now: datetime

    def about(self, where: Filter) -> Question:
        """Return the same page, in the same order, of something else."""
        return replace(self, where=where)


class Records:
    def __init__(self, store: EventStore, *, clock: Clock, cursor_secret: bytes) -> None:
        self._store = store
        self._clock = clock
        self._secret = cursor_secret

    async def get(self, principal: Principal, event_id: str) -> Record:
        """Return the record. Raises EventNotFound, also for ids that are none; EventErased."""
        kept = await self._store.find(principal.tenant, parse_id(event_id))
        if kept is None:
            raise EventNotFound
        if isinstance(kept, Erasure):
            raise kept.error(principal.tenant)
        return kept

    async def page(self, principal: Principal, question: Question) -> Page:
        """Return a page of what matches. Raises BadCursor if the cursor is of another question."""
        context = _context(principal.tenant, question)
        cursor = question.cursor
        beyond = None if cursor is None else self._read_cursor(cursor, context)
        # One more than wanted, to learn whether there is one. A page of large records ends early:
        # a thousand of the largest size would take more memory than many callers can be given.
        query = PageQuery(
            tenant=principal.tenant,
            where=question.where,
            order=question.order,
            beyond=beyond,
            limit=question.limit + 1,
            seconds=MAX_SECONDS,
        )
        listing = await self._store.listing(query)
        beyond = listing.beyond
        return Page(listing, None if beyond is None else self._cursor(beyond, context))

    # ---- cursors: a place, sealed to the question it belongs to ------------------

    def _cursor(self, place: Sequence, context: bytes) -> str:
        raw = place.to_bytes(_SEQUENCE_BYTES, "big") + context[-_MOMENT_BYTES:]
        return base64.urlsafe_b64encode(raw + self._mac(raw, context)).decode()

    def _read_cursor(self, cursor: str, context: bytes) -> Sequence:
        place = Sequence(int.from_bytes(_decode(cursor)[:_SEQUENCE_BYTES], "big"))
        # Compared as text, so that a cursor has one spelling.
        if not hmac.compare_digest(cursor, self._cursor(place, context)):
            raise BadCursor
        return place

    def _mac(self, place: bytes, context: bytes) -> bytes:
        return hmac.digest(self._secret, context + place, hashlib.sha256)[:_MAC_BYTES]


def _context(tenant: str, question: Question) -> bytes:
    asked = to_micros(question.now).to_bytes(_MOMENT_BYTES, "big")
    # As a document, which is part of the API and stays; no name that is only ours is sealed.
    # It can be nested deeper than an event, so `canonical.dump` would refuse some.
    where = orjson.dumps(to_document(question.where), option=orjson.OPT_SORT_KEYS)
    told = (tenant.encode(), question.order.encode(), where)
    return b"\0".join((b"cursor/v1", *told, asked))


def asked_at(cursor: str) -> datetime:
    """Return the moment that "now" was when the question of this cursor was first asked.

    So `since=7d` means the same on every page. Not to be believed before `page` has checked the
    cursor. Raises BadCursor if it is none.
    """
    raw = _decode(cursor)[_SEQUENCE_BYTES:]
    micros = int.from_bytes(raw[:_MOMENT_BYTES], "big")
    if micros > _LATEST_MICROS:
        raise BadCursor
    return from_micros(micros)


def _decode(cursor: str) -> bytes:
    try:
        raw = base64.b64decode(cursor.encode("ascii"), altchars=b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadCursor from None
    if len(raw) != _SEQUENCE_BYTES + _MOMENT_BYTES + _MAC_BYTES:
        raise BadCursor
    return raw


def parse_id(text: str) -> EventId:
    """Return the id. Raises EventNotFound if the text is none."""
    event_id = parse_event_id(text)
    if event_id is None:
        raise EventNotFound
    return event_id
