"""Following a log: each record exactly once, in order, by its sequence.

A follower holds nothing but the last sequence it has seen. It asks for what comes after, and
waits when there is nothing; so it can stop and go on anywhere, on any node, and a slow one costs
no memory here. Nodes learn of one another's records by looking at the end of a log, a few times
a second and once for all who wait for it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from auditlogservice.errors import Unavailable
from auditlogservice.events import Sequence
from auditlogservice.filters import Compare, all_of
from auditlogservice.store.port import PageQuery

if TYPE_CHECKING:
    from auditlogservice.events import Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

LOOK_EVERY = 0.2  # seconds between two looks at the end of a log that somebody waits for
START = Sequence(-1)  # the place before the first record


@dataclass(frozen=True, slots=True)
class Stretch:
    """What matches in a stretch of the log, and the last sequence of that stretch."""

    records: list[Record]
    last: Sequence


@dataclass(slots=True)
class _Log:
    """The end of one tenant's log as last seen, while somebody waits for it to move."""

    end: Sequence
    waiting: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)


class Follower:
    """Reads on for everybody. `run` must be running, in a task that its owner waits for."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._logs: dict[str, _Log] = {}
        self._look = asyncio.Event()
        self._closing = False

    @property
    def is_closing(self) -> bool:
        return self._closing

    async def end(self, tenant: str) -> Sequence:
        """Return the last sequence of the log now; START if it is empty."""
        return Sequence(await self._store.end(tenant) - 1)

    async def read_on(
        self, tenant: str, where: Filter, *, after: Sequence, limit: int, wait: float
    ) -> Stretch:
        """Return what matches after a place; if nothing does, wait up to `wait` seconds for it.

        The stretch ends where the next call should go on: behind the last record, or further if
        what follows does not match.
        """
        clock = asyncio.get_running_loop().time
        until = clock() + wait
        while True:
            end = await self._wait_beyond(tenant, after, until - clock())
            if end <= after + 1:
                return Stretch([], after)
            # Bounded by an end that was seen before, so that the stretch is the whole of it.
            bounded = all_of(where, Compare("sequence", "lt", str(end)))
            records = await self._store.page(
                PageQuery(tenant=tenant, where=bounded, order="oldest", beyond=after, limit=limit)
            )
            last = records[-1].sequence if len(records) == limit else Sequence(end - 1)
            if records or clock() >= until or self._closing:
                return Stretch(records, last)
            after = last

    async def _wait_beyond(self, tenant: str, after: Sequence, seconds: float) -> Sequence:
        """Return the end of the log: as soon as it is beyond `after`, or when time is up."""
        end = await self._store.end(tenant)
        if end > after + 1 or seconds <= 0 or self._closing:
            return end
        log = self._logs.setdefault(tenant, _Log(end))
        log.waiting += 1
        self._look.set()
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while log.end <= after + 1 and not self._closing:
                        await log.moved.wait()
            return max(log.end, end)
        finally:
            log.waiting -= 1
            if not log.waiting:
                self._logs.pop(tenant, None)

    def nudge(self) -> None:
        """Look now: this process has just written something."""
        if self._logs:
            self._look.set()

    def close(self) -> None:
        """Let everybody who waits go; `run` returns."""
        self._closing = True
        self._look.set()
        for log in self._logs.values():
            log.moved.set()

    async def run(self) -> None:
        """Look at the logs that somebody waits for, until closed. Asks nothing if nobody does."""
        while not self._closing:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_EVERY if self._logs else None):
                    await self._look.wait()
            self._look.clear()
            for tenant, log in list(self._logs.items()):
                # A store that does not answer now is asked again; those who wait have a limit.
                with suppress(Unavailable):
                    self._move(log, await self._store.end(tenant))

    def _move(self, log: _Log, end: Sequence) -> None:
        if end > log.end:
            log.end = end
            moved, log.moved = log.moved, asyncio.Event()
            moved.set()
