"""Apache Parquet: typed columns, nested ones as structures. Needs PyArrow, the extra `parquet`.

`event_data` and what else may have any keys is JSON text: its shape is open, and a file has one
schema for all of its rows.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyarrow import parquet

from auditlogservice.canonical import dump
from auditlogservice.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Sequence as Seq

    from auditlogservice.events import Record
    from auditlogservice.ledger.formats.mapping import Fields

# A group of rows is written when it has so much of either; that bounds the memory.
GROUP_ROWS = 32_768
GROUP_BYTES = 16 * 1024 * 1024

_MOMENT = pa.timestamp("us", tz="UTC")
_ENTITY_KEYS = ("id", "type", "name")
_CONTEXT_KEYS = ("ip", "user_agent", "request_id", "trace_id", "session_id")


def _struct(keys: Iterable[str]) -> Any:
    """The keys that are known, and the whole as JSON."""
    return pa.struct([(key, pa.string()) for key in (*keys, "json")])


_ENTITY = _struct(_ENTITY_KEYS)
SCHEMA = pa.schema(
    [
        pa.field("_id", pa.string(), nullable=False),
        pa.field("sequence", pa.int64(), nullable=False),
        pa.field("timestamp", _MOMENT, nullable=False),
        pa.field("occurred_at", _MOMENT),
        pa.field("occurred_at_told", pa.string()),
        pa.field("name", pa.string(), nullable=False),
        pa.field("event_type", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
        pa.field("outcome", pa.string()),
        pa.field("source", pa.string()),
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("actor", _ENTITY),
        pa.field("targets", pa.list_(_ENTITY)),
        pa.field("context", _struct(_CONTEXT_KEYS)),
        pa.field("on_behalf_of", _ENTITY),
        pa.field("event_data", pa.string()),
        pa.field("redacted", pa.string()),
        pa.field("flagged", pa.string()),
    ]
)


class ParquetFile:
    """A file in the making; its end has the list of its groups, without which it is no file."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._writer = parquet.ParquetWriter(self._sink, SCHEMA, compression="zstd", version="2.6")
        self._waiting: list[Record] = []
        self._bytes = 0

    def start(self) -> bytes:
        return self._sink.take()

    def add(self, records: Seq[Record]) -> bytes:
        for record in records:
            self._waiting.append(record)
            self._bytes += len(record.payload)
            if len(self._waiting) >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
                self._write_group()
        return self._sink.take()

    def finish(self) -> bytes:
        if self._waiting:
            self._write_group()
        self._writer.close()
        return self._sink.take()

    def _write_group(self) -> None:
        rows = [_row(record.fields()) for record in self._waiting]
        self._waiting.clear()
        self._bytes = 0
        self._writer.write_table(pa.Table.from_pylist(rows, SCHEMA), row_group_size=len(rows))


class _Sink(io.RawIOBase):
    """What the writer writes to: it keeps the bytes until they are taken."""

    def __init__(self) -> None:
        self._written = bytearray()
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        self._written += data
        self._position += len(data)
        return len(data)

    def take(self) -> bytes:
        taken = bytes(self._written)
        self._written.clear()
        return taken


def _row(fields: Fields) -> Fields:
    told = fields.get("occurred_at")
    targets = fields.get("targets")
    return fields | {
        "timestamp": parse_rfc3339(fields["timestamp"]),
        "occurred_at": None if told is None else parse_rfc3339(told),
        "occurred_at_told": told,
        "actor": _structure(fields.get("actor"), _ENTITY_KEYS),
        "targets": None if targets is None else [_structure(one, _ENTITY_KEYS) for one in targets],
        "context": _structure(fields.get("context"), _CONTEXT_KEYS),
        "on_behalf_of": _structure(fields.get("on_behalf_of"), _ENTITY_KEYS),
        **{name: _json(fields.get(name)) for name in ("event_data", "redacted", "flagged")},
    }


def _json(value: Any) -> str | None:
    return None if value is None else dump(value).decode()


def _structure(value: Any, keys: tuple[str, ...]) -> Fields | None:
    if value is None:
        return None
    # `on_behalf_of` may be a text: whoever has this id.
    known: Fields = {"id": value} if isinstance(value, str) else value
    return {key: known.get(key) for key in keys} | {"json": dump(value).decode()}
