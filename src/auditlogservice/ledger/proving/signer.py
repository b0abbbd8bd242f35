"""Trees -> signed checkpoints. A checkpoint is a promise for ever, so it is made with care.

A node signs a tree only if it extends the last one that it signed, which it remembers outside of
the database, and the last one that any node published: whoever puts an older backup in its place,
or rewrites it, gets no signature for that. The root is computed twice, from independent reads:
from the entries of the records that are new, behind the edge of the last tree; and from the stored
tiles. If the two differ, nothing is signed, and the log says why.

What is signed is remembered first and published then, so no checkpoint is ever in the world that
its signer has forgotten. If another process of the node has remembered something else meanwhile,
nothing is published, and the work begins again from there.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from auditlogservice.checkpoints import Checkpoint
from auditlogservice.errors import NotSigned, ProofInvalid, StoreBroken, Unavailable
from auditlogservice.merkle import EMPTY_ROOT, Edge, leaf_hash, root_plan
from auditlogservice.notes import Note, SigningKey
from auditlogservice.store.port import Published
from auditlogservice.tiles import hashes_of, tiles_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.proving.keyring import Keyring
    from auditlogservice.store.port import LedgerStore, Opening

PORTION = 5_000  # entries read at once
PATIENCE = 5.0  # seconds that a caller waits for a checkpoint
_LOOK_EVERY = 0.1  # seconds between two looks for what another node signs
_AT_ONCE = 8  # logs that are signed side by side


class Memory(Protocol):
    """The last checkpoint that was signed here, for each tenant, outside of the database."""

    def recall(self, tenant: str) -> bytes | None: ...

    def remember(self, tenant: str, note: bytes) -> bool:
        """Keep the note, durably, in the place of one of a smaller tree, or of the same one.

        Return whether that was done: whatever else is there was signed meanwhile, and stays.
        """
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

    edge: Edge | None = None  # None: nothing yet, by this process
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def size(self) -> int | None:
        return self.edge.size if self.edge else None


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
        keyring: Keyring,
        memory: Memory,
        clock: Clock,
        gauge: SignerGauge,
        journal: Journal,
        every: float,
    ) -> None:
        self._store = store
        self._host = host
        self._seeds = tuple(seeds)
        self._keyring = keyring
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
        clock = asyncio.get_running_loop().time
        while not self._closing.is_set():
            next_time = clock() + self._every
            await self.sign_all()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_time):
                    await self._closing.wait()
            await asyncio.sleep(0)  # where signing takes longer than that, others have a turn

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
        grown = [tenant for tenant, size in sizes.items() if not self._is_signed(tenant, size)]
        for start in range(0, len(grown), _AT_ONCE):
            signing = map(self._is_store_there, grown[start : start + _AT_ONCE])
            if not all(await asyncio.gather(*signing)):
                return  # the next log would only wait in vain, too

    def _is_signed(self, tenant: str, size: int) -> bool:
        log = self._logs.get(tenant)
        return tenant not in self._refusals and log is not None and log.size == size

    async def _is_store_there(self, tenant: str) -> bool:
        """Sign; return whether the store did its part."""
        try:
            await self.sign(tenant)
        except NotSigned:  # it is in the journal
            return True
        except Unavailable:
            return False
        return True

    # ---- for those who ask --------------------------------------------------------------

    async def checkpoint(self, tenant: str) -> Published:
        """Return the newest checkpoint, of the log as it is now if this node signs.

        Raises NotSigned if there is none and none can be made in time.
        """
        if self._seeds:
            with suppress(NotSigned):  # what was signed before stands
                await self._sign_in_time(tenant)
        return await self._wait_for(tenant, 0)

    async def covering(self, tenant: str, index: int) -> Published:
        """Return a checkpoint of a tree that has this leaf, which none had that was there before.

        Raises NotSigned if none comes.
        """
        if self._seeds:
            await self._sign_in_time(tenant)
        return await self._wait_for(tenant, index + 1)

    async def _sign_in_time(self, tenant: str) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                await self.sign(tenant)
        except TimeoutError:
            raise NotSigned("signing takes longer than this; it goes on") from None

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
                while not await self._sign(tenant, log):
                    pass  # another process of this node was quicker; go on from what it signed
            except ProofInvalid as error:
                self._refuse(tenant, str(error))
                raise NotSigned(f"the log is not signed: {error}") from None
            except OSError as error:
                self._refuse(tenant, f"the last checkpoint cannot be read or kept: {error}")
                raise NotSigned("the log is not signed: the node's disk fails") from None
            if self._refusals.pop(tenant, None):
                self._journal.signs_again(tenant)
                self._gauge.refused(len(self._refusals))

    def _refuse(self, tenant: str, why: str) -> None:
        if self._refusals.get(tenant) != why:
            self._journal.refuses(tenant, why)
        self._refusals[tenant] = why
        self._gauge.refused(len(self._refusals))

    async def _sign(self, tenant: str, log: _Log) -> bool:
        """Return whether the tree is signed; if not, something else was remembered meanwhile."""
        started = asyncio.get_running_loop().time()
        # In this order: no tree that was signed is larger than the log is afterwards.
        published, remembered = await asyncio.gather(
            self._store.published(tenant), asyncio.to_thread(self._memory.recall, tenant)
        )
        promised = await self._promised(tenant, published, remembered)
        size = await self._store.size(tenant)
        before = await self._begun(tenant, log, promised, size)
        if published is not None and published.size == size == log.size:
            return True
        (edge, oldest), stored = await asyncio.gather(
            self._extended(tenant, before, size, promised), self._stored_root(tenant, size)
        )
        if edge.root != stored:
            raise ProofInvalid("the stored tree is not the one that its entries make")
        if log.edge is not None or published is None or not self._is_ours(tenant, published, size):
            published = Published(size, self._note(tenant, edge))
        if not await asyncio.to_thread(self._memory.remember, tenant, published.note):
            return False
        await self._store.publish(tenant, published)
        log.edge = edge
        lag = max(0.0, (self._clock() - oldest.entry.timestamp).total_seconds()) if oldest else 0.0
        seconds = asyncio.get_running_loop().time() - started
        self._gauge.signed(records=size - before.size, lag=lag, seconds=seconds)
        return True

    # ---- what was signed before -----------------------------------------------------------

    async def _promised(
        self, tenant: str, published: Published | None, remembered: bytes | None
    ) -> list[Checkpoint]:
        """The checkpoints that the tree must extend, from small to large: everyone's and ours.

        The size beside a published one must be its own: with a larger one it would stay for ever.
        """
        notes = {remembered, published.note if published else None}
        origin = self.origin(tenant)
        found = {
            note: await self._keyring.opened(note, origin) for note in notes if note is not None
        }
        if published is not None and found[published.note].size != published.size:
            raise ProofInvalid("the published checkpoint is kept as one of another size")
        return sorted(found.values(), key=lambda one: one.size)

    def _is_ours(self, tenant: str, published: Published, size: int) -> bool:
        """Whether what is published is of this size, and each key of this node has signed it.

        That is asked once, at the start: if nodes have different keys, each would otherwise
        sign again what the other one has signed, and so on for ever.
        """
        signed = {one.key_id for one in Note.parse(published.note).signatures}
        ours = {key.verifier.id for key in self._keys(tenant)}
        return published.size == size and ours <= signed

    async def _begun(
        self, tenant: str, log: _Log, promised: Sequence[Checkpoint], size: int
    ) -> Edge:
        """The edge of the last tree that this process signed or, at its start, of what others did.

        Raises ProofInvalid if the log is shorter than it was.
        """
        most = max([log.size or 0, *(one.size for one in promised)])
        if most > size:
            # Not how many there are: that grows, and would be told again and again.
            raise ProofInvalid(
                f"a checkpoint for {most} records was signed, and the log has fewer: records are "
                "missing, or an older backup is in the place of the database"
            )
        if log.edge is not None:
            return log.edge
        edge = Edge()
        for checkpoint in promised:
            edge = await self._edge(tenant, checkpoint)
        return edge

    async def _edge(self, tenant: str, last: Checkpoint) -> Edge:
        """The edge of a tree that was signed, from the tiles, which must still make its root."""
        cover = tuple((subtree,) for subtree in root_plan(last.size)[0])
        tiles = await self._store.tiles(tenant, tiles_of(cover))
        edge = Edge(last.size, hashes_of(cover, tiles))
        _check_promised(edge, [last])
        return edge

    # ---- the tree as it is ----------------------------------------------------------------

    async def _extended(
        self, tenant: str, edge: Edge, size: int, promised: Sequence[Checkpoint]
    ) -> tuple[Edge, Opening | None]:
        """The edge with the entries of the records behind it, and the first of those.

        Where something was signed on the way, the tree must be the same one there.
        """
        oldest = None
        _check_promised(edge, promised)
        while edge.size < size:
            stops = [one.size for one in promised if one.size > edge.size]
            end = min([size, edge.size + PORTION, *stops])
            found = await self._openings(tenant, edge.size, end)
            oldest = oldest or found[0]
            edge = await asyncio.to_thread(_grown, edge, found)
            _check_promised(edge, promised)
        return edge, oldest

    async def _openings(self, tenant: str, first: int, end: int) -> list[Opening]:
        try:
            found = await self._store.openings(tenant, first, end, content=False)
        except StoreBroken:  # perhaps a row that someone wrote by hand
            raise ProofInvalid(f"records between {first} and {end} cannot be read") from None
        if [one.sequence for one in found] != list(range(first, end)):
            raise ProofInvalid(f"records between {first} and {end} are missing")
        return found

    async def _stored_root(self, tenant: str, size: int) -> bytes:
        if size == 0:
            return EMPTY_ROOT
        plan = root_plan(size)
        return hashes_of(plan, await self._store.tiles(tenant, tiles_of(plan)))[0]

    def _note(self, tenant: str, edge: Edge) -> bytes:
        text = Checkpoint(self.origin(tenant), edge.size, edge.root).text
        return Note(text, tuple(key.sign(text) for key in self._keys(tenant))).to_bytes()

    def _keys(self, tenant: str) -> list[SigningKey]:
        return [SigningKey(self.origin(tenant), seed) for seed in self._seeds]


def origin_of(host: str, tenant: str) -> str:
    """Return the name of a tenant's log."""
    return f"{host}/ledger/{tenant}"


def _grown(edge: Edge, openings: Sequence[Opening]) -> Edge:
    return edge.extended(leaf_hash(one.entry.to_bytes()) for one in openings)


def _check_promised(edge: Edge, promised: Sequence[Checkpoint]) -> None:
    if any(one.size == edge.size and one.root != edge.root for one in promised):
        raise ProofInvalid(f"the tree is another one than was signed at size {edge.size}")
