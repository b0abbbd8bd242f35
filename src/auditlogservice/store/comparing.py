"""What a store keeps beside a record's payload, against what the payload says. Pure.

What the tree says too (id, place, timestamp) is left to an audit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.checkpoints import Checkpoint
from auditlogservice.errors import InputRefused
from auditlogservice.notes import Note
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.events import Erasure, Record
    from auditlogservice.store.port import Published


def flaw_of_record(record: Record, fingerprint: bytes) -> str | None:
    """Return what is wrong; None if all is right."""
    try:
        right = record.fingerprint == fingerprint
    except ValueError:
        return f"record {record.id} is not spelled as a record"
    return None if right else f"the fingerprint of record {record.id} is that of another event"


def flaw_of_erasure(erasure: Erasure, tombstone: Record | None) -> str | None:
    """Return what is wrong with what an erased record left, beside its tombstone."""
    if tombstone is None:
        return f"record {erasure.id} is erased, and has no tombstone"
    match tombstone.fields():
        case {"actor": {"id": by}, "event_data": {"reason": why}, "occurred_at": at} if (
            by,
            why,
            at,
        ) == (erasure.erased_by, erasure.reason, format_utc(erasure.erased_at)):
            return None
        case _:
            return f"record {erasure.id} and its tombstone say different things"


def flaws_of_checkpoint(tenant: str, published: Published, end: int) -> Iterator[str]:
    """Say what is wrong with a checkpoint, of a log that has `end` records; not who signed it."""
    try:
        checkpoint = Checkpoint.parse(Note.parse(published.note).text)
    except InputRefused as error:
        yield f"the checkpoint of {tenant} is none: {error}"
        return
    if checkpoint.size != published.size:
        yield f"the checkpoint of {tenant} is kept as one of another size"
    if checkpoint.origin.rpartition("/")[2] != tenant:
        yield f"the checkpoint of {tenant} is that of {checkpoint.origin}"
    if checkpoint.size > end:
        yield f"the log of {tenant} should have {checkpoint.size} records, and has {end}"
