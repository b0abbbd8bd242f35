"""What a store keeps beside a record's payload, against what the payload says. Pure.

What the tree says too (id, place, timestamp) is left to an audit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditlogservice.events import Erasure, Record


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
        case {"actor": {"id": by}, "event_data": {"reason": why}} if (
            by == erasure.erased_by and why == erasure.reason
        ):
            return None
        case _:
            return f"record {erasure.id} and its tombstone say different things"
