"""Reading records that may hold anything anywhere, and telling what was found.

Every function takes any JSON value and answers with something usable or with nothing: a wrong
type is the same as an absent field. `Story` is what a shape found; `tell` makes it an event.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

# A foreign record, and an event as `events.read_event` takes it.
Row: TypeAlias = "dict[str, Json]"
Told: TypeAlias = "dict[str, Json]"

MAX_NAME = 120  # characters; the whole text is in event_data
MAX_DETAIL = 500


def at(value: Json, *steps: str) -> Json:
    """Return what lies at the end of these keys; None if the way is blocked."""
    for step in steps:
        if not isinstance(value, dict):
            return None
        value = value.get(step)
    return value


def objects(value: Json) -> list[Row]:
    """Return the objects of an array; none if it is no array."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def text(value: Json) -> str:
    """Return a string as it is and a number as it is written; anything else says nothing."""
    match value:
        case str():
            return value.strip()
        case bool():
            return ""
        case int() | float():
            return str(value)
        case _:
            return ""


def first(*values: Json) -> str:
    """Return the first of these that says something."""
    return next((found for found in map(text, values) if found), "")


def one_line(words: str, limit: int) -> str:
    """Return the words on one line, cut at `limit` characters with an ellipsis."""
    line = " ".join(words[: 4 * limit].split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def whole_number(value: Json) -> int | None:
    """Return an integer that is one, or a text that spells one: decimal, or 0x and hexadecimal."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    spelled = text(value)[:40]
    try:
        return int(spelled, 16 if spelled[:2].lower() == "0x" else 10)
    except ValueError:
        return None


def entity(*, id: str = "", type: str = "", name: str = "") -> Told | None:  # noqa: A002 - the API's own words
    """Return an actor or a target of what is known of it; None if that is nothing."""
    if not (id or name):
        return None
    known: list[tuple[str, Json]] = [("id", id or name), ("type", type), ("name", name)]
    return {key: value for key, value in known if value}


def from_address(address: str) -> Told:
    """Return the context of a caller's address: `ip`, or `host` if it is a name."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        return {"host": address} if address else {}
    return {"ip": address}


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What a shape found in a record. Empty is the same as not said."""

    name: str
    event_type: str
    detail: str
    occurred_at: str | None = None
    actor: Told | None = None
    on_behalf_of: Told | None = None
    targets: list[Told] = field(default_factory=list)
    outcome: str | None = None
    source: str = ""
    context: Told = field(default_factory=dict)

    def tell(self, record: Row) -> Told:
        """Return the event, with the complete record as its data."""
        name = one_line(self.name or self.event_type, MAX_NAME) or "event"
        told: Told = {
            "name": name,
            "event_type": one_line(self.event_type or name, MAX_NAME) or "event",
            "detail": one_line(self.detail, MAX_DETAIL) or name,
            "event_data": record,
        }
        context: Told = {key: value for key, value in self.context.items() if value}
        beside: list[tuple[str, Json]] = [
            ("occurred_at", self.occurred_at),
            ("actor", self.actor),
            ("on_behalf_of", self.on_behalf_of),
            ("targets", list(self.targets)),
            ("outcome", self.outcome),
            ("source", self.source),
            ("context", context),
        ]
        return told | {key: value for key, value in beside if value}
