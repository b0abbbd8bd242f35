"""Short ways to say what the tests of the stores do over and over, and the one invariant."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from answers import outcomes_of
from auditlogservice.events import Record, Sequence
from auditlogservice.filters import EVERYTHING, Filter, Is, all_of, any_of
from auditlogservice.store.port import PAGE_BYTES, Appended, Burial, PageQuery, Submission
from strategies import NOON, tombstone

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.events import Draft, Erasure, EventId
    from auditlogservice.store.port import EventStore, Held, Order, Outcome


def where(**texts: str) -> Filter:
    """Ask for these values; `__` in a name stands for a dot in the path."""
    return all_of(*(Is(path.replace("__", "."), text) for path, text in texts.items()))


def either(path: str, *texts: str) -> Filter:
    """Ask for one of these values."""
    first, *others = (Is(path, text) for text in texts)
    return any_of(first, *others)


async def append(store: EventStore, *drafts: Draft, atomic: bool = False) -> tuple[Outcome, ...]:
    """Append the drafts of one request; raise what kept them out."""
    (outcomes,) = outcomes_of(await store.append([Submission(drafts, atomic=atomic)]))
    return outcomes


async def keep(store: EventStore, *drafts: Draft) -> list[Record]:
    """Append drafts of which none was kept before."""
    outcomes = await append(store, *drafts)
    records = [outcome.record for outcome in outcomes if isinstance(outcome, Appended)]
    assert len(records) == len(drafts), outcomes
    return records


async def erase(
    store: EventStore,
    event_id: EventId,
    *,
    tenant: str = "acme",
    at: datetime = NOON,
    by: str = "bob",
    reason: str | None = None,
) -> Erasure | Held | None:
    """Erase one record, and append its tombstone."""
    wanted = burial(event_id, tenant=tenant, at=at, by=by, reason=reason)
    (fate,) = await store.erase(tenant, [wanted])
    return fate


def burial(
    event_id: EventId,
    *,
    tenant: str = "acme",
    at: datetime = NOON,
    by: str = "bob",
    reason: str | None = None,
) -> Burial:
    grave = tombstone(event_id, tenant=tenant, at=at)
    return Burial(id=event_id, by=by, reason=reason, tombstone=grave)


def question(  # noqa: PLR0913 - the parts of a query, named
    asked: Filter = EVERYTHING,
    *,
    tenant: str = "acme",
    order: Order = "oldest",
    beyond: int | None = None,
    limit: int = 1_000,
    most_bytes: int = PAGE_BYTES,
    seconds: float = 10.0,
) -> PageQuery:
    place = None if beyond is None else Sequence(beyond)
    return PageQuery(
        tenant=tenant,
        where=asked,
        order=order,
        beyond=place,
        limit=limit,
        most_bytes=most_bytes,
        seconds=seconds,
    )


async def page(store: EventStore, asked: Filter = EVERYTHING, **parts: Any) -> list[Record]:
    """Ask for a page; what goes out of it, asked for in its own way, must be the same."""
    query = question(asked, **parts)
    found = await store.page(query)
    if query.limit > 1:
        assert await store.listing(query) == query.listing(found)
    return found


async def whole_log(store: EventStore, tenant: str = "acme") -> list[Record]:
    """Return every record of a log in which nothing was erased, having checked its order."""
    records: list[Record] = []
    while more := await page(store, tenant=tenant, beyond=len(records) - 1, limit=500):
        records += more
    assert [record.sequence for record in records] == list(range(len(records)))
    stamps = [str(record.fields()["timestamp"]) for record in records]
    assert stamps == sorted(stamps)
    ids = [record.id for record in records]
    assert len(set(ids)) == len(ids)
    return records
