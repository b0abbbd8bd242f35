"""The invariant of every log: its tiles are those of a naive tree over its entries, and each entry
is bound to the content that is there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import naive_tree
from auditlogservice.entries import commitment
from auditlogservice.events import EventId, Record
from auditlogservice.governance import TOMBSTONE_TYPE
from auditlogservice.merkle import leaf_hash
from auditlogservice.tiles import WIDTH, Tile
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from auditlogservice.runtime.stores import Store
    from auditlogservice.store.port import Opening


async def examined(store: Store, tenant: str = "acme") -> list[Opening]:
    """Return what every leaf of the tenant's tree stands for, having checked all of the tree."""
    size = await store.ledger.size(tenant)
    assert size == await store.events.end(tenant)
    openings = await store.ledger.openings(tenant, 0, size + 1, content=True)
    assert [each.sequence for each in openings] == list(range(size))
    for each in openings:
        _check_opening(each)
    expected = _naive_tiles([leaf_hash(each.entry.to_bytes()) for each in openings])
    asked = {Tile(level, number) for level in range(4) for number in range(size // WIDTH + 2)}
    assert await store.ledger.tiles(tenant, asked) == expected
    return openings


def _check_opening(opening: Opening) -> None:
    if opening.payload is None or opening.salt is None:
        assert opening.payload is opening.salt
        return
    entry = opening.entry
    assert entry.commitment == commitment(opening.salt, entry.id, opening.payload)
    record = Record(id=entry.id, sequence=opening.sequence, payload=opening.payload)
    assert record.fields()["timestamp"] == format_utc(entry.timestamp)
    assert record.fields()["_id"] == entry.id


def _naive_tiles(leaves: list[bytes]) -> dict[Tile, bytes]:
    tiles, level, width = dict[Tile, bytes](), 0, 1
    while width <= len(leaves):
        ends = range(width, len(leaves) + 1, width)
        row = [naive_tree.root(leaves[end - width : end]) for end in ends]
        for number, start in enumerate(range(0, len(row), WIDTH)):
            tiles[Tile(level, number)] = b"".join(row[start : start + WIDTH])
        level, width = level + 1, width * WIDTH
    return tiles


def graves(openings: list[Opening]) -> list[EventId]:
    """The ids of the records that tombstones speak of, in order."""
    records = [
        Record(id=each.entry.id, sequence=each.sequence, payload=each.payload).fields()
        for each in openings
        if each.payload is not None
    ]
    told_of = [one["event_data"] for one in records if one["event_type"] == TOMBSTONE_TYPE]
    return [EventId(str(data["_id"])) for data in told_of if isinstance(data, dict)]
