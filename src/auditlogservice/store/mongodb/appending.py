"""One tenant's drafts become records, in one transaction, whoever else writes.

The order of events in an attempt:

1. take the head of the log from memory, or from `logs` if memory has none; where others have
   lately written to this log, read it in any case, and claim it;
2. read what is there of the keyed ids, decide with `admit`, swap the head, insert, commit;
3. only after the commit is acknowledged, remember the new head.

A claim is a write to the log's document, and the first command of the transaction: of two who want
to go on with a log, one hears so before it has done anything, and tries again in a few
milliseconds. The claim of the other ends with its commit, before the journal is on disk, so that
they take turns.

A head that is out of date costs an attempt and never an error: the swap finds another one in its
place, and the next attempt reads the log again. The reads are part of the transaction, so a
record that another process adds meanwhile moves the head that this one swaps, and one of the two
is refused; nothing is decided on what was true a moment ago. Erasing goes the same way, since it
appends: the tombstones, in the transaction that destroys what they speak of.

A commit whose reply is lost is committed again, which the server makes idempotent. If even that
stays without an answer, the records are looked for; if they are not there, the outcome is
unknown, because the first commit may still be on its way.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Generic, TypeAlias, TypeVar

from bson import Int64, ObjectId
from pymongo import UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern

from auditlogservice.errors import OutcomeUnknown, StoreUnreachable, Unavailable
from auditlogservice.events import Erasure
from auditlogservice.governance import read_hold
from auditlogservice.store.admission import admit, burying, judge_all, keyed_ids
from auditlogservice.store.mongodb.connection import DURABLE
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.documents import (
    WITHOUT_TERMS,
    document_of,
    document_of_log,
    erasing,
    full_tiles,
    head_of,
    is_stored,
    known_of,
)
from auditlogservice.store.mongodb.failures import (
    TRANSIENT,
    is_beaten,
    is_worth_another_try,
    not_kept,
    undamaged,
)
from auditlogservice.store.mongodb.schema import (
    BY_ID,
    BY_SEQUENCE,
    DOCUMENTS,
    EVENTS,
    LOGS,
    TILES,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Sequence

    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.events import EventId
    from auditlogservice.store.admission import Admission, Entry, Head, Known
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.mongodb.stalled import StalledTransactions
    from auditlogservice.store.port import Answer, Burial, Held, Submission

T = TypeVar("T")

# Shares of the time limit: what is left after each is for the step that follows it.
_WRITING = 0.7
_COMMITTING = 0.9

# Records that are decided about and encoded in one go: some 5 ms, in which nobody is answered.
# With 2,000, a whole group, it was 70.
_PORTION = 200

# Seconds before another attempt, so that two writers do not stay in step. Between two transactions
# of a process that has much to write, a log is free for a few milliseconds: whoever waits for
# longer than that may wait for seconds.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 0.004, 0.012
_LOOKS_STALLED = 30  # attempts that failed, about a third of a second


class _NotKept(Exception):
    """An attempt kept nothing, for sure. `reason` is what to raise if there is no other."""

    def __init__(self, reason: Unavailable) -> None:
        super().__init__()
        self.reason = reason


class _Passing(_NotKept):
    """The next attempt may do."""


class _Beaten(_Passing):
    """Another process has written to the log."""


@dataclass(slots=True)
class TenantLog:
    """What this process knows of one tenant's log. Its own tasks write one after another."""

    tenant: str
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    head: Head | None = None  # None: not known, or not known any more
    is_shared: bool = False  # whether another process has written to it lately


@dataclass(frozen=True, slots=True)
class _Written(Generic[T]):
    """What an attempt has written, if it is committed: the answer, the records, the new head."""

    answer: T
    entries: Sequence[Entry]
    head: Head


# What an attempt writes, in its session, to a log with this head.
Writing: TypeAlias = "Callable[[AsyncClientSession, Head], Awaitable[_Written[T]]]"


class Appender:
    """Appends to the log of one tenant at a time; logs of different tenants do not meet."""

    def __init__(
        self,
        database: AsyncDatabase[Document],
        *,
        stalled: StalledTransactions,
        timeout: float,
    ) -> None:
        self._events = database[EVENTS]
        self._logs = database[LOGS]
        self._tiles = database[TILES]
        self._documents = database[DOCUMENTS]
        self._stalled = stalled
        self._timeout = timeout

    async def append(self, log: TenantLog, submissions: Sequence[Submission]) -> list[Answer]:
        """Keep what is new, whole or not at all; raise as the port says."""
        keyed = keyed_ids(submissions)
        every = [draft.id for each in submissions for draft in each.drafts]
        ids = keyed

        async def write(session: AsyncClientSession, head: Head) -> _Written[list[Answer]]:
            nonlocal ids
            # After an attempt that came this far and failed, every id is looked up: whatever
            # became of it, a record that is there is found and not written twice.
            asked, ids = ids, every
            admission = await self._admit(session, log.tenant, head, submissions, asked)
            return _Written(admission.answers, admission.entries, admission.heads[log.tenant])

        return await self._in_turn(log, write)

    async def erase(
        self, log: TenantLog, burials: Sequence[Burial], passed: Collection[str]
    ) -> list[Erasure | Held | None]:
        """Erase, and append the tombstones; raise as the port says."""

        async def write(
            session: AsyncClientSession, head: Head
        ) -> _Written[list[Erasure | Held | None]]:
            held = [
                read_hold(found["id"], bytes(found["body"]))
                async for found in self._documents.find(
                    {"kind": "hold", "tenant": log.tenant}, sort=BY_ID, session=session
                )
                if found["id"] not in passed
            ]
            there = await self._known(session, log.tenant, [burial.id for burial in burials])
            # In a thread: many holds take a while to look through, and others want answers.
            judged = await asyncio.to_thread(judge_all, burials, there, held)
            fates, tombstones = [fate for fate, _ in judged], burying(burials, judged)
            ids = keyed_ids([tombstones])
            admission = await self._admit(session, log.tenant, head, [tombstones], ids)
            (answer,) = admission.answers
            if isinstance(answer, Unavailable):
                raise answer
            destroyed = [
                UpdateOne({"_id": ObjectId(fate.id), "t": log.tenant}, erasing(fate))
                for fate, is_new in judged
                if is_new and isinstance(fate, Erasure)
            ]
            if destroyed:
                await self._events.bulk_write(destroyed, session=session)
            if destroyed and not admission.entries:
                # The tombstones were there, so the head stays: a hold that is placed now must
                # collide with this all the same.
                await self._logs.update_one(
                    {"_id": log.tenant}, {"$inc": {"holds": 1}}, session=session
                )
            return _Written(fates, admission.entries, admission.heads[log.tenant])

        return await self._in_turn(log, write)

    async def _in_turn(self, log: TenantLog, write: Writing[T]) -> T:
        deadline = Deadline(self._timeout)
        try:
            async with asyncio.timeout(deadline.left(_WRITING)):
                await log.turn.acquire()
        except TimeoutError:
            raise StoreUnreachable from None
        try:
            with undamaged():
                return await self._try(log, write, deadline)
        finally:
            log.turn.release()

    async def _try(self, log: TenantLog, write: Writing[T], deadline: Deadline) -> T:
        for attempt in count():
            try:
                return await self._attempt(log, write, deadline)
            except _NotKept as failure:
                log.is_shared |= isinstance(failure, _Beaten)
                pause = _pause()
                if not isinstance(failure, _Passing) or deadline.left(_WRITING) <= pause:
                    raise failure.reason from None
                await asyncio.sleep(pause)
                if attempt >= _LOOKS_STALLED:
                    with deadline.limit(_WRITING):
                        await self._stalled.end()
        raise AssertionError  # pragma: no cover - count() has no end

    async def _attempt(self, log: TenantLog, write: Writing[T], deadline: Deadline) -> T:
        async with self._events.database.client.start_session(causal_consistency=False) as session:
            # Forgotten until the commit is acknowledged, so that an error or a cancellation
            # anywhere below leaves no head that might be wrong.
            remembered, log.head = log.head, None
            try:
                with deadline.limit(_WRITING):
                    await session.start_transaction(
                        read_concern=ReadConcern("snapshot"), write_concern=DURABLE
                    )
                    head = remembered
                    if head is None or log.is_shared:
                        head = await self._head(session, log)
                        # Alone again, if nobody has written since this process did.
                        log.is_shared &= remembered is None or head.next != remembered.next
                    written = await write(session, head)
            except PyMongoError as error:
                with deadline.limit():
                    await session.abort_transaction()
                raise _failure(error) from None
            await self._commit(session, written.entries, deadline)
            # One that is not whole is read again, so that a log goes on as soon as it is mended.
            log.head = written.head if written.head.is_whole else None
            return written.answer

    async def _admit(
        self,
        session: AsyncClientSession,
        tenant: str,
        head: Head,
        submissions: Sequence[Submission],
        ids: list[EventId],
    ) -> Admission:
        """Decide, and write what is new: first the head, on which a loser fails soonest."""
        known = await self._known(session, tenant, ids)
        decide = partial(admit, submissions, known=known, heads={tenant: head})
        few = sum(len(each.drafts) for each in submissions) <= _PORTION
        admission = decide() if few else await asyncio.to_thread(decide)
        if admission.entries:
            await self._swap(session, tenant, head, admission.heads[tenant])
            if full := full_tiles(tenant, admission.tiles[tenant]):
                await self._tiles.insert_many(full, session=session)
            for at in range(0, len(admission.entries), _PORTION):
                part = admission.entries[at : at + _PORTION]
                await self._events.insert_many(map(document_of, part), session=session)
        return admission

    async def _swap(self, session: AsyncClientSession, tenant: str, old: Head, new: Head) -> None:
        document = document_of_log(tenant, new)
        del document["_id"]
        # A hold may have made the document of a log that has no records yet; if nobody did, it is
        # made here. Where the log has gone on, making it again is refused.
        swapped = await self._logs.update_one(
            {"_id": tenant, "n": old.next},
            {"$set": document},
            upsert=not old.next,
            session=session,
        )
        if not swapped.matched_count and swapped.upserted_id is None:
            raise _Beaten(StoreUnreachable())

    async def _head(self, session: AsyncClientSession, log: TenantLog) -> Head:
        """Read where the log ends, and whether its records agree; claim it if it is shared."""
        asked = {"_id": log.tenant}
        if log.is_shared:
            claim = {"$inc": {"claims": Int64(1)}}
            found = await self._logs.find_one_and_update(asked, claim, session=session)
        else:
            found = await self._logs.find_one(asked, session=session)
        head = head_of(found)
        beyond = await self._events.find_one(
            {"t": log.tenant, "s": {"$gte": Int64(head.next)}},
            {"_id": True},
            hint=BY_SEQUENCE,
            session=session,
        )
        return replace(head, is_overrun=beyond is not None)

    async def _known(
        self, session: AsyncClientSession, tenant: str, ids: Sequence[EventId]
    ) -> dict[EventId, Known]:
        if not ids:
            return {}
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
        while True:
            try:
                with deadline.limit(_COMMITTING):
                    await session.commit_transaction()
            except PyMongoError as error:
                if error.has_error_label(TRANSIENT):
                    raise _failure(error) from None
                not_kept(error)  # for the log
            else:
                return
            pause = _pause()
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
                found = self._events.find({"_id": {"$in": ids}}, {"s": 1, "at": 1, "c": 1})
                stored = {str(document["_id"]): document async for document in found}
        except PyMongoError:
            return False
        return bool(entries) and all(is_stored(one, stored.get(one.draft.id)) for one in entries)


def _failure(error: PyMongoError) -> _NotKept:
    """Return what an attempt ends with whose transaction is known to have kept nothing."""
    reason = not_kept(error)
    if is_beaten(error):
        return _Beaten(reason)
    return _Passing(reason) if is_worth_another_try(error) else _NotKept(reason)


def _pause() -> float:
    # Spreads writers, hides nothing.
    return random.uniform(_SHORTEST_PAUSE, _LONGEST_PAUSE)  # noqa: S311
