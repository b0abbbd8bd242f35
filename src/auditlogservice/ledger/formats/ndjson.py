"""NDJSON: each record as `GET /events` answers it, byte for byte, on a line of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditlogservice.events import Record


def line(record: Record) -> bytes:
    return record.answer() + b"\n"
