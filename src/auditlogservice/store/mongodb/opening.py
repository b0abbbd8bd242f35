"""Opens the store: connect, check, prepare, hand over. What is unsafe never gets further."""

from __future__ import annotations

from dataclasses import dataclass

from auditlogservice.store.mongodb.accounts import MongoAccountStore
from auditlogservice.store.mongodb.connection import connect
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.events import MongoEventStore
from auditlogservice.store.mongodb.failures import reading
from auditlogservice.store.mongodb.governing import MongoDocumentStore
from auditlogservice.store.mongodb.ledger import MongoLedgerStore
from auditlogservice.store.mongodb.schema import prepare

DEFAULT_TIMEOUT = 10.0  # seconds that one call may take


@dataclass(frozen=True, slots=True)
class MongoStore:
    """All stores, over one client."""

    events: MongoEventStore
    accounts: MongoAccountStore
    ledger: MongoLedgerStore
    documents: MongoDocumentStore

    async def close(self) -> None:
        await self.events.close()


async def open_mongodb(url: str, *, timeout: float = DEFAULT_TIMEOUT) -> MongoStore:  # noqa: ASYNC109 - of each later call too
    """Return the stores of the database that the URL names (`auditlog` if it names none).

    Raises UnsafeSetup, with a sentence that says what to do, if the server, the URL or the
    database cannot keep the promises; StoreUnreachable if no server answers.
    """
    with reading(), Deadline(timeout).limit():
        connection = await connect(url)
        try:
            await prepare(connection.database)
        except BaseException:
            await connection.client.close()
            raise
    return MongoStore(
        events=MongoEventStore(connection.database, timeout=timeout),
        accounts=MongoAccountStore(connection.database, timeout=timeout),
        ledger=MongoLedgerStore(connection.database, timeout=timeout),
        documents=MongoDocumentStore(connection.database, timeout=timeout),
    )
