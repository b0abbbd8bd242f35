"""The event store over MongoDB: a thin shell around `appending` and `searching`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bson import ObjectId
from pymongo import ASCENDING, DESCENDING, ReturnDocument

from auditlogservice.errors import AuditLogError, OutcomeUnknown
from auditlogservice.filters import matches
from auditlogservice.store.mongodb.appending import Appender, TenantLog
from auditlogservice.store.mongodb.connection import application
from auditlogservice.store.mongodb.documents import (
    WITHOUT_TERMS,
    erasing,
    erasure_of,
    kept_of,
    record_of,
)
from auditlogservice.store.mongodb.failures import reading, writing
from auditlogservice.store.mongodb.patience import Patience
from auditlogservice.store.mongodb.schema import BY_ID, BY_TERM, BY_TIME, EVENTS, META
from auditlogservice.store.mongodb.searching import (
    Search,
    Span,
    received_between,
    search_for,
)
from auditlogservice.store.mongodb.stalled import StalledTransactions

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.events import Erasure, EventId, Kept, Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import Outcome, PageQuery, Submission

_LARGEST_CHUNK = 500  # records asked for at once while looking for matches
_ENOUGH_TO_COMPARE = 1_000  # index keys; beyond this, two fields count as equally common


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
        self._appender = Appender(self._events, stalled=stalled, timeout=timeout)

    # ---- writing --------------------------------------------------------------------

    async def append(self, submissions: Sequence[Submission]) -> list[tuple[Outcome, ...]]:
        """Keep the port's promise with one transaction per tenant, tenants side by side.

        If some tenants' transactions were kept and others failed, no error but OutcomeUnknown
        is true of the whole call. Repeating it is safe: what was kept is replayed.
        """
        places: dict[str, list[int]] = {}
        for place, submission in enumerate(submissions):
            if submission.drafts:
                places.setdefault(submission.drafts[0].tenant, []).append(place)
        async with asyncio.TaskGroup() as tasks:
            running = [
                tasks.create_task(self._append_to(tenant, [submissions[place] for place in own]))
                for tenant, own in places.items()
            ]
        outcomes: list[tuple[Outcome, ...]] = [()] * len(submissions)
        results = _all_or_raise([task.result() for task in running])
        for own, result in zip(places.values(), results, strict=True):
            for place, outcome in zip(own, result, strict=True):
                outcomes[place] = outcome
        return outcomes

    async def _append_to(
        self, tenant: str, submissions: Sequence[Submission]
    ) -> list[tuple[Outcome, ...]] | AuditLogError:
        """Return the failure instead of raising it: a raise would cancel the other tenants."""
        log = self._logs.setdefault(tenant, TenantLog(tenant))
        try:
            return await self._appender.append(log, submissions)
        except AuditLogError as error:
            return error

    async def erase(
        self, tenant: str, event_id: EventId, *, at: datetime, by: str, reason: str | None
    ) -> Erasure | None:
        """Erase with one update; the second time it changes nothing, and still waits for disk."""
        with writing(), Patience(self._timeout).limit():
            document = await self._events.find_one_and_update(
                {"_id": ObjectId(event_id), "t": tenant},
                erasing(at=at, by=by, reason=reason),
                projection=WITHOUT_TERMS,
                return_document=ReturnDocument.AFTER,
            )
        return erasure_of(document) if document else None

    # ---- reading --------------------------------------------------------------------

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        with reading(), Patience(self._timeout).limit():
            document = await self._events.find_one(
                {"_id": ObjectId(event_id), "t": tenant}, WITHOUT_TERMS, hint=BY_ID
            )
        return kept_of(document) if document else None

    async def page(self, query: PageQuery) -> list[Record]:
        search = search_for(query.tenant, query.where)
        if search.is_hopeless:
            return []
        with reading(), Patience(self._timeout).limit():
            span = await self._span(search, query.where)
            span = span.beyond(query.beyond, query.order)
            return await self._collect(await self._planned(search, span), span, query)

    async def _collect(self, search: Search, span: Span, query: PageQuery) -> list[Record]:
        """Read candidates in growing chunks until the page is full or nothing is left."""
        found: list[Record] = []
        size = min(query.limit, _LARGEST_CHUNK)
        while True:
            chunk = await self._chunk(search, span, query, size)
            found += [each for each in chunk if matches(query.where, each.fields())]
            if len(chunk) < size or len(found) >= query.limit:
                return found[: query.limit]
            span = span.beyond(chunk[-1].sequence, query.order)
            size = min(2 * size, _LARGEST_CHUNK)

    async def _chunk(
        self, search: Search, span: Span, query: PageQuery, size: int
    ) -> list[Record]:
        found = self._events.find(
            search.condition(span),
            WITHOUT_TERMS,
            sort=[("s", ASCENDING if query.order == "oldest" else DESCENDING)],
            hint=search.hint,
            limit=size,
            batch_size=size,
        )
        return [record_of(document) async for document in found]

    async def _span(self, search: Search, where: Filter) -> Span:
        """Turn moments into sequences: in a log, time never goes back."""
        since, until = received_between(search, where)
        first = 0 if since is None else await self._first_at(search.tenant, since)
        if first is None:
            return Span(before=0)
        end = None if until is None else await self._first_at(search.tenant, until)
        return Span(after=first - 1) if end is None else Span(first - 1, end)

    async def _first_at(self, tenant: str, micros: int) -> int | None:
        """Return the first sequence at this moment or later; None if there is none yet."""
        document = await self._events.find_one(
            {"t": tenant, "at": {"$gte": micros}},
            {"_id": False, "s": True},
            sort=BY_TIME[1:],
            hint=BY_TIME,
        )
        return int(document["s"]) if document else None

    async def _planned(self, search: Search, span: Span) -> Search:
        """Put the rarest field first, counting a little in the index."""
        if len(search.terms) < 2 or search.hint != BY_TERM:  # noqa: PLR2004 - a choice takes two
            return search
        counted = [
            (
                await self._events.count_documents(
                    search.condition_of(group, span), limit=_ENOUGH_TO_COMPARE, hint=BY_TERM
                ),
                group,
            )
            for group in search.terms
        ]
        return search.along(group for _, group in sorted(counted, key=lambda each: each[0]))

    # ---- the process's life -----------------------------------------------------------

    async def ping(self) -> None:
        """Write what is there already: no data, yet only a primary with a majority answers."""
        with reading(), Patience(self._timeout).limit():
            await self._database[META].update_one(
                {"_id": "schema"}, [{"$set": {"version": "$version"}}]
            )

    async def close(self) -> None:
        """Let running appends end, then close the connections of the store. Twice is once."""
        for log in list(self._logs.values()):
            async with log.turn:
                pass
        await self._database.client.close()


def _all_or_raise(
    results: Sequence[list[tuple[Outcome, ...]] | AuditLogError],
) -> list[list[tuple[Outcome, ...]]]:
    failures = [result for result in results if isinstance(result, AuditLogError)]
    if not failures:
        return [result for result in results if not isinstance(result, AuditLogError)]
    if len(failures) < len(results):
        raise OutcomeUnknown
    # Nothing was kept only if every tenant says so.
    raise next((one for one in failures if isinstance(one, OutcomeUnknown)), failures[0])
