"""Log entries: one spelling each, and nothing else is one."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.entries import LogEntry, parse_entry
from auditlogservice.errors import MalformedInput
from auditlogservice.events import EventId

moments = st.datetimes(timezones=st.just(UTC))
ids = st.binary(min_size=12, max_size=12).map(lambda raw: EventId(raw.hex()))
entries = st.builds(
    LogEntry, ids, moments, st.binary(min_size=32, max_size=32), st.none() | moments
)
RAW = LogEntry(
    EventId("0" * 24), datetime(2026, 1, 31, 23, 59, 59, 1, tzinfo=UTC), bytes(32), None
).to_bytes()


@given(entries)
def test_an_entry_is_read_as_it_was_written(entry: LogEntry) -> None:
    assert parse_entry(entry.to_bytes()) == entry


@given(entries, st.data())
def test_whatever_else_is_read_as_an_entry_is_spelled_so_too(
    entry: LogEntry, data: st.DataObject
) -> None:
    raw = bytearray(entry.to_bytes())
    raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.sampled_from(b"0129AZz=+/:. \x00"))
    try:
        read = parse_entry(bytes(raw))
    except MalformedInput:
        return
    assert read.to_bytes() == raw


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b'AAA="', b'AAB="'),  # bits that do not count
        (b'AAA="', b'AA=="'),
        (b"T23:59", b"T24:00"),
        (b"T23:59", b"T23:60"),
        (b"T23:", b" 23:"),
        (b"-01-31", b"-02-29"),
        (b"-01-31", b"-W05-6"),
        (b".000001Z", b",000001Z"),
        (b".000001Z", b".00000Z"),
        (b".000001Z", b".000001z"),
        (b'"exp":null', b'"exp":"2026-02-29T00:00:00.000000Z"'),
        (b'"exp":null', b'"exp":"null"'),
        (b'"v":1}', b'"v":2}'),
        (b'"v":1}', b'"v":1}\n'),
    ],
)
def test_another_spelling_is_no_entry(old: bytes, new: bytes) -> None:
    assert RAW.count(old) == 1
    with pytest.raises(MalformedInput):
        parse_entry(RAW.replace(old, new))
