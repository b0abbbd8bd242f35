"""Where in a log the candidates of frequent values lie: bits, for a block of records at a time.

MongoDB follows one value along the index of terms and has no quick intersection: where three
values that one record of four has never meet, it reads each record of the rarest, 2 to 8 µs each.
The place of a record is 1 µs in the index, and nothing in memory: so places are kept. A log only
grows, so what is known of a full block stays true; an erased record is a candidate in vain.
What is kept is bounded, and what was not asked for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from pymongo import DESCENDING

from auditlogservice.store.mongodb.schema import BY_SEQUENCE, BY_TERM
from auditlogservice.store.mongodb.searching import Stretch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.mongodb.searching import Way
    from auditlogservice.store.port import Order

Events: TypeAlias = "AsyncCollection[Document]"

_BLOCK = 16_384  # records: what is read of a frequent value in 20 ms, and 2 KiB of bits
_ROOM = 32 * 1024 * 1024  # bytes of all that is kept: 230 values of a million records
_EXTRA = 300  # bytes that a block takes beside its bits: key, entry and number
_FEW = 200  # candidates of a block that are looked at sooner than another value's are read


async def end_of(events: Events, tenant: str, session: AsyncClientSession | None = None) -> int:
    """Return the sequence after the last one of the tenant."""
    last = await events.find_one(
        {"t": tenant},
        {"_id": False, "s": True},
        sort=[("s", DESCENDING)],
        hint=BY_SEQUENCE,
        session=session,
    )
    return int(last["s"]) + 1 if last else 0


@dataclass(slots=True)
class Meeting:
    """Ways of one tenant that all candidates lie on, in the order in which they are asked."""

    tenant: str
    ways: list[Way]
    milliseconds: Callable[[], int]  # that are left to the server; raises QueryTimeout if none


class Places:
    """What is known of the places of a database. Each process has its own.

    `size` is how many bytes that takes.
    """

    def __init__(self, events: Events) -> None:
        self._events = events
        self._known: OrderedDict[tuple[str, frozenset[str], int], int] = OrderedDict()
        self.size = 0

    async def meeting(
        self, meeting: Meeting, left: Stretch, order: Order
    ) -> AsyncGenerator[list[int]]:
        """Yield the places in `left` where all ways may meet, in this order, a block at a time."""
        # Each read of a session sees what an earlier one saw, also of another primary. So a block
        # that ends before the log does is read whole.
        async with self._events.database.client.start_session() as session:
            end = await end_of(self._events, meeting.tenant, session)
            left = left.beyond(end, "newest")
            first, last = left.low // _BLOCK, left.high // _BLOCK
            blocks = range(first, last + 1) if left else range(0)
            for block in blocks if order == "oldest" else reversed(blocks):
                bits = await self._together(meeting, block, end, session)
                places = [place for place in _places(bits, block * _BLOCK) if place in left]
                yield places if order == "oldest" else places[::-1]

    async def _together(
        self, meeting: Meeting, block: int, end: int, session: AsyncClientSession
    ) -> int:
        """Return what all ways have in common in this block, or a little more."""
        together = (1 << _BLOCK) - 1
        for way in list(meeting.ways):
            key = (meeting.tenant, way.terms, block)
            bits = self._known.get(key)
            if bits is not None:
                self._known.move_to_end(key)
            elif together.bit_count() <= _FEW:
                continue
            else:
                bits = await self._read(meeting, way, block, session)
                if (block + 1) * _BLOCK <= end:
                    self._keep(key, bits)
            together &= bits
            if not together:
                # Where this one is rare, it alone will often do for the next block too.
                meeting.ways.remove(way)
                meeting.ways.insert(0, way)
                break
        return together

    async def _read(
        self, meeting: Meeting, way: Way, block: int, session: AsyncClientSession
    ) -> int:
        """Return the bits of the candidates on the way, having asked the index alone.

        As one array, which takes a third of the time that a document for each place would.
        """
        part = Stretch(block * _BLOCK, (block + 1) * _BLOCK - 1)
        found = await self._events.aggregate(
            [
                {"$match": {"t": meeting.tenant, "s": part.condition(), **way.condition()}},
                {"$group": {"_id": None, "places": {"$push": "$s"}}},
            ],
            hint=dict(BY_TERM),
            maxTimeMS=meeting.milliseconds(),
            session=session,
        )
        documents = await found.to_list()
        return _bits(documents[0]["places"], part.low) if documents else 0

    def _keep(self, key: tuple[str, frozenset[str], int], bits: int) -> None:
        if key not in self._known:  # another question may have been first
            self.size += _size(bits)
        self._known[key] = bits
        while self.size > _ROOM:
            self.size -= _size(self._known.popitem(last=False)[1])


def _size(bits: int) -> int:
    return bits.bit_length() // 8 + _EXTRA


def _bits(places: list[int], first: int) -> int:
    """Return a number whose bits say which of the places of a block are there."""
    digits = bytearray(b"0" * _BLOCK)
    for place in places:
        digits[first - place - 1] = ord("1")  # the digit of the first place is the last one
    return int(digits, 2)


def _places(bits: int, first: int) -> Iterator[int]:
    """Yield the places of a block that a number says, in ascending order."""
    digits = f"{bits:b}"[::-1]
    found = digits.find("1")
    while found >= 0:
        yield first + found
        found = digits.find("1", found + 1)
