"""Erasures by filter: looked at beforehand, asked for, and followed. `undertaker.py` does them.

An erasure is kept as a document, so that it outlives the process that took it in. It reaches the
records that were there when it was asked for, and none that the service itself has recorded.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.errors import Conflict, NotFound
from auditlogservice.governance import (
    MAX_ERASURES,
    ErasureJob,
    erasable,
    holds_on,
    read_erasure,
    read_hold,
)
from auditlogservice.language import to_document
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed, actor_named
from auditlogservice.ledger.statistics import COUNT_CAP, SECONDS, Count
from auditlogservice.ledger.walk import START, Walk
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.access import Principal
    from auditlogservice.events import EventId, Record
    from auditlogservice.filters import Filter
    from auditlogservice.governance import Hold
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.selfaudit.diary import Diary, Origin
    from auditlogservice.ledger.statistics import Relation
    from auditlogservice.store.port import DocumentStore, EventStore

SAMPLE = 10


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would find: how much, how much of that is held, and some of the rest."""

    matching: Count
    held: Count
    sample: list[EventId]


class Erasures:
    def __init__(
        self,
        store: EventStore,
        documents: DocumentStore,
        diary: Diary,
        *,
        clock: Clock,
        entropy: Entropy,
        on_ask: Callable[[], None],
    ) -> None:
        self._store = store
        self._documents = documents
        self._diary = diary
        self._clock = clock
        self._entropy = entropy
        self._on_ask = on_ask

    async def preview(self, principal: Principal, where: Filter) -> Preview:
        """Erase nothing, and look at up to COUNT_CAP records of those that match, the oldest."""
        clock = asyncio.get_running_loop().time
        until = clock() + SECONDS
        tenant = principal.tenant
        documents = await self._documents.all("hold", tenant)
        holds = [read_hold(each.id, each.body) for each in documents]
        end = await self._store.end(tenant)
        way = Walk(self._store, tenant, erasable(where), after=START)
        seen, free, is_whole = 0, 0, True
        sample: list[EventId] = []
        while way.place + 1 < end and seen < COUNT_CAP and clock() < until:
            records = await way.step(end)
            looked = await asyncio.to_thread(_looked_at, records, holds, lambda: clock() < until)
            unheld = [event_id for event_id, is_held in looked if not is_held]
            seen += len(looked)
            free += len(unheld)
            sample += unheld[: SAMPLE - len(sample)]
            is_whole = len(looked) == len(records)
        relation: Relation = "eq" if is_whole and way.place + 1 >= end else "gte"
        return Preview(Count(seen, relation), Count(seen - free, relation), sample)

    async def ask(
        self, principal: Principal, where: Filter, *, reason: str, origin: Origin | None = None
    ) -> ErasureJob:
        """Take an erasure in. Raises Conflict if MAX_ERASURES of the tenant are running."""
        await self._make_room(principal.tenant)
        now = self._clock()
        job = ErasureJob(
            id=new_id(now, self._entropy),
            where=where,
            reason=reason,
            asked_by=principal.name,
            asked_at=now,
            end=await self._store.end(principal.tenant),
        )
        document = Document(kind="erasure", tenant=principal.tenant, id=job.id, body=job.to_body())
        await self._documents.put(document)
        # From here on it will be done, and who does it puts it on record if this fails.
        self._on_ask()
        await self._diary.write_done(principal.tenant, requested(job, origin))
        return job

    async def all(self, tenant: str) -> list[ErasureJob]:
        """Return the erasures of a tenant, in the order in which they were asked for."""
        documents = await self._documents.all("erasure", tenant)
        jobs = [read_erasure(each.id, each.body) for each in documents]
        return sorted(jobs, key=lambda job: job.asked_at)

    async def get(self, tenant: str, erasure_id: str) -> ErasureJob:
        """Return the erasure as it is now. Raises NotFound."""
        found = await self._documents.get("erasure", tenant, erasure_id)
        if found is None:
            raise NotFound("no erasure has this id")
        return read_erasure(found.id, found.body)

    async def _make_room(self, tenant: str) -> None:
        """Forget the oldest that has ended if there are too many; its records stay in the log."""
        jobs = await self.all(tenant)
        if len(jobs) < MAX_ERASURES:
            return
        ended = next((job for job in jobs if job.state != "running"), None)
        if ended is None:
            raise Conflict(f"{MAX_ERASURES:,} erasures are running; wait for them to end")
        await self._documents.remove("erasure", tenant, ended.id)


def _looked_at(
    records: list[Record], holds: list[Hold], is_time: Callable[[], bool]
) -> list[tuple[EventId, bool]]:
    """Return for each record whether it is held; of the first ones only if time is up.

    A thousand holds are looked through for each record, and a thread cannot be cancelled.
    """
    looked = []
    for record in records:
        looked.append((record.id, bool(holds_on(holds, record.fields()))))
        if not is_time():
            break
    return looked


# ---- what is on record of an erasure ------------------------------------------------------


def requested(job: ErasureJob, origin: Origin | None = None) -> Deed:
    return Deed(
        act=acts.ERASURE_REQUESTED,
        detail=f"{job.asked_by} asked to erase events: {job.reason}",
        by=actor_named(job.asked_by),
        kind="erasure",
        id=job.id,
        data={"where": to_document(job.where), "reason": job.reason, "end": job.end},
        key=f"erasure-requested/{job.id}",
        origin=origin,
    )


def ended(job: ErasureJob) -> Deed:
    is_done = job.state == "done"
    return Deed(
        act=acts.ERASURE_DONE if is_done else acts.ERASURE_FAILED,
        detail=f"{job.erased:,} events erased, {job.held:,} held, as {job.asked_by} asked",
        by=actor_named(job.asked_by),
        kind="erasure",
        id=job.id,
        data={"erased": job.erased, "held": job.held, "failure": job.failure},
        key=f"erasure-{job.state}/{job.id}",
        outcome="success" if is_done else "failure",
    )
