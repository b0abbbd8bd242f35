"""Whether the collections contradict themselves: fields beside the payload, and heads.

The tree is not looked at here, and the files of the server are its own business.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import ObjectId
from pymongo import ASCENDING

from auditlogservice.damage import DAMAGE
from auditlogservice.events import tombstone_id
from auditlogservice.store.comparing import (
    READERS,
    flaw_of_document,
    flaw_of_erasure,
    flaw_of_record,
    flaws_of_checkpoint,
)
from auditlogservice.store.mongodb.documents import erasure_of, record_of
from auditlogservice.store.mongodb.schema import BY_SEQUENCE, CHECKPOINTS, DOCUMENTS, EVENTS, LOGS
from auditlogservice.store.port import MAX_CONTRADICTIONS, Published
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.store.mongodb.schema import Document


async def contradictions(database: AsyncDatabase[Document]) -> list[str]:
    found: list[str] = []
    async for sentence in _all(database):
        found.append(sentence)
        if len(found) == MAX_CONTRADICTIONS:
            break
    return found


async def _all(database: AsyncDatabase[Document]) -> AsyncIterator[str]:
    # Read before the logs, which are there as soon as their records are: others may be writing.
    recorded = await database[EVENTS].distinct("t")
    tenants = set()
    async for log in database[LOGS].find({}, {"_id": True}):
        tenants.add(log["_id"])
        async for sentence in _log(database, log["_id"]):
            yield sentence
    for tenant in recorded:
        if tenant not in tenants:
            yield f"the log of {tenant} has records and no end"
    async for flaw in _checkpoints(database):
        yield flaw
    async for flaw in _documents(database):
        yield flaw


async def _checkpoints(database: AsyncDatabase[Document]) -> AsyncIterator[str]:
    async for kept in database[CHECKPOINTS].find({}):
        log = await database[LOGS].find_one({"_id": kept["_id"]}) or {}
        try:
            published = Published(int(kept["size"]), bytes(kept["note"]))
            flaws = list(flaws_of_checkpoint(kept["_id"], published, int(log.get("n", 0))))
        except DAMAGE as error:
            flaws = [f"the checkpoint of {kept['_id']} cannot be read: {error}"]
        for flaw in flaws:
            yield flaw


async def _documents(database: AsyncDatabase[Document]) -> AsyncIterator[str]:
    async for kept in database[DOCUMENTS].find({"kind": {"$in": list(READERS)}}):
        try:
            kind, tenant, name = kept["kind"], kept["tenant"], kept["id"]
            flaw = flaw_of_document(kind, tenant, name, bytes(kept["body"]))
        except DAMAGE as error:
            flaw = f"document {kept['_id']} cannot be read: {error}"
        if flaw:
            yield flaw


async def _log(database: AsyncDatabase[Document], tenant: str) -> AsyncIterator[str]:
    """Examine a log up to its end: what comes in meanwhile lies behind that."""
    there = await database[EVENTS].count_documents({"t": tenant})
    log = await database[LOGS].find_one({"_id": tenant}) or {}
    size, seen, placed, newest = log.get("n"), 0, 0, None
    whole = database[EVENTS].find({"t": tenant}, sort=[("s", ASCENDING)], hint=BY_SEQUENCE)
    async for document in whole:
        if seen == size and there <= seen:
            break
        placed += document.get("s") == seen
        seen += 1
        newest = document.get("at")
        try:
            flaw = await _flaw(database, tenant, document)
        except DAMAGE as error:
            flaw = f"record {document['_id']} cannot be read: {error}"
        if flaw:
            yield flaw
    if not placed == seen == size:
        yield f"the log of {tenant} should have {size} records, and has {seen}"
    elif seen and newest != log.get("at"):  # a hold may have made it before its first record
        yield f"the log of {tenant} has another last timestamp than its records"


async def _flaw(database: AsyncDatabase[Document], tenant: str, document: Document) -> str | None:
    if "gone" in document:
        erasure = erasure_of(document)
        if left := {"p", "salt", "fp", "terms"} & document.keys():
            return f"record {erasure.id} is erased, and has still: {', '.join(sorted(left))}"
        name = ObjectId(tombstone_id(tenant, erasure.id))
        found = await database[EVENTS].find_one({"_id": name, "p": {"$exists": True}})
        return flaw_of_erasure(erasure, record_of(found) if found else None)
    record = record_of(document)
    if sorted(document["terms"]) != sorted(terms_of(record.fields())):
        return f"record {record.id} is indexed under other terms than its own"
    return flaw_of_record(record, bytes(document["fp"]))
