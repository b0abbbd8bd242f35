"""Following a log: each record exactly once, in order, by its sequence.

A follower holds nothing but the last sequence it has seen. It asks for what comes after, and
waits when there is nothing; so it can stop and go on anywhere, on any node, and a slow one costs
no memory here. Nodes learn of one another's records by looking at the end of a log, a few times
a second and once for all who wait for it.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from auditlogservice.errors import Unavailable
from auditlogservice.events import Sequence
from auditlogservice.ledger.walk import Walk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from contextlib import AbstractAsyncContextManager

    from auditlogservice.events import Record
    from auditlogservice.filters import Filter
    from auditlogservice.store.port import EventStore

LOOK_EVERY = 0.2  # seconds between two looks at the end of a log that somebody waits for
LEAST_READING = 1.0  # seconds for passing over what does not match, also for who does not wait


@dataclass(frozen=True, slots=True)
class News:
    """What came after a place and matches, and the last sequence that was looked at for it."""

    records: list[Record]
    last: Sequence


@dataclass(slots=True)
class _Log:
    """The end of one tenant's log as last seen, while somebody waits for it to move."""

    end: Sequence
    waiting: int = 0
    moved: asyncio.Event = field(default_factory=asyncio.Event)

    def move(self, end: Sequence) -> None:
        if end > self.end:
            self.end = end
            moved, self.moved = self.moved, asyncio.Event()
            moved.set()


class Follower:
    """Reads on for everybody. `run` must be running, in a task that its owner waits for."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._logs: dict[str, _Log] = {}
        self._due: set[str] = set()  # tenants whose logs are to be looked at now
        self._look = asyncio.Event()
        self._closed = asyncio.Event()

    @property
    def is_closing(self) -> bool:
        return self._closed.is_set()

    async def closes_within(self, seconds: float) -> bool:
        """Wait so long, or until the service stops; return whether it does."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        return self.is_closing

    async def end(self, tenant: str) -> Sequence:
        """Return the last sequence of the log now; START if it is empty."""
        return Sequence(await self._store.end(tenant) - 1)

    async def read_on(
        self,
        tenant: str,
        where: Filter,
        *,
        after: Sequence,
        limit: int,
        wait: float,
        turn: Callable[[], AbstractAsyncContextManager[Any]] = nullcontext,
    ) -> News:
        """Return what matches after a place; if nothing does, wait up to `wait` seconds for it.

        `last` is where the next call should go on: the last record, or further if what follows
        does not match. A long log of which nothing matches may take several calls. Each question
        to the store has a `turn`; waiting has none.
        """
        clock = asyncio.get_running_loop().time
        start = clock()
        walk = Walk(self._store, tenant, where, after=after, limit=limit, turn=turn)
        end = await self._end(tenant, wait)
        while True:
            # The end was seen before, so that what is passed over is passed over for good.
            while walk.place + 1 < end:
                records = await walk.step(end)
                is_over = self.is_closing or clock() >= start + max(wait, LEAST_READING)
                if records or is_over:
                    return News(records, walk.place)
            if self.is_closing or clock() >= start + wait:
                return News([], walk.place)
            end = await self._wait_beyond(tenant, walk.place, end, start + wait - clock())

    async def _end(self, tenant: str, wait: float) -> Sequence:
        """Return the end of the log: for who waits, as it was seen for others who do."""
        log = self._logs.get(tenant)
        return log.end if log and wait > 0 else await self._store.end(tenant)

    async def _wait_beyond(
        self, tenant: str, place: Sequence, end: Sequence, seconds: float
    ) -> Sequence:
        """Return the end of the log: as soon as it is beyond `place`, or when time is up.

        `end` is where the caller has seen it.
        """
        log = self._logs.get(tenant)
        if log is None:
            log = self._logs[tenant] = _Log(end)
            self._look_at([tenant])  # it may have moved since
        log.move(end)
        log.waiting += 1
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while log.end <= place + 1 and not self.is_closing:
                        await log.moved.wait()
            return log.end
        finally:
            log.waiting -= 1

    def nudge(self, tenants: Iterable[str]) -> None:
        """Look now: this process has just written to these logs."""
        self._look_at(self._logs.keys() & tenants)

    def _look_at(self, tenants: Iterable[str]) -> None:
        self._due.update(tenants)
        if self._due:
            self._look.set()

    def close(self) -> None:
        """Let everybody who waits go; `run` returns."""
        self._closed.set()
        self._look.set()
        for log in self._logs.values():
            log.moved.set()

    async def run(self) -> None:
        """Look at the logs that somebody waits for, until closed. Asks nothing if nobody does."""
        clock = asyncio.get_running_loop().time
        next_round = clock()
        while not self.is_closing:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(next_round if self._logs else None):
                    await self._look.wait()
            self._look.clear()
            due, self._due = self._due, set()
            if clock() >= next_round:
                # Who has just been told of something waits again soon, and finds the log here.
                self._logs = {tenant: log for tenant, log in self._logs.items() if log.waiting}
                due, next_round = set(self._logs), clock() + LOOK_EVERY
            for tenant in due & self._logs.keys():
                # A store that does not answer now is asked again; those who wait have a limit.
                with suppress(Unavailable):
                    self._logs[tenant].move(await self._store.end(tenant))
