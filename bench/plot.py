"""Growth as SVG: a small picture for each thing, its lines one for each store.

Both axes are logarithmic: what takes as long in any log is a level line, what takes ten times as
long in one that is ten times as large rises by one step for each. A dashed line is the 99th
percentile. The colours follow whether the reader's page is light or dark.
"""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.book import Point

    Lines = Mapping[str, Sequence[Point]]

_WIDTH, _HEIGHT = 340, 216
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 26, 30, 40
_LEGEND = 26  # above all
_COLUMNS = 2
_OPEN = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
    'height="{height}" role="img" font-family="sans-serif" font-size="10">'
)
# For two stores or more: told apart by their lightness too, for who sees colours differently.
_COLOURS = (("#1b5e9b", "#7cc0ff"), ("#c4570c", "#ffab5e"), ("#3a7d34", "#8fd98a"))
_STYLE = (
    "text{fill:#24292f}.page{fill:#fff}.grid{stroke:#d5d9de}"
    "@media(prefers-color-scheme:dark){text{fill:#e6edf3}.page{fill:#0d1117}.grid{stroke:#363c44}}"
)


def svg(charts: Mapping[str, Lines]) -> str:
    """Return one picture with all charts: by title, which names the unit, each side's points."""
    sides = list(dict.fromkeys(side for lines in charts.values() for side in lines))
    width, height = _COLUMNS * _WIDTH, _LEGEND + ceil(len(charts) / _COLUMNS) * _HEIGHT
    parts = [
        _OPEN.format(width=width, height=height),
        "<title>How answers change as a log grows</title>",
        f"<style>{_STYLE}{''.join(_colours(sides))}</style>",
        '<rect class="page" width="100%" height="100%"/>',
        *_legend(sides),
    ]
    for place, (title, lines) in enumerate(charts.items()):
        left, top = place % _COLUMNS * _WIDTH, _LEGEND + place // _COLUMNS * _HEIGHT
        chart = _chart(title, lines, sides)
        parts += [f'<g transform="translate({left},{top})">', *chart, "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _colours(sides: Sequence[str]) -> Iterable[str]:
    for number in range(len(sides)):
        light, dark = _COLOURS[number % len(_COLOURS)]
        yield f".s{number}{{stroke:{light}}}.d{number}{{fill:{light}}}"
        yield f"@media(prefers-color-scheme:dark){{.s{number}{{stroke:{dark}}}"
        yield f".d{number}{{fill:{dark}}}}}"


def _legend(sides: Sequence[str]) -> Iterable[str]:
    for number, side in enumerate(sides):
        x = _LEFT + 100 * number
        yield _line(number, f"M{x} 16H{x + 24}")
        yield f'<text x="{x + 30}" y="20" font-size="11">{escape(side)}</text>'
    yield f'<text x="{_WIDTH + _LEFT}" y="20">solid: median; dashed: 99th percentile</text>'


def _chart(title: str, lines: Lines, sides: Sequence[str]) -> Iterable[str]:
    points = [point for line in lines.values() for point in line]
    across = _decades([point.events for point in points])
    up = _decades([it for point in points for it in (point.value, point.p99) if it])
    yield f'<text x="{_LEFT}" y="18" font-size="12">{escape(title)}</text>'
    yield from _grid(across, up)
    for side, line in lines.items():
        number = sides.index(side)
        tops = [(point.events, point.p99) for point in line if point.p99]
        if tops:
            yield _line(number, _path(tops, across, up), ' stroke-dasharray="3 3"')
        middles = [(point.events, point.value) for point in line if point.value]
        if middles:
            yield _line(number, _path(middles, across, up))
        for events, value in middles:
            x, y = _x(events, across), _y(value, up)
            yield f'<circle class="d{number}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _grid(across: tuple[int, int], up: tuple[int, int]) -> Iterable[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    for power in range(up[0], up[1] + 1):
        y = _y(10.0**power, up)
        yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{right}"/>'
        yield f'<text x="{_LEFT - 5}" y="{y + 3:.1f}" text-anchor="end">{_label(power)}</text>'
    for power in range(across[0], across[1] + 1):
        x = _x(10.0**power, across)
        yield f'<path class="grid" d="M{x:.1f} {_TOP}V{bottom}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 13}" text-anchor="middle">{_label(power)}</text>'
    middle = (_LEFT + right) / 2
    yield f'<text x="{middle}" y="{bottom + 27}" text-anchor="middle">events in the log</text>'


def _line(number: int, path: str, more: str = "") -> str:
    return f'<path class="s{number}" d="{path}" fill="none" stroke-width="2"{more}/>'


def _path(
    points: Sequence[tuple[int, float]], across: tuple[int, int], up: tuple[int, int]
) -> str:
    return "M" + "L".join(f"{_x(at, across):.1f} {_y(value, up):.1f}" for at, value in points)


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that all values lie between, at least one apart."""
    if not values:
        return 0, 1
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    return low, max(high, low + 1)


def _x(events: float, across: tuple[int, int]) -> float:
    share = (log10(events) - across[0]) / (across[1] - across[0])
    return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)


def _y(value: float, up: tuple[int, int]) -> float:
    share = (log10(value) - up[0]) / (up[1] - up[0])
    return _HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM)


def _label(power: int) -> str:
    return f"{10**power:,}" if power >= 0 else f"{10.0**power:g}"
