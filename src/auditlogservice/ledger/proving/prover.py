"""What the tree shows to others: tiles, entries, openings, and the proof of one record."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.checkpoints import Checkpoint, EntryProof
from auditlogservice.errors import (
    EventNotFound,
    LedgerDamaged,
    MalformedInput,
    NotFound,
    ProofInvalid,
)
from auditlogservice.ledger.records import parse_id
from auditlogservice.merkle import (
    HASH_BYTES,
    consistency_plan,
    inclusion_plan,
    leaf_hash,
    verify_inclusion,
)
from auditlogservice.notes import Note
from auditlogservice.tiles import WIDTH, hashes_of, tiles_of, to_bundle

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.ledger.proving.signer import Signer
    from auditlogservice.store.port import LedgerStore, Opening
    from auditlogservice.tiles import Tile


@dataclass(frozen=True, slots=True)
class Proven:
    """A record's entry and its proof; `opening` has the content, unless it was erased."""

    opening: Opening
    proof: EntryProof


class Prover:
    def __init__(self, ledger: LedgerStore, signer: Signer) -> None:
        self._ledger = ledger
        self._signer = signer

    async def tile(self, tenant: str, tile: Tile, width: int) -> bytes:
        """Return the first `width` hashes of a tile. Raises NotFound if it has fewer."""
        found = await self._ledger.tiles(tenant, [tile])
        hashes = found.get(tile, b"")[: width * HASH_BYTES]
        if len(hashes) < width * HASH_BYTES:
            raise NotFound("the tree has no such tile")
        return hashes

    async def entries(self, tenant: str, number: int, width: int) -> bytes:
        """Return the first `width` entries of a bundle. Raises NotFound if it has fewer."""
        first = number * WIDTH
        entries = await self._ledger.entries(tenant, first, first + width)
        if len(entries) < width:
            raise NotFound("the tree has no such entries")
        return to_bundle(entries.values())

    async def salts(self, tenant: str, number: int) -> list[bytes | None]:
        """Return the salts of the records of a bundle; None where one was erased, or is lost."""
        first = number * WIDTH
        found = await self._ledger.salts(tenant, first, first + WIDTH)
        if not found:
            raise NotFound("the log has no such records")
        return [found.get(place) for place in range(first, max(found) + 1)]

    async def prove(self, principal: Principal, event_id: str) -> Proven:
        """Return the proof of a record, erased or not, in a tree that was signed.

        Raises EventNotFound; NotSigned if no checkpoint covers the record in time; LedgerDamaged
        if the store's tree does not prove it.
        """
        try:
            return await self._prove(principal, event_id)
        except (MalformedInput, ProofInvalid) as error:
            raise LedgerDamaged(str(error)) from None

    async def _prove(self, principal: Principal, event_id: str) -> Proven:
        tenant = principal.tenant
        # Side by side, and the record once: what a proof takes is the time of its round trips.
        opening, published = await asyncio.gather(
            self._ledger.opening(tenant, parse_id(event_id)), self._ledger.published(tenant)
        )
        if opening is None:
            raise EventNotFound
        index = opening.sequence
        if published is None or published.size <= index:
            published = await self._signer.covering(tenant, index)
        note = Note.parse(published.note)
        checkpoint = Checkpoint.parse(note.text)
        plan = inclusion_plan(index, checkpoint.size)
        hashes = hashes_of(plan, await self._ledger.tiles(tenant, tiles_of(plan)))
        verify_inclusion(
            hashes,
            index=index,
            size=checkpoint.size,
            leaf_hash=leaf_hash(opening.entry.to_bytes()),
            root=checkpoint.root,
        )
        return Proven(opening, EntryProof(index, hashes, note))

    async def consistency(self, tenant: str, old: int, new: int) -> tuple[bytes, ...]:
        """Return the proof that the tree of `new` leaves extends that of `old`.

        Raises ProofInvalid if there are no such trees, or the store's tiles do not make them.
        """
        plan = consistency_plan(old, new)
        return hashes_of(plan, await self._ledger.tiles(tenant, tiles_of(plan)))
