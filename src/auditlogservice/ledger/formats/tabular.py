"""CSV (RFC 4180): a header, and cells that no spreadsheet takes for a formula.

The columns are part of the contract: their names and their order stay.
"""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING, Any

from auditlogservice.canonical import dump
from auditlogservice.filters import spell
from auditlogservice.ledger.formats.mapping import Fields, at

if TYPE_CHECKING:
    from auditlogservice.events import Record

_TEXTS = (
    "_id", "sequence", "timestamp", "occurred_at", "name", "event_type", "detail", "outcome",
    "source", "user_id", "actor.id", "actor.type", "actor.name", "context.ip",
    "context.user_agent", "context.request_id", "context.trace_id", "context.session_id",
)  # fmt: skip
# What may have any keys, whole, as JSON.
_JSON = ("actor", "targets", "context", "on_behalf_of", "event_data", "redacted", "flagged")
COLUMNS = (*_TEXTS, *_JSON)

# A spreadsheet reads a cell that starts so as a formula, or drops the character and looks again;
# the last four are the wide forms that some of them take for the same (OWASP, CSV Injection).
_DANGEROUS = tuple("=+-@\t\r\n＝＋－＠")  # noqa: RUF001 - the wide forms are meant


def line(record: Record) -> bytes:
    fields: Fields = record.fields()
    texts = [_text(at(fields, path)) for path in _TEXTS]
    return write_row([*texts, *(_json(fields.get(name)) for name in _JSON)])


def write_row(cells: list[str]) -> bytes:
    """Return the cells as a line, each made harmless."""
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\r\n").writerow([safe(cell) for cell in cells])
    return out.getvalue().encode()


def safe(cell: str) -> str:
    """Return the text, behind an apostrophe if a spreadsheet would take it for a formula."""
    return f"'{cell}" if cell.startswith(_DANGEROUS) else cell


def _text(value: Any) -> str:
    return "" if value is None else spell(value)


def _json(value: Any) -> str:
    return "" if value is None else dump(value).decode()


HEAD = write_row(list(COLUMNS))
