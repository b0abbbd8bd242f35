"""Legal holds: placed and lifted, and both on record.

A hold stands from the moment its document is there: whatever is erased later looks at it in the
same transaction. The record of it follows, before the answer; if a process is killed in between,
the sweeper has it written. Lifting is the other way round: it is on record before the hold goes.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from auditlogservice.errors import Conflict, NotFound, OutcomeUnknown, Unavailable
from auditlogservice.governance import MAX_HOLDS, Hold, read_hold
from auditlogservice.language import to_document
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed, actor_named
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.filters import Filter
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.selfaudit.diary import Diary, Origin
    from auditlogservice.store.port import DocumentStore

_PLACED, _ON_RECORD = 1, 2  # versions of a hold's document


class Holds:
    def __init__(
        self, documents: DocumentStore, diary: Diary, *, clock: Clock, entropy: Entropy
    ) -> None:
        self._documents = documents
        self._diary = diary
        self._clock = clock
        self._entropy = entropy

    async def place(
        self, principal: Principal, where: Filter, *, reason: str, origin: Origin | None = None
    ) -> Hold:
        """Forbid to erase what matches, from now on. Raises Conflict beyond MAX_HOLDS."""
        if len(await self.standing(principal.tenant)) >= MAX_HOLDS:
            raise Conflict(f"a tenant may have {MAX_HOLDS:,} legal holds; lift others first")
        now = self._clock()
        hold = Hold(
            id=new_id(now, self._entropy),
            where=where,
            reason=reason,
            placed_by=principal.name,
            placed_at=now,
        )
        document = Document(
            kind="hold", tenant=principal.tenant, id=hold.id, body=hold.to_body(), version=_PLACED
        )
        await self._documents.put(document)
        try:
            await self.put_on_record(document, origin)
        except Unavailable:  # the hold stands, whatever became of its record
            raise OutcomeUnknown from None
        return hold

    async def standing(self, tenant: str) -> list[Hold]:
        """Return the holds of a tenant, in the order in which they were placed."""
        documents = await self._documents.all("hold", tenant)
        holds = [read_hold(each.id, each.body) for each in documents]
        return sorted(holds, key=lambda hold: hold.placed_at)

    async def get(self, tenant: str, hold_id: str) -> Hold:
        """Return a hold that stands. Raises NotFound."""
        found = await self._documents.get("hold", tenant, hold_id)
        if found is None:
            raise NotFound("no hold has this id")
        return read_hold(found.id, found.body)

    async def lift(
        self, principal: Principal, hold_id: str, *, reason: str, origin: Origin | None = None
    ) -> None:
        """End a hold. Raises NotFound."""
        hold = await self.get(principal.tenant, hold_id)
        await self._diary.write(
            principal.tenant,
            Deed(
                act=acts.HOLD_LIFTED,
                detail=f"{principal.name} lifted a legal hold: {reason}",
                by=actor_named(principal.name),
                kind="hold",
                id=hold.id,
                data={"where": to_document(hold.where), "reason": reason},
                key=f"hold-lifted/{new_id(self._clock(), self._entropy)}",
                origin=origin,
            ),
        )
        try:
            gone = not await self._documents.remove("hold", principal.tenant, hold.id)
        except Unavailable:  # the record is there, whatever became of the hold
            raise OutcomeUnknown from None
        if gone:
            raise NotFound("no hold has this id")

    async def unrecorded(self) -> list[Document]:
        """Return the holds, of all tenants, that a process which was killed has placed."""
        return [each for each in await self._documents.all("hold") if each.version == _PLACED]

    async def put_on_record(self, document: Document, origin: Origin | None = None) -> None:
        hold = read_hold(document.id, document.body)
        deed = Deed(
            act=acts.HOLD_PLACED,
            detail=f"{hold.placed_by} placed a legal hold: {hold.reason}",
            by=actor_named(hold.placed_by),
            kind="hold",
            id=hold.id,
            data={"where": to_document(hold.where), "reason": hold.reason},
            key=f"hold-placed/{hold.id}",
            origin=origin,
        )
        await self._diary.write(document.tenant, deed)
        await self._documents.put(replace(document, version=_ON_RECORD))
