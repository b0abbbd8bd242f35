"""Values to documents and back: pure, and the only place that spells the fields out.

Numbers that must be exact are int64 (a BSON date would keep milliseconds only).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bson import Binary, Int64, ObjectId

from auditlogservice.access import Scope, User
from auditlogservice.events import Erasure, EventId, Fingerprint, Record, Sequence
from auditlogservice.store.admission import Head, Known
from auditlogservice.store.port import VerificationKey
from auditlogservice.times import from_micros, to_micros

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.events import Kept
    from auditlogservice.store.admission import Entry
    from auditlogservice.store.mongodb.schema import Document
    from auditlogservice.store.port import UserChange

HEAD_FIELDS = {"_id": False, "s": True, "at": True}
WITHOUT_TERMS = {"terms": False}

# ---- records --------------------------------------------------------------------


def document_of(entry: Entry) -> Document:
    return {
        "_id": ObjectId(entry.draft.id),
        "t": entry.draft.tenant,
        "s": Int64(entry.record.sequence),
        "at": Int64(to_micros(entry.timestamp)),
        "fp": Binary(entry.draft.fingerprint),
        "p": Binary(entry.record.payload),
        "terms": list(entry.draft.terms),
    }


def head_of(last: Document | None) -> Head:
    """Return where a log ends whose last document is this one."""
    if last is None:
        return Head()
    return Head(Sequence(last["s"] + 1), from_micros(last["at"]))


def record_of(document: Document) -> Record:
    return Record(
        id=EventId(str(document["_id"])),
        sequence=Sequence(int(document["s"])),
        payload=bytes(document["p"]),
    )


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
    return Known(Fingerprint(bytes(document["fp"])), kept_of(document))


def is_stored(entry: Entry, document: Document | None) -> bool:
    """Whether this document is what became of the entry. The rest follows from these fields."""
    return document is not None and (document["s"], document["at"], bytes(document["fp"])) == (
        entry.record.sequence,
        to_micros(entry.timestamp),
        entry.draft.fingerprint,
    )


def erasing(*, at: datetime, by: str, reason: str | None) -> list[Document]:
    """Return the update that erases a record; done twice, it keeps what the first one said.

    In such an update a text that starts with `$` would be read as the name of a field, so each
    value is marked as a literal.
    """
    gone = {"at": Int64(to_micros(at)), "by": by, "why": reason}
    literal = {name: {"$literal": value} for name, value in gone.items()}
    return [{"$set": {"gone": {"$ifNull": ["$gone", literal]}}}, {"$unset": ["p", "terms"]}]


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
