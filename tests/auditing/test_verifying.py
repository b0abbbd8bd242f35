"""Of a log in which nothing is wrong, an audit says so, over HTTP and in the store."""

from __future__ import annotations

import asyncio
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


async def test_a_log_that_is_written_and_erased_meanwhile_raises_no_alarm(
    settings: Settings,
) -> None:
    stranger, ended = Stranger(), asyncio.Event()
    async with node(settings) as (api, user):
        ids = await filled(api, user, 1_500)
        await stranger.look(api, user)

        async def keep_busy() -> int:
            gone = 0
            # From behind, where the audit has not been, and from the front, where it has.
            for event_id in (one for pair in zip(ids, reversed(ids), strict=True) for one in pair):
                if ended.is_set():
                    break
                await erase(api, user, event_id, "asked")
                await filled(api, user, 1)
                gone += 1
            return gone

        busy = asyncio.create_task(keep_busy())  # noqa: TID251 - awaited below
        reports = [await stranger.verify(api, user) for _ in range(3)]
        ended.set()
        gone = await busy
    assert [report.findings for report in reports] == [[], [], []]
    assert gone > 0
    assert reports[-1].states["ERASED:asked"] > 0
