"""Whether the file contradicts itself: its structure, its schema, its index of terms, its heads.

Each part may meet damage, which is a contradiction too and ends only that part.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw
import orjson

from auditlogservice.damage import DAMAGE
from auditlogservice.events import Erasure, EventId, Record, Sequence, tombstone_id
from auditlogservice.store.comparing import (
    READERS,
    flaw_of_document,
    flaw_of_erasure,
    flaw_of_record,
    flaws_of_checkpoint,
)
from auditlogservice.store.port import Published
from auditlogservice.store.sqlite.database import migrate
from auditlogservice.store.sqlite.schema import MIGRATIONS
from auditlogservice.store.sqlite.searching import word
from auditlogservice.terms import terms_of
from auditlogservice.times import from_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def contradictions(connection: apsw.Connection) -> Iterator[str]:
    parts: tuple[tuple[str, Callable[[apsw.Connection], Iterator[str]]], ...] = (
        ("the file", _structure),
        ("the schema", _schema),
        ("the logs", _heads),
        ("the checkpoints", _checkpoints),
        ("the documents", _documents),
        ("the records", _records),
        ("the index of terms", _terms),
    )
    for name, look in parts:
        try:
            yield from look(connection)
        except apsw.InterruptError:  # nobody waits for this any more; it says nothing of the file
            raise
        except (apsw.Error, *DAMAGE) as error:
            yield f"{name} cannot be read: {error}"


def _structure(connection: apsw.Connection) -> Iterator[str]:
    with connection:
        # FTS5 finds out that others have written when it is asked for a word, and not when it is
        # to check itself: it would look for parts of an index that is no more.
        connection.execute("SELECT rowid FROM terms WHERE terms MATCH 'word'").fetchone()
        for (line,) in connection.execute("PRAGMA integrity_check(100)"):
            if line != "ok":
                yield f"SQLite says: {line}"
    for table, row, *_ in connection.execute("PRAGMA foreign_key_check"):
        yield f"row {row} of {table} belongs to no tenant"
    # The index of terms keeps a structure of its own within its tables.
    connection.execute("INSERT INTO terms (terms) VALUES ('integrity-check')")


def _schema(connection: apsw.Connection) -> Iterator[str]:
    new = apsw.Connection(":memory:")
    try:
        migrate(new, MIGRATIONS)
        expected, found = _definitions(new), _definitions(connection)
    finally:
        new.close()
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            yield f"{name} is not defined as this program defines it"


def _definitions(connection: apsw.Connection) -> dict[str, tuple[str, str, str]]:
    rows = connection.execute("SELECT name, type, tbl_name, sql FROM sqlite_schema")
    # Statistics come and go; they change how long answers take, and nothing else.
    return {name: rest for name, *rest in rows if not name.startswith("sqlite_stat")}


def _heads(connection: apsw.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT name, next_sequence, last_timestamp, count(row), min(sequence), max(sequence),"
        " max(timestamp) FROM tenants LEFT JOIN records ON tenant = number GROUP BY number"
    )
    for name, size, last, count, first, end, newest in rows:
        if count and (count != size or first != 0 or end != size - 1):
            yield f"the log of {name} should have {size} records, and has {count}"
        elif count and last != newest:
            yield f"the log of {name} has another last timestamp than its records"
        elif not count and size:
            yield f"the log of {name} should have {size} records, and has none"


def _checkpoints(connection: apsw.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT tenant, size, note, next_sequence FROM checkpoints LEFT JOIN tenants"
        " ON name = tenant"
    )
    for tenant, size, note, end in rows:
        yield from flaws_of_checkpoint(tenant, Published(size, note), end or 0)


def _documents(connection: apsw.Connection) -> Iterator[str]:
    for kind in READERS:
        rows = connection.execute("SELECT tenant, id, body FROM documents WHERE kind=?", (kind,))
        for tenant, name, body in rows:
            if flaw := flaw_of_document(kind, tenant, name, body):
                yield flaw


def _records(connection: apsw.Connection) -> Iterator[str]:
    rows = connection.execute(
        "SELECT name, id, sequence, payload, fingerprint, erased_at, erased_by, erased_why"
        " FROM records JOIN tenants ON number = tenant"
    )

    def find(event_id: EventId) -> Record | None:
        row = connection.execute(
            "SELECT sequence, payload FROM records WHERE id=?", (bytes.fromhex(event_id),)
        ).fetchone()
        return Record(id=event_id, sequence=row[0], payload=row[1]) if row and row[1] else None

    for name, raw_id, sequence, payload, fingerprint, at, by, why in rows:
        event_id = EventId(raw_id.hex())
        if payload is None:
            left = Erasure(
                id=event_id,
                sequence=Sequence(sequence),
                erased_at=from_micros(at),
                erased_by=by,
                reason=why,
            )
            flaw = flaw_of_erasure(left, find(tombstone_id(name, event_id)))
        else:
            record = Record(id=event_id, sequence=Sequence(sequence), payload=payload)
            flaw = flaw_of_record(record, fingerprint)
        if flaw:
            yield flaw


def _terms(connection: apsw.Connection) -> Iterator[str]:
    """Compare the index with the terms of the records: as sums, in which no order counts."""
    connection.execute(
        "CREATE VIRTUAL TABLE IF NOT EXISTS temp.words"
        " USING fts5vocab('main', 'terms', 'instance')"
    )
    found = expected = 0
    with connection:  # a savepoint: both are read as they are at one moment
        for pair in connection.execute("SELECT term, doc FROM temp.words"):
            found += hash(pair)
        rows = connection.execute(
            "SELECT row, tenant, payload FROM records WHERE payload IS NOT NULL"
        )
        for row, tenant, payload in rows:
            words = {word(tenant, term) for term in terms_of(orjson.loads(payload))}
            expected += sum(hash((one, row)) for one in words)
    if found != expected:
        yield "the index of terms is not that of the records"
