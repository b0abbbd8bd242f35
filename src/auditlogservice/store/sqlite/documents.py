"""Holds, rules and the like in SQLite: the DocumentStore contract of `store/port.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.governance import read_hold
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from collections.abc import Collection

    import apsw

    from auditlogservice.governance import Hold
    from auditlogservice.store.sqlite.database import Database

_CREATE = (
    "INSERT INTO documents (body, version, kind, tenant, id) VALUES (?, ?, ?, ?, ?)"
    " ON CONFLICT DO NOTHING"
)
_CHANGE = (
    "UPDATE documents SET body=?1, version=?2"
    " WHERE kind=?3 AND tenant=?4 AND id=?5 AND version = ?2 - 1"
)
_DOCUMENT = "SELECT kind, tenant, id, body, version FROM documents"


class SqliteDocumentStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(self, document: Document) -> bool:
        def work(connection: apsw.Connection) -> bool:
            # One statement: it is the compare and the swap.
            connection.execute(
                _CREATE if document.version == 1 else _CHANGE,
                (document.body, document.version, document.kind, document.tenant, document.id),
            )
            return connection.changes() > 0

        return await self._database.write(work)

    async def get(self, kind: str, tenant: str, document_id: str) -> Document | None:
        def work(connection: apsw.Connection) -> Document | None:
            row = connection.execute(
                f"{_DOCUMENT} WHERE kind=? AND tenant=? AND id=?", (kind, tenant, document_id)
            ).fetchone()
            return _document(*row) if row else None

        return await self._database.read(work)

    async def all(self, kind: str, tenant: str | None = None) -> list[Document]:
        def work(connection: apsw.Connection) -> list[Document]:
            return _all(connection, kind, tenant)

        return await self._database.read(work)

    async def remove(self, kind: str, tenant: str, document_id: str) -> bool:
        def work(connection: apsw.Connection) -> bool:
            connection.execute(
                "DELETE FROM documents WHERE kind=? AND tenant=? AND id=?",
                (kind, tenant, document_id),
            )
            return connection.changes() > 0

        return await self._database.write(work)


def holds_of(connection: apsw.Connection, tenant: str, passed: Collection[str]) -> list[Hold]:
    """Return the holds that stand now but those, for who erases in the same transaction."""
    there = _all(connection, "hold", tenant)
    return [read_hold(found.id, found.body) for found in there if found.id not in passed]


def _all(connection: apsw.Connection, kind: str, tenant: str | None) -> list[Document]:
    rows = connection.execute(
        f"{_DOCUMENT} WHERE kind=? AND tenant = coalesce(?, tenant) ORDER BY tenant, id",
        (kind, tenant),
    )
    return [_document(*row) for row in rows]


def _document(kind: str, tenant: str, document_id: str, body: bytes, version: int) -> Document:
    return Document(kind=kind, tenant=tenant, id=document_id, body=body, version=version)  # type: ignore[arg-type] # so it is one of the kinds
