"""How long and how large a run is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    name: str
    about: str
    sizes: tuple[int, ...]  # events at which growth is looked at; all else at the last
    rounds: int  # turns of each side
    seconds: float  # one turn under load; wrk counts whole ones only
    batches: int  # in one turn
    batch_events: int
    asked: int  # how often one caller puts each question, at most
    workers: tuple[int, ...]
    only: tuple[str, ...] = ()  # the measures that are run; all of them if none is named

    @property
    def events(self) -> int:
        """How many events a log has when all else than its growth is measured."""
        return self.sizes[-1]

    @property
    def turn_events(self) -> int:
        """How many events a turn with batches records."""
        return self.batches * self.batch_events


TINY = Plan(
    name="tiny", about="20 seconds: whether everything works; its figures say nothing",
    sizes=(200,), rounds=1, seconds=0.2, batches=1, batch_events=50, asked=5, workers=(),
)  # fmt: skip
QUICK = Plan(
    name="quick", about="2 minutes: small logs, and one process",
    sizes=(1_000, 4_000), rounds=2, seconds=1, batches=1, batch_events=1_000, asked=30, workers=(),
)  # fmt: skip
# The naive service takes a second and more for some answers here: a turn has to see several.
FULL = Plan(
    name="full", about="10 minutes: logs of 100,000 events, up to four processes",
    sizes=(10_000, 100_000), rounds=3, seconds=3, batches=4, batch_events=1_000, asked=300,
    workers=(1, 2, 4),
)  # fmt: skip
# What `full` has measured is not measured again; filling the logs alone takes most of the time.
LARGE = Plan(
    name="large", about="half an hour: growth up to 1,000,000 events, and an export of them",
    sizes=(10_000, 100_000, 1_000_000), rounds=1, seconds=3, batches=4, batch_events=1_000,
    asked=300, workers=(), only=("growing", "exporting"),
)  # fmt: skip

PLANS = {plan.name: plan for plan in (TINY, QUICK, FULL, LARGE)}
