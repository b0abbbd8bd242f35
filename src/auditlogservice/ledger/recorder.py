"""Event -> durable Record: stamp, then group commit.

All writes of a process go through one queue and one writer. While the store commits one group,
the next gathers, so that concurrent requests share a transaction and one sync of the disk, and a
request that comes alone waits for nobody. The queue is bounded in events and in bytes: what does
not fit is refused at once, never buffered without end and never dropped in silence.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import AuditLogError, OutcomeUnknown, Overloaded, Unavailable
from auditlogservice.events import Draft, EventId, derive_event_id
from auditlogservice.ledger.clock import new_id
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import timedelta

    from auditlogservice.access import Principal
    from auditlogservice.events import Event
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import Answer, EventStore, Outcome, Submission

MAX_GROUP_EVENTS = 2_000  # what one transaction may hold, so that a single event waits briefly
MAX_GROUP_BYTES = 8 * 1024 * 1024


class RecorderGauge(Protocol):
    """Who wants to know how the writing goes (metrics)."""

    def queued(self, events: int) -> None: ...

    def committed(self, *, events: int, seconds: float) -> None: ...

    def failed(self, error: BaseException) -> None: ...


@dataclass(frozen=True, slots=True)
class _Waiting:
    submission: Submission
    events: int
    bytes: int
    done: asyncio.Future[tuple[Outcome, ...]]


class Recorder:
    """Takes events in. `run` must be running, in a task that its owner waits for."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: EventStore,
        *,
        clock: Clock,
        entropy: Entropy,
        gauge: RecorderGauge,
        on_commit: Callable[[set[str]], None],
        kept_for: Callable[[str, str], timedelta | None],
        redact: Callable[[Principal, Event], Event],
        max_queued_events: int,
        max_queued_bytes: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._entropy = entropy
        self._gauge = gauge
        self._on_commit = on_commit
        self._kept_for = kept_for
        self._redact = redact
        self._max_events = max_queued_events
        self._max_bytes = max_queued_bytes
        self._queue: deque[_Waiting] = deque()
        self._events = 0  # waiting or being written
        self._bytes = 0
        self._wake = asyncio.Event()
        self._closing = False

    @property
    def is_full(self) -> bool:
        """Whether a single event would be refused now."""
        return not self._fits(1, 0)

    def draft(
        self, event: Event, principal: Principal, *, key: str | None, index: int = 0
    ) -> Draft:
        """Give the event an id: a new one, or the one that its idempotency key means.

        `index` tells the events of a batch apart that share one key.
        """
        event = self._redact(principal, event)
        now = self._clock()
        if key is None:
            event_id = EventId(new_id(now, self._entropy))
        else:
            event_id = derive_event_id(
                tenant=principal.tenant, user_id=principal.user_id, key=key, index=index
            )
        return Draft(
            id=event_id,
            tenant=principal.tenant,
            user_id=principal.name,
            keyed=key is not None,
            received_at=now,
            fingerprint=event.fingerprint,
            body=event.body,
            terms=terms_of({**event.told, "user_id": principal.name}),
            salt=self._entropy(SALT_BYTES),
            kept_for=self._kept_for(principal.tenant, str(event.told["event_type"])),
        )

    async def record(self, submission: Submission) -> tuple[Outcome, ...]:
        """Return when the drafts are on disk and can be found, with what became of each.

        Raises Overloaded if the queue is full; what `EventStore.append` raises; OutcomeUnknown
        if the writer failed in a way that tells nothing.
        """
        size = sum(draft.weight for draft in submission.drafts)
        if self._closing or not self._fits(len(submission.drafts), size):
            raise Overloaded
        waiting = _Waiting(
            submission, len(submission.drafts), size, asyncio.get_running_loop().create_future()
        )
        self._queue.append(waiting)
        self._events += waiting.events
        self._bytes += waiting.bytes
        self._gauge.queued(self._events)
        self._wake.set()
        return await waiting.done

    def _fits(self, events: int, size: int) -> bool:
        # One request always fits an empty queue, so that no limit can lock a legal batch out.
        return not self._events or (
            self._events + events <= self._max_events and self._bytes + size <= self._max_bytes
        )

    def close(self) -> None:
        """Accept nothing more; `run` returns when everything accepted is written."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write groups until closed and empty. Cancelled, tell those who wait that it ends."""
        try:
            while self._queue or not self._closing:
                await self._wake.wait()
                self._wake.clear()
                while self._queue:
                    await self._write(self._next_group())
        finally:
            self._closing = True
            _fail(self._queue, Overloaded())

    def _next_group(self) -> list[_Waiting]:
        group = [self._queue.popleft()]
        events, size = group[0].events, group[0].bytes
        while self._queue:
            events += self._queue[0].events
            size += self._queue[0].bytes
            if events > MAX_GROUP_EVENTS or size > MAX_GROUP_BYTES:
                break
            group.append(self._queue.popleft())
        return group

    async def _write(self, group: list[_Waiting]) -> None:
        loop = asyncio.get_running_loop()
        start = loop.time()
        try:
            answers = await self._store.append([waiting.submission for waiting in group])
            answered = list(zip(group, answers, strict=True))
        except AuditLogError as error:
            self._gauge.failed(error)
            _fail(group, error)
        except Exception as error:  # noqa: BLE001 - a defect must not leave its callers waiting
            self._gauge.failed(error)
            _fail(group, OutcomeUnknown())
        except asyncio.CancelledError:
            _fail(group, OutcomeUnknown())
            raise
        else:
            self._answer(answered, seconds=loop.time() - start)
        finally:
            self._events -= sum(waiting.events for waiting in group)
            self._bytes -= sum(waiting.bytes for waiting in group)
            self._gauge.queued(self._events)

    def _answer(self, answered: list[tuple[_Waiting, Answer]], *, seconds: float) -> None:
        """Tell each caller what became of its own. One tenant's failure is nobody else's."""
        kept: list[_Waiting] = []
        for waiting, answer in answered:
            if isinstance(answer, Unavailable):
                self._gauge.failed(answer)
                _fail([waiting], answer)
                continue
            kept.append(waiting)
            # A caller who hung up has cancelled its future; the record is kept all the same.
            if not waiting.done.done():
                waiting.done.set_result(answer)
        if kept:
            self._gauge.committed(events=sum(each.events for each in kept), seconds=seconds)
            self._on_commit({draft.tenant for each in kept for draft in each.submission.drafts})


def _fail(group: Iterable[_Waiting], error: AuditLogError) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(error)
