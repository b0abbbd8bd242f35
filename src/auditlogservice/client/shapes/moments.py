"""Moments as other systems write them, as RFC 3339.

A text that is RFC 3339 already is kept as it is written, whatever its number of digits. A time
without an offset is taken as UTC: sources that log local time must say so themselves. A number
is the time since 1970, if it is positive, in seconds, milli-, micro- or nanoseconds by its size.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from auditlogservice.times import format_utc, from_micros, parse_rfc3339

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

_WRITTEN = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:[.,](\d{1,12}))?"
    r" ?(?:(Z|z|UTC|GMT)|([+-]\d\d):?(\d\d))?",
    re.ASCII,
)
_EPOCH = re.compile(r"\d{9,19}(\.\d{1,9})?", re.ASCII)
_DOTNET = re.compile(r"/Date\((\d{9,17})\)/", re.ASCII)  # PowerShell 5 ConvertTo-Json


def moment(*values: Json) -> str | None:
    """Return the first of these that is a moment, as RFC 3339; None if none is."""
    return next((found for found in map(_moment, values) if found), None)


def _moment(value: Json) -> str | None:
    match value:
        case bool():
            return None
        case int() | float():
            return _since_1970(value)
        case str():
            return _written(value.strip()[:80])
        case _:
            return None


def _written(words: str) -> str | None:
    if match := _DOTNET.fullmatch(words):
        return _since_1970(int(match[1]))
    if _EPOCH.fullmatch(words):
        return _since_1970(float(words) if "." in words else int(words))
    return _if_real(words) or _respelled(words)


def _respelled(words: str) -> str | None:
    match = _WRITTEN.fullmatch(words)
    if not match:
        return None
    day, clock, fraction, _, hours, minutes = match.groups()
    offset = f"{hours}:{minutes}" if hours else "Z"
    return _if_real(f"{day}T{clock}{'.' + fraction if fraction else ''}{offset}")


def _if_real(words: str) -> str | None:
    try:
        parse_rfc3339(words)
    except ValueError:
        return None
    return words


def _since_1970(number: float) -> str | None:
    # The bounds lie beyond the year 5000 in one unit and before 1974 in the next.
    for limit, per_second in ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e19, 10**9)):
        if 0 < number < limit:
            return format_utc(from_micros(_micros(number, per_second)))
    return None


def _micros(number: float, per_second: int) -> int:
    if isinstance(number, int):
        return number * 10**6 // per_second
    return round(number * (10**6 / per_second))
