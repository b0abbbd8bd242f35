"""A log made by hand, as a source of audits: whatever is in it can be another than it should."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditlogservice.auditing.audit import Stretch
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.entries import LogEntry, commitment
from auditlogservice.events import EventId
from auditlogservice.governance import SERVICE_USER, TOMBSTONE_TYPE
from auditlogservice.merkle import HASH_BYTES, Edge, leaf_hash
from auditlogservice.notes import Note, SigningKey
from auditlogservice.tiles import WIDTH, Tile, extended
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.auditing.findings import Finding

ORIGIN = "log.example/ledger/acme"
KEY = SigningKey(ORIGIN, b"k" * 32)


@dataclass
class Made:
    """Keeps the contract of `proceeding.Source`. `notes` are told one after another."""

    entries: list[bytes | None] = field(default_factory=list)
    salts: list[bytes | None] = field(default_factory=list)
    payloads: list[bytes | None] = field(default_factory=list)
    tiles: dict[Tile, bytes] = field(default_factory=dict)
    notes: list[bytes] = field(default_factory=list)
    later: dict[int, bool] = field(default_factory=dict)  # what another look finds
    unsigned: int = 0  # before which place it tells what no checkpoint covers

    @classmethod
    def of(cls, count: int) -> Made:
        log = cls()
        for n in range(count):
            log.add(n=n)
        return log.seal()

    def add(self, *, user: str = "alice", event_type: str = "t", **data: object) -> None:
        what = draft(told(event_type=event_type, event_data=data), user=user)
        payload = what.payload(NOON)
        entry = LogEntry(what.id, NOON, commitment(what.salt, what.id, payload), None)
        self.entries.append(entry.to_bytes())
        self.salts.append(what.salt)
        self.payloads.append(payload)

    def bury(self, place: int, *, user: str = SERVICE_USER, **changed: object) -> None:
        """Add the tombstone of a place, or one that says something else."""
        right = {
            "_id": self.id_of(place),
            "sequence": place,
            "leaf_hash": self.leaf(place).hex(),
            "reason": "asked",
        }
        self.add(user=user, event_type=TOMBSTONE_TYPE, **{**right, **changed})

    def erase(self, place: int) -> None:
        self.salts[place] = self.payloads[place] = None

    def seal(self) -> Made:
        """Make the tree of the entries, and sign it; a later checkpoint is told later."""
        self.tiles = self.grown()
        self.notes.append(signed(len(self.entries), Edge().extended(self._leaves()).root))
        return self

    def grown(self) -> dict[Tile, bytes]:
        """Return the tiles of all entries, signed or not."""
        return extended(0, {}, self._leaves())

    def _leaves(self) -> list[bytes]:
        return [self.leaf(place) for place in range(len(self.entries))]

    def leaf(self, place: int) -> bytes:
        return leaf_hash(self.entries[place] or b"")

    def id_of(self, place: int) -> EventId:
        payload = self.payloads[place]
        assert payload is not None
        return EventId(payload[8:32].decode())

    # ---- the source -------------------------------------------------------------------

    def checkpoint(self) -> bytes:
        return self.notes.pop(0) if len(self.notes) > 1 else self.notes[0]

    def size(self) -> int:
        return len(self.entries)

    def unsigned_end(self) -> int:
        return self.unsigned

    def stretches(self, first: int, end: int) -> Iterator[Stretch]:
        while first < end:
            stop = min(end, (first // WIDTH + 1) * WIDTH)
            tile, start = self.tiles.get(Tile(0, first // WIDTH), b""), first % WIDTH
            nothing = [None] * (stop - max(first, len(self.entries)))
            yield Stretch(
                first,
                [*self.entries[first:stop], *nothing],
                tile[start * HASH_BYTES : (start + stop - first) * HASH_BYTES],
                [*self.salts[first:stop], *nothing],
                [*self.payloads[first:stop], *nothing],
            )
            first = stop

    def tile(self, tile: Tile, width: int) -> bytes:
        return self.tiles.get(tile, b"")[: width * HASH_BYTES]

    def has_content(self, place: int) -> bool:
        return self.later.get(place, True)

    def findings(self) -> list[Finding]:
        return []


def signed(size: int, root: bytes, key: SigningKey = KEY) -> bytes:
    text = Checkpoint(ORIGIN, size, root).text
    return Note(text, (key.sign(text),)).to_bytes()
