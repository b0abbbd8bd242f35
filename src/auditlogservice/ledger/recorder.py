"""Event -> durable Record: stamp, then group commit.

All writes of a process go through one queue and one writer. While the store commits one group,
the next gathers, so that concurrent requests share a transaction and one sync of the disk, and a
request that comes alone waits for nobody. The queue is bounded in events and in bytes: what does
not fit is refused, never buffered without end and never dropped in silence. It is fair between
users (`sharing`): each has its part in every group, and a full queue refuses who fills it.

Single events that come at once are prepared in one go, too. Events that take long to prepare have
room reserved first: so what there is no room for is refused before anything is done for it, and
what was let in is written.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import AuditLogError, OutcomeUnknown, Overloaded, Unavailable
from auditlogservice.events import Draft, EventId, derive_event_id
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.sharing.fairness import FairQueue, Load
from auditlogservice.store.port import Submission
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta

    from auditlogservice.access import Principal
    from auditlogservice.events import Event
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import Answer, EventStore, Outcome

MAX_GROUP_EVENTS = 2_000  # what one transaction may hold, so that a single event waits briefly
MAX_GROUP_BYTES = 8 * 1024 * 1024
_GROUP = Load(MAX_GROUP_EVENTS, MAX_GROUP_BYTES)


class RecorderGauge(Protocol):
    """Who wants to know how the writing goes (metrics)."""

    def queued(self, events: int) -> None: ...

    def committed(self, *, events: int, seconds: float) -> None: ...

    def failed(self, error: BaseException) -> None: ...


_Done: TypeAlias = "asyncio.Future[tuple[Outcome, ...]]"


@dataclass(frozen=True, slots=True)
class _Waiting:
    submission: Submission
    load: Load
    done: _Done


@dataclass(frozen=True, slots=True)
class _Coming:
    """A single event that is still to be read."""

    read: Callable[[], Event]
    principal: Principal
    key: str | None
    done: _Done

    def event(self) -> Event | None:
        """Return the event; None if its caller hung up, or has just been told what is wrong."""
        if self.done.done():
            return None
        try:
            return self.read()
        except Exception as error:  # noqa: BLE001 - told to whom it concerns, a defect too
            self.done.set_exception(error)
        return None


@dataclass(slots=True)
class Reservation:
    """Room in the queue for what a user is about to bring; used, or given back, once."""

    source: tuple[str, str]
    load: Load


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
        self._queue: FairQueue[_Waiting] = FairQueue(Load(max_queued_events, max_queued_bytes))
        self._coming: list[_Coming] = []
        self._wake = asyncio.Event()
        self._closing = False

    @property
    def is_full(self) -> bool:
        """Whether there is no room for a single event; who fills the queue would be refused."""
        return not self._queue.fits(Load(1))

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

        Raises Overloaded if the queue is full, and nobody else has more waiting than the user of
        these; what `EventStore.append` raises; OutcomeUnknown if the writer failed in a way that
        tells nothing.
        """
        done: _Done = asyncio.get_running_loop().create_future()
        self._put(submission, done)
        self._tell_writer()
        return await done

    async def record_one(
        self, read: Callable[[], Event], principal: Principal, *, key: str | None
    ) -> Outcome:
        """Do as `draft` and `record` do with the event that `read` gives. Raises what that does.

        Whoever comes in the same turn of the loop is prepared together, each step for all of them.
        The same code runs again and again then, and the processor has it at hand; with all steps
        of each request in a row it does not, and the loop took a quarter longer.
        """
        loop = asyncio.get_running_loop()
        coming = _Coming(read, principal, key, loop.create_future())
        if not self._coming:
            loop.call_soon(self._prepare)
        self._coming.append(coming)
        (outcome,) = await coming.done
        return outcome

    def _prepare(self) -> None:
        coming, self._coming = self._coming, []
        for one, event in [(one, event) for one in coming if (event := one.event())]:
            try:
                draft = self.draft(event, one.principal, key=one.key)
                self._put(Submission((draft,)), one.done)
            except Exception as error:  # noqa: BLE001 - told to whom it concerns, a defect too
                one.done.set_exception(error)
        self._tell_writer()

    def _put(self, submission: Submission, done: _Done) -> None:
        if self._closing:
            raise Overloaded
        waiting = _waiting(submission, done)
        sent_away = self._queue.put(_source(submission), waiting, waiting.load)
        _fail(sent_away, Overloaded())

    def check_room(self, principal: Principal, load: Load) -> None:
        """Raise Overloaded if `reserve` would now."""
        self._queue.check((principal.tenant, principal.name), load)

    @contextmanager
    def reserve(self, principal: Principal, load: Load) -> Iterator[Reservation]:
        """Have room for about so much of a user's until the block is left, or it is used.

        Raises Overloaded if there is none, or too much of it is reserved for this user already.
        """
        if self._closing:
            raise Overloaded
        source = (principal.tenant, principal.name)
        load, sent_away = self._queue.reserve(source, load)
        _fail(sent_away, Overloaded())
        reservation = Reservation(source, load)
        try:
            yield reservation
        finally:
            self._release(reservation)

    def record_reserved(
        self, reservation: Reservation, submissions: Iterable[Submission]
    ) -> list[asyncio.Future[tuple[Outcome, ...]]]:
        """Let them wait in the room that was reserved, and in more if they are larger than told.

        Each future ends as `record` does. Raises Overloaded if the recorder is closed.
        """
        if self._closing:
            raise Overloaded
        self._release(reservation)
        loop, futures = asyncio.get_running_loop(), list[_Done]()
        for submission in submissions:
            waiting = _waiting(submission, loop.create_future())
            self._queue.admit(reservation.source, waiting, waiting.load)
            futures.append(waiting.done)
        self._tell_writer()
        return futures

    def _release(self, reservation: Reservation) -> None:
        self._queue.release(reservation.source, reservation.load)
        reservation.load = Load(0)

    def _tell_writer(self) -> None:
        self._gauge.queued(self._queue.pieces)
        self._wake.set()

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
                    await self._write(self._queue.take(_GROUP))
        finally:
            self._closing = True
            while self._queue:
                _fail(self._queue.take(_GROUP), Overloaded())

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
            self._queue.done(
                Load(
                    sum(waiting.load.pieces for waiting in group),
                    sum(waiting.load.bytes for waiting in group),
                )
            )
            self._gauge.queued(self._queue.pieces)

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
            self._gauge.committed(events=sum(each.load.pieces for each in kept), seconds=seconds)
            self._on_commit({draft.tenant for each in kept for draft in each.submission.drafts})


def _source(submission: Submission) -> tuple[str, str] | None:
    drafts = submission.drafts
    return (drafts[0].tenant, drafts[0].user_id) if drafts else None


def _waiting(submission: Submission, done: _Done) -> _Waiting:
    drafts = submission.drafts
    load = Load(len(drafts), sum(draft.weight for draft in drafts))
    return _Waiting(submission, load, done)


def _fail(group: Iterable[_Waiting], error: AuditLogError) -> None:
    for waiting in group:
        if not waiting.done.done():
            waiting.done.set_exception(error)
