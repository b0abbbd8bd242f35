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
from auditlogservice.store.port import Submission, Withdrawn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from datetime import datetime

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft
    from auditlogservice.ledger.recorder import Recorder
    from auditlogservice.store.port import Outcome

MAX_ATOMIC_WEIGHT = 8 * 1024 * 1024  # of a batch that has to fit one transaction
_PORTION_EVENTS = 500
_PORTION_WEIGHT = 2 * 1024 * 1024

Fate: TypeAlias = "Outcome | AuditLogError"


@dataclass(frozen=True, slots=True)
class Told:
    """Who tells a batch, when, and the key that covers events without one of their own."""

    principal: Principal
    now: datetime
    key: str | None


def prepare(
    recorder: Recorder, told: Told, values: Iterable[Json | InputRefused]
) -> list[Draft | InputRefused]:
    """Return a draft for each value, or why there is none. Takes its time; run it in a thread."""
    return [_prepare(recorder, told, index, value) for index, value in enumerate(values)]


def _prepare(
    recorder: Recorder, told: Told, index: int, value: Json | InputRefused
) -> Draft | InputRefused:
    if isinstance(value, InputRefused):
        return value
    try:
        key, value = _split_key(value)
        event = read_event(value, now=told.now)
    except InputRefused as error:
        return error
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


async def record_each(recorder: Recorder, items: Sequence[Draft | InputRefused]) -> list[Fate]:
    """Keep every draft that can be kept. Raises Unavailable if the store kept none of them."""
    portions = list(_portions([item for item in items if not isinstance(item, InputRefused)]))
    async with asyncio.TaskGroup() as tasks:
        # Tasks start in the order they are made, so the events keep theirs.
        recording = [tasks.create_task(_record(recorder, portion)) for portion in portions]
    fates = [fate for task in recording for fate in task.result()]
    failures = [fate for fate in fates if isinstance(fate, Unavailable)]
    if failures and len(failures) == len(fates):
        # If the fate of one is unknown, nobody may say that nothing was kept.
        raise next((one for one in failures if isinstance(one, OutcomeUnknown)), failures[0])
    remaining = iter(fates)
    return [item if isinstance(item, InputRefused) else next(remaining) for item in items]


async def _record(recorder: Recorder, portion: tuple[Draft, ...]) -> list[Fate]:
    try:
        return list(await recorder.record(Submission(portion)))
    except Unavailable as error:
        return [error] * len(portion)


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


async def record_together(recorder: Recorder, items: Sequence[Draft | InputRefused]) -> list[Fate]:
    """Keep all or none. Raises InputTooLarge if they are too much for one transaction."""
    drafts = tuple(item for item in items if not isinstance(item, InputRefused))
    if len(drafts) < len(items):
        return [item if isinstance(item, InputRefused) else Withdrawn() for item in items]
    if sum(draft.weight for draft in drafts) > MAX_ATOMIC_WEIGHT:
        raise InputTooLarge("this is too much for one transaction; send fewer events at a time")
    return list(await recorder.record(Submission(drafts, atomic=True))) if drafts else []
