"""What the service itself did, as records in the log of the tenant that it was done for.

Nobody else can record as the service, and no rule or filter erases these records.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from auditlogservice.access import Principal
from auditlogservice.errors import OutcomeUnknown, Unavailable
from auditlogservice.events import read_event
from auditlogservice.governance import SERVICE_USER
from auditlogservice.store.port import Submission

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.recorder import Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """Something that was done, `by` whom, to a thing of this `kind` and `id`.

    `key` makes it one record, however often it is written.
    """

    event_type: str
    name: str
    detail: str
    by: str
    kind: str
    id: str
    data: dict[str, Json]
    key: str
    outcome: Literal["success", "failure"] = "success"


class Diary:
    def __init__(self, recorder: Recorder, *, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock

    async def write(self, tenant: str, deed: Deed) -> None:
        """Return when the deed is on record. Raises what `Recorder.record` raises."""
        told: dict[str, Json] = {
            "name": deed.name,
            "event_type": deed.event_type,
            "detail": deed.detail,
            "actor": {"id": deed.by},
            "targets": [{"type": deed.kind, "id": deed.id}],
            "outcome": deed.outcome,
            "event_data": deed.data,
        }
        service = Principal(
            user_id=SERVICE_USER, name=SERVICE_USER, tenant=tenant, scopes=frozenset()
        )
        event = read_event(told, now=self._clock())
        draft = self._recorder.draft(event, service, key=deed.key)
        await self._recorder.record(Submission((replace(draft, kept_for=None),)))

    async def write_done(self, tenant: str, deed: Deed) -> None:
        """Write what is done already: if that fails, nobody may say that nothing was kept."""
        try:
            await self.write(tenant, deed)
        except Unavailable:
            raise OutcomeUnknown from None
