"""Our own events, our own records as they were exported, and tables with our column names.

An event goes through unchanged: the server judges it, and a flaw is reported, not mended. Of an
exported record, what the new server gives anew (`_id`, `timestamp`, `user_id`, `sequence`) moves
to `context.imported`, and its `timestamp` becomes `occurred_at` if the source told no other time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.canonical import parse
from auditlogservice.client.shapes.fields import Row, Told, text
from auditlogservice.client.shapes.moments import moment
from auditlogservice.errors import InputRefused
from auditlogservice.filters import TOP_LEVEL

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

_GIVEN = ("_id", "sequence", "timestamp", "user_id")
_OBJECTS = ("actor", "context", "event_data", "on_behalf_of", "targets")


def is_native(record: Row) -> bool:
    """Whether this is an event or a record of ours, good or flawed."""
    if not {"name", "event_type"} <= record.keys():
        return False
    return "detail" in record or record.keys() <= TOP_LEVEL | {"idempotency_key"}


def natural_id(record: Row) -> str:
    return text(record.get("_id"))


def tell(record: Row) -> Told:
    told = {key: value for key, value in record.items() if key not in _GIVEN}
    given = {key: record[key] for key in _GIVEN if record.get(key) is not None}
    if not given:
        return told
    if told.get("occurred_at") is None and "timestamp" in given:
        told["occurred_at"] = given["timestamp"]
    context = told.get("context")
    # A context that is no object is a flaw, which the server shall see as it is.
    if context is None or isinstance(context, dict):
        told["context"] = {**(context or {}), "imported": {**given}}
    return told


def tell_row(row: Row) -> Told:
    """Tell one line of a table: cells are text, objects stand in them as JSON, empty is absent.

    With a column that is none of ours, or no `event_data`, the whole row becomes the data.
    """
    known = TOP_LEVEL | {"idempotency_key"}
    told: Told = {
        key: _cell(key, cell)
        for key, cell in row.items()
        if key in known and (cell or key == "detail")
    }
    if not row.keys() <= known or "event_data" not in row:
        told["event_data"] = row
    if told.get("occurred_at"):
        told["occurred_at"] = moment(told["occurred_at"])
    return tell(told)


def _cell(key: str, cell: Json) -> Json:
    if key not in _OBJECTS or not isinstance(cell, str):
        return cell
    try:
        return parse(cell.encode())
    except InputRefused:
        return cell
