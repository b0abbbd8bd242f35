"""A glance at stored bytes that tells most records apart from those that match, without parsing.

Where no index helps, every record between two bounds is a candidate, and reading its JSON to say
no to it takes ten to a hundred times as long as looking for the text that it would have to have.
As the index does, a glance may let too much through, and never hides a record that matches:
`filters.matches` decides about the rest.

A payload is canonical JSON (RFC 8785): whatever `filters.spell` makes of a leaf stands in it as it
is, but for quotes, backslashes and control characters, which are escaped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from auditlogservice.filters import (
    AllOf,
    AnyOf,
    Contains,
    Element,
    Filter,
    Like,
    Words,
    compile_pattern,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Look: TypeAlias = "Callable[[str], object]"  # at the payload, without case; true if it may match

_ESCAPED = re.compile(r'["\\\x00-\x1f]')  # what stands in JSON in another spelling
_BEGIN, _END = r'["\[:,]', r'["\],}]'  # around each leaf
# Between two words of one leaf. An escape has letters in it that are none of a word.
_BETWEEN = r'(?:\\u[0-9a-f]{4}|\\[^u]|[^\w\\"])+'
_NOT_IN_PAYLOAD = "sequence"


def glance_for(where: Filter) -> Callable[[bytes], bool]:
    """Return whether a record with such a payload may match.

    Raises UnicodeDecodeError for a payload that is not UTF-8, when called: no such was put in.
    """
    look = _look(where)
    if look is None:
        return lambda _: True
    return lambda payload: bool(look(payload.decode().casefold()))


def _look(where: Filter) -> _Look | None:  # noqa: PLR0911 - one for each kind of filter
    """What to look for; None if nothing must stand in what matches."""
    match where:
        case AllOf(parts):
            return _all([_look(part) for part in parts])
        case AnyOf(parts):
            return _any([_look(part) for part in parts])
        case Element(_, inner):
            return _look(inner)
        case Words(words, open_end):
            form = _BETWEEN.join(map(re.escape, words)) + ("" if open_end else r"(?!\w)")
            return re.compile(form).search
        case Contains(path, text) if path != _NOT_IN_PAYLOAD:
            return _part(text.casefold())
        case Like(path, pattern) if path != _NOT_IN_PAYLOAD:
            return _form(pattern)
        case _:
            return None


def _all(looks: list[_Look | None]) -> _Look | None:
    known = [look for look in looks if look is not None]
    if len(known) <= 1:
        return known[0] if known else None
    return lambda text: all(look(text) for look in known)


def _any(looks: list[_Look | None]) -> _Look | None:
    known = [look for look in looks if look is not None]
    if len(known) < len(looks):
        return None
    return lambda text: any(look(text) for look in known)


def _form(pattern: str) -> _Look | None:
    """Look for the beginning, the end, and what stands between two `*`; in no order."""
    pieces = compile_pattern(pattern).pieces
    looks = [_part(piece.start) for piece in pieces[1:-1]]
    if _is_plain(start := pieces[0].start):
        looks.append(re.compile(_BEGIN + re.escape(start)).search)
    if pieces[-1].is_literal and _is_plain(end := pieces[-1].start):
        looks.append(re.compile(re.escape(end) + _END).search)
    return _all(looks)


def _part(folded: str) -> _Look | None:
    return (lambda text: folded in text) if _is_plain(folded) else None


def _is_plain(folded: str) -> bool:
    return bool(folded) and not _ESCAPED.search(folded)
