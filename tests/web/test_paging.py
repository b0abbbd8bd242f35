"""Pages: following `Link` reaches every record, once each, on both stores."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from running import Api

NEXT = re.compile(r'<(/events\?[^>]+)>; rel="next"')


async def walk(api: Api, user: dict[str, str], query: str) -> list[list[dict[str, Any]]]:
    pages, path = [], f"/events{query}"
    while path:
        answer = await api.http.get(path, headers=user)
        assert answer.status_code == 200, answer.text
        pages.append(answer.json())
        link = NEXT.fullmatch(answer.headers.get("link", ""))
        path = link[1] if link else ""
    return pages


async def fill(api: Api, user: dict[str, str], count: int) -> list[dict[str, Any]]:
    return [await api.record(user, name=f"n{n % 3}", event_data={"n": n}) for n in range(count)]


@pytest.mark.parametrize("limit", [1, 4, 5, 12, 13, 1000])
@pytest.mark.parametrize("sort", ["timestamp", "-timestamp"])
async def test_the_pages_together_are_everything_in_order(api: Api, limit: int, sort: str) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 12)
    pages = await walk(api, user, f"?limit={limit}&sort={sort}")
    found = [record for page in pages for record in page]
    assert found == (records if sort == "timestamp" else records[::-1])
    assert all(len(page) == limit for page in pages[:-1])
    assert pages[-1]


async def test_the_filters_hold_on_every_page(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 12)
    pages = await walk(api, user, "?limit=2&name=n0&name=n2&since=1h&event_data.n=0"
                       + "".join(f"&event_data.n={n}" for n in range(3, 12)))  # fmt: skip
    expected = [record for record in records if record["name"] != "n1"]
    expected = [record for record in expected if record["event_data"]["n"] != 2]
    assert [record for page in pages for record in page] == expected


async def test_without_a_limit_a_page_has_a_hundred(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 101)
    pages = await walk(memory_api, user, "")
    assert [len(page) for page in pages] == [100, 1]


async def test_records_that_come_in_during_the_walk_do_not_disturb_it(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 6)
    first = await api.http.get("/events?limit=4&sort=-timestamp", headers=user)
    await fill(api, user, 3)
    link = NEXT.fullmatch(first.headers["link"])
    assert link
    second = await api.http.get(link[1], headers=user)
    assert first.json() + second.json() == records[::-1]


async def test_a_walk_while_sixteen_write_misses_nothing_that_was_there_and_doubles_nothing(
    api: Api,
) -> None:
    user = await api.add("alice")
    before = await fill(api, user, 40)

    async def write() -> None:
        for _ in range(8):
            await api.record(user)

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(write())
        pages = await walk(api, user, "?limit=7")
    met = [record["_id"] for page in pages for record in page]
    assert len(set(met)) == len(met)
    assert {record["_id"] for record in before} <= set(met)
    assert met[:40] == [record["_id"] for record in before]


async def test_an_erased_record_is_left_out_and_its_cursor_goes_on(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 5)
    first = await api.http.get("/events?limit=2", headers=user)
    await api.http.delete(f"/events/{records[1]['_id']}", headers=user)
    await api.http.delete(f"/events/{records[3]['_id']}", headers=user)
    link = NEXT.fullmatch(first.headers["link"])
    assert link
    assert (await api.http.get(link[1], headers=user)).json() == [records[2], records[4]]


@pytest.mark.parametrize(
    "query", ["name=other", "sort=-timestamp", "since=1h", "event_data.n=1", ""]
)
async def test_a_cursor_of_another_question_is_refused(api: Api, query: str) -> None:
    user = await api.add("alice")
    await fill(api, user, 4)
    link = NEXT.fullmatch((await api.http.get("/events?limit=2&name=n0", headers=user))
                          .headers.get("link", ""))  # fmt: skip
    assert link is None  # n0 has two records: nothing follows
    link = NEXT.fullmatch(
        (await api.http.get("/events?limit=1&name=n0", headers=user)).headers["link"]
    )
    assert link
    cursor = link[1].partition("cursor=")[2]
    answer = await api.http.get(f"/events?cursor={cursor}&{query}", headers=user)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad-cursor")


async def test_a_cursor_of_another_tenant_is_refused(api: Api) -> None:
    ours, theirs = await api.add("a", tenant="ours"), await api.add("b", tenant="theirs")
    await fill(api, ours, 2)
    answer = await api.http.get("/events?limit=1", headers=ours)
    link = NEXT.fullmatch(answer.headers["link"])
    assert link
    assert (await api.http.get(link[1], headers=theirs)).status_code == 400


async def test_since_and_until_bound_when_a_record_came_in(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 5)
    middle = records[2]["timestamp"]
    assert await api.listed(user, f"?since={middle}") == records[2:]
    assert await api.listed(user, f"?until={middle}") == records[:2]
    assert await api.listed(user, f"?since={middle}&until={middle}") == []
    api.time.advance(hours=2)
    late = await api.record(user)
    assert await api.listed(user, "?since=90m") == [late]
    assert await api.listed(user, "?until=90m") == records
    there = middle.replace("Z", "+00:00")
    assert await api.listed(user, f"?since={there}") == [*records[2:], late]
