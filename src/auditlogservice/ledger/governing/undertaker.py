"""Does the erasures that were asked for, each to its end, whichever process dies on the way.

An erasure is worked on for a while, then the next one, so that none waits for the end of another.
How far it has come is kept after each portion, by compare-and-swap: whoever loses the swap stops,
and a node that says nothing for a while is followed by another. Neither is needed for safety: the
store erases a record once, with one tombstone, whoever asks.
"""

from __future__ import annotations

import asyncio
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING

from auditlogservice.errors import AuditLogError, StoreBroken, Unavailable
from auditlogservice.events import Sequence
from auditlogservice.filters import Is, all_of
from auditlogservice.governance import (
    SERVICE_USER,
    TOMBSTONE_TYPE,
    ErasureJob,
    erasable,
    read_erasure,
)
from auditlogservice.ledger.governing.clearing import Wish
from auditlogservice.ledger.governing.erasures import ended, requested
from auditlogservice.ledger.walk import Walk

if TYPE_CHECKING:
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.governing.clearing import Cleared, Clearing
    from auditlogservice.ledger.governing.sweeper import WorkGauge
    from auditlogservice.ledger.selfaudit.diary import Diary
    from auditlogservice.store.port import Document, DocumentStore, EventStore

LOOK_EVERY = 5.0  # seconds between two looks for what other nodes have taken in, or left
SLICE = 2.0  # seconds for one erasure, before the next one has its turn
CLAIM = timedelta(seconds=20)  # longer than a portion takes


class _Lost(Exception):
    """Another node goes on with this erasure, or the next start does."""


@dataclass(slots=True)
class _Work:
    """An erasure that is ours to do, and the document that says how far it has come."""

    job: ErasureJob
    document: Document


class Undertaker:
    """`run` must be running, in a task that its owner waits for."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: EventStore,
        documents: DocumentStore,
        *,
        clearing: Clearing,
        diary: Diary,
        clock: Clock,
        gauge: WorkGauge,
        node: str,
    ) -> None:
        self._store = store
        self._documents = documents
        self._clearing = clearing
        self._diary = diary
        self._clock = clock
        self._gauge = gauge
        self._node = node
        self._counted: set[str] = set()  # erasures whose figures this process knows to be right
        self._wake = asyncio.Event()
        self._closing = False

    def nudge(self) -> None:
        """Look now: there is an erasure to do."""
        self._wake.set()

    def close(self) -> None:
        """Stop after the portion that is being erased; `run` returns."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        while not self._closing:
            self._wake.clear()
            if await self._round():
                continue
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY):
                    await self._wake.wait()

    async def _round(self) -> bool:
        """Work on each erasure for a while; return whether there is more to do at once."""
        is_unfinished = False
        try:
            documents = await self._documents.all("erasure")
        except Unavailable:
            return False
        for document in documents:
            is_unfinished |= await self._work_on(document)
        return is_unfinished

    async def _work_on(self, document: Document) -> bool:
        """Return whether this erasure wants more work, and ours. It is no other one's trouble."""
        try:
            work = _Work(_job(document), document)
        except StoreBroken as error:
            self._gauge.work_failed("erasure", error)
            return False
        if self._closing or work.job.state != "running" or not self._is_free(work.job):
            return False
        try:
            return await self._do(work)
        except (Unavailable, _Lost) as error:
            self._counted.discard(work.job.id)
            if isinstance(error, StoreBroken):  # what does not pass by itself
                self._gauge.work_failed("erasure", error)
        except Exception as error:  # noqa: BLE001 - a defect must not end the service
            self._gauge.work_failed("erasure", error)
            await self._fail(work, error)
        return False

    def _is_free(self, job: ErasureJob) -> bool:
        is_claimed = job.claimed_until is not None and job.claimed_until > self._clock()
        return job.claimed_by == self._node or not is_claimed

    async def _do(self, work: _Work) -> bool:
        tenant = work.document.tenant
        await self._claim(work)
        wish = Wish(
            tenant=tenant,
            where=erasable(work.job.where),
            after=work.job.last,
            end=work.job.end,
            by=work.job.asked_by,
            reason=work.job.reason,
            erasure=work.job.id,
        )
        clock = asyncio.get_running_loop().time
        until = clock() + SLICE
        async with aclosing(self._clearing.portions(wish)) as portions:
            async for portion in portions:
                await self._keep(work, self._ours(_further(work.job, portion)))
                if self._closing:
                    await self._keep(work, _released(work.job))
                    return False
                if clock() > until:
                    return True
        await self._end(work, replace(work.job, state="done"))
        return False

    async def _claim(self, work: _Work) -> None:
        job = work.job
        if job.id in self._counted and job.claimed_by == self._node:
            return
        await self._keep(work, self._ours(job))
        # Before anything is erased by it: whoever took it in may have died before this.
        await self._diary.write(work.document.tenant, requested(job))
        if job.claimed_by is not None:
            # Its last portion may have been erased without being counted.
            erased = await self._count(work.document.tenant, job)
            await self._keep(work, replace(work.job, erased=erased))
        self._counted.add(job.id)

    async def _count(self, tenant: str, job: ErasureJob) -> int:
        """Count what was erased, by the tombstones, which say for which erasure they are."""
        tombstones = all_of(
            Is("user_id", SERVICE_USER),
            Is("event_type", TOMBSTONE_TYPE),
            Is("event_data.erasure", job.id),
        )
        end = await self._store.end(tenant)
        way = Walk(self._store, tenant, tombstones, after=Sequence(job.end - 1))
        found = 0
        while way.place + 1 < end:
            if self._closing:
                raise _Lost
            found += len(await way.step(end))
        return found

    async def _end(self, work: _Work, job: ErasureJob) -> None:
        # On record first: an erasure that says that it has ended is on record as ended.
        await self._diary.write(work.document.tenant, ended(job))
        await self._keep(work, _released(job))
        self._counted.discard(job.id)

    async def _fail(self, work: _Work, error: Exception) -> None:
        failure = str(error) if isinstance(error, AuditLogError) else "a defect in the service"
        with suppress(Unavailable, _Lost):
            await self._end(work, replace(work.job, state="failed", failure=failure))

    async def _keep(self, work: _Work, job: ErasureJob) -> None:
        """Keep how far it has come. Raises _Lost if another node has done so meanwhile."""
        document = replace(work.document, body=job.to_body(), version=work.document.version + 1)
        if not await self._documents.put(document):
            raise _Lost
        work.job, work.document = job, document

    def _ours(self, job: ErasureJob) -> ErasureJob:
        return replace(job, claimed_by=self._node, claimed_until=self._clock() + CLAIM)


def _released(job: ErasureJob) -> ErasureJob:
    """Return the job with the claim given up, so that nobody waits for the end of it."""
    return replace(job, claimed_by=None, claimed_until=None)


def _job(document: Document) -> ErasureJob:
    return read_erasure(document.id, document.body)


def _further(job: ErasureJob, portion: Cleared) -> ErasureJob:
    return replace(
        job,
        last=portion.last,
        erased=job.erased + portion.erased,
        held=job.held + portion.held,
    )
