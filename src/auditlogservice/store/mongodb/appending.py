"""One tenant's drafts become records, in one transaction, whoever else writes.

The order of events in an attempt:

1. take the head of the log from memory, or from the last record if memory has none;
2. read what is there of the keyed ids, decide with `admit`, insert, commit;
3. only after the commit is acknowledged, remember the new head.

A head that is out of date costs an attempt and never an error: the unique index on (tenant,
sequence) refuses the insert, and the next attempt reads the log again. The reads are part of
the transaction, so a record that another process adds meanwhile takes a sequence that this one
wants, and one of the two is refused; nothing is decided on what was true a moment ago.

A commit whose reply is lost is committed again, which the server makes idempotent. If even that
stays without an answer, the records are looked for; if they are not there, the outcome is
unknown, because the first commit may still be on its way.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING

from bson import ObjectId
from pymongo import DESCENDING
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from auditlogservice.errors import OutcomeUnknown, StoreUnreachable
from auditlogservice.store.admission import admit, keyed_ids
from auditlogservice.store.mongodb.connection import DURABLE
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import (
    HEAD_FIELDS,
    WITHOUT_TERMS,
    document_of,
    head_of,
    is_stored,
    known_of,
)
from auditlogservice.store.mongodb.failures import TRANSIENT, is_worth_another_try, not_kept
from auditlogservice.store.mongodb.schema import BY_ID, BY_SEQUENCE

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.collection import AsyncCollection

    from auditlogservice.errors import Unavailable
    from auditlogservice.events import EventId
    from auditlogservice.store.admission import Admission, Entry, Head, Known
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.mongodb.stalled import StalledTransactions
    from auditlogservice.store.port import Outcome, Submission

# Shares of the time limit: what is left after each is for the step that follows it.
_WRITING = 0.7
_COMMITTING = 0.9

_FIRST_PAUSE, _LONGEST_PAUSE = 0.004, 0.25
_LOOKS_STALLED = 6  # attempts that another writer won, about a third of a second


class _NotKept(Exception):
    """An attempt kept nothing, for sure. `reason` is what to raise if there is no other."""

    def __init__(self, reason: Unavailable, *, again: bool) -> None:
        super().__init__()
        self.reason = reason
        self.again = again


@dataclass(slots=True)
class TenantLog:
    """What this process knows of one tenant's log. Its own tasks write one after another."""

    tenant: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    head: Head | None = None  # None: not known, or not known any more


class Appender:
    """Appends to the log of one tenant at a time; logs of different tenants do not meet."""

    def __init__(
        self,
        events: AsyncCollection[Document],
        *,
        stalled: StalledTransactions,
        timeout: float,
    ) -> None:
        self._events = events
        self._stalled = stalled
        self._timeout = timeout

    async def append(
        self, log: TenantLog, submissions: Sequence[Submission]
    ) -> list[tuple[Outcome, ...]]:
        """Keep what is new, whole or not at all; raise as the port says."""
        deadline = Deadline(self._timeout)
        try:
            async with asyncio.timeout(deadline.left(_WRITING)):
                await log.turn.acquire()
        except TimeoutError:
            raise StoreUnreachable from None
        try:
            return await self._append(log, submissions, deadline)
        finally:
            log.turn.release()

    async def _append(
        self, log: TenantLog, submissions: Sequence[Submission], deadline: Deadline
    ) -> list[tuple[Outcome, ...]]:
        ids = keyed_ids(submissions)
        for attempt in count():
            try:
                admission = await self._attempt(log, submissions, ids, deadline)
            except _NotKept as failure:
                pause = _pause(attempt)
                if not failure.again or deadline.left(_WRITING) <= pause:
                    raise failure.reason from None
                await asyncio.sleep(pause)
                if attempt >= _LOOKS_STALLED:
                    with deadline.limit(_WRITING):
                        await self._stalled.end()
                # From now on every id is looked up: whatever became of the failed attempt, a
                # record that is there is found and not written twice.
                ids = [draft.id for each in submissions for draft in each.drafts]
            else:
                return admission.outcomes
        raise AssertionError  # pragma: no cover - count() has no end

    async def _attempt(
        self,
        log: TenantLog,
        submissions: Sequence[Submission],
        ids: list[EventId],
        deadline: Deadline,
    ) -> Admission:
        async with self._events.database.client.start_session(causal_consistency=False) as session:
            # Forgotten until the commit is acknowledged, so that an error or a cancellation
            # anywhere below leaves no head that might be wrong.
            head, log.head = log.head, None
            try:
                with deadline.limit(_WRITING):
                    admission = await self._write(session, log.tenant, head, submissions, ids)
            except PyMongoError as error:
                with deadline.limit():
                    await session.abort_transaction()
                raise _NotKept(not_kept(error), again=is_worth_another_try(error)) from None
            await self._commit(session, admission.entries, deadline)
            log.head = admission.heads[log.tenant]
            return admission

    async def _write(
        self,
        session: AsyncClientSession,
        tenant: str,
        head: Head | None,
        submissions: Sequence[Submission],
        ids: list[EventId],
    ) -> Admission:
        await session.start_transaction(
            read_concern=ReadConcern("snapshot"), write_concern=DURABLE
        )
        head = head or await self._head(session, tenant)
        known = await self._known(session, tenant, ids) if ids else {}
        admission = admit(submissions, known=known, heads={tenant: head})
        if admission.entries:
            documents = [document_of(entry) for entry in admission.entries]
            await self._events.insert_many(documents, session=session)
        return admission

    async def _head(self, session: AsyncClientSession, tenant: str) -> Head:
        last = await self._events.find_one(
            {"t": tenant},
            HEAD_FIELDS,
            sort=[("s", DESCENDING)],
            hint=BY_SEQUENCE,
            session=session,
        )
        return head_of(last)

    async def _known(
        self, session: AsyncClientSession, tenant: str, ids: Iterable[EventId]
    ) -> dict[EventId, Known]:
        wanted = {"_id": {"$in": [ObjectId(one) for one in ids]}, "t": tenant}
        found = self._events.find(wanted, WITHOUT_TERMS, hint=BY_ID, session=session)
        knowns = [known_of(document) async for document in found]
        return {known.kept.id: known for known in knowns}

    # ---- the commit, and what became of it ----------------------------------------

    async def _commit(
        self, session: AsyncClientSession, entries: Sequence[Entry], deadline: Deadline
    ) -> None:
        """Return if the transaction is durable. One that only read is committed too.

        Only that makes sure that what it read, and answers as replayed, is durable itself.
        """
        for attempt in count():
            try:
                with deadline.limit(_COMMITTING):
                    await session.commit_transaction()
            except PyMongoError as error:
                if error.has_error_label(TRANSIENT):
                    raise _NotKept(not_kept(error), again=True) from None
                not_kept(error)  # for the log
            else:
                return
            pause = _pause(attempt)
            if deadline.left(_COMMITTING) <= pause:
                break
            await asyncio.sleep(pause)
        if not await self._are_stored(entries, deadline):
            raise OutcomeUnknown

    async def _are_stored(self, entries: Sequence[Entry], deadline: Deadline) -> bool:
        """Whether a majority has each of these entries, exactly as decided."""
        ids = [ObjectId(entry.draft.id) for entry in entries]
        try:
            with deadline.limit():
                found = self._events.find({"_id": {"$in": ids}}, {"s": 1, "at": 1, "fp": 1})
                stored = {str(document["_id"]): document async for document in found}
        except PyMongoError:
            return False
        return bool(entries) and all(is_stored(one, stored.get(one.draft.id)) for one in entries)


def _pause(attempt: int) -> float:
    """Return the seconds to wait before another attempt: growing, and never in step."""
    longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0 ** min(attempt, 10))
    return random.uniform(longest / 2, longest)  # noqa: S311 - spreads writers, hides nothing
