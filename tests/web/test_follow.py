"""Following the log: each record once, in order, whoever writes, on both stores."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any, Never

import pytest
from structlog.testing import capture_logs

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.store.port import Submission
from auditlogservice.web.routes import follow
from running import two_nodes
from strategies import draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import PageQuery
    from running import Api


async def feed(api: Api, user: dict[str, str], query: str = "") -> tuple[list[int], str]:
    answer = await api.http.get(f"/events/feed{query}", headers=user)
    assert answer.status_code == 200, answer.text
    return [record["sequence"] for record in answer.json()], answer.links["next"]["url"]


async def test_the_feed_gives_everything_once_and_always_says_where_to_go_on(api: Api) -> None:
    user = await api.add("alice")
    for _ in range(5):
        await api.record(user)
    seen, path = [], "/events/feed?limit=2"
    for _ in range(4):
        answer = await api.http.get(path, headers=user)
        seen.append([record["sequence"] for record in answer.json()])
        path = answer.links["next"]["url"]
    assert seen == [[0, 1], [2, 3], [4], []]
    await api.record(user)
    again = await api.http.get(path, headers=user)
    assert [record["sequence"] for record in again.json()] == [5]


async def test_the_feed_gives_lines_to_who_asks_for_them(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    for n in range(3):
        await memory_api.record(user, detail=f"two\nlines {n}")
    path = "/events/feed?limit=2"
    lines = await memory_api.http.get(path, headers={**user, "Accept": "application/x-ndjson"})
    array = await memory_api.http.get(path, headers=user)
    assert lines.headers["content-type"] == "application/x-ndjson"
    assert b"[%b]" % lines.content.rstrip(b"\n").replace(b"\n", b",") == array.content
    assert lines.links == array.links


async def test_the_feed_passes_over_what_does_not_match(api: Api) -> None:
    user = await api.add("alice")
    for n in range(6):
        await api.record(user, name=f"n{n % 3}")
    sequences, path = await feed(api, user, "?name=n1")
    assert sequences == [1, 4]
    assert "after=5" in path


async def test_a_long_poll_answers_as_soon_as_something_comes(settings: Settings) -> None:
    async with two_nodes(settings) as (one, other):
        user = await one.add("alice")
        for writer in (one, other):
            end = (await feed(other, user))[1].partition("after=")[2].partition("&")[0]
            start = time.monotonic()
            async with asyncio.TaskGroup() as tasks:
                waiting = tasks.create_task(feed(other, user, f"?after={end}&wait=20"))
                await asyncio.sleep(0.3)
                assert not waiting.done()
                record = await writer.record(user)
            assert waiting.result()[0] == [record["sequence"]]
            assert time.monotonic() - start < 10


async def test_a_long_poll_without_news_ends_in_time(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    start = time.monotonic()
    assert (await feed(memory_api, user, "?wait=1"))[0] == []
    assert 0.9 < time.monotonic() - start < 10


async def test_a_long_poll_gives_nothing_to_whose_token_has_ended_meanwhile(api: Api) -> None:
    user, other = await api.add("alice"), await api.add("bob")
    async with asyncio.TaskGroup() as tasks:
        waiting = tasks.create_task(api.http.get("/events/feed?wait=20", headers=user))
        await asyncio.sleep(0.3)
        await api.services.accounts.remove(await api.services.accounts.user("alice"))
        api.time.advance(seconds=1)
        await api.record(other)
    assert waiting.result().status_code == 401


async def test_bad_places_are_refused(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    for query in ("after=-2", "after=x", "wait=61", "limit=0", "q=name:", "after=1&after=2"):
        answer = await memory_api.http.get(f"/events/feed?{query}", headers=user)
        assert answer.status_code == 422, query


# ---- the stream -------------------------------------------------------------------------------


class Listener:
    """Reads a stream of the application itself, without a client that would buffer it."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes] = asyncio.Queue()
        self.answered = asyncio.Event()
        self.gone = asyncio.Event()
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.buffer = b""

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = message["headers"]
            self.answered.set()
        else:
            self.chunks.put_nowait(message.get("body", b""))

    async def event(self) -> dict[bytes, bytes]:
        """The next event that has data."""
        while True:
            while b"\n\n" not in self.buffer:
                self.buffer += await asyncio.wait_for(self.chunks.get(), 10)
            block, self.buffer = self.buffer.split(b"\n\n", 1)
            fields = dict(line.split(b": ", 1) for line in block.splitlines() if line[:1] != b":")
            if b"data" in fields:
                return fields


@asynccontextmanager
async def listening(
    api: Api, user: dict[str, str], query: str = "", **headers: str
) -> AsyncIterator[Listener]:
    listener = Listener()
    sent = {
        "host": "localhost",
        **user,
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
        "path": "/events/stream", "raw_path": b"/events/stream", "root_path": "", "scheme": "http",
        "query_string": query.encode(), "client": None, "server": ("test", 80), "state": {},
        "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
    }  # fmt: skip
    app = api.app
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(app(scope, listener.receive, listener.send))
        await asyncio.wait_for(listener.answered.wait(), 10)
        yield listener
        listener.gone.set()


async def test_a_stream_sends_what_comes_in_with_its_sequence_as_id(api: Api) -> None:
    user = await api.add("alice")
    await api.record(user)
    async with listening(api, user) as listener:
        assert listener.status == 200
        for _ in range(3):
            record = await api.record(user)
            event = await listener.event()
            assert event[b"id"] == str(record["sequence"]).encode()
            assert json.loads(event[b"data"]) == record


async def test_a_stream_goes_on_after_the_last_event_id(api: Api) -> None:
    user = await api.add("alice")
    records = [await api.record(user, name=f"n{n % 2}") for n in range(6)]
    async with listening(api, user, "after=4&name=n1", last_event_id="1") as listener:
        events = [await listener.event() for _ in range(2)]
    assert [json.loads(event[b"data"]) for event in events] == [records[3], records[5]]


async def test_a_stream_ends_when_its_token_does(api: Api) -> None:
    user = await api.add("alice")
    async with listening(api, user) as listener:
        await api.services.accounts.remove(await api.services.accounts.user("alice"))
        event = await listener.event()
        assert event[b"event"] == b"problem"
        assert json.loads(event[b"data"]) == {"code": "not-authenticated"}


async def test_a_stream_of_a_browser_ends_when_it_signs_out(api: Api) -> None:
    await api.add("alice")
    sessions = api.services.sessions
    session = await sessions.open_for_user(await api.services.accounts.user("alice"))
    async with listening(api, {"Cookie": f"__Host-session={session.text}"}) as listener:
        await sessions.end(session.text)
        event = await listener.event()
        assert json.loads(event[b"data"]) == {"code": "not-authenticated"}


async def test_a_stream_ends_when_the_service_stops(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    async with asyncio.timeout(10), listening(memory_api, user) as listener:
        memory_api.services.follower.close()
        while await listener.chunks.get():
            pass  # the last chunk is empty


@pytest.mark.parametrize("end", ["token", "service"])
async def test_a_stream_ends_in_time_while_it_looks_through_a_long_log(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    user = await memory_api.add("alice")
    await memory_api.record(user)

    async def scan(_: PageQuery) -> Never:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(memory_api.services.follower._store, "page", scan)
    async with asyncio.timeout(10), listening(memory_api, user, "after=-1") as listener:
        assert await listener.chunks.get() == b"retry: 1000\n\n"
        if end == "token":
            accounts = memory_api.services.accounts
            await accounts.remove(await accounts.user("alice"))
            event = await listener.event()
            assert json.loads(event[b"data"]) == {"code": "not-authenticated"}
        else:
            memory_api.services.follower.close()
        while await listener.chunks.get():
            pass  # the last chunk is empty


async def test_a_listener_that_takes_nothing_in_is_dropped(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "MAX_STALL", 0.1)
    user = await memory_api.add("alice")
    released = asyncio.Event()

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            await released.wait()

    listener = Listener()
    async with asyncio.timeout(10):
        app = memory_api.app
        scope = {
            "type": "http", "http_version": "1.1", "method": "GET", "path": "/events/stream",
            "query_string": b"",
            "headers": [(b"host", b"test"), (b"authorization", user["Authorization"].encode())],
        }  # fmt: skip
        with capture_logs() as lines:
            await app(scope, listener.receive, stuck)
    assert not released.is_set()  # it returned all the same
    (line,) = [line for line in lines if line["event"] == "dropped"]
    assert (line["why"], line["path"]) == ("slow reader", "/events/stream")


async def test_a_reader_that_changes_nodes_gets_each_record_once_in_order(
    settings: Settings,
) -> None:
    async with two_nodes(settings) as (one, other):
        user = await one.add("alice")
        first = await one.record(user)
        total = 60

        async def write(node: Api) -> None:
            for _ in range(total // 2):
                await node.record(user)
                await asyncio.sleep(0.01)  # so that the reader changes while they write

        async with asyncio.TaskGroup() as tasks:
            for node in (one, other):
                tasks.create_task(write(node))
            met = [str(first["sequence"]).encode()]
            while len(met) <= total:
                node = (one, other)[len(met) % 2]
                async with listening(node, user, last_event_id=met[-1].decode()) as listener:
                    wanted = min(7, total + 1 - len(met))
                    met += [(await listener.event())[b"id"] for _ in range(wanted)]
        assert met == [b"%d" % sequence for sequence in range(total + 1)]


async def test_sixteen_writers_and_three_followers_agree(settings: Settings) -> None:
    async with two_nodes(settings) as (one, other):
        user = await one.add("alice")
        total = 16 * 15

        async def write(node: Api) -> None:
            for _ in range(15):
                await node.record(user)

        async def follow_feed(node: Api) -> list[int]:
            seen: list[int] = []
            path = "/events/feed?wait=5&limit=37"
            while len(seen) < total:
                answer = await node.http.get(path, headers=user)
                seen += [record["sequence"] for record in answer.json()]
                path = answer.links["next"]["url"]
            return seen

        async with asyncio.TaskGroup() as tasks:
            followers = [tasks.create_task(follow_feed(node)) for node in (one, other, other)]
            for number in range(16):
                tasks.create_task(write((one, other)[number % 2]))
        assert [follower.result() for follower in followers] == [list(range(total))] * 3


@pytest.fixture
def asked(memory_api: Api, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tenants for whose log the end was asked for."""
    store = memory_api.services.follower._store
    real = store.end
    tenants: list[str] = []

    async def counting(tenant: str) -> Any:
        tenants.append(tenant)
        return await real(tenant)

    monkeypatch.setattr(store, "end", counting)
    return tenants


async def test_idle_followers_ask_the_store_together(memory_api: Api, asked: list[str]) -> None:
    user = await memory_api.add("alice")
    await asyncio.gather(*(feed(memory_api, user, "?wait=1") for _ in range(100)))
    assert len(asked) < 300  # once or twice for each, and a few looks on behalf of all


async def test_five_hundred_idle_streams_ask_as_one_and_all_hear_of_another_nodes_record(
    memory_api: Api, asked: list[str]
) -> None:
    user = await memory_api.add("alice")
    async with AsyncExitStack() as streams:
        listeners = [
            await streams.enter_async_context(listening(memory_api, user)) for _ in range(500)
        ]
        await asyncio.sleep(0.5)  # each has asked once where the log ends
        asked.clear()
        await asyncio.sleep(3)
        assert 0 < len(asked) < 100
        # Into the store itself, as another node would: nothing here is told of it.
        written = draft(told("from elsewhere"), tenant=DEFAULT_TENANT)
        await memory_api.services.follower._store.append([Submission((written,))])
        for listener in listeners:
            event = await listener.event()
            assert json.loads(event[b"data"])["name"] == "from elsewhere"
        await asyncio.sleep(0.5)  # they wait again
        assert len(asked) < 100


async def test_a_caller_who_hangs_up_ends_the_work(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    listener = Listener()
    app = memory_api.app
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "path": "/events/feed",
        "query_string": b"wait=60",
        "headers": [(b"host", b"test"), (b"authorization", user["Authorization"].encode())],
    }  # fmt: skip
    async with asyncio.timeout(5), asyncio.TaskGroup() as tasks:
        tasks.create_task(app(scope, listener.receive, listener.send))
        await asyncio.sleep(0.3)
        listener.gone.set()
    assert listener.status == 0
