"""Events as sources tell them, and records as we keep them.

An `Event` is what a source said, checked, in canonical bytes. A `Draft` is an event on its way in:
it has an id, but no place yet. A `Record` is what is kept: the payload, which never changes, and
the sequence, its place in the tenant's log. Nothing here reads a clock or makes up an id.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal, NewType, TypeAlias

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from auditlogservice.canonical import Json, dump
from auditlogservice.errors import EventErased, Flaw, InputTooLarge, InvalidInput
from auditlogservice.hashing import sha256_of
from auditlogservice.times import format_utc, parse_rfc3339
from auditlogservice.validation import validate

EventId = NewType("EventId", str)  # 24 lower-case hex digits: the 12 bytes of an ObjectId
Sequence = NewType("Sequence", int)  # the place in the tenant's log: 0, 1, 2, …: its leaf index
Fingerprint = NewType("Fingerprint", bytes)  # SHA-256 of an event's canonical bytes

MAX_EVENT_BYTES = 256 * 1024
_TERM_WEIGHT = 64
MAX_AHEAD = timedelta(hours=24)  # how far in the future `occurred_at` may lie

# ---- what a source tells ------------------------------------------------------


def _is_rfc3339(text: str) -> str:
    parse_rfc3339(text)
    return text


class Entity(BaseModel):
    """Someone or something an event is about. Further keys of any kind are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    id: str | None = None
    type: str | None = None
    name: str | None = None


class Context(BaseModel):
    """Where an event came from. Further keys of any kind are kept."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    session_id: str | None = None


class EventModel(BaseModel):
    """An event as a source tells it. Nothing else may stand beside these fields."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, title="Event", use_attribute_docstrings=True
    )

    name: Annotated[str, Field(min_length=1, examples=["User Logged In"])]
    """What happened, for people."""
    event_type: Annotated[str, Field(min_length=1, examples=["auth.login"])]
    """What kind of thing happened, for machines."""
    detail: Annotated[str, Field(examples=["alice signed in from the office"])]
    """The story in a sentence; may be empty."""
    event_data: Annotated[dict[str, Any] | None, Field(examples=[{"method": "password"}])] = None
    """Anything else, as a JSON object."""
    occurred_at: Annotated[
        str, AfterValidator(_is_rfc3339), Field(json_schema_extra={"format": "date-time"})
    ] | None = None  # fmt: skip
    """When it happened (RFC 3339, with an offset), kept as it is written. At most 24 h ahead."""
    actor: Entity | None = None
    """Who did it."""
    targets: list[Entity] | None = None
    """What it was done to."""
    outcome: Literal["success", "failure", "unknown"] | None = None
    """How it ended."""
    source: str | None = None
    """The system that tells it."""
    context: Context | None = None
    """Where the request came from."""
    on_behalf_of: str | Entity | None = None
    """For whom the actor acted, if not for itself."""


@dataclass(frozen=True, slots=True)
class Event:
    """A checked event. `told` must not be changed: `body` is its canonical spelling."""

    told: dict[str, Json]
    body: bytes

    @property
    def fingerprint(self) -> Fingerprint:
        """Equal for equal events, whatever their spelling was."""
        return Fingerprint(sha256_of(self.body))


def read_event(value: Json, *, now: datetime) -> Event:
    """Check what a source told, at the moment `now`.

    Raises InvalidInput with a pointer for each flaw; InputTooLarge over MAX_EVENT_BYTES.
    """
    model = validate(EventModel, value)
    if model.occurred_at and parse_rfc3339(model.occurred_at) > now + MAX_AHEAD:
        raise InvalidInput([Flaw("/occurred_at", "this lies more than 24 hours ahead")])
    assert isinstance(value, dict)  # noqa: S101 - the model has just said so; this tells mypy
    told: dict[str, Json] = {"event_data": None}
    told |= {name: item for name, item in value.items() if item is not None}
    body = dump(told)
    if len(body) > MAX_EVENT_BYTES:
        raise InputTooLarge(f"an event may have {MAX_EVENT_BYTES:,} bytes")
    return Event(told, body)


# ---- ids and idempotency keys ---------------------------------------------------

_EVENT_ID = re.compile(r"[0-9a-fA-F]{24}")
MAX_IDEMPOTENCY_KEY = 255  # characters
IDEMPOTENCY_KEY_RULE = f"an idempotency key is 1 to {MAX_IDEMPOTENCY_KEY} visible ASCII characters"
_IDEMPOTENCY_KEY = re.compile(rf"[\x21-\x7e]{{1,{MAX_IDEMPOTENCY_KEY}}}")


def parse_event_id(text: str) -> EventId | None:
    """Return the id in its one spelling; None if it is none."""
    return EventId(text.lower()) if _EVENT_ID.fullmatch(text) else None


def is_idempotency_key(text: str) -> bool:
    return bool(_IDEMPOTENCY_KEY.fullmatch(text))


def derive_event_id(*, tenant: str, user_id: str, key: str, index: int = 0) -> EventId:
    """Return the id of the one record that this key of this client can ever make.

    The id is the record's own unique key, so there is no second table that could disagree.
    """
    name = orjson.dumps(["auditlog/idempotency/v1", tenant, user_id, key, index])
    return EventId(hashlib.sha256(name).hexdigest()[:24])


def tombstone_id(tenant: str, event_id: EventId) -> EventId:
    """Return the id of the one record that can ever say that this event was erased."""
    name = orjson.dumps(["auditlog/tombstone/v1", tenant, event_id])
    return EventId(hashlib.sha256(name).hexdigest()[:24])


# ---- what we keep ---------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event on its way in. `keyed` says that the id comes from an idempotency key.

    `salt` hides the content in the commitment to it. `kept_for` is how long a retention rule
    wants the record; None if there is none for it.
    """

    id: EventId
    tenant: str
    user_id: str
    keyed: bool
    received_at: datetime
    fingerprint: Fingerprint
    body: bytes
    terms: tuple[str, ...]
    salt: bytes
    kept_for: timedelta | None = None

    @property
    def weight(self) -> int:
        """How many bytes it is about to cost, in memory and on disk: its index counts too."""
        return len(self.body) + _TERM_WEIGHT * len(self.terms)

    def payload(self, timestamp: datetime) -> bytes:
        """Return the canonical bytes of the record: what is stored, hashed and answered.

        The event's fields sort between `_id` and `timestamp`, so that joining keeps the order.
        """
        return b'{"_id":"%b",%b,"timestamp":"%b","user_id":%b}' % (
            self.id.encode(),
            self.body[1:-1],
            format_utc(timestamp).encode(),
            orjson.dumps(self.user_id),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event that is durable, at its place in its tenant's log."""

    id: EventId
    sequence: Sequence
    payload: bytes

    def answer(self) -> bytes:
        """Return the record as JSON: the stored bytes, and `sequence` at their end."""
        return answer_of(self.payload, self.sequence)

    @property
    def fingerprint(self) -> Fingerprint:
        """That of the event which the record was made of: all but what `Draft.payload` adds."""
        start, end = self.payload.index(b",") + 1, self.payload.rindex(b',"timestamp":"')
        return Fingerprint(sha256_of(b"{%b}" % self.payload[start:end]))

    def is_by(self, name: str) -> bool:
        """Whether `name` recorded it, told from what `Draft.payload` puts at the end."""
        return self.payload.endswith(b',"user_id":%b}' % orjson.dumps(name))

    def fields(self) -> dict[str, Json]:
        """Return the record as a value, for matching."""
        value: dict[str, Json] = orjson.loads(self.payload)
        value["sequence"] = self.sequence
        return value

    def checked_fields(self) -> dict[str, Json]:
        """Return `fields`, having looked at the payload as `check_payload` does, and raise so."""
        value = check_payload(self.payload)
        value["sequence"] = self.sequence
        return value


def answer_of(payload: bytes, sequence: int) -> bytes:
    """Return what a record with this payload, at this place, is answered as."""
    return b'%b,"sequence":%d}' % (payload[:-1], sequence)


def check_payload(payload: bytes) -> dict[str, Json]:
    """Return what a payload says, having seen that its answer is JSON, as far as a look tells.

    Raises ValueError or TypeError if it is not: such a payload was never put in.
    """
    # The name of who recorded it, and nothing behind. JSON that ends so is an object.
    if not payload.endswith(b'"}'):
        raise ValueError("a payload does not end as one")
    value: dict[str, Json] = orjson.loads(payload)
    return value


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """Records of a log as they go out together: the `answer` of each, joined by commas.

    `beyond` is the sequence of the last one if further ones match, else None. Not made of
    `Record` objects where a store can do without them: those of a page cost more than to read it.
    """

    answers: bytes = b""
    count: int = 0
    beyond: Sequence | None = None

    def __len__(self) -> int:
        return self.count

    def is_by(self, name: str) -> bool:
        """Whether `name` recorded all of them, told as `Record.is_by` tells it of one.

        No record has this text a second time, so that one could stand for another: between
        quotes it would be escaped, and within one object `sequence` sorts before `user_id`.
        """
        return self.answers.count(b',"user_id":%b,"sequence":' % orjson.dumps(name)) == self.count


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """What is left of a record that was erased: its place, and who, when and why."""

    id: EventId
    sequence: Sequence
    erased_at: datetime
    erased_by: str
    reason: str | None

    def error(self, tenant: str) -> EventErased:
        """Return the failure that asking for the record is."""
        return EventErased(
            event_id=self.id,
            tombstone=tombstone_id(tenant, self.id),
            sequence=self.sequence,
            at=self.erased_at,
            by=self.erased_by,
            reason=self.reason,
        )


Kept: TypeAlias = Record | Erasure
