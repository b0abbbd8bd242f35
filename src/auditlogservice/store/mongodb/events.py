"""The event store over MongoDB: a thin shell around `appending`, `lookups` and `paging`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditlogservice.errors import Unavailable
from auditlogservice.events import Record, Sequence
from auditlogservice.store.mongodb.appending import Appender, TenantLog
from auditlogservice.store.mongodb.connection import application
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import kept_of
from auditlogservice.store.mongodb.failures import reading
from auditlogservice.store.mongodb.lookups import Lookups
from auditlogservice.store.mongodb.paging import Search, first_at
from auditlogservice.store.mongodb.places import Places, end_of
from auditlogservice.store.mongodb.schema import EVENTS, META
from auditlogservice.store.mongodb.stalled import StalledTransactions
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import Collection
    from collections.abc import Sequence as Seq
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.events import Erasure, EventId, Kept, Listing
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import Answer, Burial, Held, PageQuery, Submission


class MongoEventStore:
    """Keeps the EventStore contract of `store/port.py`."""

    def __init__(self, database: AsyncDatabase[Document], *, timeout: float) -> None:
        self._database = database
        self._events = database[EVENTS]
        self._timeout = timeout
        self._logs: dict[str, TenantLog] = {}
        stalled = StalledTransactions(
            database.client.admin, application=application(database.name)
        )
        self._lookups = Lookups(self._events, timeout=timeout)
        self._places = Places()
        self._appender = Appender(database, stalled=stalled, timeout=timeout)

    # ---- writing --------------------------------------------------------------------

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        """Keep the port's promise with one transaction per tenant, tenants side by side."""
        places: dict[str, list[int]] = {}
        for place, submission in enumerate(submissions):
            if submission.drafts:
                places.setdefault(submission.drafts[0].tenant, []).append(place)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._append_to(tenant, [submissions[place] for place in own]))
                for tenant, own in places.items()
            ]
        answers: list[Answer] = [()] * len(submissions)
        for own, task in zip(places.values(), running, strict=True):
            for place, answer in zip(own, task.result(), strict=True):
                answers[place] = answer
        return answers

    async def _append_to(self, tenant: str, submissions: Seq[Submission]) -> list[Answer]:
        """Return a failure instead of raising it: a raise would cancel the other tenants."""
        log = self._logs.setdefault(tenant, TenantLog(tenant))
        try:
            return await self._appender.append(log, submissions)
        except Unavailable as error:
            return [error] * len(submissions)

    async def erase(
        self, tenant: str, burials: Seq[Burial], *, passed: Collection[str] = ()
    ) -> list[Erasure | Held | None]:
        log = self._logs.setdefault(tenant, TenantLog(tenant))
        return await self._appender.erase(log, burials, passed)

    # ---- reading --------------------------------------------------------------------

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        with reading():
            document = await self._lookups.find(tenant, event_id)
            kept = kept_of(document) if document else None
            if isinstance(kept, Record):
                kept.checked_fields()
            return kept

    async def page(self, query: PageQuery) -> list[Record]:
        return await self._search(query).page()

    async def listing(self, query: PageQuery) -> Listing:
        return await self._search(query).listing()

    def _search(self, query: PageQuery) -> Search:
        seconds = min(query.seconds, self._timeout)
        return Search(self._events, self._places, query, seconds=seconds)

    async def end(self, tenant: str) -> Sequence:
        with reading(), Deadline(self._timeout).limit():
            return Sequence(await end_of(self._events, tenant))

    async def places(self, tenant: str, moments: Seq[datetime]) -> list[Sequence]:
        """Answer as of one moment: records that are added meanwhile are left out."""
        with reading(), Deadline(self._timeout).limit():
            end = await end_of(self._events, tenant)
            firsts = [
                await first_at(self._events, tenant, to_micros(moment)) for moment in moments
            ]
        return [Sequence(end if first is None else min(first, end)) for first in firsts]

    # ---- the process's life -----------------------------------------------------------

    async def ping(self) -> None:
        """Write what is there already: no data, yet only a primary with a majority answers."""
        with reading(), Deadline(self._timeout).limit():
            await self._database[META].update_one(
                {"_id": "schema"}, [{"$set": {"version": "$version"}}]
            )

    async def close(self) -> None:
        """Let running appends end, then close the connections of the store. Twice is once."""
        for log in list(self._logs.values()):
            async with log.turn:
                pass
        await self._database.client.close()
