"""The service under its own eyes: who signed in, who changed what, who read events of others.

Fail closed: what has to be on record and cannot be is not done and not answered, and what
`Diary.write` raises is raised to the caller. An answer is recorded before it is given. A change
is recorded before it is made: a process that is killed between the two leaves a record too many,
never one too few; if the change then fails, a second record with the outcome `failure` says so.

What pollers ask again and again is one record for each `WINDOW`: the key of the record follows
from caller, address, question and window, so that several nodes make one, too.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, TypeAlias

import orjson

from auditlogservice.errors import AuditLogError
from auditlogservice.ledger import acts
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.diary import Deed
from auditlogservice.ledger.reads import is_of_own, question_text
from auditlogservice.times import to_micros

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.canonical import Json
    from auditlogservice.ledger.acts import Act
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.diary import Actor, Diary, Origin
    from auditlogservice.ledger.reads import Read

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


class SelfAudit:
    def __init__(self, diary: Diary, *, mode: Mode, clock: Clock, entropy: Entropy) -> None:
        self._diary = diary
        self._mode = mode
        self._clock = clock
        self._entropy = entropy
        self._told: OrderedDict[str, None] = OrderedDict()

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
        self._told[key] = None
        if len(self._told) > _REMEMBERED:
            self._told.popitem(last=False)

    async def read(self, caller: Caller, read: Read) -> None:
        """Record a read, before it is answered, unless it shows the caller's own events alone."""
        if is_of_own(read, caller.actor.id):
            return
        data: dict[str, Json] = {
            "kind": read.kind,
            "question": question_text(read.question),
            "values": read.values(),
        }
        if read.records is not None:
            data["records"] = len(read.records)
        entry = Entry(
            detail=f"{caller.actor.id} read events: {read.kind}",
            kind="log" if read.where is not None else "event",
            id=caller.tenant if read.where is not None else read.question,
            data=data,
        )
        await self.once(acts.EVENTS_READ, caller, entry, what=f"{read.kind} {read.question}")

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
