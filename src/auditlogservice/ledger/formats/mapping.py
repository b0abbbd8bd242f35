"""A mapping to a foreign schema as a table: which of its fields comes from where.

The same table makes the export and is checked against the one in docs/export.md. What a mapping
takes it names by path, so that `rest` can tell what no field of the schema has taken.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

from auditlogservice.times import parse_rfc3339, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

# The fields of a record, whose shapes `events.EventModel` has checked.
Fields: TypeAlias = dict[str, Any]
# Paths, step by step: a step without others behind it is the end of one.
Taken: TypeAlias = "dict[str, Taken]"


@dataclass(frozen=True, slots=True)
class Row:
    """The field `target` is what `read` gives, if that is not None.

    `told` is the path that it comes from, or says in words how it is found. `takes` are the
    paths whose whole content is in the target, for every value that they can have.
    """

    target: str
    told: str
    read: Callable[[Fields], Any]
    takes: tuple[str, ...] = ()


def copied(target: str, path: str) -> Row:
    """The target is what the record has at `path`."""
    return Row(target, f"`{path}`", lambda fields: at(fields, path), (path,))


def constant(target: str, value: str | int | list[str]) -> Row:
    return Row(target, f"always `{value}`", lambda _: value)


def at(fields: Fields, path: str) -> Any:
    """Return the value at a dotted path of plain keys; None if there is none."""
    value: Any = fields
    for step in path.split("."):
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def nest(rows: Iterable[Row], fields: Fields) -> Fields:
    """Return what the rows make of a record, dots in the targets being objects."""
    made: Fields = {}
    for row in rows:
        value = row.read(fields)
        if value is not None:
            *steps, last = row.target.split(".")
            place = made
            for step in steps:
                place = place.setdefault(step, {})
            place[last] = value
    return made


def taken_by(rows: Iterable[Row]) -> Taken:
    tree: Taken = {}
    for path in (path for row in rows for path in row.takes):
        place = tree
        for step in path.split("."):
            place = place.setdefault(step, {})
    return tree


def rest(fields: Fields, taken: Taken) -> Fields:
    """Return what is at none of the `taken` paths; in arrays, a path goes into each element."""
    left: Fields = {}
    for key, value in fields.items():
        if value is None:
            continue
        below = taken.get(key)
        # Where no path goes on, the whole is taken.
        kept = value if below is None else _rest_of(value, below) if below else None
        if kept is not None:
            left[key] = kept
    return left


def _rest_of(value: Any, taken: Taken) -> Any:
    match value:
        case dict():
            return rest(value, taken) or None
        case list():
            # Elements stay where they are, so that one can be told from another.
            items = [rest(item, taken) for item in value]
            return items if any(items) else None
        case _:
            return value


# ---- what several schemas ask of a record -----------------------------------------


def happened_ms(fields: Fields) -> int:
    """When it happened, or came in if that was not told: milliseconds since 1970."""
    return to_ms(fields.get("occurred_at") or fields["timestamp"])


def to_ms(moment: str) -> int:
    return to_micros(parse_rfc3339(moment)) // 1_000


def address_of(fields: Fields, version: int | None = None) -> str | None:
    """Return `context.ip` if it is an IP address, of this version if one is given."""
    text = at(fields, "context.ip")
    address = _address(text) if text else None
    return text if address and version in {None, address.version} else None


def host_of(fields: Fields) -> str | None:
    """Return `context.ip` if it is something other than an IP address."""
    return None if address_of(fields) else at(fields, "context.ip") or None


@lru_cache(maxsize=1_000)  # the same few addresses come again and again
def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None
