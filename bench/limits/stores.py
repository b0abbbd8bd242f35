"""The stores alone: the rows and documents that the service would write, made beforehand.

Each transaction has the same size, the same indexes and the same durability as one of the
service. What is missing is HTTP, parsing, checking, the index terms, the tree, and the answer.
"""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
from pymongo import MongoClient, WriteConcern

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.store.admission import Entry, Head, admit
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.mongodb.documents import document_of
from auditlogservice.store.port import Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.store.sqlite.searching import words
from auditlogservice.times import to_micros
from bench.events import USER, draft, event

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_TENANT = 1  # the number of the only one
_ROW = (
    "INSERT INTO records (row, id, tenant, sequence, timestamp, commitment, salt, fingerprint,"
    " payload) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_TERMS = "INSERT INTO terms (rowid, words) VALUES (?, ?)"


def entries(first: int, end: int) -> list[Entry]:
    """Return what the service would write for these events, in one log that begins with them."""
    drafts = [
        draft(number, event(number), tenant=DEFAULT_TENANT, user=USER)
        for number in range(first, end)
    ]
    heads = {DEFAULT_TENANT: Head()}
    return admit([Submission(tuple(drafts))], known={}, heads=heads).entries


class RawSqlite:
    """A file with the schema of the service, opened as the service opens it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._next = 0

    async def prepare(self) -> None:
        await (await open_sqlite(str(self._path))).close()
        with closing(self._connect()) as connection:
            connection.execute("INSERT INTO tenants VALUES (1, 'default', 0, 0)")

    def insert(self, batches: Sequence[Sequence[Entry]]) -> float:
        """Insert each batch in one transaction; return the seconds that took."""
        ready = [self._rows(batch) for batch in batches]
        with closing(self._connect()) as connection:
            start = time.perf_counter()
            for rows, words in ready:
                with connection:
                    connection.executemany(_ROW, rows)
                    connection.executemany(_TERMS, words)
            return time.perf_counter() - start

    def _connect(self) -> apsw.Connection:
        connection = apsw.Connection(str(self._path))
        connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL")
        return connection

    def _rows(self, batch: Sequence[Entry]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        rows, spelled = [], []
        for entry in batch:
            self._next += 1
            rows.append((
                self._next, self._next.to_bytes(12, "big"), _TENANT, self._next,
                to_micros(entry.timestamp), entry.logged.commitment, entry.draft.salt,
                entry.draft.fingerprint, entry.record.payload,
            ))  # fmt: skip
            spelled.append((self._next, words(_TENANT, entry.draft.terms)))
        return rows, spelled


class RawMongo:
    """A database with the indexes of the service, written as durably as the service does."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._next = 0

    async def prepare(self) -> None:
        await (await open_mongodb(self._url)).close()

    def insert(self, batches: Sequence[Sequence[Entry]]) -> float:
        """Insert each batch at once; return the seconds that took."""
        ready = [[self._document(entry) for entry in batch] for batch in batches]
        with MongoClient[dict[str, Any]](self._url) as client:
            events = client.get_default_database().get_collection(
                "events", write_concern=WriteConcern("majority", j=True)
            )
            client.admin.command("ping")  # connected before the clock runs
            start = time.perf_counter()
            for documents in ready:
                events.insert_many(documents, ordered=False)
            return time.perf_counter() - start

    def _document(self, entry: Entry) -> dict[str, Any]:
        self._next += 1
        return {**document_of(entry), "_id": self._next, "s": self._next}
