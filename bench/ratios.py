"""Sides in turn, A B A B, and what of it counts: medians, and how far the turns lie apart."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median, quantiles
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of some turns, the lowest and the highest."""

    median: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        return cls(median(values), min(values), max(values))


def in_turns(sides: Mapping[str, Callable[[], T]], rounds: int) -> dict[str, list[T]]:
    """Let each side have a turn, then each again: what disturbs the machine disturbs all."""
    taken: dict[str, list[T]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, take in sides.items():
            taken[name].append(take())
    return taken


def percentile_99(values: Sequence[float]) -> float:
    """Return the 99th percentile of one value or more."""
    if len(values) == 1:
        return values[0]
    return quantiles(values, n=100, method="inclusive")[98]


def ratio(of: Sequence[float], to: Sequence[float]) -> Spread:
    """Return how many times as much, turn by turn: each is compared with its neighbour."""
    return Spread.of([one / other for one, other in zip(of, to, strict=True)])
