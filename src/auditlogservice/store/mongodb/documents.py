"""Values to documents and back: pure, and the only place that spells the fields out.

Numbers that must be exact are int64 (a BSON date would keep milliseconds only). Bytes go in as
they are: `Binary` around them would be encoded the same, and take a microsecond more each.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import Int64, ObjectId

from auditlogservice.access import Scope, User
from auditlogservice.entries import LogEntry, spell_entry
from auditlogservice.events import (
    Erasure,
    EventId,
    Fingerprint,
    Listing,
    Record,
    Sequence,
    answer_of,
    check_payload,
)
from auditlogservice.merkle import HASH_BYTES
from auditlogservice.store.admission import Head, Known
from auditlogservice.store.port import Opening, VerificationKey
from auditlogservice.tiles import WIDTH, growing_tiles
from auditlogservice.times import format_micros, from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from auditlogservice.events import Kept
    from auditlogservice.store.admission import Entry
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import UserChange
    from auditlogservice.tiles import Tile

WITHOUT_TERMS = {"terms": False}
RECORD = {"s": True, "p": True}

# ---- records --------------------------------------------------------------------


def document_of(entry: Entry) -> Document:
    return {
        "_id": ObjectId(entry.draft.id),
        "t": entry.draft.tenant,
        "s": Int64(entry.record.sequence),
        "at": Int64(to_micros(entry.timestamp)),
        "c": entry.logged.commitment,
        "exp": _moment(entry.logged.expires_at),
        "salt": entry.draft.salt,
        "fp": entry.draft.fingerprint,
        "p": entry.record.payload,
        "terms": entry.draft.terms,
    }


def opening_of(document: Document) -> Opening:
    expires = document["exp"]
    entry = LogEntry(
        id=EventId(str(document["_id"])),
        timestamp=from_micros(document["at"]),
        commitment=bytes(document["c"]),
        expires_at=None if expires is None else from_micros(expires),
    )
    payload = document.get("p")
    return Opening(
        sequence=Sequence(int(document["s"])),
        entry=entry,
        salt=salt_of(document),
        payload=None if payload is None else bytes(payload),
    )


def entry_of(document: Document) -> bytes:
    expires = document["exp"]
    return spell_entry(
        str(document["_id"]),
        document["c"],
        timestamp=format_micros(document["at"]),
        expires_at=None if expires is None else format_micros(expires),
    )


def salt_of(document: Document) -> bytes | None:
    salt = document.get("salt")
    return None if salt is None else bytes(salt)


def record_of(document: Document) -> Record:
    return Record(
        id=EventId(str(document["_id"])),
        sequence=Sequence(int(document["s"])),
        payload=bytes(document["p"]),
    )


def listing_of(documents: list[Document], *, more: bool) -> Listing:
    """Return the listing of these; if there are more, the last one only tells so.

    Raises what `check_payload` does.
    """
    shown = documents[:-1] if more else documents
    return Listing(
        answers=b",".join([_answer_of(each) for each in shown]),
        count=len(shown),
        beyond=Sequence(int(shown[-1]["s"])) if more else None,
    )


def _answer_of(document: Document) -> bytes:
    payload = document["p"]
    check_payload(payload)
    return answer_of(payload, document["s"])


def erasure_of(document: Document) -> Erasure:
    gone = document["gone"]
    return Erasure(
        id=EventId(str(document["_id"])),
        sequence=Sequence(int(document["s"])),
        erased_at=from_micros(gone["at"]),
        erased_by=gone["by"],
        reason=gone["why"],
    )


def kept_of(document: Document) -> Kept:
    return erasure_of(document) if "gone" in document else record_of(document)


def known_of(document: Document) -> Known:
    fingerprint = document.get("fp")
    return Known(fingerprint and Fingerprint(bytes(fingerprint)), kept_of(document))


def is_stored(entry: Entry, document: Document | None) -> bool:
    """Whether this document is what became of the entry. The rest follows from these fields."""
    return document is not None and (document["s"], document["at"], bytes(document["c"])) == (
        entry.record.sequence,
        to_micros(entry.timestamp),
        entry.logged.commitment,
    )


def erasing(erasure: Erasure) -> Document:
    """Return the update that destroys the content of a record, and leaves this of it."""
    gone = {
        "at": Int64(to_micros(erasure.erased_at)),
        "by": erasure.erased_by,
        "why": erasure.reason,
    }
    return {"$set": {"gone": gone}, "$unset": {"p": "", "terms": "", "salt": "", "fp": ""}}


def _moment(moment: datetime | None) -> Int64 | None:
    return None if moment is None else Int64(to_micros(moment))


# ---- logs and trees ---------------------------------------------------------------


def document_of_log(tenant: str, head: Head) -> Document:
    assert head.timestamp is not None  # noqa: S101 - a log is written when it has a record
    return {
        "_id": tenant,
        "n": Int64(head.next),
        "at": Int64(to_micros(head.timestamp)),
        "tiles": {str(tile.level): hashes for tile, hashes in head.growing.items()},
    }


def head_of(log: Document | None) -> Head:
    """Return where the log ends that this document speaks of."""
    if log is None:
        return Head()
    return Head(Sequence(int(log["n"])), from_micros(log["at"]), growing_of(log))


def growing_of(log: Document) -> dict[Tile, bytes]:
    """Return the tiles that are not full, as far as the document has them."""
    tiles = log.get("tiles", {})
    return {
        tile: bytes(tiles[str(tile.level)])
        for tile in growing_tiles(int(log["n"]))
        if str(tile.level) in tiles
    }


def name_of_tile(tenant: str, tile: Tile) -> str:
    return f"{tenant}/{tile.level}/{tile.number}"


def full_tiles(tenant: str, tiles: Mapping[Tile, bytes]) -> list[Document]:
    """Return the documents of those that are full. They never change again."""
    return [
        {"_id": name_of_tile(tenant, tile), "h": hashes}
        for tile, hashes in tiles.items()
        if len(hashes) == WIDTH * HASH_BYTES
    ]


# ---- accounts -------------------------------------------------------------------


def document_of_user(user: User) -> Document:
    return {
        "_id": user.id,
        "name": user.name,
        "tenant": user.tenant,
        "scopes": sorted(user.scopes),
        "password_hash": user.password_hash,
        "disabled": user.disabled,
        "created_at": Int64(to_micros(user.created_at)),
        "generation": user.generation,
    }


def update_of_user(change: UserChange) -> Document:
    """The update that makes this change, and touches nothing else."""
    new: Document = {}
    if change.password_hash is not None:
        new["password_hash"] = change.password_hash
    if change.scopes is not None:
        new["scopes"] = sorted(change.scopes)
    if change.disabled is not None:
        new["disabled"] = change.disabled
    return {"$set": new, "$inc": {"generation": int(change.password_hash is not None)}}


def user_of(document: Document) -> User:
    return User(
        id=document["_id"],
        name=document["name"],
        tenant=document["tenant"],
        scopes=frozenset(Scope(word) for word in document["scopes"]),
        password_hash=document["password_hash"],
        disabled=document["disabled"],
        created_at=from_micros(document["created_at"]),
        generation=document.get("generation", 0),
    )


def document_of_key(key: VerificationKey) -> Document:
    return {
        "_id": key.id,
        "public": key.public,
        "expires_at": Int64(to_micros(key.expires_at)),
        "drop_at": key.expires_at,  # a BSON date, for the index that lets the server drop it
    }


def key_of(document: Document) -> VerificationKey:
    return VerificationKey(
        id=document["_id"],
        public=document["public"],
        expires_at=from_micros(document["expires_at"]),
    )
