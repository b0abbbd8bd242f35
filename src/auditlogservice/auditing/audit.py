"""The judgement: what a source gives of a log, stretch by stretch, becomes a state of each place.

The tree is built anew from the entries. An entry says what its record is committed to, and the
content is hashed as it comes: no hash that a store keeps is believed. A record without content is
ERASED only if a record of the service's own, further on in the same log, names its id, its place
and the very leaf of the tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING

import orjson

from auditlogservice.auditing.findings import Fault, Finding, State
from auditlogservice.auditing.places import MARK_BYTES, Open, Places
from auditlogservice.entries import commitment, parse_entry
from auditlogservice.errors import MalformedInput
from auditlogservice.governance import TOMBSTONE_TYPE, is_tombstone
from auditlogservice.merkle import HASH_BYTES, Edge, leaf_hash
from auditlogservice.tiles import WIDTH, Tile, extended, growing_tiles

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.auditing.findings import Report
    from auditlogservice.entries import LogEntry

_UNKNOWN = bytes(HASH_BYTES)  # in the place of a leaf that neither entry nor tile tells
_NO_MARK = bytes(MARK_BYTES)
_TOMBSTONE = b'"event_type":"%b"' % TOMBSTONE_TYPE.encode()
_TIMESTAMP = b',"timestamp":"'
_MOMENT = len("2026-01-31T23:59:59.000000Z")

_SAYS = {
    Open.NO_CONTENT: (State.MISSING, "its content is not there, and no tombstone says why"),
    Open.ONLY_SALT: (State.MISSING, "its content is not there, and no tombstone says why"),
    Open.NO_SALT: (State.ALTERED, "the salt is lost that proves its content"),
    Open.MISFIT: (State.ALTERED, "its entry is not the one that the tree holds"),
}


@dataclass(frozen=True, slots=True)
class Stretch:
    """Places that lie within one tile of level 0, as they were found; None is what was not.

    `leaves` has what the tile says of them. Contents are payloads: records without `sequence`.
    """

    first: int
    entries: Sequence[bytes | None]
    leaves: bytes
    salts: Sequence[bytes | None]
    payloads: Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Landmark:
    """What the root is said to be at a size, and what is wrong if it is another one."""

    size: int
    root: bytes
    otherwise: Fault
    detail: str


class Audit:
    """One pass over a log. Findings and counts go into the report."""

    def __init__(self, report: Report) -> None:
        self.report = report
        self._landmarks: list[Landmark] = []
        self._by_entries = Edge()
        self._by_tiles = Edge()
        self._growing: dict[Tile, bytes] = {}
        self._entries_signed = False
        self._before: tuple[Landmark, bool, bool] | None = None  # whether entries, tiles fit it
        self._misfits: set[int] = set()  # numbers of tiles of level 0 with other leaves
        self._short: set[int] = set()  # and of those that have too few
        self._places = Places()
        self._buried: dict[int, str] = {}  # content that is there although it was erased

    @property
    def size(self) -> int:
        return self._by_entries.size

    @property
    def root(self) -> bytes:
        return self._by_entries.root

    def expect(self, landmark: Landmark) -> None:
        """Compare the root when the tree has that size."""
        if landmark.size == self.size:
            self._meet(landmark, self._by_entries, self._by_tiles)
        else:
            self._landmarks.append(landmark)

    def add(self, stretch: Stretch) -> dict[Tile, bytes]:
        """Judge the next stretch; return the tiles above level 0 that are full with it."""
        found = [None if entry is None else leaf_hash(entry) for entry in stretch.entries]
        told = _leaves(stretch.leaves, len(found))
        believed = [one or other or _UNKNOWN for one, other in zip(found, told, strict=True)]
        stored = [other or one or _UNKNOWN for one, other in zip(found, told, strict=True)]
        self._grow(believed, stored)
        rows = zip(stretch.entries, believed, told, stretch.salts, stretch.payloads, strict=True)
        right = sum(self._judge(place, *row) for place, row in enumerate(rows, stretch.first))
        self.report.states[State.OK] += right
        return self._above(stretch.first, stored)

    def partial(self) -> dict[Tile, bytes]:
        """Return the tiles above level 0 that are not full."""
        return {tile: hashes for tile, hashes in self._growing.items() if tile.level}

    def check(self, tile: Tile, *, found: bytes, expected: bytes) -> None:
        if found != expected:
            detail = f"tile {tile.level}/{tile.number} does not fit what lies below it"
            self.report.add(Finding(Fault.TILE, detail))

    def finish(self) -> None:
        """Settle what is open: nothing more comes."""
        self._look_back()
        # Where the entries are those that were signed, it is the tile that is wrong.
        wrong = self._short | (self._misfits if self._entries_signed else set())
        for number in sorted(wrong):
            detail = f"tile 0/{number} does not have the leaves of its entries"
            self.report.add(Finding(Fault.TILE, detail))
        for place, what in self._places:
            if what is Open.MISFIT and self._entries_signed:
                self.report.states[State.OK] += 1
            elif what in _SAYS:
                self._say(place, *_SAYS[what])
        for place in sorted(self._buried):
            self.report.states[State.OK] -= 1
            self._say(
                place, State.INCOMPLETE, "a tombstone says it was erased, and some of it is there"
            )
        self.report.states = +self.report.states

    # ---- the tree -----------------------------------------------------------------------

    def _grow(self, believed: list[bytes], stored: list[bytes]) -> None:
        before, other = self._by_entries, self._by_tiles
        self._by_entries = before.extended(believed)
        same = before is other and believed == stored
        self._by_tiles = self._by_entries if same else other.extended(stored)
        for landmark in self._landmarks:
            if before.size < landmark.size <= self.size:
                part = landmark.size - before.size
                self._meet(
                    landmark, before.extended(believed[:part]), other.extended(stored[:part])
                )

    def _meet(self, landmark: Landmark, entries: Edge, tiles: Edge) -> None:
        """Compare with a root; that of the tiles counts too, for entries that were altered alone.

        Which those are is said place by place.
        """
        by_entries, by_tiles = entries.root == landmark.root, tiles.root == landmark.root
        if landmark.otherwise is Fault.REWRITTEN:
            self._before = landmark, by_entries, by_tiles
            return
        self._entries_signed = by_entries
        if not (by_entries or by_tiles):
            self.report.add(Finding(landmark.otherwise, landmark.detail))

    def _look_back(self) -> None:
        """Old and new root must be of one tree: where the entries were signed, of theirs."""
        if self._before is None:
            return
        landmark, by_entries, by_tiles = self._before
        if not (by_entries or (by_tiles and not self._entries_signed)):
            self.report.add(Finding(landmark.otherwise, landmark.detail))

    def _above(self, first: int, stored: list[bytes]) -> dict[Tile, bytes]:
        changed = extended(first, self._growing, stored)
        known = {**self._growing, **changed}
        self._growing = {tile: known[tile] for tile in growing_tiles(self.size)}
        return {
            tile: hashes
            for tile, hashes in changed.items()
            if tile.level and tile not in self._growing
        }

    # ---- places -------------------------------------------------------------------------

    def _judge(
        self,
        place: int,
        raw: bytes | None,
        leaf: bytes,
        told: bytes | None,
        salt: bytes | None,
        payload: bytes | None,
    ) -> bool:
        """Return whether the place is OK; if it is not, or not yet, that is taken down."""
        if told != leaf:
            (self._short if told is None else self._misfits).add(place // WIDTH)
        if raw is None:
            self._close(place, State.MISSING, "its entry is not there")
            return False
        try:
            entry = parse_entry(raw)
        except MalformedInput as error:
            self._close(place, State.ALTERED, str(error))
            return False
        if salt is None or payload is None:
            self._places.add(place, _open(salt, payload), _mark(entry.id, leaf))
        elif flaw := _flaw(raw, entry, salt, payload):
            self._close(place, State.ALTERED, flaw)
        elif told is not None and told != leaf:
            self._places.add(place, Open.MISFIT, _NO_MARK)
        else:
            if _TOMBSTONE in payload:
                self._bury(place, payload)
            return True
        return False

    def _close(self, place: int, state: State, detail: str) -> None:
        self._places.add(place, Open.JUDGED, _NO_MARK)
        self._say(place, state, detail)

    def _say(self, place: int, state: State, detail: str) -> None:
        self.report.states[state] += 1
        self.report.add(Finding(state, detail, place))

    # ---- tombstones ---------------------------------------------------------------------

    def _bury(self, place: int, payload: bytes) -> None:
        fields = orjson.loads(payload)
        if not is_tombstone(fields):
            return
        match fields.get("event_data"):
            case {"_id": str(name), "sequence": int(buried), "leaf_hash": str(leaf), **more} if (
                buried < place
            ):
                reason = str(more.get("reason") or "no reason")
                self._settle(buried, _mark_of_text(name, leaf), reason)

    def _settle(self, place: int, mark: bytes, reason: str) -> None:
        found = self._places.get(place)
        if found is None:
            self._buried[place] = reason
            return
        what, expected = found
        if mark != expected:
            return
        if what is Open.NO_CONTENT:
            self._places.change(place, Open.SETTLED)
            self.report.states[f"{State.ERASED}:{reason}"] += 1
        elif what in {Open.ONLY_SALT, Open.NO_SALT}:
            # Salt and content are read one after the other, and it may have gone in between.
            self._places.change(place, Open.SETTLED)
            self.report.states[State.OK] += 1
            self._buried[place] = reason

    # ---- another look -------------------------------------------------------------------

    def buried(self) -> list[int]:
        """Return the places of which something was there, and a tombstone behind them.

        If they were erased while this went on, another look finds them so.
        """
        return sorted(self._buried)

    def gone(self, place: int) -> None:
        """Take in that a buried place has neither content nor salt any more."""
        reason = self._buried.pop(place)
        self.report.states[State.OK] -= 1
        self.report.states[f"{State.ERASED}:{reason}"] += 1

    def waits(self) -> bool:
        """Whether a tombstone further on could still explain a place."""
        return any(what in _EXPLAINABLE for _, what in self._places)


_EXPLAINABLE = frozenset({Open.NO_CONTENT, Open.ONLY_SALT, Open.NO_SALT})


def _leaves(row: bytes, count: int) -> list[bytes | None]:
    """Return the leaves that a tile tells, None where it is too short."""
    parts = (row[at : at + HASH_BYTES] for at in range(0, count * HASH_BYTES, HASH_BYTES))
    return [part if len(part) == HASH_BYTES else None for part in parts]


def _open(salt: bytes | None, payload: bytes | None) -> Open:
    """Return what is open about a place that lacks one of the two, or both."""
    if salt is None:
        return Open.NO_CONTENT if payload is None else Open.NO_SALT
    return Open.ONLY_SALT


def _flaw(raw: bytes, entry: LogEntry, salt: bytes, payload: bytes) -> str | None:
    """Return what is wrong with content; None if it is the record that the entry speaks of.

    `raw` is the entry as it is spelled: moments are compared as text, which both have in one
    spelling only.
    """
    if commitment(salt, entry.id, payload) != entry.commitment:
        return "its content is not what the log is committed to"
    # Canonical bytes: the last `timestamp` is the record's own, since only `user_id` follows it.
    at = payload.rfind(_TIMESTAMP) + len(_TIMESTAMP)
    if not raw.endswith(b'"t":"%b","ty":"event","v":1}' % payload[at : at + _MOMENT]):
        return "its content has another timestamp than its entry"
    if not payload.startswith(b'{"_id":"%b",' % entry.id.encode()):
        return "its content has another id than its entry"
    return None


def _mark(name: str, leaf: bytes) -> bytes:
    return _mark_of_text(name, leaf.hex())


def _mark_of_text(name: str, leaf: str) -> bytes:
    """Return what stands for an id and a leaf: only a tombstone that names both has the same."""
    return sha256(f"{name} {leaf}".encode()).digest()[:MARK_BYTES]
