"""What the measures share: who takes part, how large the run is, and where results go."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from bench.calls import calling
from bench.events import batch_body
from bench.load import Meter, Turn
from bench.ratios import percentile_99

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.book import Book
    from bench.plan import Plan
    from bench.servers import Server
    from mongod import ReplicaSet

IDS = 5_000  # remembered of each log, to ask for


@dataclass(slots=True)
class Log:
    """One of our servers, and what was put into its log."""

    server: Server
    told: int = 0  # events, numbers 0 to told - 1
    ids: list[str] = field(default_factory=list)

    def add(self, events: int, *, batch: int, callers: int = 1) -> Turn:
        """Record so many events more, one at least, in batches.

        Return events a second while callers waited, milliseconds for a batch, CPU for an event.
        """
        end = self.told + events
        firsts = range(self.told, end, batch)
        callers = min(callers, len(firsts))
        shares = [
            [(first, min(first + batch, end)) for first in firsts[number::callers]]
            for number in range(callers)
        ]
        meter = Meter(self.server)
        with ThreadPoolExecutor(callers) as threads:
            spent = [each for some in threads.map(self._record, shares) for each in some]
        self.told = end
        rate = events * callers / sum(spent)
        turn = Turn(rate, median(spent) * 1e3, percentile_99(spent) * 1e3)
        return meter.read(turn, events)

    def _record(self, batches: Sequence[tuple[int, int]]) -> list[float]:
        """Return the seconds for each batch."""
        spent = list[float]()
        with calling(self.server) as caller:
            for first, end in batches:
                answer = caller.post("/events/batch", batch_body(first, end))
                kept = json.loads(answer.body)["successful"]
                if len(kept) != end - first:
                    raise RuntimeError(f"{self.server.name} kept {len(kept)} of a batch")
                self._remember([each["_id"] for each in kept])
                spent.append(answer.seconds)
        return spent

    def _remember(self, ids: list[str]) -> None:
        # Of each batch the same share, so that old and new ones are asked for.
        self.ids += ids[:: max(1, len(ids) // 50)]
        del self.ids[:-IDS]


@dataclass(slots=True)
class Field:
    """`naive` and `mongo` are None where there is no mongod; `logs` has no MongoDB then."""

    plan: Plan
    folder: Path
    book: Book
    logs: dict[str, Log]  # by the name of the store
    framework: Server
    naive: Server | None = None
    naive_ids: list[str] = field(default_factory=list)
    mongo: ReplicaSet | None = None
