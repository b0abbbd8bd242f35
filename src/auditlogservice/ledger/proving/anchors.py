"""What witnesses and timestamp authorities have said of the logs, kept in the store.

Of each witness the newest checkpoint that it cosigned is kept: it speaks for all before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson

from auditlogservice.anchors import newest, read_timestamp, size_of, superfluous
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.notes import Note
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.anchors import Timestamp
    from auditlogservice.notes import VerifierKey
    from auditlogservice.store.port import DocumentStore


class Anchors:
    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents

    # ---- cosignatures -----------------------------------------------------------------

    async def witnessed(self, tenant: str) -> Note | None:
        """Return the newest checkpoint that a witness cosigned, with all its cosignatures."""
        found = await self._documents.all("witnessed", tenant)
        return newest(_read_note(each.body) for each in found)

    async def add_witnessed(self, tenant: str, witness: VerifierKey, note: Note) -> None:
        """Keep a note that this witness cosigned, unless there is one of a larger tree."""
        name = witness.id.hex()
        while True:
            found = await self._documents.get("witnessed", tenant, name)
            if found and size_of(_read_note(found.body)) > size_of(note):
                return
            document = Document(
                kind="witnessed",
                tenant=tenant,
                id=name,
                body=dump({"note": note.to_bytes().decode()}),
                version=found.version + 1 if found else 1,
            )
            if await self._documents.put(document):
                return

    # ---- timestamps -------------------------------------------------------------------

    async def timestamps(self, tenant: str) -> list[Timestamp]:
        """Return the timestamps of a tenant's checkpoints, from the smallest tree on."""
        return [
            read_timestamp(each.body) for each in await self._documents.all("timestamp", tenant)
        ]

    async def newest_timestamps(
        self, tenant: str, *, before: int | None, limit: int
    ) -> list[Timestamp]:
        """Return up to `limit`, from the largest tree on, or from that before `before` records."""
        found = await self._documents.all("timestamp", tenant)
        smaller = [each for each in found if before is None or each.id < _name(before)]
        return [read_timestamp(each.body) for each in smaller[::-1][:limit]]

    async def timestamp(self, tenant: str, size: int) -> Timestamp | None:
        """Return the timestamp of the checkpoint with so many records."""
        found = await self._documents.get("timestamp", tenant, _name(size))
        return read_timestamp(found.body) if found else None

    async def add_timestamp(self, tenant: str, timestamp: Timestamp, *, now: datetime) -> None:
        """Keep a timestamp, unless there is one of a tree as large; drop those to spare."""
        name = _name(timestamp.size)
        await self._documents.put(
            Document(kind="timestamp", tenant=tenant, id=name, body=timestamp.to_body())
        )
        for spare in superfluous(await self.timestamps(tenant), now=now):
            await self._documents.remove("timestamp", tenant, _name(spare.size))


def _name(size: int) -> str:
    return f"{size:020}"  # so that the order of names is that of sizes


def _read_note(body: bytes) -> Note:
    with reading_back():
        note: str = orjson.loads(body)["note"]
        return Note.parse(note.encode())
