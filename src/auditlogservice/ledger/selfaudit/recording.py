"""The service under its own eyes: who signed in, who changed what, who read events of others.

Fail closed: what has to be on record and cannot be is not done and not answered, and what
`Diary.write` raises is raised to the caller. An answer is recorded before it is given. A change
is recorded before it is made: a process that is killed between the two leaves a record too many,
never one too few; if the change then fails, a second record with the outcome `failure` says so.

Only who reads a log that is damaged, and so takes no records, is answered without one: nobody
could find out what was done to it otherwise. The process's own log and a metric say so.

What pollers ask again and again is one record for each `WINDOW`: the key of the record follows
from caller, address, question and window, so that several nodes make one, too.
"""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

import orjson

from auditlogservice.errors import AuditLogError, LogDamaged, Unavailable
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.recent import Recent
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed
from auditlogservice.ledger.selfaudit.reads import is_of_own, question_text
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.selfaudit.acts import Act
    from auditlogservice.ledger.selfaudit.diary import Actor, Diary, Origin
    from auditlogservice.ledger.selfaudit.reads import Read

# Whether all acts are recorded, or only those that the table of `acts` calls essential.
Mode: TypeAlias = Literal["full", "essential"]

WINDOW = timedelta(minutes=5)
_REMEMBERED = 10_000  # keys of the present window


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks, from where, and in whose log that is recorded."""

    actor: Actor
    tenant: str
    origin: Origin


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is recorded of an act, besides who did it: a sentence, a target and the details."""

    detail: str
    kind: str
    id: str
    data: dict[str, Json]


class ReadsGauge(Protocol):
    """Who tells operators that something was read and is not on record."""

    def unrecorded(self, act: str, *, caller: str | None, tenant: str, question: str) -> None:
        """Tell of a read of a damaged log, once in a window for each caller and question."""
        ...


class SelfAudit:
    def __init__(
        self, diary: Diary, *, mode: Mode, clock: Clock, entropy: Entropy, gauge: ReadsGauge
    ) -> None:
        self._diary = diary
        self._mode = mode
        self._clock = clock
        self._entropy = entropy
        self._gauge = gauge
        self._told: Recent[str, None] = Recent(_REMEMBERED)
        self._unrecorded: Recent[str, None] = Recent(_REMEMBERED)

    async def record(
        self,
        act: Act,
        caller: Caller,
        entry: Entry,
        *,
        outcome: Literal["success", "failure"] = "success",
    ) -> None:
        """Return when the act is on record, if it is one that is recorded.

        Raises Unavailable; then it must not be done, or answered.
        """
        if self._is_recorded(act):
            key = f"act/{new_id(self._clock(), self._entropy)}"
            deed = _deed(act, caller, entry, key)
            await self._diary.write(caller.tenant, replace(deed, outcome=outcome))

    @asynccontextmanager
    async def doing(self, act: Act, caller: Caller, entry: Entry) -> AsyncIterator[None]:
        """Record the act, let the body do it, and record that it failed if it fails."""
        await self.record(act, caller, entry)
        try:
            yield
        except AuditLogError as error:
            why: dict[str, Json] = {"error": str(error)}
            failed = replace(entry, detail=f"failed: {entry.detail}", data=entry.data | why)
            await self.record(act, caller, failed, outcome="failure")
            raise

    async def made(
        self, act: Act, caller: Caller, entry: Entry, *, undo: Callable[[], Awaitable[None]]
    ) -> None:
        """Record a secret that was just made, before anybody is told it; undo it if that fails.

        Its id is known only then. If the process is killed in between, nobody has the secret.
        """
        try:
            await self.record(act, caller, entry)
        except Unavailable:
            with suppress(AuditLogError):  # then it stays, and is good for nobody
                await undo()
            raise

    async def once(
        self,
        act: Act,
        caller: Caller,
        entry: Entry,
        *,
        what: str,
        outcome: Literal["success", "failure"] = "success",
    ) -> None:
        """Do as `record` does, but once in a window for each caller, address and `what`."""
        if not self._is_recorded(act):
            return
        key = self._key(act, caller, what)
        if key in self._told:
            return
        deed = _deed(act, caller, entry, key)
        await self._diary.write(caller.tenant, replace(deed, outcome=outcome))
        self._told.put(key, None)

    async def read(self, caller: Caller, read: Read) -> None:
        """Record a read, before it is answered, unless it shows the caller's own events alone."""
        if is_of_own(read, caller.actor.id):
            return
        data: dict[str, Json] = {
            "kind": read.kind,
            "question": question_text(read.question),
            "values": read.values(),
        }
        if read.shown is not None:
            data["records"] = len(read.shown)
        entry = Entry(
            detail=f"{caller.actor.id} read events: {read.kind}",
            kind="log" if read.where is not None else "event",
            id=caller.tenant if read.where is not None else read.question,
            data=data,
        )
        await self._look(acts.EVENTS_READ, caller, entry, what=f"{read.kind} {read.question}")

    async def read_ledger(self, caller: Caller, path: str) -> None:
        """Record that a verifier reads, before it is answered: not each file, but that it does."""
        entry = Entry(
            detail=f"{caller.actor.id} read the ledger",
            kind="log",
            id=caller.tenant,
            data={"path": path},
        )
        await self._look(acts.LEDGER_READ, caller, entry, what="ledger")

    async def _look(self, act: Act, caller: Caller, entry: Entry, *, what: str) -> None:
        """Do as `once` does, but let who looks at a damaged log see it, and tell operators."""
        try:
            await self.once(act, caller, entry, what=what)
        except LogDamaged:
            key = self._key(act, caller, what)
            if key not in self._unrecorded:
                self._unrecorded.put(key, None)
                self._gauge.unrecorded(
                    act.event_type,
                    caller=caller.actor.id,
                    tenant=caller.tenant,
                    question=question_text(what),
                )

    def _is_recorded(self, act: Act) -> bool:
        return act.essential or self._mode == "full"

    def _key(self, act: Act, caller: Caller, what: str) -> str:
        window = to_micros(self._clock()) // (WINDOW // timedelta(microseconds=1))
        told = [act.event_type, caller.actor.id, caller.actor.type, caller.origin.ip, what, window]
        return f"once/{hashlib.sha256(orjson.dumps(told)).hexdigest()}"


def _deed(act: Act, caller: Caller, entry: Entry, key: str) -> Deed:
    return Deed(
        act=act,
        detail=entry.detail,
        by=caller.actor,
        kind=entry.kind,
        id=entry.id,
        data=entry.data,
        key=key,
        origin=caller.origin,
    )
