"""Checkpoints to a timestamp authority: that the records before them were there at a moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, assert_never

from auditlogservice.anchors import Refused, Stamped, Timestamp, Unreachable
from auditlogservice.errors import StoreBroken, Unavailable
from auditlogservice.ledger.proving.anchorer import Troubles

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from auditlogservice.anchors import StampAnswer
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.proving.anchorer import AnchorGauge, AnchorJournal
    from auditlogservice.ledger.proving.anchors import Anchors
    from auditlogservice.store.port import LedgerStore, Published

LOOK_EVERY = 60.0  # seconds; an authority that failed is asked again as soon


class Authority(Protocol):
    """Someone who says when it was shown what, and is not us."""

    @property
    def name(self) -> str: ...

    async def stamp(self, data: bytes) -> StampAnswer:
        """Ask for a timestamp of these bytes. MUST NOT raise, and MUST answer in time."""
        ...


class Timestamping:
    """A round that lets the newest checkpoint of each log which has grown be timestamped."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: LedgerStore,
        anchors: Anchors,
        *,
        authority: Authority,
        every: timedelta,
        clock: Clock,
        gauge: AnchorGauge,
        journal: AnchorJournal,
    ) -> None:
        self.every = LOOK_EVERY
        self._store = store
        self._anchors = anchors
        self._authority = authority
        self._between = every
        self._clock = clock
        self._troubles = Troubles(authority.name, journal=journal, gauge=gauge)
        self._last: dict[str, tuple[int, datetime]] = {}  # size and time, for each tenant

    async def go(self) -> None:
        try:
            for tenant, size in (await self._store.sizes()).items():
                if self._is_due(tenant, size) and not await self._stamp_apart(tenant):
                    return
        except Unavailable:  # the store's own trouble, which is told elsewhere
            return

    def _is_due(self, tenant: str, size: int) -> bool:
        last = self._last.get(tenant)
        return last is None or (size > last[0] and self._clock() - last[1] >= self._between)

    async def _stamp_apart(self, tenant: str) -> bool:
        """Do as `_stamp` does; what is damaged of one log is no other one's trouble."""
        try:
            return await self._stamp(tenant)
        except StoreBroken as error:
            self._troubles.failed(tenant, str(error))
            return True

    async def _stamp(self, tenant: str) -> bool:
        """Get a timestamp, unless another node has one; return whether the authority answers."""
        if kept := await self._anchors.timestamps(tenant):
            self._last[tenant] = (kept[-1].size, kept[-1].time)
        published = await self._store.published(tenant)
        if published is None or not self._is_due(tenant, published.size):
            return True
        answer = await self._authority.stamp(published.note)
        match answer:
            case Stamped():
                await self._keep(tenant, published, answer)
            case Refused(why):
                self._troubles.failed(tenant, why)
            case Unreachable(why):
                self._troubles.failed(tenant, why)
                return False
            case _:
                assert_never(answer)
        return True

    async def _keep(self, tenant: str, published: Published, stamped: Stamped) -> None:
        timestamp = Timestamp(
            size=published.size, time=stamped.time, note=published.note, reply=stamped.reply
        )
        await self._anchors.add_timestamp(tenant, timestamp, now=self._clock())
        self._last[tenant] = (timestamp.size, timestamp.time)
        self._troubles.over(tenant, at=self._clock())
