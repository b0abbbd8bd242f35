"""Many events of one request: each prepared on its own, kept in portions or all together.

A store takes a submission in one transaction, so a batch is handed over in portions that any
store can take, unless it is atomic. What became of an event is told for each: its outcome, or the
error that refused it.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from auditlogservice.errors import (
    AuditLogError,
    Flaw,
    InputRefused,
    InputTooLarge,
    InvalidInput,
    OutcomeUnknown,
    Unavailable,
)
from auditlogservice.events import IDEMPOTENCY_KEY_RULE, is_idempotency_key, read_event
from auditlogservice.ledger.sharing.fairness import Load
from auditlogservice.store.port import Submission, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft, Event
    from auditlogservice.ledger.recorder import Recorder, Reservation
    from auditlogservice.store.port import Outcome

MAX_ATOMIC_WEIGHT = 8 * 1024 * 1024  # of a batch that has to fit one transaction
_PORTION_EVENTS = 500
_PORTION_WEIGHT = 2 * 1024 * 1024

# Of a draft, for each byte that an event is told in: its index terms weigh more than itself. It is
# 6 where events have a kilobyte and ninety terms, 15 for the smallest, and 1 for long texts.
_WEIGHT_OF_BYTE = 6

Fate: TypeAlias = "Outcome | AuditLogError"


def expected_load(length: int, *, events: int = 1) -> Load:
    """Return about how much the events of a batch of so many bytes are, once they are prepared.

    Until the batch is read, nobody knows of more than one event.
    """
    return Load(max(events, 1), length * _WEIGHT_OF_BYTE)


def guess_events(body: bytes) -> int:
    """Return about how many events a batch has, without parsing it.

    Each event has the key that is counted; what has it in other places seems to be more than it
    is, and what spells it with escapes seems to be less.
    """
    return body.count(b'"event_type"')


@dataclass(frozen=True, slots=True)
class Told:
    """Who tells a batch, when, and the key that covers events without one of their own."""

    principal: Principal
    now: datetime
    key: str | None


def prepare(
    recorder: Recorder, told: Told, values: Iterable[Json | InputRefused]
) -> list[Draft | InputRefused]:
    """Return a draft for each value, or why there is none. Takes its time; run it in a thread.

    All are read before the first is drafted: see `Recorder.record_one`.
    """
    items = [_read(told, value) for value in values]
    return [
        item if isinstance(item, InputRefused) else _draft(recorder, told, index, *item)
        for index, item in enumerate(items)
    ]


def _read(told: Told, value: Json | InputRefused) -> tuple[str | None, Event] | InputRefused:
    """The event and its own key, or why there is none."""
    if isinstance(value, InputRefused):
        return value
    try:
        key, value = _split_key(value)
        return key, read_event(value, now=told.now)
    except InputRefused as error:
        return error


def _draft(recorder: Recorder, told: Told, index: int, key: str | None, event: Event) -> Draft:
    if key is None and told.key is not None:
        return recorder.draft(event, told.principal, key=told.key, index=index)
    return recorder.draft(event, told.principal, key=key)


def _split_key(value: Json) -> tuple[str | None, Json]:
    """The event's own key, and the event without it."""
    if not isinstance(value, dict) or value.get("idempotency_key") is None:
        return None, value
    key = value["idempotency_key"]
    if not isinstance(key, str) or not is_idempotency_key(key):
        raise InvalidInput([Flaw("/idempotency_key", IDEMPOTENCY_KEY_RULE)])
    return key, {name: item for name, item in value.items() if name != "idempotency_key"}


async def record_each(
    recorder: Recorder, reservation: Reservation, items: Sequence[Draft | InputRefused]
) -> list[Fate]:
    """Keep every draft that can be kept. Raises Unavailable if the store kept none of them."""
    portions = list(_portions([item for item in items if not isinstance(item, InputRefused)]))
    submissions = [Submission(portion) for portion in portions]
    answers = await asyncio.gather(
        *recorder.record_reserved(reservation, submissions), return_exceptions=True
    )
    fates: list[Fate] = []
    for portion, answer in zip(portions, answers, strict=True):
        match answer:
            case Unavailable():
                fates += [answer] * len(portion)
            case BaseException():
                raise answer
            case outcomes:
                fates += outcomes
    failures = [fate for fate in fates if isinstance(fate, Unavailable)]
    if failures and len(failures) == len(fates):
        # If the fate of one is unknown, nobody may say that nothing was kept.
        raise next((one for one in failures if isinstance(one, OutcomeUnknown)), failures[0])
    remaining = iter(fates)
    return [item if isinstance(item, InputRefused) else next(remaining) for item in items]


def _portions(drafts: list[Draft]) -> Iterator[tuple[Draft, ...]]:
    portion: list[Draft] = []
    weight = 0
    for draft in drafts:
        if portion and (
            len(portion) == _PORTION_EVENTS or weight + draft.weight > _PORTION_WEIGHT
        ):
            yield tuple(portion)
            portion, weight = [], 0
        portion.append(draft)
        weight += draft.weight
    if portion:
        yield tuple(portion)


async def record_together(
    recorder: Recorder, reservation: Reservation, items: Sequence[Draft | InputRefused]
) -> list[Fate]:
    """Keep all or none. Raises InputTooLarge if they are too much for one transaction."""
    drafts = tuple(item for item in items if not isinstance(item, InputRefused))
    if len(drafts) < len(items):
        return [item if isinstance(item, InputRefused) else Withdrawn() for item in items]
    if sum(draft.weight for draft in drafts) > MAX_ATOMIC_WEIGHT:
        raise InputTooLarge("this is too much for one transaction; send fewer events at a time")
    if not drafts:
        return []
    (recorded,) = recorder.record_reserved(reservation, [Submission(drafts, atomic=True)])
    return list(await recorded)
