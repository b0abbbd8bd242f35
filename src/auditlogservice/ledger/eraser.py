"""Erasing, lawfully: the content is destroyed, and the log itself says who did it, when and why.

What says it is a tombstone: a record of the service's own, in the same log and the same tree. It
is appended in the transaction that destroys the content, so that neither is ever there without
the other. What is left of the erased record in the tree tells nothing of its content.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import EventHeld, EventNotFound, TombstoneKept
from auditlogservice.events import Draft, Erasure, Record, read_event, tombstone_id
from auditlogservice.governance import SERVICE_USER, TOMBSTONE_TYPE, is_tombstone
from auditlogservice.ledger.records import parse_id
from auditlogservice.merkle import leaf_hash
from auditlogservice.store.port import Burial, Held
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from auditlogservice.access import Principal
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import EventStore, LedgerStore

MAX_BURIALS = 100  # in one transaction


class Eraser:
    def __init__(
        self,
        store: EventStore,
        ledger: LedgerStore,
        *,
        clock: Clock,
        entropy: Entropy,
        on_commit: Callable[[], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._entropy = entropy
        self._on_commit = on_commit

    async def erase(self, principal: Principal, event_id: str, *, reason: str | None) -> None:
        """Erase one record.

        Raises EventNotFound; EventErased if it was erased before; EventHeld if a legal hold
        covers it; TombstoneKept if it is what is left of another erasure.
        """
        kept = await self._store.find(principal.tenant, parse_id(event_id))
        if kept is None:
            raise EventNotFound
        if isinstance(kept, Erasure):
            raise kept.error(principal.tenant)
        if is_tombstone(kept.fields()):
            raise TombstoneKept
        (fate,) = await self.bury(principal.tenant, [kept], by=principal.name, reason=reason)
        if isinstance(fate, Held):
            raise EventHeld(fate.holds)

    async def bury(
        self, tenant: str, records: Sequence[Record], *, by: str, reason: str | None
    ) -> list[Erasure | Held | None]:
        """Erase up to MAX_BURIALS records that are no tombstones; return what became of each."""
        leaves = await asyncio.gather(*(self._leaf(tenant, record) for record in records))
        burials = [
            Burial(
                id=record.id,
                by=by,
                reason=reason,
                tombstone=self._tombstone(tenant, record, leaf, by=by, reason=reason),
            )
            for record, leaf in zip(records, leaves, strict=True)
        ]
        fates = await self._store.erase(tenant, burials)
        self._on_commit()
        return fates

    async def _leaf(self, tenant: str, record: Record) -> bytes:
        place = record.sequence
        found = await self._ledger.openings(tenant, place, place + 1, content=False)
        if not found:  # erased rows stay, so someone took it out of the store
            raise EventNotFound
        return leaf_hash(found[0].entry.to_bytes())

    def _tombstone(
        self, tenant: str, record: Record, leaf: bytes, *, by: str, reason: str | None
    ) -> Draft:
        now = self._clock()
        event = read_event(
            {
                "name": "Event erased",
                "event_type": TOMBSTONE_TYPE,
                "detail": f"{by} erased event {record.sequence}",
                "actor": {"id": by},
                "targets": [{"type": "event", "id": record.id}],
                "outcome": "success",
                "event_data": {
                    "_id": record.id,
                    "sequence": record.sequence,
                    "leaf_hash": leaf.hex(),
                    "reason": reason,
                },
            },
            now=now,
        )
        return Draft(
            id=tombstone_id(tenant, record.id),
            tenant=tenant,
            user_id=SERVICE_USER,
            keyed=True,
            received_at=now,
            fingerprint=event.fingerprint,
            body=event.body,
            terms=terms_of({**event.told, "user_id": SERVICE_USER}),
            salt=self._entropy(SALT_BYTES),
        )
