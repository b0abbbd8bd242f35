"""Where in a log the candidates of frequent values lie: bits, for a block of records at a time.

MongoDB follows one value along the index of terms and has no quick intersection: where three
values that one record of four has never meet, it reads each record of the rarest, 2 to 8 µs each.
The place of a record is 1 µs in the index, and nothing in memory: so places are kept. A log only
grows, so what is known of a full block stays true; an erased record is a candidate in vain.
What is kept is bounded, and what was not asked for longest goes first.
"""

from __future__ import annotations

from collections import OrderedDict
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
_Key: TypeAlias = tuple[str, frozenset[str], int]  # tenant, terms, number of the block

_BLOCK = 16_384  # records: what is read of a frequent value in 20 ms, and 2 KiB of bits
_ROOM = 32 * 1024 * 1024  # bytes of all that is kept: 230 values of a million records
_EXTRA = 300  # bytes that a block takes beside its bits: key, entry and number
_FEW = 200  # places that are looked for one by one, 2 µs each, rather than reading a block


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


class Places:
    """What is known of full blocks. `size` is how many bytes that takes."""

    def __init__(self) -> None:
        self._bits: OrderedDict[_Key, int] = OrderedDict()
        self.size = 0

    def get(self, key: _Key) -> int | None:
        bits = self._bits.get(key)
        if bits is not None:
            self._bits.move_to_end(key)
        return bits

    def keep(self, key: _Key, bits: int) -> None:
        if key not in self._bits:  # another question may have been first
            self._bits[key] = bits
            self.size += _size(bits)
        while self.size > _ROOM:
            self.size -= _size(self._bits.popitem(last=False)[1])


class Meeting:
    """One question: where all of `ways` meet, and none of `without` is.

    `milliseconds` says how many are left to the server; it raises QueryTimeout if there are none.
    """

    def __init__(
        self,
        events: Events,
        known: Places,
        tenant: str,
        *,
        ways: list[Way],
        without: list[Way],
        milliseconds: Callable[[], int],
    ) -> None:
        self._events = events
        self._known = known
        self._tenant = tenant
        self._ways = list(ways)
        self._without = without
        self._milliseconds = milliseconds

    async def places(self, left: Stretch, order: Order) -> AsyncGenerator[list[int]]:
        """Yield the places of candidates in `left`, in this order, a block at a time."""
        # Each read of a session sees what an earlier one saw, also of another primary. So a block
        # that ends before the log does is read whole.
        async with self._events.database.client.start_session() as session:
            end = await end_of(self._events, self._tenant, session)
            left = left.beyond(end, "newest")
            blocks = range(left.low // _BLOCK, left.high // _BLOCK + 1) if left else range(0)
            for block in blocks if order == "oldest" else reversed(blocks):
                bits = await self._meet(block, session, is_full=(block + 1) * _BLOCK <= end)
                places = [place for place in _places(bits, block * _BLOCK) if place in left]
                yield places if order == "oldest" else places[::-1]

    async def _meet(self, block: int, session: AsyncClientSession, *, is_full: bool) -> int:
        candidates = (1 << _BLOCK) - 1
        for way in self._ways.copy():
            candidates &= await self._bits_of(way, block, candidates, session, is_full=is_full)
            if not candidates:
                # Where this one is rare, it alone will often do for the next block too.
                self._ways.remove(way)
                self._ways.insert(0, way)
                return 0
        for way in self._without:
            candidates &= ~await self._bits_of(way, block, candidates, session, is_full=is_full)
        return candidates

    async def _bits_of(
        self, way: Way, block: int, candidates: int, session: AsyncClientSession, *, is_full: bool
    ) -> int:
        """Return which of the candidates are on the way, and perhaps others that are."""
        key = (self._tenant, way.terms, block)
        bits = self._known.get(key)
        if bits is not None:
            return bits
        first = block * _BLOCK
        if candidates.bit_count() <= _FEW:
            return await self._read(way, first, {"$in": list(_places(candidates, first))}, session)
        part = Stretch(first, first + _BLOCK - 1)
        bits = await self._read(way, first, part.condition(), session)
        if is_full:
            self._known.keep(key, bits)
        return bits

    async def _read(
        self, way: Way, first: int, places: Document, session: AsyncClientSession
    ) -> int:
        """Return which of these places of a block are on the way, having asked the index alone.

        As one array, which takes a third of the time that a document for each place would.
        """
        found = await self._events.aggregate(
            [
                {"$match": {"t": self._tenant, "s": places, **way.condition()}},
                {"$group": {"_id": None, "places": {"$push": "$s"}}},
            ],
            hint=dict(BY_TERM),
            maxTimeMS=self._milliseconds(),
            session=session,
        )
        documents = await found.to_list()
        return _bits(documents[0]["places"], first) if documents else 0


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
