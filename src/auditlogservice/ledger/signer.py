"""Trees -> signed checkpoints. A checkpoint is a promise for ever, so it is made with care.

A node signs a tree only if it extends the last one that it signed, which it remembers outside of
the database: whoever puts an older backup in its place, or rewrites it, gets no signature for
that. The root is computed twice, from independent reads: from the entries of the records that are
new, behind the edge of the last tree; and from the stored tiles. If the two differ, nothing is
signed, and the log says why.

What is signed is remembered first and published then, so no checkpoint is ever in the world that
its signer has forgotten.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from auditlogservice.checkpoints import Checkpoint, open_checkpoint
from auditlogservice.errors import (
    AuditLogError,
    MalformedInput,
    NotSigned,
    ProofInvalid,
    Unavailable,
)
from auditlogservice.merkle import EMPTY_ROOT, Edge, leaf_hash, root_plan
from auditlogservice.notes import Note, SigningKey
from auditlogservice.store.port import Published
from auditlogservice.tiles import hashes_of, tiles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import LedgerStore, Opening

PORTION = 5_000  # entries read at once
PATIENCE = 5.0  # seconds that a caller waits for a checkpoint that covers its record
_LOOK_EVERY = 0.1  # seconds between two looks for what another node signs


class Memory(Protocol):
    """The last checkpoint that was signed here, for each tenant, outside of the database."""

    def recall(self, tenant: str) -> bytes | None: ...

    def remember(self, tenant: str, note: bytes, *, size: int) -> None:
        """Keep the note, durably, unless the one that is there is of a larger tree."""
        ...


class SignerGauge(Protocol):
    """Who wants to know how the signing goes (metrics)."""

    def signed(self, *, records: int, lag: float, seconds: float) -> None:
        """A checkpoint covers so many more records; the oldest was kept `lag` seconds ago."""

    def refused(self, tenants: int) -> None:
        """Nothing is signed for so many tenants, because their logs do not prove themselves."""


class Journal(Protocol):
    """Where operators read what the signer has to say."""

    def refuses(self, tenant: str, why: str) -> None: ...

    def signs_again(self, tenant: str) -> None: ...


@dataclass(slots=True)
class _Log:
    """One tenant's log: what was signed of it last."""

    edge: Edge = field(default_factory=Edge)
    known: bool = False  # whether the memory was asked
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class Signer:
    """Signs the logs of all tenants, and knows each one's checkpoint.

    Without seeds it signs nothing, and only tells what other nodes have signed. `run` must be
    running.
    """

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: LedgerStore,
        *,
        host: str,
        seeds: Sequence[bytes],
        memory: Memory,
        clock: Clock,
        gauge: SignerGauge,
        journal: Journal,
        every: float,
    ) -> None:
        self._store = store
        self._host = host
        self._seeds = tuple(seeds)
        self._memory = memory
        self._clock = clock
        self._gauge = gauge
        self._journal = journal
        self._every = every
        self._logs: dict[str, _Log] = {}
        self._refusals: dict[str, str] = {}
        self._closing = asyncio.Event()

    def origin(self, tenant: str) -> str:
        """Return the name of a tenant's log, and of the keys that sign it."""
        return origin_of(self._host, tenant)

    @property
    def refusals(self) -> dict[str, str]:
        """For which tenants nothing is signed, and why."""
        return dict(self._refusals)

    # ---- in the background --------------------------------------------------------------

    async def run(self) -> None:
        """Sign what is new, every so often, until closed."""
        while not self._closing.is_set():
            await self.sign_all()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._every)

    def close(self) -> None:
        self._closing.set()

    async def sign_all(self) -> None:
        """Sign every log that has grown. Failing is no failure: the next time may do."""
        if not self._seeds:
            return
        try:
            sizes = await self._store.sizes()
        except Unavailable:  # the store's own trouble, which is told elsewhere
            return
        for tenant, size in sizes.items():
            log = self._logs.get(tenant)
            if log is None or not log.known or log.edge.size != size:
                try:
                    await self.sign(tenant)
                except AuditLogError:  # it is in the journal, or it passes
                    continue

    # ---- for those who ask --------------------------------------------------------------

    async def checkpoint(self, tenant: str) -> Published:
        """Return the newest checkpoint, of the log as it is now if this node signs.

        Raises NotSigned if there is none and none can be made.
        """
        if self._seeds:
            with suppress(NotSigned):  # what was signed before stands
                await self.sign(tenant)
        return await self._wait_for(tenant, 0)

    async def covering(self, tenant: str, index: int) -> Published:
        """Return a checkpoint of a tree that has this leaf. Raises NotSigned if none comes."""
        published = await self._store.published(tenant)
        if published is not None and published.size > index:
            return published
        if self._seeds:
            await self.sign(tenant)
        return await self._wait_for(tenant, index + 1)

    async def _wait_for(self, tenant: str, size: int) -> Published:
        deadline = asyncio.get_running_loop().time() + PATIENCE
        while True:
            published = await self._store.published(tenant)
            if published is not None and published.size >= size:
                return published
            if self._seeds or asyncio.get_running_loop().time() > deadline:
                raise NotSigned("no signed checkpoint reaches as far as this")
            await asyncio.sleep(_LOOK_EVERY)

    # ---- signing ------------------------------------------------------------------------

    async def sign(self, tenant: str) -> None:
        """Sign and publish the tree as it is now, unless that is done already.

        Raises NotSigned if the tree is not one that this node may sign.
        """
        log = self._logs.setdefault(tenant, _Log())
        async with log.turn:
            try:
                await self._sign(tenant, log)
            except (ProofInvalid, MalformedInput) as error:
                self._refuse(tenant, str(error))
                raise NotSigned(f"the log is not signed: {error}") from None
            if self._refusals.pop(tenant, None):
                self._journal.signs_again(tenant)
                self._gauge.refused(len(self._refusals))

    def _refuse(self, tenant: str, why: str) -> None:
        if self._refusals.get(tenant) != why:
            self._journal.refuses(tenant, why)
        self._refusals[tenant] = why
        self._gauge.refused(len(self._refusals))

    async def _sign(self, tenant: str, log: _Log) -> None:
        started = asyncio.get_running_loop().time()
        size = await self._store.size(tenant)
        await self._take_up(tenant, log, size)
        published = await self._store.published(tenant)
        if published is not None and published.size == size == log.edge.size:
            return
        edge, oldest = await self._extended(tenant, log.edge, size)
        if edge.root != await self._stored_root(tenant, size):
            raise ProofInvalid("the stored tree is not the one that its entries make")
        note = self._note(tenant, edge)
        await asyncio.to_thread(self._memory.remember, tenant, note, size=size)
        await self._store.publish(tenant, Published(size, note))
        records, log.edge = size - log.edge.size, edge
        lag = max(0.0, (self._clock() - oldest.entry.timestamp).total_seconds()) if oldest else 0.0
        seconds = asyncio.get_running_loop().time() - started
        self._gauge.signed(records=records, lag=lag, seconds=seconds)

    async def _take_up(self, tenant: str, log: _Log, size: int) -> None:
        """Go on from the last tree that was signed here, by this process or by another."""
        last = await self._last(tenant, known=log.known)
        if last is not None and (not log.known or last.size > log.edge.size):
            if last.size > size:
                raise ProofInvalid(
                    f"the log has {size} records, and a checkpoint for {last.size} was signed: "
                    "records are missing, or an older backup is in the place of the database"
                )
            log.edge = await self._edge(tenant, last)
        if log.edge.size > size:
            raise ProofInvalid(f"the log has {size} records, and had {log.edge.size}")
        log.known = True

    async def _last(self, tenant: str, *, known: bool) -> Checkpoint | None:
        """The last checkpoint in memory; if there is none at all, the one in the store."""
        note = await asyncio.to_thread(self._memory.recall, tenant)
        if note is None and not known and (published := await self._store.published(tenant)):
            note = published.note
        if note is None:
            return None
        key = SigningKey(self.origin(tenant), self._seeds[0]).verifier
        others = [SigningKey(self.origin(tenant), seed).verifier for seed in self._seeds[1:]]
        for candidate in (key, *others):
            try:
                return open_checkpoint(Note.parse(note), candidate)[0]
            except ProofInvalid:
                continue
        raise ProofInvalid(
            f"the last checkpoint was not signed by a key of this node as {self.origin(tenant)}"
        )

    async def _edge(self, tenant: str, last: Checkpoint) -> Edge:
        """The edge of a tree that was signed, from the tiles, which must still make its root."""
        cover = tuple((subtree,) for subtree in root_plan(last.size)[0])
        tiles = await self._store.tiles(tenant, tiles_of(cover))
        edge = Edge(last.size, hashes_of(cover, tiles))
        if edge.root != last.root:
            raise ProofInvalid(f"the tree is another one than was signed at size {last.size}")
        return edge

    async def _extended(self, tenant: str, edge: Edge, size: int) -> tuple[Edge, Opening | None]:
        """The edge with the entries of the records behind it, and the first of those."""
        oldest = None
        while edge.size < size:
            end = min(size, edge.size + PORTION)
            found = await self._store.openings(tenant, edge.size, end, content=False)
            if [one.sequence for one in found] != list(range(edge.size, end)):
                raise ProofInvalid(f"records between {edge.size} and {end} are missing")
            oldest = oldest or found[0]
            edge = await asyncio.to_thread(_grown, edge, found)
        return edge, oldest

    async def _stored_root(self, tenant: str, size: int) -> bytes:
        if size == 0:
            return EMPTY_ROOT
        plan = root_plan(size)
        return hashes_of(plan, await self._store.tiles(tenant, tiles_of(plan)))[0]

    def _note(self, tenant: str, edge: Edge) -> bytes:
        checkpoint = Checkpoint(self.origin(tenant), edge.size, edge.root)
        text = checkpoint.text
        signatures = tuple(SigningKey(checkpoint.origin, seed).sign(text) for seed in self._seeds)
        return Note(text, signatures).to_bytes()


def origin_of(host: str, tenant: str) -> str:
    """Return the name of a tenant's log."""
    return f"{host}/ledger/{tenant}"


def _grown(edge: Edge, openings: Sequence[Opening]) -> Edge:
    return edge.extended(leaf_hash(one.entry.to_bytes()) for one in openings)
