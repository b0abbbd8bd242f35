"""Elastic Common Schema: a JSON object on a line for each record.

What ECS has no field for stands under `auditlog`, a field set of our own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from auditlogservice.canonical import dump
from auditlogservice.ledger.formats.deeds import (
    Verb,
    first_target,
    is_about_account,
    session_of,
    verb_of,
)
from auditlogservice.ledger.formats.mapping import (
    Fields,
    Row,
    address_of,
    at,
    constant,
    copied,
    nest,
    rest,
    taken_by,
)
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from auditlogservice.events import Record

VERSION = "8.17.0"
UNMAPPED = "auditlog"

_TYPES: dict[Verb, str] = {
    "create": "creation", "read": "access", "update": "change", "delete": "deletion",
    "other": "info",
}  # fmt: skip


def _when(fields: Fields) -> str:
    return format_utc(parse_rfc3339(fields.get("occurred_at") or fields["timestamp"]))


def _categories(fields: Fields) -> list[str] | None:
    if session_of(fields):
        return ["authentication"]
    if is_about_account(fields):
        return ["iam"]
    return ["api"] if fields.get("actor") and verb_of(fields) != "other" else None


def _types(fields: Fields) -> list[str]:
    session = session_of(fields)
    if session:
        return ["start" if session == "logon" else "end"]
    kind = _TYPES[verb_of(fields)]
    if is_about_account(fields):
        # `access` is no type that ECS expects of the category iam.
        return ["user", "info" if kind == "access" else kind]
    return [kind]


def _related(*paths: str) -> Any:
    def read(fields: Fields) -> list[str] | None:
        found = [value for path in paths if (value := at(fields, path))]
        return list(dict.fromkeys(found)) or None

    return read


def _target_user(key: str) -> Any:
    def read(fields: Fields) -> Any:
        return first_target(fields).get(key) if is_about_account(fields) else None

    return read


def _addresses(fields: Fields) -> list[str] | None:
    address = address_of(fields)
    return [address] if address else None


ROWS = (
    Row("@timestamp", "`occurred_at`, else `timestamp`; in UTC", _when),
    constant("ecs.version", VERSION),
    copied("message", "detail"),
    constant("event.kind", "event"),
    copied("event.action", "event_type"),
    Row("event.category", "`event_type`, see below", _categories),
    Row("event.type", "`event_type`, see below", _types),
    copied("event.outcome", "outcome"),
    copied("event.id", "_id"),
    copied("event.sequence", "sequence"),
    copied("event.ingested", "timestamp"),
    copied("event.provider", "source"),
    constant("event.dataset", "auditlogservice.records"),
    constant("event.module", "auditlogservice"),
    copied("user.id", "actor.id"),
    copied("user.name", "actor.name"),
    Row("user.target.id", "`id` of the first of `targets`, if it is a user", _target_user("id")),
    Row(
        "user.target.name",
        "`name` of the first of `targets`, if it is a user",
        _target_user("name"),
    ),
    copied("source.address", "context.ip"),
    Row("source.ip", "`context.ip`, if it is an IP address", address_of),
    copied("user_agent.original", "context.user_agent"),
    copied("http.request.id", "context.request_id"),
    copied("trace.id", "context.trace_id"),
    Row("related.user", "`actor.id`, `actor.name`", _related("actor.id", "actor.name")),
    Row("related.ip", "`context.ip`, if it is an IP address", _addresses),
)
_TAKEN = taken_by(ROWS)


def line(record: Record) -> bytes:
    fields: Fields = record.fields()
    made = nest(ROWS, fields)
    unmapped = rest(fields, _TAKEN)
    if unmapped:
        made[UNMAPPED] = unmapped
    return dump(made) + b"\n"
