"""Growth as SVG: a small picture for each thing, its lines one for each store.

Both axes are logarithmic: what takes as long in any log is a level line, what takes ten times as
long in one that is ten times as large rises by one step for each.
"""

from __future__ import annotations

from html import escape
from math import ceil, floor, log10
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Lines = Mapping[str, Sequence[tuple[int, float]]]

_WIDTH, _HEIGHT = 300, 200
_LEFT, _RIGHT, _TOP, _BOTTOM = 46, 16, 34, 30
_COLUMNS = 2
_OPEN = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
    'font-family="sans-serif" font-size="10">'
)
_COLOURS = ("#1b6ca8", "#c0561a", "#3a7d34", "#7a3e9d")


def svg(charts: Mapping[str, Lines]) -> str:
    """Return one picture with all charts: by title, for each line its (events, value)."""
    rows = ceil(len(charts) / _COLUMNS)
    parts = [
        _OPEN.format(width=_COLUMNS * _WIDTH, height=rows * _HEIGHT),
        '<rect width="100%" height="100%" fill="#fff"/>',
    ]
    for place, (title, lines) in enumerate(charts.items()):
        left, top = place % _COLUMNS * _WIDTH, place // _COLUMNS * _HEIGHT
        parts += [f'<g transform="translate({left},{top})">', *_chart(title, lines), "</g>"]
    return "\n".join([*parts, "</svg>"]) + "\n"


def _chart(title: str, lines: Lines) -> list[str]:
    events = [float(at) for line in lines.values() for at, _ in line]
    values = [value for line in lines.values() for _, value in line]
    across, up = _decades(events), _decades(values)
    parts = [f'<text x="{_LEFT}" y="14" font-size="11">{escape(title)}</text>']
    for power in range(up[0], up[1] + 1):
        y = _y(10.0**power, up)
        parts.append(f'<path d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(
            f'<text x="{_LEFT - 4}" y="{y + 3:.1f}" text-anchor="end">{_label(power)}</text>'
        )
    for power in range(across[0], across[1] + 1):
        x = _x(10.0**power, across)
        parts.append(
            f'<text x="{x:.1f}" y="{_HEIGHT - 14}" text-anchor="middle">{_label(power)}</text>'
        )
    for number, (name, line) in enumerate(lines.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = "L".join(f"{_x(at, across):.1f} {_y(value, up):.1f}" for at, value in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(
            f'<text x="{_LEFT + 80 * number}" y="27" fill="{colour}">{escape(name)}</text>'
        )
    return parts


def _decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that all values lie between, at least one apart."""
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
