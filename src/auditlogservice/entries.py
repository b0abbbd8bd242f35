"""What the tree holds of a record: its log entry, with a commitment in the place of the content.

The content (`payload`) and the salt live outside the tree. A commitment binds to both, and says
nothing about the content once the salt is gone: so a record can be erased, however easily its
content might be guessed, and no tile, proof or checkpoint changes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

from auditlogservice.errors import MalformedInput
from auditlogservice.events import EventId
from auditlogservice.times import format_utc

SALT_BYTES = 32
COMMITMENT_BYTES = 32

_COMMIT = b"auditlog/commit/v1\0"
_SPELLING = re.compile(
    rb'\{"c":"([A-Za-z0-9+/]{43}=)","exp":(null|"[0-9T:.\-]{26}Z"),"id":"([0-9a-f]{24})",'
    rb'"t":"([0-9T:.\-]{26}Z)","ty":"event","v":1\}'
)


def commitment(salt: bytes, event_id: EventId, payload: bytes) -> bytes:
    """Return SHA-256 of a prefix, the salt, the id with its length (uint16, big-endian), payload.

    The prefix keeps it apart from every other hash that is made here.
    """
    name = event_id.encode()
    return hashlib.sha256(b"".join((_COMMIT, salt, len(name).to_bytes(2), name, payload))).digest()


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One leaf of a tenant's tree, in words.

    `expires_at` is when the retention rule that held at the record's arrival lets it be erased;
    None if no rule did.
    """

    id: EventId
    timestamp: datetime
    commitment: bytes
    expires_at: datetime | None

    def to_bytes(self) -> bytes:
        """Return the canonical JSON of which the leaf hash is made."""
        expires = b'"%b"' % format_utc(self.expires_at).encode() if self.expires_at else b"null"
        return b'{"c":"%b","exp":%b,"id":"%b","t":"%b","ty":"event","v":1}' % (
            base64.b64encode(self.commitment),
            expires,
            self.id.encode(),
            format_utc(self.timestamp).encode(),
        )


def parse_entry(raw: bytes) -> LogEntry:
    """Return the entry. Raises MalformedInput for any bytes but the one spelling of an entry."""
    match = _SPELLING.fullmatch(raw)
    if match is None:
        raise MalformedInput("this is no log entry of version 1")
    told, expires, name, timestamp = match.groups()
    try:
        entry = LogEntry(
            id=EventId(name.decode()),
            timestamp=_moment(timestamp),
            commitment=base64.b64decode(told, validate=True),
            expires_at=None
            if expires == b"null"
            else datetime.fromisoformat(expires[1:-1].decode()),
        )
    except (binascii.Error, ValueError):
        raise MalformedInput("this log entry has a moment that does not exist") from None
    if entry.to_bytes() != raw:
        raise MalformedInput("this log entry is not spelled canonically")
    return entry


def _moment(spelled: bytes) -> datetime:
    """Return a moment, also one that is spelled in another way than ours."""
    return datetime.fromisoformat(spelled.decode())
