"""Which drafts are new, which are retries, and which must be refused: decided purely.

An adapter asks between reading what its store has and writing what it lacks, inside one
transaction. Nothing here does I/O.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditlogservice.events import Erasure, Record, Sequence
from auditlogservice.store.port import Appended, KeyConflict, Replayed, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from auditlogservice.events import Draft, EventId, Fingerprint, Kept
    from auditlogservice.store.port import Outcome, Submission


_FIRST = Sequence(0)


@dataclass(frozen=True, slots=True)
class Head:
    """Where a tenant's log ends: the sequence that comes next, and the last timestamp."""

    next: Sequence = _FIRST
    timestamp: datetime | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A record that the store has already, under an id that a draft would have."""

    fingerprint: Fingerprint
    kept: Kept


@dataclass(frozen=True, slots=True)
class Entry:
    """What is to be written for one new record."""

    draft: Draft
    record: Record
    timestamp: datetime


@dataclass(slots=True)
class Admission:
    """The decision: the new records in order, where each log ends then, and every outcome."""

    heads: dict[str, Head]
    known: dict[EventId, Known]
    entries: list[Entry] = field(default_factory=list)
    outcomes: list[tuple[Outcome, ...]] = field(default_factory=list)


def keyed_ids(submissions: Iterable[Submission]) -> list[EventId]:
    """Return the ids that may be in the store already. All others are random and new."""
    return [draft.id for each in submissions for draft in each.drafts if draft.keyed]


def admit(
    submissions: Iterable[Submission],
    *,
    known: Mapping[EventId, Known],
    heads: Mapping[str, Head],
) -> Admission:
    """Decide about each draft, in order, given what the store has and where its logs end."""
    admission = Admission(dict(heads), dict(known))
    for submission in submissions:
        admission.outcomes.append(_admit(submission, admission))
    return admission


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
    return Replayed(known.kept) if known.fingerprint == draft.fingerprint else KeyConflict()


def _append(draft: Draft, admission: Admission) -> Appended:
    head = admission.heads.get(draft.tenant, Head())
    timestamp = max(draft.received_at, head.timestamp or draft.received_at)
    record = Record(id=draft.id, sequence=head.next, payload=draft.payload(timestamp))
    admission.heads[draft.tenant] = Head(Sequence(head.next + 1), timestamp)
    admission.entries.append(Entry(draft, record, timestamp))
    admission.known[draft.id] = Known(draft.fingerprint, record)
    return Appended(record)
