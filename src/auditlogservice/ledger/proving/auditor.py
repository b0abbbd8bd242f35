"""A tenant's log in the store, as the source of an audit: what `fsck` looks through.

An audit asks and waits, in a thread of its own; the store answers in the event loop.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from auditlogservice.auditing.audit import Stretch
from auditlogservice.auditing.findings import Fault, Finding, Report
from auditlogservice.auditing.proceeding import audit
from auditlogservice.damage import DAMAGE
from auditlogservice.errors import Unavailable
from auditlogservice.merkle import HASH_BYTES
from auditlogservice.tiles import WIDTH, Tile

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator, Sequence
    from typing import Any

    from auditlogservice.auditing.proceeding import Progress
    from auditlogservice.notes import VerifierKey
    from auditlogservice.store.port import LedgerStore, Opening

T = TypeVar("T")

_DAMAGED = (Unavailable, *DAMAGE)


async def check_log(
    store: LedgerStore,
    tenant: str,
    *,
    keys: Sequence[VerifierKey] = (),
    progress: Progress = lambda _done, _all: None,
) -> Report:
    """Audit one log of the store. Without a key its checkpoint is believed as it stands."""
    source = StoredLog(store, tenant, asyncio.get_running_loop())
    report, _ = await asyncio.to_thread(audit, source, keys=keys, progress=progress)
    return report


async def check_store(
    store: LedgerStore,
    *,
    keys: Sequence[VerifierKey] = (),
    progress: Progress = lambda _done, _all: None,
) -> tuple[dict[str, Report], Report]:
    """Return a report on each log, those of the keys among them, and one on the store itself."""
    own = Report(origin="the store")
    reports: dict[str, Report] = {}
    try:
        there = await store.sizes()
    except _DAMAGED as error:
        own.add(Finding(Fault.STORE, f"the logs cannot be listed: {error}"))
        there = {}
    signed = {key.name.rpartition("/")[2]: key.name for key in keys}
    for tenant in sorted(there.keys() | signed.keys()):
        fitting = [key for key in keys if key.name == signed.get(tenant)]
        try:
            reports[tenant] = await check_log(store, tenant, keys=fitting, progress=progress)
        except _DAMAGED as error:
            own.add(Finding(Fault.STORE, f"the log of {tenant} cannot be read: {error}"))
    for sentence in await store.examine():
        own.add(Finding(Fault.STORE, sentence))
    return reports, own


class StoredLog:
    """Keeps the contract of `auditing.proceeding.Source`. Not to be used in the loop's thread."""

    def __init__(self, store: LedgerStore, tenant: str, loop: asyncio.AbstractEventLoop) -> None:
        self._store = store
        self._tenant = tenant
        self._loop = loop
        self._findings: list[Finding] = []

    def checkpoint(self) -> bytes:
        published = self._wait(self._store.published(self._tenant))
        return published.note if published else b""

    def size(self) -> int:
        return self._wait(self._store.size(self._tenant))

    def unsigned_end(self) -> int:
        return self.size()

    def stretches(self, first: int, end: int) -> Iterator[Stretch]:
        while first < end:
            stop = min(end, (first // WIDTH + 1) * WIDTH)
            found: dict[int, Opening] = {one.sequence: one for one in self._openings(first, stop)}
            leaf = self.tile(Tile(0, first // WIDTH), WIDTH)
            there = [found.get(place) for place in range(first, stop)]
            skipped = first % WIDTH
            yield Stretch(
                first,
                [one.entry.to_bytes() if one else None for one in there],
                leaf[skipped * HASH_BYTES : (skipped + stop - first) * HASH_BYTES],
                [one.salt if one else None for one in there],
                [one.payload if one else None for one in there],
            )
            first = stop

    def tile(self, tile: Tile, width: int) -> bytes:
        try:
            found = self._wait(self._store.tiles(self._tenant, [tile]))
        except _DAMAGED as error:
            self._note(f"tile {tile.level}/{tile.number} cannot be read: {error}")
            return b""
        return found.get(tile, b"")[: width * HASH_BYTES]

    def has_content(self, place: int) -> bool:
        return any(
            one.payload is not None or one.salt is not None
            for one in self._openings(place, place + 1)
        )

    def findings(self) -> list[Finding]:
        return self._findings

    def _openings(self, first: int, end: int) -> list[Opening]:
        """Return what can be read; where that breaks, what can be read one by one."""
        try:
            return self._wait(self._store.openings(self._tenant, first, end, content=True))
        except _DAMAGED as error:
            if end - first == 1:
                self._note(f"record {first} cannot be read: {error}")
                return []
        middle = (first + end) // 2
        return [*self._openings(first, middle), *self._openings(middle, end)]

    def _note(self, detail: str) -> None:
        self._findings.append(Finding(Fault.STORE, detail))

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()
