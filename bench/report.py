"""What was found, as Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.book import Book, Figure, Goal, Point
    from bench.ratios import Spread


_HOW = (
    "Sides take turns in one run; a value is the median of its turns, with the lowest and the "
    "highest behind it. Everything runs on one machine, with shipped defaults; the user who reads "
    "is the one who recorded, and AUDITLOG_SELF_AUDIT is `full`. CPU is what the server's "
    "processes used for one answer, or for one event of a batch, mongod µs what mongod used for "
    "it: other work on the machine changes these least."
)
_GROWTH = "By events in the log; of times the median, with the 99th percentile behind it."


def markdown(book: Book, *, machine: Mapping[str, str], command: str, load: str) -> str:
    """Return the whole report. `command` is how it was made, `load` what made the requests."""
    parts = [
        "# Benchmark",
        f"Made by `{command}`; load by {load}. {_HOW}",
        table(("", ""), [(name, told) for name, told in machine.items()]),
        "## Goals",
        table(("what", "value", "goal", ""), [_goal(each) for each in book.goals]),
        "## Figures",
        table(
            ("what", "side", "value", "p50 ms", "p99 ms", "CPU µs", "mongod µs"),
            [_figure(each) for each in book.figures],
        ),
    ]
    if book.points:
        parts += ["## Growth", _GROWTH, _growth(book)]
    if book.notes or book.failures:
        parts.append("## Notes")
        parts.append("\n".join(f"- {note}" for note in (*book.notes, *book.failures)))
    return "\n\n".join(parts) + "\n"


def number(value: float) -> str:
    """Return three digits that count, or all of a large number."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown, without a last line break."""
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _goal(goal: Goal) -> tuple[str, ...]:
    aim = f"{goal.sense} {number(goal.aim)} {goal.unit}".strip()
    return goal.what, _value(goal.value, goal.unit), aim, "met" if goal.is_met else "**missed**"


def _figure(figure: Figure) -> tuple[str, ...]:
    value = _value(figure.value, figure.unit) if figure.value else ""
    told = (figure.p50, figure.p99, figure.cpu, figure.store_cpu)
    return figure.what, figure.side, value, *("" if it is None else number(it) for it in told)


def _growth(book: Book) -> str:
    sides = [(what, side, line) for what, of in book.points.items() for side, line in of.items()]
    sizes = sorted({point.events for _, _, line in sides for point in line})
    rows = []
    for what, side, line in sides:
        at = {point.events: _point(point) for point in line}
        rows.append((what, side, *(at.get(size, "") for size in sizes)))
    return table(("what", "side", *(f"{size:,}" for size in sizes)), rows)


def _point(point: Point) -> str:
    value = number(point.value)
    return value if point.p99 is None else f"{value} ({number(point.p99)})"


def _value(value: Spread, unit: str) -> str:
    text = f"{number(value.median)} {unit}".strip()
    if value.low == value.high:
        return text
    return f"{text} ({number(value.low)}–{number(value.high)})"
