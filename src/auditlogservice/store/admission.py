"""Which drafts are new, which are retries, and which must be refused: decided purely.

An adapter asks between reading what its store has and writing what it lacks, inside one
transaction; how the tenants' trees grow with it is part of the decision, so that no record is
ever outside its tree. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from auditlogservice.entries import LogEntry, commitment
from auditlogservice.errors import LogDamaged, ProofInvalid
from auditlogservice.events import Erasure, Record, Sequence
from auditlogservice.governance import holds_on
from auditlogservice.merkle import leaf_hash
from auditlogservice.store.port import (
    Appended,
    Held,
    KeyConflict,
    Replayed,
    Submission,
    Withdrawn,
)
from auditlogservice.tiles import extended, growing_tiles

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from datetime import datetime

    from auditlogservice.events import Draft, EventId, Fingerprint, Kept
    from auditlogservice.governance import Hold
    from auditlogservice.store.port import Answer, Burial, Outcome
    from auditlogservice.tiles import Tile


_FIRST = Sequence(0)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tenant's log ends: the sequence that comes next, and the last timestamp.

    `growing` has the tiles of its tree that are not full: `tiles.growing_tiles(next)`. If it
    `is_overrun`, there are records from `next` on: somebody has set it back.
    """

    next: Sequence = _FIRST
    timestamp: datetime | None = None
    growing: Mapping[Tile, bytes] = field(default_factory=dict)
    is_overrun: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether the log can go on from here: it is as the records before left it."""
        try:
            extended(self.next, self.growing, ())
        except ProofInvalid:
            return False
        return not self.is_overrun


@dataclass(frozen=True, slots=True)
class Known:
    """A record that the store has already, under an id that a draft would have."""

    fingerprint: Fingerprint | None  # None once it is erased
    kept: Kept


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written for one new record: itself, and its entry in the tenant's tree."""

    draft: Draft
    record: Record
    logged: LogEntry

    @property
    def timestamp(self) -> datetime:
        return self.logged.timestamp


@dataclass(slots=True)
class Admission:
    """The decision: the new records in order, where each log ends then, and every answer.

    `tiles` has for each tenant the tiles of its tree that change, whole.
    """

    heads: dict[str, Head]
    known: dict[EventId, Known]
    entries: list[Entry] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    tiles: dict[str, dict[Tile, bytes]] = field(default_factory=dict)


def keyed_ids(submissions: Iterable[Submission]) -> list[EventId]:
    """Return the ids that may be in the store already. All others are random and new."""
    return [draft.id for each in submissions for draft in each.drafts if draft.keyed]


def admit(
    submissions: Iterable[Submission],
    *,
    known: Mapping[EventId, Known],
    heads: Mapping[str, Head],
) -> Admission:
    """Decide about each draft, in order, given what the store has and where its logs end.

    To a log that is not whole nothing is added; what it has already is told all the same.
    """
    admission = Admission(dict(heads), dict(known))
    damaged = {tenant for tenant, head in heads.items() if not head.is_whole}
    for submission in submissions:
        is_barred = any(
            draft.tenant in damaged and draft.id not in admission.known
            for draft in submission.drafts
        )
        admission.answers.append(LogDamaged() if is_barred else _admit(submission, admission))
    _grow(admission, heads)
    return admission


def _grow(admission: Admission, before: Mapping[str, Head]) -> None:
    leaves: dict[str, list[bytes]] = {}
    for entry in admission.entries:
        leaf = leaf_hash(entry.logged.to_bytes())
        leaves.setdefault(entry.draft.tenant, []).append(leaf)
    for tenant, hashes in leaves.items():
        head = before.get(tenant, Head())
        changed = extended(head.next, head.growing, hashes)
        known, end = {**head.growing, **changed}, admission.heads[tenant]
        growing = {tile: known[tile] for tile in growing_tiles(end.next)}
        admission.tiles[tenant] = changed
        admission.heads[tenant] = replace(end, growing=growing)


def _admit(submission: Submission, admission: Admission) -> tuple[Outcome, ...]:
    heads, written = dict(admission.heads), len(admission.entries)
    outcomes = tuple(
        _judge(draft, admission.known.get(draft.id)) or _append(draft, admission)
        for draft in submission.drafts
    )
    if not submission.atomic or not any(map(_is_refused, outcomes)):
        return outcomes
    withdrawn = {entry.draft.id for entry in admission.entries[written:]}
    admission.heads = heads
    del admission.entries[written:]
    for event_id in withdrawn:
        del admission.known[event_id]
    return tuple(
        Withdrawn() if draft.id in withdrawn and not _is_refused(outcome) else outcome
        for draft, outcome in zip(submission.drafts, outcomes, strict=True)
    )


def _is_refused(outcome: Outcome) -> bool:
    """Whether the draft is not kept, and never will be: another event, or one that was erased."""
    match outcome:
        case KeyConflict() | Replayed(Erasure()):
            return True
        case _:
            return False


def _judge(draft: Draft, known: Known | None) -> Replayed | KeyConflict | None:
    if known is None:
        return None
    # Of what was erased no fingerprint is left: it would tell who guesses that the guess is right.
    if isinstance(known.kept, Erasure) or known.fingerprint == draft.fingerprint:
        return Replayed(known.kept)
    return KeyConflict()


def _append(draft: Draft, admission: Admission) -> Appended:
    head = admission.heads.get(draft.tenant, Head())
    timestamp = max(draft.received_at, head.timestamp or draft.received_at)
    record = Record(id=draft.id, sequence=head.next, payload=draft.payload(timestamp))
    logged = LogEntry(
        id=draft.id,
        timestamp=timestamp,
        commitment=commitment(draft.salt, draft.id, record.payload),
        expires_at=None if draft.kept_for is None else timestamp + draft.kept_for,
    )
    admission.heads[draft.tenant] = Head(Sequence(head.next + 1), timestamp)  # `_grow` adds tiles
    admission.entries.append(Entry(draft, record, logged))
    admission.known[draft.id] = Known(draft.fingerprint, record)
    return Appended(record)


# ---- erasing ----------------------------------------------------------------------------


def judge(
    burial: Burial, known: Known | None, holds: Iterable[Hold]
) -> tuple[Erasure | Held | None, bool]:
    """Return what becomes of a record that is to be erased, and whether it is to be destroyed."""
    if known is None:
        return None, False
    kept = known.kept
    if isinstance(kept, Erasure):
        return kept, False
    if covering := holds_on(holds, kept.fields()):
        return Held(covering), False
    erasure = Erasure(
        id=kept.id,
        sequence=kept.sequence,
        erased_at=burial.tombstone.received_at,
        erased_by=burial.by,
        reason=burial.reason,
    )
    return erasure, True


def judge_all(
    burials: Iterable[Burial], known: Mapping[EventId, Known], holds: Collection[Hold]
) -> list[tuple[Erasure | Held | None, bool]]:
    """Return what `judge` says of each, in order: what one erases is erased for the next."""
    there, judged = dict(known), []
    for burial in burials:
        fate, is_new = judge(burial, there.get(burial.id), holds)
        if isinstance(fate, Erasure):
            there[burial.id] = Known(None, fate)
        judged.append((fate, is_new))
    return judged


def burying(
    burials: Iterable[Burial], judged: Iterable[tuple[Erasure | Held | None, bool]]
) -> Submission:
    """Return the tombstones of those that are to be destroyed."""
    pairs = zip(burials, judged, strict=True)
    return Submission(tuple(burial.tombstone for burial, (_, is_new) in pairs if is_new))
