"""How many events a tenant may record a day: for all tenants by a setting, for one by a document.

What was recorded today is told by the log itself, from its first sequence since midnight (UTC) to
its end. So all nodes agree without a counter, and what the service recorded counts too. Each node
looks once a second, for all who wait to know, and adds what it lets in meanwhile; what others let
in within that second, or what was on its way when it looked, can be more than the quota has room
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from auditlogservice.budgets import Standing
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import Conflict, QuotaExceeded
from auditlogservice.ledger.asking import Asking
from auditlogservice.ledger.recent import Recent
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed, actor_named
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.selfaudit.diary import Diary
    from auditlogservice.store.port import DocumentStore, EventStore

MAX_QUOTA: Final = 10**12
POLICY: Final = "events-per-day"
_LIMITS: Final = "limits"  # the kind and the id of the document: a tenant has one
_DAY: Final = timedelta(days=1)
_LOOK_EVERY: Final = timedelta(seconds=1)
_CACHED: Final = 10_000
_ATTEMPTS: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantLimits:
    """What holds for one tenant; None is what the settings say. Version 0: nothing was set."""

    events_per_day: int | None = None
    version: int = 0
    changed_by: str | None = None
    changed_at: datetime | None = None

    def to_body(self) -> bytes:
        return dump(
            {
                "events_per_day": self.events_per_day,
                "changed_by": self.changed_by,
                "changed_at": format_utc(self.changed_at) if self.changed_at else None,
            }
        )


def _read(document: Document) -> TenantLimits:
    with reading_back():
        told: dict[str, Any] = orjson.loads(document.body)
        return TenantLimits(
            events_per_day=told["events_per_day"],
            version=document.version,
            changed_by=told["changed_by"],
            changed_at=parse_rfc3339(told["changed_at"]),
        )


@dataclass(slots=True)
class _Day:
    """What this node knows of a tenant: its quota, and what it has used since midnight."""

    quota: int | None
    used: int = 0


class Quotas:
    """`default` is what the settings give to each tenant; None is no quota."""

    def __init__(
        self,
        events: EventStore,
        documents: DocumentStore,
        diary: Diary,
        *,
        default: int | None,
        clock: Clock,
    ) -> None:
        self._events = events
        self._documents = documents
        self._diary = diary
        self._default = default
        self._clock = clock
        self._days: Asking[str, _Day] = Asking(
            self._look, freshness=_LOOK_EVERY, capacity=_CACHED, clock=clock
        )
        # The last midnight that was looked for, and its place in the log of a tenant.
        self._midnights: Recent[str, tuple[datetime, int]] = Recent(_CACHED)

    async def limits(self, tenant: str) -> TenantLimits:
        """Return what was set for this tenant, as the store has it now."""
        found = await self._documents.get(_LIMITS, tenant, _LIMITS)
        return _read(found) if found else TenantLimits()

    async def change(
        self, principal: Principal, tenant: str, events_per_day: int | None
    ) -> TenantLimits:
        """Set the quota of a tenant, None for that of the settings.

        That is on record in the operator's log: a tenant that is still empty stays so. Other
        nodes know it within a second. Raises Conflict if others change it all the time.
        """
        for _ in range(_ATTEMPTS):
            old = await self.limits(tenant)
            new = TenantLimits(
                events_per_day=events_per_day,
                version=old.version + 1,
                changed_by=principal.name,
                changed_at=self._clock(),
            )
            document = Document(
                kind=_LIMITS, tenant=tenant, id=_LIMITS, body=new.to_body(), version=new.version
            )
            if await self._documents.put(document):
                self._days.forget(tenant)
                await self._diary.write_done(principal.tenant, _changed(tenant, new, old))
                return new
        raise Conflict("others change these limits all the time; try again")

    async def use(self, tenant: str, events: int) -> Standing | None:
        """Count events that are about to be recorded; return where the tenant stands then.

        None if there is no quota. Raises QuotaExceeded, and counts nothing, if they are too many.
        """
        now = self._clock()
        day = await self._days.find(tenant)
        if day is None or day.quota is None:
            return None
        if day.used + events > day.quota:
            raise QuotaExceeded(_standing(day, day.quota, now))
        day.used += events
        return _standing(day, day.quota, now)

    async def _look(self, tenant: str) -> _Day:
        midnight = datetime.combine(self._clock().date(), time(), UTC)
        own = (await self.limits(tenant)).events_per_day
        quota = self._default if own is None else own
        if quota is None:
            return _Day(quota)
        first = await self._first_since(tenant, midnight)
        return _Day(quota, used=await self._events.end(tenant) - first)

    async def _first_since(self, tenant: str, midnight: datetime) -> int:
        # Time never goes back along the log, so this place stays where it is all day.
        known, first = self._midnights.get(tenant, (None, 0))
        if known != midnight:
            (first,) = await self._events.places(tenant, [midnight])
            self._midnights.put(tenant, (midnight, first))
        return first


def _standing(day: _Day, quota: int, now: datetime) -> Standing:
    midnight = datetime.combine(now.date(), time(), UTC) + _DAY
    reset = -((now - midnight) // timedelta(seconds=1))  # rounded up
    return Standing(POLICY, quota, _DAY // timedelta(seconds=1), max(quota - day.used, 0), reset)


def _changed(tenant: str, new: TenantLimits, old: TenantLimits) -> Deed:
    return Deed(
        act=acts.LIMITS_CHANGED,
        detail=f"{new.changed_by} changed how much the tenant {tenant} may record",
        by=actor_named(str(new.changed_by)),
        kind="tenant",
        id=tenant,
        data={"events_per_day": new.events_per_day, "before": old.events_per_day},
        key=f"limits-changed/{tenant}/{new.version}",
    )
