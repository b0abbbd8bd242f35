"""Of a log in which nothing is wrong, an audit says so, over HTTP and in the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from examined import Stranger, erase, filled, node

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings


@pytest.mark.parametrize("count", [0, 1, 255, 256, 257, 1_000])
async def test_a_log_with_lawful_erasures_holds(settings: Settings, count: int) -> None:
    stranger = Stranger()
    async with node(settings) as (api, user):
        ids = await filled(api, user, count)
        await stranger.look(api, user)
        gone = ids[::100]
        for event_id in gone:
            await erase(api, user, event_id, "asked by its subject")
        report = await stranger.verify(api, user)
    expected = {"OK": count, "ERASED:asked by its subject": len(gone)}
    assert report.findings == []
    assert report.states == {state: number for state, number in expected.items() if number}
    assert (report.size, report.behind) == (count + len(gone), 0)

    stored, own = await stranger.check(settings)
    assert own.findings == []
    assert stored.findings == []
    assert (stored.states, stored.root) == (report.states, report.root)
