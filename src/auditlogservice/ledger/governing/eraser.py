"""Erasing, lawfully: the content is destroyed, and the log itself says who did it, when and why.

What says it is a tombstone: a record of the service's own, in the same log and the same tree. It
is appended in the transaction that destroys the content, so that neither is ever there without
the other. What is left of the erased record in the tree tells nothing of its content.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import EventHeld, EventNotFound, OwnRecordKept
from auditlogservice.events import Draft, Erasure, Record, read_event, tombstone_id
from auditlogservice.filters import matches
from auditlogservice.governance import OWN_RECORDS, SERVICE_USER, TOMBSTONE_TYPE
from auditlogservice.ledger.records import parse_id
from auditlogservice.ledger.selfaudit.diary import actor_named
from auditlogservice.merkle import leaf_hash
from auditlogservice.store.port import Burial, Held
from auditlogservice.terms import terms_of
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import EventStore, LedgerStore

MAX_BURIALS = 100  # in one transaction
_NEAR = 16  # places: reading over so few is quicker than another call


class Eraser:
    def __init__(
        self,
        store: EventStore,
        ledger: LedgerStore,
        *,
        clock: Clock,
        entropy: Entropy,
        on_commit: Callable[[set[str]], None],
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._entropy = entropy
        self._on_commit = on_commit

    async def erase(self, principal: Principal, event_id: str, *, reason: str | None) -> None:
        """Erase one record.

        Raises EventNotFound; EventErased if it was erased before; EventHeld if a legal hold
        covers it; OwnRecordKept if the service made it, to say what was done to the log.
        """
        kept = await self._store.find(principal.tenant, parse_id(event_id))
        if kept is None:
            raise EventNotFound
        if isinstance(kept, Erasure):
            raise kept.error(principal.tenant)
        if matches(OWN_RECORDS, kept.fields()):
            raise OwnRecordKept
        (fate,) = await self.bury(principal.tenant, [kept], by=principal.name, reason=reason)
        if fate is None:  # someone has taken it out of the store, just now
            raise EventNotFound
        if isinstance(fate, Held):
            raise EventHeld(fate.holds)
        if (fate.erased_by, fate.reason) != (principal.name, reason):  # another was quicker
            raise fate.error(principal.tenant)

    async def bury(
        self,
        tenant: str,
        records: Sequence[Record],
        *,
        by: str,
        reason: str | None,
        erasure: str | None = None,
        passed: Collection[str] = (),
    ) -> list[Erasure | Held | None]:
        """Erase up to MAX_BURIALS records that are no tombstones; return what became of each.

        Their tombstones name the `erasure` that they are part of. What `passed` is, says
        `EventStore.erase`.
        """
        leaves = await self._leaves(tenant, records)
        told: dict[str, Json] = {"reason": reason}
        if erasure is not None:
            told["erasure"] = erasure

        def burials() -> list[Burial]:
            return [
                Burial(
                    id=record.id,
                    by=by,
                    reason=reason,
                    tombstone=self._tombstone(
                        tenant, record, by=by, told=told | _place(record, leaf)
                    ),
                )
                for record, leaf in zip(records, leaves, strict=True)
            ]

        # In a thread: many tombstones take a while to make, and others want answers.
        made = await asyncio.to_thread(burials)
        fates = await self._store.erase(tenant, made, passed=passed)
        self._on_commit({tenant})
        return fates

    async def _leaves(self, tenant: str, records: Sequence[Record]) -> list[bytes]:
        """Return the hash of each record's leaf, read in as few calls as they lie in places."""
        leaves: dict[int, bytes] = {}
        for first, last in _stretches(sorted(record.sequence for record in records)):
            for found in await self._ledger.openings(tenant, first, last + 1, content=False):
                leaves[found.sequence] = leaf_hash(found.entry.to_bytes())
        for record in records:
            if record.sequence not in leaves:  # erased rows stay: someone took it out of the store
                raise EventNotFound
        return [leaves[record.sequence] for record in records]

    def _tombstone(self, tenant: str, record: Record, *, by: str, told: dict[str, Json]) -> Draft:
        now = self._clock()
        event = read_event(
            {
                "name": "Event erased",
                "event_type": TOMBSTONE_TYPE,
                "detail": f"{by} erased event {record.sequence}",
                # What is left of the record says the same moment; `timestamp` may be later, where
                # a clock has gone back.
                "occurred_at": format_utc(now),
                "actor": actor_named(by).told(),
                "targets": [{"type": "event", "id": record.id}],
                "outcome": "success",
                "event_data": told,
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


def _place(record: Record, leaf: bytes) -> dict[str, Json]:
    return {"_id": record.id, "sequence": record.sequence, "leaf_hash": leaf.hex()}


def _stretches(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and the last of each run of places that lie near to one another."""
    first = 0
    for at, place in enumerate(places, 1):
        if at == len(places) or places[at] - place > _NEAR:
            yield places[first], place
            first = at
