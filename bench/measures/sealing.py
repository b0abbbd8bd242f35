"""What the ledger costs: commitments, leaves and tiles, as a share of the time of a batch.

The tree cannot be switched off, so its part is timed alone, on the same events in groups of the
same size. What the store writes of it, a few tiles for each group, is not in this figure.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from auditlogservice.entries import commitment
from auditlogservice.merkle import leaf_hash
from auditlogservice.tiles import Tile, extended, growing_tiles
from bench.limits.stores import entries
from bench.ratios import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.store.admission import Entry
    from bench.field import Field

_SHARE = 15  # per cent, the goal
_TURNS = 5


def measure(field: Field) -> None:
    plan, book = field.plan, field.book
    group = entries(0, plan.batch_events)
    micros = [_seal(group) / len(group) * 1e6 for _ in range(_TURNS)]
    book.values("commitment, leaf and tiles", "one event", micros, "µs")
    for each in list(book.figures):
        if each.what.startswith("batches of") and each.side in field.logs and each.value:
            share = Spread.of(micros).median * each.value.median / 1e4
            book.at_most(f"the ledger's share of a batch, {each.side}", [share], _SHARE, "%")


def _seal(group: Sequence[Entry]) -> float:
    tiles: dict[Tile, bytes] = {}
    start = time.perf_counter()
    leaves = []
    for entry in group:
        commitment(entry.draft.salt, entry.draft.id, entry.record.payload)
        leaves.append(leaf_hash(entry.logged.to_bytes()))
    growing = {tile: tiles[tile] for tile in growing_tiles(0)}
    tiles |= extended(0, growing, leaves)
    return time.perf_counter() - start
