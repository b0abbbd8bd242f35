"""What the measures share: who takes part, how large the run is, and where results go."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from bench.calls import calling
from bench.events import bodies

if TYPE_CHECKING:
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

    def fill(self, end: int, *, batch: int) -> float:
        """Record the events up to number `end`, in batches; return the seconds that took."""
        spent = 0.0
        with calling(self.server) as caller:
            while self.told < end:
                last = min(self.told + batch, end)
                body = b"[" + b",".join(bodies(self.told, last)) + b"]"
                answer = caller.post("/events/batch", body)
                spent += answer.seconds
                kept = json.loads(answer.body)["successful"]
                if len(kept) != last - self.told:
                    raise RuntimeError(f"{self.server.name} kept {len(kept)} of a batch")
                self._remember([each["_id"] for each in kept])
                self.told = last
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
    naive_database: str = ""
    naive_ids: list[str] = field(default_factory=list)
    mongo: ReplicaSet | None = None
