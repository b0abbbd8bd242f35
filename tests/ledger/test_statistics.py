"""Statistics of a log that is too long to be looked through from its beginning."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import QueryTimeout
from auditlogservice.filters import EVERYTHING, Compare, Contains, Filter, all_of
from auditlogservice.ledger.statistics import Statistics
from auditlogservice.store.port import Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.times import format_utc
from faulty import Faulty
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.events import Record
    from auditlogservice.store.port import PageQuery

HOUR = timedelta(hours=1)


class Long(Faulty):
    """A store that needs longer than it has to find the oldest record that matches anything."""

    async def page(self, query: PageQuery) -> list[Record]:
        if query.order == "oldest" and query.where != EVERYTHING:
            raise QueryTimeout
        return await super().page(query)


@pytest.fixture
async def statistics() -> AsyncIterator[Statistics]:
    """Over one record an hour, of which the last two match `contains b`."""
    store = await open_sqlite(":memory:")
    for hour, name in enumerate("aaaabb"):
        one = draft(told(name), at=NOON + hour * HOUR)
        await store.events.append([Submission((one,), atomic=False)])
    yield Statistics(Long(store.events, {}))
    await store.close()


@pytest.mark.parametrize(
    ("where", "counts"),
    [
        (Contains("name", "b"), [0, 0, 0, 0, 1, 1]),
        (
            all_of(
                Contains("name", "b"), Compare("timestamp", "gte", format_utc(NOON + 3 * HOUR))
            ),
            [0, 1, 1],
        ),
        (Contains("name", "c"), []),
    ],
    ids=["all of the log", "since", "nothing"],
)
async def test_a_histogram_does_not_need_the_oldest_record_that_matches(
    statistics: Statistics, where: Filter, counts: list[int]
) -> None:
    found = await statistics.histogram("acme", where, interval="1h")
    assert [count for _, count in found.buckets] == counts
    assert (found.relation, found.complete_since) == ("eq", None)
