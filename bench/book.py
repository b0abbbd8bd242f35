"""What was found: figures as they were seen, and ratios beside what they ought to be."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from bench.ratios import Spread, ratio

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.load import Turn

_TOLD = 400  # characters of what went wrong


class Point(NamedTuple):
    """What something was in a log of so many events; of what varies, the 99th percentile too."""

    events: int
    value: float
    p99: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One thing, measured on one side.

    `p50` and `p99` are milliseconds that an answer took, `cpu` the microseconds for which it
    kept the server busy, `store_cpu` those for which it kept mongod busy.
    """

    what: str
    side: str
    value: Spread | None
    unit: str
    p50: float | None = None
    p99: float | None = None
    cpu: float | None = None
    store_cpu: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """Something that ought to be at least, or at most, so much."""

    what: str
    value: Spread
    unit: str
    sense: Literal["≥", "≤"]
    aim: float

    @property
    def is_met(self) -> bool:
        value = self.value.median
        return value >= self.aim if self.sense == "≥" else value <= self.aim


@dataclass(slots=True)
class Book:
    """Filled by the measures, in their order. `points` are those of growing things, by side."""

    figures: list[Figure] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    points: dict[str, dict[str, list[Point]]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Note that this part of the run failed, if it does, and go on with the others."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the other parts still say something
            self.failures.append(f"**{name} failed**: {error!r:.{_TOLD}}")

    def turns(self, what: str, side: str, turns: Sequence[Turn], unit: str = "/s") -> None:
        self.figures.append(
            Figure(
                what=what, side=side, unit=unit,
                value=Spread.of([each.rate for each in turns]),
                p50=Spread.of([each.p50 for each in turns]).median,
                p99=Spread.of([each.p99 for each in turns]).median,
                cpu=Spread.of([each.cpu for each in turns]).median or None,
                store_cpu=Spread.of([each.store_cpu for each in turns]).median or None,
            )
        )  # fmt: skip

    def values(self, what: str, side: str, values: Sequence[float], unit: str) -> None:
        self.figures.append(Figure(what=what, side=side, value=Spread.of(values), unit=unit))

    def times(self, what: str, side: str, *, p50: float, p99: float) -> None:
        """Note how long single answers took, in milliseconds."""
        self.figures.append(Figure(what=what, side=side, value=None, unit="", p50=p50, p99=p99))

    def at_least(self, what: str, values: Sequence[float], aim: float, unit: str = "") -> None:
        self.goals.append(Goal(what=what, value=Spread.of(values), unit=unit, sense="≥", aim=aim))

    def at_most(self, what: str, values: Sequence[float], aim: float, unit: str = "") -> None:
        self.goals.append(Goal(what=what, value=Spread.of(values), unit=unit, sense="≤", aim=aim))

    def times_as_much(
        self, what: str, of: Sequence[float], to: Sequence[float], aim: float
    ) -> None:
        """Note the goal that `of` is so many times `to`, turn by turn."""
        self.goals.append(Goal(what=what, value=ratio(of, to), unit="×", sense="≥", aim=aim))

    def point(
        self, what: str, side: str, events: int, value: float, p99: float | None = None
    ) -> None:
        self.points.setdefault(what, {}).setdefault(side, []).append(Point(events, value, p99))

    def median(self, what: str, side: str) -> float:
        """Return what was measured before; raise LookupError if it was not."""
        for each in self.figures:
            if (each.what, each.side) == (what, side) and each.value:
                return each.value.median
        raise LookupError(f"{what}, {side}")
