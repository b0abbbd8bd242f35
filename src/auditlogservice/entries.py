"""What the tree holds of a record: its log entry, with a commitment in the place of the content.

The content (`payload`) and the salt live outside the tree. A commitment binds to both, and says
nothing about the content once the salt is gone: so a record can be erased, however easily its
content might be guessed, and no tile, proof or checkpoint changes.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import datetime

from auditlogservice.errors import MalformedInput
from auditlogservice.events import EventId
from auditlogservice.hashing import sha256_of
from auditlogservice.times import format_utc

SALT_BYTES = 32
COMMITMENT_BYTES = 32

_COMMIT = b"auditlog/commit/v1\0"
# Each part has one spelling: the last digit of the base64 has no bits that do not count, and
# moments are written as `times.format_utc` does. Which moments exist is up to the calendar.
_MOMENT = rb"[0-9]{4}-[0-9]{2}-[0-9]{2}T(?:[01][0-9]|2[0-3]):[0-9]{2}:[0-9]{2}\.[0-9]{6}Z"
_SPELLING = re.compile(
    rb'\{"c":"([A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=)","exp":(?:null|"(%b)"),'
    rb'"id":"([0-9a-f]{24})","t":"(%b)","ty":"event","v":1\}' % (_MOMENT, _MOMENT)
)


def commitment(salt: bytes, event_id: EventId, payload: bytes) -> bytes:
    """Return SHA-256 of a prefix, the salt, the id with its length (uint16, big-endian), payload.

    The prefix keeps it apart from every other hash that is made here.
    """
    name = event_id.encode()
    return sha256_of(b"".join((_COMMIT, salt, len(name).to_bytes(2), name, payload)))


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
        expires = None if self.expires_at is None else format_utc(self.expires_at)
        return spell_entry(
            self.id, self.commitment, timestamp=format_utc(self.timestamp), expires_at=expires
        )


def spell_entry(
    event_id: str, commitment: bytes, *, timestamp: str, expires_at: str | None
) -> bytes:
    """Return the entry of these values as canonical JSON; moments as `format_utc` spells them."""
    return b'{"c":"%b","exp":%b,"id":"%b","t":"%b","ty":"event","v":1}' % (
        base64.b64encode(commitment),
        b'"%b"' % expires_at.encode() if expires_at else b"null",
        event_id.encode(),
        timestamp.encode(),
    )


def parse_entry(raw: bytes) -> LogEntry:
    """Return the entry. Raises MalformedInput for any bytes but the one spelling of an entry."""
    match = _SPELLING.fullmatch(raw)
    if match is None:
        raise MalformedInput("this is no log entry of version 1")
    told, expires, name, timestamp = match.groups()
    try:
        return LogEntry(
            id=EventId(name.decode()),
            timestamp=_moment(timestamp),
            commitment=binascii.a2b_base64(told),
            expires_at=None if expires is None else _moment(expires),
        )
    except ValueError:
        raise MalformedInput("this log entry has a moment that does not exist") from None


def _moment(spelled: bytes) -> datetime:
    """Return the moment of the one spelling. Raises ValueError if no calendar has it."""
    return datetime.fromisoformat(spelled.decode())
