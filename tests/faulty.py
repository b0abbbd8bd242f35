"""A store that fails on demand: the two ways in which a write can go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from auditlogservice.errors import OutcomeUnknown, StoreUnreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from collections.abc import Sequence as Seq
    from datetime import datetime

    from auditlogservice.events import Erasure, EventId, Kept, Listing, Record, Sequence
    from auditlogservice.store.port import Answer, Burial, EventStore, Held, PageQuery, Submission

Fault: TypeAlias = Literal["lost", "persisted"]


@dataclass
class Faulty:
    """`store`, whose nth append (from 0) fails as `faults` says; everything else works.

    `lost` fails before anything is kept, and says so. `persisted` keeps everything and then loses
    the answer, so that nobody can tell: the store of the port says OutcomeUnknown then.
    """

    store: EventStore
    faults: Mapping[int, Fault]
    appends: int = field(default=0, init=False)

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        fault = self.faults.get(self.appends)
        self.appends += 1
        if fault == "lost":
            raise StoreUnreachable
        answers = await self.store.append(submissions)
        if fault == "persisted":
            raise OutcomeUnknown
        return answers

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        return await self.store.find(tenant, event_id)

    async def page(self, query: PageQuery) -> list[Record]:
        return await self.store.page(query)

    async def listing(self, query: PageQuery) -> Listing:
        return await self.store.listing(query)

    async def end(self, tenant: str) -> Sequence:
        return await self.store.end(tenant)

    async def places(self, tenant: str, moments: Seq[datetime]) -> list[Sequence]:
        return await self.store.places(tenant, moments)

    async def erase(
        self, tenant: str, burials: Seq[Burial], *, passed: Collection[str] = ()
    ) -> list[Erasure | Held | None]:
        return await self.store.erase(tenant, burials, passed=passed)

    async def ping(self) -> None:
        await self.store.ping()

    async def close(self) -> None:
        await self.store.close()
