"""How long records are kept, what forbids to erase them, and what is to be erased: as values.

A legal hold covers what its filter matches, also what is recorded after it was placed, and wins
over every wish to erase. A retention rule says for how many days records of some event types are
kept; of the rules that fit a type the most exact one counts. An erasure is the wish to erase all
that a filter matches, and how far it has come.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import orjson
from pydantic import BaseModel, ConfigDict, Field

from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.events import Sequence
from auditlogservice.filters import Is, Like, Not, all_of, matches
from auditlogservice.language import parse_document, to_document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from auditlogservice.canonical import Json
    from auditlogservice.filters import Filter

TOMBSTONE_TYPE = "audit.event.erased"
SERVICE_USER = "@auditlogservice"  # no user's name starts with @, so nobody can record as this
# What the service itself has recorded: neither rules nor filters reach it.
OWN_RECORDS = all_of(Is("user_id", SERVICE_USER), Like("event_type", "audit.*"))
MAX_REASON = 1_000  # characters
MAX_DAYS = 36_500
MAX_RULES = 1_000
MAX_HOLDS = 1_000  # of one tenant: each erasure looks at all of them
MAX_ERASURES = 1_000  # of one tenant: of more, the oldest that have ended are forgotten
ANY_TYPE = "*"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hold:
    """Nothing that `where` matches may be erased while this stands."""

    id: str
    where: Filter
    reason: str
    placed_by: str
    placed_at: datetime

    def covers(self, fields: dict[str, Json]) -> bool:
        return matches(self.where, fields)

    def to_body(self) -> bytes:
        return dump(
            {
                "where": to_document(self.where),
                "reason": self.reason,
                "placed_by": self.placed_by,
                "placed_at": format_utc(self.placed_at),
            }
        )


def read_hold(hold_id: str, body: bytes) -> Hold:
    """Return the hold that `Hold.to_body` wrote. Raises StoreBroken for anything else."""
    with reading_back():
        told: dict[str, Any] = orjson.loads(body)
        placed_at = parse_rfc3339(told["placed_at"])
        return Hold(
            id=hold_id,
            where=parse_document(told["where"], now=placed_at),
            reason=told["reason"],
            placed_by=told["placed_by"],
            placed_at=placed_at,
        )


def holds_on(holds: Iterable[Hold], fields: dict[str, Json]) -> tuple[str, ...]:
    """Return the ids of the holds that cover a record with these fields."""
    return tuple(hold.id for hold in holds if hold.covers(fields))


class RetentionRule(BaseModel):
    """How long records of a type are kept."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    event_type: Annotated[
        str, Field(min_length=1, max_length=256, pattern=r"^[^*]*\*?$", examples=["auth.*"])
    ]
    """An event type, or how types begin, with a `*` at the end; `*` alone is every type."""
    days: Annotated[int, Field(ge=1, le=MAX_DAYS, examples=[365])]
    """For how many days after its timestamp a record is kept."""

    def fits(self, event_type: str) -> bool:
        if self.event_type.endswith(ANY_TYPE):
            return event_type.startswith(self.event_type[:-1])
        return event_type == self.event_type

    @property
    def exactness(self) -> tuple[bool, int]:
        """The greater, the more exact: a type before a beginning, a long one before a short."""
        return not self.event_type.endswith(ANY_TYPE), len(self.event_type)


def rule_for(rules: Iterable[RetentionRule], event_type: str) -> RetentionRule | None:
    """Return the rule that counts for a type; None if its records are kept for ever."""
    fitting = [rule for rule in rules if rule.fits(event_type)]
    return max(fitting, key=lambda rule: rule.exactness, default=None)


def kept_for(rules: Iterable[RetentionRule], event_type: str) -> timedelta | None:
    """Return how long a record of this type is kept; None for ever."""
    rule = rule_for(rules, event_type)
    return timedelta(days=rule.days) if rule else None


def is_tombstone(fields: dict[str, Json]) -> bool:
    """Whether the record says that another was erased, and was made by the service itself."""
    return fields.get("event_type") == TOMBSTONE_TYPE and fields.get("user_id") == SERVICE_USER


# ---- erasures -------------------------------------------------------------------------

ErasureState: TypeAlias = Literal["running", "done", "failed"]


def erasable(where: Filter) -> Filter:
    """Return what an erasure of `where` may reach: nothing that the service has recorded."""
    return all_of(where, Not(OWN_RECORDS))


_BEFORE_THE_FIRST = Sequence(-1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ErasureJob:
    """The wish to erase what `where` matches among the records before `end`.

    `last` is the last sequence that was looked at, -1 at the start. A node that works on it says
    so until a moment; after that, any other may go on.
    """

    id: str
    where: Filter
    reason: str
    asked_by: str
    asked_at: datetime
    end: Sequence
    state: ErasureState = "running"
    erased: int = 0
    held: int = 0
    last: Sequence = _BEFORE_THE_FIRST
    failure: str | None = None
    claimed_by: str | None = None
    claimed_until: datetime | None = None

    def to_body(self) -> bytes:
        told: dict[str, Json] = {each.name: getattr(self, each.name) for each in fields(self)}
        del told["id"]
        told["where"] = to_document(self.where)
        told["asked_at"] = format_utc(self.asked_at)
        told["claimed_until"] = format_utc(self.claimed_until) if self.claimed_until else None
        return dump(told)


def read_erasure(job_id: str, body: bytes) -> ErasureJob:
    """Return the job that `ErasureJob.to_body` wrote. Raises StoreBroken for anything else."""
    with reading_back():
        told: dict[str, Any] = orjson.loads(body)
        told["asked_at"] = parse_rfc3339(told["asked_at"])
        told["where"] = parse_document(told["where"], now=told["asked_at"])
        if told["claimed_until"] is not None:
            told["claimed_until"] = parse_rfc3339(told["claimed_until"])
        return ErasureJob(id=job_id, **told)
