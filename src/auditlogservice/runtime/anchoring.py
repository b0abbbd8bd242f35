"""Which witnesses and which timestamp authority are shown the logs, as the settings say."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Protocol

import httpx2

from auditlogservice.client.timestamping import HttpAuthority
from auditlogservice.client.witness import HttpWitness, parse_witnesses
from auditlogservice.errors import MalformedInput, UnsafeSetup
from auditlogservice.ledger.governing.sweeper import WorkGauge
from auditlogservice.ledger.proving.anchorer import Anchorer, AnchorGauge
from auditlogservice.ledger.proving.timestamping import Timestamping
from auditlogservice.ledger.proving.witnessing import Witnessing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.client.witness import WitnessAddress
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.proving.anchorer import AnchorJournal, Round
    from auditlogservice.ledger.proving.anchors import Anchors
    from auditlogservice.ledger.proving.prover import Prover
    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import LedgerStore


class Gauge(AnchorGauge, WorkGauge, Protocol):
    """Who wants to know how the anchors do, and what went wrong with asking for them."""


@asynccontextmanager
async def open_anchorer(  # noqa: PLR0913 - what it works with, each by its name
    settings: Settings,
    store: LedgerStore,
    prover: Prover,
    anchors: Anchors,
    *,
    clock: Clock,
    gauge: Gauge,
    journal: AnchorJournal,
) -> AsyncIterator[Anchorer]:
    """Give what shows the logs to others. Raises UnsafeSetup if a witness is not one."""
    witnesses = _witnesses(settings.witnesses)
    if not witnesses and not settings.timestamp_url:
        yield Anchorer([], gauge=gauge)
        return
    rounds: list[Round] = []
    async with httpx2.AsyncClient() as http:
        if witnesses:
            witnessing = Witnessing(
                store,
                prover,
                anchors,
                witnesses=[HttpWitness(http, each) for each in witnesses],
                every=settings.witness_every.total_seconds(),
                clock=clock,
                gauge=gauge,
                journal=journal,
            )
            rounds.append(witnessing)
        if settings.timestamp_url:
            timestamping = Timestamping(
                store,
                anchors,
                authority=HttpAuthority(http, settings.timestamp_url, clock=clock),
                every=settings.timestamp_every,
                clock=clock,
                gauge=gauge,
                journal=journal,
            )
            rounds.append(timestamping)
        yield Anchorer(rounds, gauge=gauge)


def _witnesses(text: str) -> tuple[WitnessAddress, ...]:
    try:
        return parse_witnesses(text)
    except MalformedInput as error:
        raise UnsafeSetup(f"AUDITLOG_WITNESSES cannot be used: {error}") from None
