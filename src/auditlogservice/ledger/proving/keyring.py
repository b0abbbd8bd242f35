"""The public halves of the keys that sign the logs: what a verifier asks for, and nodes agree on.

They are kept in the store, and the private halves on the disks of the nodes that sign. A key that
was retired signs no more; it stays here, since what it has signed stays signed.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import orjson

from auditlogservice.canonical import dump
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.damage import reading_back
from auditlogservice.errors import Conflict, MalformedInput, NotFound, ProofInvalid
from auditlogservice.notes import Note, VerifierKey
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import DocumentStore

_KIND: Literal["keys"] = "keys"
_OF_ALL, _NAME = "", "ledger"


@dataclass(frozen=True, slots=True)
class SignerKey:
    """A key that signs the logs of all tenants, or did so until it was retired."""

    public: bytes
    since: datetime
    retired: datetime | None = None

    def verifier(self, origin: str) -> VerifierKey:
        """Return the key as the log of this origin is verified with it."""
        return VerifierKey(origin, self.public)


class Keyring:
    def __init__(self, documents: DocumentStore, *, clock: Clock) -> None:
        self._documents = documents
        self._clock = clock
        self._seen: list[SignerKey] = []  # as they were when somebody asked last

    async def keys(self) -> list[SignerKey]:
        """Return all keys there ever were, the newest first."""
        found = await self._documents.get(_KIND, _OF_ALL, _NAME)
        self._seen = _read(found.body) if found else []
        return self._seen

    async def opened(self, raw: bytes, origin: str) -> Checkpoint:
        """Return the checkpoint of a note that a key of this log signed, be it retired by now.

        Raises ProofInvalid for any other.
        """
        try:
            note = Note.parse(raw)
            checkpoint = Checkpoint.parse(note.text)
        except MalformedInput as error:
            raise ProofInvalid(f"the last checkpoint is damaged: {error}") from None
        if checkpoint.origin != origin:
            raise ProofInvalid(
                f"the last checkpoint is one of {checkpoint.origin}, and this log is {origin}"
            )
        try:
            note.verified(key.verifier(origin) for key in self._seen)
        except ProofInvalid:  # there may be a key that has not been seen yet
            try:
                note.verified([key.verifier(origin) for key in await self.keys()])
            except ProofInvalid:
                raise ProofInvalid("no key of this log has signed the last checkpoint") from None
        return checkpoint

    async def add(self, public: bytes, *, first: bool = False) -> bool:
        """Make a key known; return whether it is. If it is to be the `first`, others win."""

        def change(keys: list[SignerKey]) -> list[SignerKey]:
            if any(key.public == public for key in keys) or (first and keys):
                return keys
            return [SignerKey(public, self._clock()), *keys]

        return any(key.public == public for key in await self._change(change))

    async def retire(self, public: bytes) -> None:
        """Say that a key signs no more. Raises NotFound; Conflict if no other one would sign."""

        def change(keys: list[SignerKey]) -> list[SignerKey]:
            _check_retires(keys, public)
            return [
                replace(key, retired=key.retired or self._clock()) if key.public == public else key
                for key in keys
            ]

        await self._change(change)

    async def check_retires(self, public: bytes) -> None:
        """Raise what `retire` would."""
        _check_retires(await self.keys(), public)

    async def _change(
        self, change: Callable[[list[SignerKey]], list[SignerKey]]
    ) -> list[SignerKey]:
        while True:
            found = await self._documents.get(_KIND, _OF_ALL, _NAME)
            before = _read(found.body) if found else []
            after = change(before)
            if after == before:
                return after
            version = found.version + 1 if found else 1
            document = Document(
                kind=_KIND, tenant=_OF_ALL, id=_NAME, body=_write(after), version=version
            )
            if await self._documents.put(document):
                return after


def _check_retires(keys: list[SignerKey], public: bytes) -> None:
    if all(key.public != public for key in keys):
        raise NotFound("the log has no such key")
    if all(key.retired or key.public == public for key in keys):
        raise Conflict("this is the only key that signs; add another one first")


def _write(keys: list[SignerKey]) -> bytes:
    return dump(
        [
            {
                "public": base64.b64encode(key.public).decode(),
                "since": format_utc(key.since),
                "retired": format_utc(key.retired) if key.retired else None,
            }
            for key in keys
        ]
    )


def _read(body: bytes) -> list[SignerKey]:
    with reading_back():
        told: list[dict[str, Any]] = orjson.loads(body)
        if not isinstance(told, list):  # an object would pass for a ring without keys
            raise TypeError
        return [
            SignerKey(
                public=base64.b64decode(one["public"]),
                since=parse_rfc3339(one["since"]),
                retired=parse_rfc3339(one["retired"]) if one["retired"] else None,
            )
            for one in told
        ]
