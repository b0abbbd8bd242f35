"""Holds, rules and the like in MongoDB: the DocumentStore contract of `store/port.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bson import Binary, Int64
from pymongo import ASCENDING
from pymongo.errors import DuplicateKeyError
from pymongo.read_concern import ReadConcern

from auditlogservice.store.mongodb.connection import DURABLE
from auditlogservice.store.mongodb.deadline import Deadline
from auditlogservice.store.mongodb.failures import reading, writing
from auditlogservice.store.mongodb.schema import DOCUMENTS, LOGS
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from pymongo.asynchronous.client_session import AsyncClientSession
    from pymongo.asynchronous.database import AsyncDatabase

_NO_RECORDS = {"n": Int64(0), "at": Int64(0), "tiles": {}}


class MongoDocumentStore:
    """Keeps the DocumentStore contract of `store/port.py`."""

    def __init__(self, database: AsyncDatabase[dict[str, Any]], *, timeout: float) -> None:
        self._documents = database[DOCUMENTS]
        self._logs = database[LOGS]
        self._timeout = timeout

    async def put(self, document: Document) -> bool:
        client = self._documents.database.client
        with writing(), Deadline(self._timeout).limit():
            async with client.start_session() as session:
                try:
                    return await session.with_transaction(
                        lambda session: self._put(session, document),
                        read_concern=ReadConcern("snapshot"),
                        write_concern=DURABLE,
                    )
                except DuplicateKeyError:
                    return False

    async def _put(self, session: AsyncClientSession, document: Document) -> bool:
        if document.kind == "hold":
            # An erasure that does not see this hold yet changes the same document: one of the
            # two is refused, and tries again. It is made for a log that has no records yet, since
            # the first may come and be erased before this is committed.
            await self._logs.update_one(
                {"_id": document.tenant},
                {"$inc": {"holds": 1}, "$setOnInsert": _NO_RECORDS},
                upsert=True,
                session=session,
            )
        if document.version > 1:
            changed = await self._documents.update_one(
                {"_id": _name(document), "version": document.version - 1},
                {"$set": {"body": Binary(document.body), "version": document.version}},
                session=session,
            )
            return changed.matched_count > 0
        await self._documents.insert_one(
            {
                "_id": _name(document),
                "kind": document.kind,
                "tenant": document.tenant,
                "id": document.id,
                "version": document.version,
                "body": Binary(document.body),
            },
            session=session,
        )
        return True

    async def get(self, kind: str, tenant: str, document_id: str) -> Document | None:
        with reading(), Deadline(self._timeout).limit():
            found = await self._documents.find_one({"_id": f"{kind}/{tenant}/{document_id}"})
            return _document(found) if found else None

    async def all(self, kind: str, tenant: str | None = None) -> list[Document]:
        asked = {"kind": kind} if tenant is None else {"kind": kind, "tenant": tenant}
        with reading(), Deadline(self._timeout).limit():
            found = self._documents.find(asked, sort=[("_id", ASCENDING)])
            return [_document(one) async for one in found]

    async def remove(self, kind: str, tenant: str, document_id: str) -> bool:
        with writing(), Deadline(self._timeout).limit():
            done = await self._documents.delete_one({"_id": f"{kind}/{tenant}/{document_id}"})
        return done.deleted_count > 0


def _name(document: Document) -> str:
    return f"{document.kind}/{document.tenant}/{document.id}"


def _document(found: dict[str, Any]) -> Document:
    return Document(
        kind=found["kind"],
        tenant=found["tenant"],
        id=found["id"],
        body=bytes(found["body"]),
        version=found["version"],
    )
