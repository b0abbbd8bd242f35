"""Checkpoints to witnesses: whoever has their keys need not believe the log alone.

A witness is told what the log has published, and a proof that this extends what the witness has
cosigned before. What that was it says itself, so that nothing need be remembered here.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, assert_never

from auditlogservice.anchors import (
    Cosigned,
    Disputed,
    LastCosigned,
    Refused,
    Unreachable,
    size_of,
)
from auditlogservice.checkpoints import AddCheckpoint
from auditlogservice.damage import reading_back
from auditlogservice.errors import ProofInvalid, StoreBroken, Unavailable
from auditlogservice.ledger.proving.anchorer import Troubles
from auditlogservice.notes import Note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.anchors import WitnessAnswer
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.proving.anchorer import AnchorGauge, AnchorJournal
    from auditlogservice.ledger.proving.anchors import Anchors
    from auditlogservice.ledger.proving.prover import Prover
    from auditlogservice.notes import Signature, VerifierKey
    from auditlogservice.store.port import LedgerStore, Published

_ATTEMPTS = 4  # a new witness says where it is; nodes that ask at once may overtake one another


class Witness(Protocol):
    """Someone who cosigns checkpoints, and is not us."""

    @property
    def key(self) -> VerifierKey: ...

    async def add_checkpoint(self, request: AddCheckpoint) -> WitnessAnswer:
        """Ask for a cosignature. MUST verify it, MUST NOT raise, and MUST answer in time."""
        ...


class Witnessing:
    """A round that shows each log which has grown to each witness."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: LedgerStore,
        prover: Prover,
        anchors: Anchors,
        *,
        witnesses: Sequence[Witness],
        every: float,
        clock: Clock,
        gauge: AnchorGauge,
        journal: AnchorJournal,
    ) -> None:
        self.every = every
        self._store = store
        self._prover = prover
        self._anchors = anchors
        self._clock = clock
        self._views = [
            _View(one, Troubles(one.key.name, journal=journal, gauge=gauge)) for one in witnesses
        ]

    async def go(self) -> None:
        try:
            notes = await self._published()
        except Unavailable:  # the store's own trouble, which is told elsewhere
            return
        async with asyncio.TaskGroup() as tasks:
            for view in self._views:
                tasks.create_task(self._show(view, notes))

    async def _published(self) -> dict[str, Note]:
        """The checkpoints that a witness has not cosigned yet, one for all of them.

        If each witness were shown what is newest at its turn, no checkpoint of a busy log would
        ever have the cosignatures of all.
        """
        notes = {}
        for tenant, size in (await self._store.sizes()).items():
            if any(view.kept.get(tenant) != size for view in self._views):
                published = await self._store.published(tenant)
                if published is None:
                    continue
                try:
                    notes[tenant] = _note_of(published)
                except StoreBroken as error:
                    for view in self._views:
                        view.troubles.failed(tenant, str(error))
        return notes

    async def _show(self, view: _View, notes: dict[str, Note]) -> None:
        for tenant, note in notes.items():
            if view.kept.get(tenant) == size_of(note):
                continue
            try:
                answer = await self._answer(view, tenant, note)
            except Unavailable:
                return
            match answer:
                case Cosigned():
                    view.troubles.over(tenant, at=self._clock())
                case Disputed(why):
                    view.troubles.disputed(tenant, why)
                case Refused(why):
                    view.troubles.failed(tenant, why)
                case Unreachable(why):
                    view.troubles.failed(tenant, why)
                    return  # nor will it answer for the others
                case _:
                    assert_never(answer)

    async def _answer(
        self, view: _View, tenant: str, note: Note
    ) -> Cosigned | Disputed | Refused | Unreachable:
        """Ask; what is damaged of one log is no other one's trouble."""
        try:
            return await self._cosigned(view, tenant, note)
        except StoreBroken as error:
            return Refused(str(error))

    async def _cosigned(
        self, view: _View, tenant: str, note: Note
    ) -> Cosigned | Disputed | Refused | Unreachable:
        """Ask until the witness and this log agree from where on a proof is wanted."""
        for _ in range(_ATTEMPTS):
            old = view.last.get(tenant, 0)
            if size_of(note) < old:
                # Another node may have shown it a newer checkpoint; there is no other good reason.
                published = await self._store.published(tenant)
                if published is None or published.size < old:
                    return Disputed(f"it has cosigned {old} records, and the log has fewer")
                note = _note_of(published)
            try:
                proof = await self._prover.consistency(tenant, old, size_of(note))
            except ProofInvalid as error:
                return Refused(f"there is no proof to show it: {error}")
            answer = await view.witness.add_checkpoint(AddCheckpoint(old, proof, note))
            if isinstance(answer, Cosigned):
                await self._keep(view, tenant, note, answer.signature)
            if not isinstance(answer, LastCosigned):
                return answer
            view.last[tenant] = answer.size
        return Refused("each time it is asked, it says that it has cosigned another tree")

    async def _keep(self, view: _View, tenant: str, note: Note, cosignature: Signature) -> None:
        view.last[tenant] = size_of(note)
        cosigned = Note(note.text, (*note.signatures, cosignature))
        await self._anchors.add_witnessed(tenant, view.witness.key, cosigned)
        view.kept[tenant] = size_of(note)


def _note_of(published: Published) -> Note:
    """Return the note of a checkpoint. Raises StoreBroken if the store has none in its place."""
    with reading_back():
        note = Note.parse(published.note)
        size_of(note)
        return note


class _View:
    """What one witness has seen."""

    def __init__(self, witness: Witness, troubles: Troubles) -> None:
        self.witness = witness
        self.troubles = troubles
        # Sizes of trees, for each tenant: what it cosigned last, as far as is known here; and of
        # what it cosigned, what was kept.
        self.last: dict[str, int] = {}
        self.kept: dict[str, int] = {}
