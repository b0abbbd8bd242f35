"""What others say of a log's checkpoints, so that nobody need believe the log alone.

A witness (c2sp.org/tlog-witness) cosigns a checkpoint if it extends the one that it cosigned
last. A timestamp authority (RFC 3161) says at what moment it was shown one.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from auditlogservice.canonical import dump
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.damage import reading_back
from auditlogservice.notes import Note
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from auditlogservice.notes import Signature

# ---- what is answered -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cosigned:
    """The witness cosigned the checkpoint, with its own key: that was verified."""

    signature: Signature


@dataclass(frozen=True, slots=True)
class LastCosigned:
    """The witness has cosigned a tree of this size last, and wants a proof from there."""

    size: int


@dataclass(frozen=True, slots=True)
class Disputed:
    """The witness has cosigned a tree that this checkpoint does not extend."""

    why: str


@dataclass(frozen=True, slots=True)
class Stamped:
    """The authority says that it saw the bytes at this moment; `reply` is what it answered."""

    time: datetime
    reply: bytes


@dataclass(frozen=True, slots=True)
class Refused:
    """The service does not do what it was asked, or its answer does not hold."""

    why: str


@dataclass(frozen=True, slots=True)
class Unreachable:
    """The service does not answer now, whatever it is asked."""

    why: str


WitnessAnswer: TypeAlias = Cosigned | LastCosigned | Disputed | Refused | Unreachable
StampAnswer: TypeAlias = Stamped | Refused | Unreachable


# ---- what is kept -----------------------------------------------------------------------


def size_of(note: Note) -> int:
    """Return how many records the checkpoint of a note speaks of."""
    return Checkpoint.parse(note.text).size


def newest(notes: Iterable[Note]) -> Note | None:
    """Return the note of the largest tree, with the signatures of all notes of its text."""
    largest = max(notes := tuple(notes), key=size_of, default=None)
    if largest is None:
        return None
    same = (note.signatures for note in notes if note.text == largest.text)
    return Note(largest.text, tuple(dict.fromkeys(chain.from_iterable(same))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timestamp:
    """A checkpoint of `size` records, as a note, and the answer of the authority about it."""

    size: int
    time: datetime
    note: bytes
    reply: bytes

    def to_body(self) -> bytes:
        return dump(
            {
                "size": self.size,
                "time": format_utc(self.time),
                "note": self.note.decode(),
                "reply": base64.b64encode(self.reply).decode(),
            }
        )


def read_timestamp(body: bytes) -> Timestamp:
    """Return the timestamp that `Timestamp.to_body` wrote. Raises StoreBroken for others."""
    with reading_back():
        told: dict[str, Any] = orjson.loads(body)
        return Timestamp(
            size=told["size"],
            time=parse_rfc3339(told["time"]),
            note=told["note"].encode(),
            reply=base64.b64decode(told["reply"]),
        )


_ALL_OF, _DAILY_OF = timedelta(days=1), timedelta(days=365)
_DAY, _MONTH = len("2026-01-31"), len("2026-01")


def superfluous(timestamps: Sequence[Timestamp], *, now: datetime) -> list[Timestamp]:
    """Return those that need not be kept, of some that are given in order of time.

    A later one speaks for all records that an earlier one speaks for, only less exactly. So all
    of the last day are kept, of the last year the first of each day, and before that the first
    of each month.
    """
    seen: set[str] = set()
    spare = []
    for timestamp in timestamps:
        age, span = now - timestamp.time, format_utc(timestamp.time)
        if age > _ALL_OF:
            span = span[: _DAY if age <= _DAILY_OF else _MONTH]
        if span in seen:
            spare.append(timestamp)
        seen.add(span)
    return spare
