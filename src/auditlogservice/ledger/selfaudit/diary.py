"""What the service itself did, as records in the log of the tenant that it was done for.

Nobody else can record as the service, and no rule or filter erases these records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, Protocol, TypeAlias

from auditlogservice.access import CLIENT_PREFIX, Principal
from auditlogservice.errors import OutcomeUnknown, Unavailable
from auditlogservice.events import read_event
from auditlogservice.governance import SERVICE_USER
from auditlogservice.store.port import Submission

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.recorder import Recorder
    from auditlogservice.ledger.selfaudit.acts import Act

# `operator`: who works on the store itself, and is no user of it. `external`: who signs in
# elsewhere, and is no user of it either.
ActorType: TypeAlias = Literal["user", "client", "external", "operator", "service"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did something. The `id` is a name: that of a user stands in `user_id` of records too.

    None is somebody who could not say who they are.
    """

    id: str | None
    type: ActorType = "user"
    name: str | None = None

    def told(self) -> dict[str, Json]:
        name = self.id if self.name is None else self.name
        return {"type": self.type} if self.id is None else {
            "id": self.id, "name": name, "type": self.type,
        }  # fmt: skip


def actor_named(name: str | None) -> Actor:
    """Return whom a name in records is that of: no user's name has a colon, or begins with @."""
    if name == SERVICE_USER:
        return Actor(name, "service")
    if name is None or ":" not in name:
        return Actor(name)
    return Actor(name, "client" if name.startswith(CLIENT_PREFIX) else "external")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a request came from. None is what nobody knows."""

    ip: str | None = None
    user_agent: str | None = None
    request_id: str | None = None

    def told(self) -> dict[str, Json]:
        all_of_it = (
            ("ip", self.ip), ("user_agent", self.user_agent), ("request_id", self.request_id),
        )  # fmt: skip
        return {name: value for name, value in all_of_it if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that was done, `by` whom, to a thing of this `kind` and `id`.

    `key` makes it one record, however often it is written.
    """

    act: Act
    detail: str
    by: Actor
    kind: str
    id: str
    data: dict[str, Json]
    key: str
    origin: Origin | None = None
    outcome: Literal["success", "failure"] = "success"

    def told(self) -> dict[str, Json]:
        """Return the event that says so."""
        told: dict[str, Json] = {
            "name": self.act.name,
            "event_type": self.act.event_type,
            "detail": self.detail,
            "actor": self.by.told(),
            "targets": [{"type": self.kind, "id": self.id}],
            "outcome": self.outcome,
            "event_data": self.data,
        }
        if self.origin is not None:
            told["context"] = self.origin.told()
        return told


class DiaryGauge(Protocol):
    """Who wants to know what the service puts on record (metrics)."""

    def recorded(self, event_type: str) -> None: ...


class Diary:
    def __init__(self, recorder: Recorder, *, clock: Clock, gauge: DiaryGauge) -> None:
        self._recorder = recorder
        self._clock = clock
        self._gauge = gauge

    async def write(self, tenant: str, deed: Deed) -> None:
        """Return when the deed is on record. Raises what `Recorder.record` raises."""
        service = Principal(
            user_id=SERVICE_USER, name=SERVICE_USER, tenant=tenant, scopes=frozenset()
        )
        event = read_event(deed.told(), now=self._clock())
        draft = self._recorder.draft(event, service, key=deed.key)
        await self._recorder.record(
            Submission((replace(draft, kept_for=None),), urgent=deed.act.urgent)
        )
        self._gauge.recorded(deed.act.event_type)

    async def write_done(self, tenant: str, deed: Deed) -> None:
        """Write what is done already: if that fails, nobody may say that nothing was kept."""
        try:
            await self.write(tenant, deed)
        except Unavailable:
            raise OutcomeUnknown from None
