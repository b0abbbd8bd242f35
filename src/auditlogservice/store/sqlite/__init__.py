"""The embedded store: one SQLite file, nothing to install. `:memory:` is the fake of all tests."""

from __future__ import annotations

from dataclasses import dataclass

from auditlogservice.store.sqlite.accounts import SqliteAccountStore
from auditlogservice.store.sqlite.database import Database
from auditlogservice.store.sqlite.documents import SqliteDocumentStore
from auditlogservice.store.sqlite.events import SqliteEventStore
from auditlogservice.store.sqlite.ledger import SqliteLedgerStore
from auditlogservice.store.sqlite.schema import MIGRATIONS


@dataclass(frozen=True, slots=True)
class SqliteStore:
    """All stores over one file."""

    events: SqliteEventStore
    accounts: SqliteAccountStore
    ledger: SqliteLedgerStore
    documents: SqliteDocumentStore

    async def close(self) -> None:
        await self.events.close()


async def open_sqlite(path: str, *, min_free_bytes: int = 0) -> SqliteStore:
    """Open the file at `path`, or make it. Raises UnsafeSetup if it cannot be used safely.

    With fewer bytes than `min_free_bytes` left on the disk, no event is accepted.
    """
    database = Database(path, min_free_bytes=min_free_bytes)
    await database.open(MIGRATIONS)
    return SqliteStore(
        events=SqliteEventStore(database),
        accounts=SqliteAccountStore(database),
        ledger=SqliteLedgerStore(database),
        documents=SqliteDocumentStore(database),
    )
