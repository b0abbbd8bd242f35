"""Rounds that show checkpoints to others, in the background. Nothing here holds the log up.

No record waits for a witness or an authority, and no checkpoint either: what they say comes
afterwards, or not at all, and is then asked for again. Several nodes may run the same rounds;
what one has got spares the others nothing but time.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from auditlogservice.ledger.governing.sweeper import WorkGauge


class Round(Protocol):
    """What is done again and again."""

    @property
    def every(self) -> float:
        """So many seconds lie between two times."""
        ...

    async def go(self) -> None:
        """Do it once. May be cancelled anywhere."""
        ...


class AnchorGauge(Protocol):
    """Who wants to know how the anchors do (metrics)."""

    def anchored(self, anchor: str, *, at: datetime) -> None:
        """The witness or authority has just given what it was asked for."""

    def disputed(self, witness: str, tenants: int) -> None:
        """The witness says of so many logs that they do not extend what it has seen."""


class AnchorJournal(Protocol):
    """Where operators read what is wrong with an anchor."""

    def fails(self, anchor: str, tenant: str, why: str) -> None: ...

    def disputes(self, witness: str, tenant: str, why: str) -> None:
        """The worst there is to tell: the log was rewritten or cut, or the witness is wrong."""

    def works_again(self, anchor: str, tenant: str) -> None: ...


class Troubles:
    """What is wrong with an anchor for which tenants; the journal hears of changes only."""

    def __init__(self, anchor: str, *, journal: AnchorJournal, gauge: AnchorGauge) -> None:
        self._anchor = anchor
        self._journal = journal
        self._gauge = gauge
        self._failures: dict[str, str] = {}
        self._disputes: dict[str, str] = {}

    def failed(self, tenant: str, why: str) -> None:
        if self._failures.get(tenant) != why:
            self._journal.fails(self._anchor, tenant, why)
        self._failures[tenant] = why

    def disputed(self, tenant: str, why: str) -> None:
        if self._disputes.get(tenant) != why:
            self._journal.disputes(self._anchor, tenant, why)
        self._disputes[tenant] = why
        self._gauge.disputed(self._anchor, len(self._disputes))

    def over(self, tenant: str, *, at: datetime) -> None:
        self._gauge.anchored(self._anchor, at=at)
        told = (self._failures.pop(tenant, None), self._disputes.pop(tenant, None))
        if any(told):
            self._journal.works_again(self._anchor, tenant)
            self._gauge.disputed(self._anchor, len(self._disputes))


class Anchorer:
    """Runs rounds until it is closed."""

    def __init__(self, rounds: Sequence[Round], *, gauge: WorkGauge) -> None:
        self._rounds = tuple(rounds)
        self._gauge = gauge
        self._closing = asyncio.Event()

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(self._repeat(each)) for each in self._rounds]
            await self._closing.wait()
            # Others may be slow, and a stop does not wait for them.
            for each in running:
                each.cancel()

    def close(self) -> None:
        self._closing.set()

    async def _repeat(self, each: Round) -> None:
        # To be cancelled is not enough: what a round calls may swallow that.
        while not self._closing.is_set():
            try:
                await each.go()
            except Exception as error:  # noqa: BLE001 - a defect must not end the service
                self._gauge.work_failed("anchors", error)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), each.every)
