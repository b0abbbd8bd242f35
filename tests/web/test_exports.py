"""Exports over HTTP, on both stores: whole, exact, resumable, or visibly broken off."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import socket
import sys
import tracemalloc
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Never

import httpx2
import pytest
import uvicorn
from pyarrow import parquet
from starlette.requests import ClientDisconnect
from structlog.testing import capture_logs

from auditlogservice.access import Scope
from auditlogservice.errors import QueryTimeout, StoreUnreachable
from auditlogservice.filters import EVERYTHING
from auditlogservice.ledger import exporter, walk
from auditlogservice.ledger.formats.known import FORMATS
from auditlogservice.ledger.walk import START
from auditlogservice.web.patience import SlowReader
from auditlogservice.web.routes import exports
from running import EVENT

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Send

    from auditlogservice.events import Record
    from auditlogservice.store.port import EventStore, PageQuery
    from running import Api

    Act = Callable[[], Awaitable[None]]

WHOLE_PAGE = walk.PAGE
BIG = -9214364837600034816


@pytest.fixture(autouse=True)
def _small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exporter, "PAGE", 3)


async def fill(api: Api, user: dict[str, str], count: int) -> list[dict[str, Any]]:
    events = [
        {**EVENT, "name": f"n{n % 3}", "detail": f"=é\n{n}", "event_data": {"n": n, "big": BIG}}
        for n in range(count)
    ]
    answer = await api.http.post("/events/batch", json=events, headers=user)
    assert answer.json()["failed"] == []
    return (await api.listed(user, "?limit=1000"))[-count:]


async def export(api: Api, user: dict[str, str], query: str = "") -> httpx2.Response:
    answer = await api.http.get(f"/events/export{query}", headers=user)
    assert answer.status_code == 200, answer.text
    return answer


def told(answer: httpx2.Response) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.content.splitlines()]


# ---- what is in the file ----------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 3, 4, 10])
async def test_ndjson_is_byte_for_byte_what_is_listed(api: Api, count: int) -> None:
    user = await api.add("alice")
    if count:
        await fill(api, user, count)
    listed = (await api.http.get("/events", headers=user)).content
    answer = await export(api, user)
    assert b"[%b]" % b",".join(answer.content.splitlines()) == listed
    assert answer.content.count(b"\n") == count
    assert answer.headers["auditlog-snapshot-end"] == str(count)


async def test_ndjson_can_be_recorded_again(api: Api) -> None:
    user, other = await api.add("alice"), await api.add("bob", tenant="other")
    records = await fill(api, user, 7)
    lines = told(await export(api, user))
    events = [{name: line[name] for name in (*EVENT, "event_data")} for line in lines]
    await api.http.post("/events/batch", json=events, headers=other)
    for name in ("name", "detail", "event_data"):
        assert [each[name] for each in await api.listed(other)] == [each[name] for each in records]


@pytest.mark.parametrize("name", FORMATS)
async def test_each_format_says_what_it_is(api: Api, name: str) -> None:
    user = await api.add("alice")
    await fill(api, user, 4)
    answer = await export(api, user, f"?format={name}&after=0")
    assert answer.headers["content-type"] == FORMATS[name].media_type
    suffix = FORMATS[name].suffix
    file = f'attachment; filename="audit-default-1-4.{suffix}"'
    assert answer.headers["content-disposition"] == file
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "content-length" not in answer.headers


async def test_csv_is_safe_and_complete(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 5)
    text = (await export(api, user, "?format=csv")).content.decode()
    rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
    assert [row["_id"] for row in rows] == [each["_id"] for each in records]
    assert [row["detail"] for row in rows] == [f"'{each['detail']}" for each in records]
    assert [json.loads(row["event_data"]) for row in rows] == [e["event_data"] for e in records]


async def test_parquet_is_typed_and_complete(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 5)
    content = (await export(api, user, "?format=parquet")).content
    rows = parquet.read_table(io.BytesIO(content)).to_pylist()
    assert [row["sequence"] for row in rows] == [0, 1, 2, 3, 4]
    assert [json.loads(row["event_data"]) for row in rows] == [e["event_data"] for e in records]
    assert json.loads(rows[0]["event_data"])["big"] == BIG


async def test_the_filters_are_those_of_a_list(api: Api) -> None:
    user = await api.add("alice")
    await fill(api, user, 12)
    for query in ("name=n1", "event_data.n[gte]=7", "since=1h&q=n2", "name=none", "until=1h"):
        listed = await api.listed(user, f"?{query}")
        assert told(await export(api, user, f"?{query}")) == listed


async def test_another_tenant_is_not_in_it(api: Api) -> None:
    ours, theirs = await api.add("a", tenant="ours"), await api.add("b", tenant="theirs")
    await fill(api, theirs, 4)
    assert told(await export(api, ours)) == []


async def test_erased_records_are_left_out(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 9)
    for erased in (0, 3, 4, 8):
        await api.http.delete(f"/events/{records[erased]['_id']}", headers=user)
    left = [each for n, each in enumerate(records) if n not in {0, 3, 4, 8}]
    answer = await export(api, user)
    *others, _, _, _, _ = told(answer)  # at the end are the tombstones
    assert others == left
    assert answer.headers["auditlog-snapshot-end"] == "13"


# ---- a snapshot, and going on -----------------------------------------------------------


class Between:
    """A store in which something happens before each page but the first is read."""

    def __init__(self, store: EventStore, act: Act) -> None:
        self._store = store
        self._act = act
        self._pages = 0
        self.end = store.end

    @classmethod
    def install(cls, api: Api, act: Act) -> None:
        subject = api.services.exporter
        subject._store = cls(subject._store, act)  # type: ignore[assignment] # it stands in for the store

    async def page(self, query: PageQuery) -> list[Record]:
        self._pages += 1
        if self._pages > 1:
            await self._act()
        return await self._store.page(query)


async def test_what_comes_in_meanwhile_is_not_in_it(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 8)

    async def add() -> None:
        await api.record(user, name="late")

    Between.install(api, add)
    answer = await export(api, user)
    assert told(answer) == records
    assert answer.headers["auditlog-snapshot-end"] == "8"
    later = await api.listed(user, "?name=late")
    assert len(later) >= 2
    again = told(await export(api, user, "?after=7&user_id=alice"))
    assert again[: len(later)] == later


async def test_what_is_erased_meanwhile_is_not_in_it_any_more(api: Api) -> None:
    user = await api.add("alice")
    records = await fill(api, user, 8)

    async def erase() -> None:
        await api.http.delete(f"/events/{records[5]['_id']}", headers=user)

    Between.install(api, erase)
    assert told(await export(api, user)) == records[:5] + records[6:]


async def test_an_export_that_was_cut_anywhere_goes_on(api: Api) -> None:
    user = await api.add("alice")
    await fill(api, user, 11)
    whole = (await export(api, user)).content
    lines = whole.splitlines(keepends=True)
    for cut in range(1, 11):
        rest = await export(api, user, f"?after={cut - 1}&user_id=alice")
        assert b"".join(lines[:cut]) + rest.content == whole
    assert (await export(api, user, "?after=1000")).content == b""


# ---- memory -----------------------------------------------------------------------------


async def test_an_export_takes_the_same_memory_however_much_it_exports(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 MB of records, and one page of them at a time."""
    monkeypatch.setattr(exporter, "PAGE", WHOLE_PAGE)
    user = await api.add("alice")
    detail = "x" * 250_000
    for _ in range(8):
        batch = [{**EVENT, "detail": detail}] * 32
        answer = await api.http.post("/events/batch", json=batch, headers=user)
        assert answer.json()["failed"] == []
    for name in ("ndjson", "csv"):
        sizes: list[int] = []

        async def weigh(message: Any, sizes: list[int] = sizes) -> None:
            sizes.append(len(message.get("body", b"")))

        tracemalloc.start()
        try:
            await ask(api, user, name, send=weigh)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert sum(sizes) > 256 * len(detail)
        assert peak < 48 * 1024 * 1024, name


async def test_so_many_exports_are_under_way_and_no_more(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 8)
    async with asyncio.TaskGroup() as tasks:
        stop = asyncio.Event()

        async def wait(message: Any) -> None:
            if message["type"] == "http.response.body":
                await stop.wait()

        for _ in range(exports.MAX_EXPORTS):
            tasks.create_task(ask(memory_api, user, "ndjson", send=wait))
        await asyncio.sleep(0.3)
        answer = await memory_api.http.get("/events/export", headers=user)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        stop.set()
    assert len(told(await export(memory_api, user, "?user_id=alice"))) == 8


async def test_an_export_that_fails_or_is_left_gives_its_place_back(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 8)
    store = memory_api.services.exporter._store

    async def fail(_: Any) -> Never:
        raise StoreUnreachable

    async def later() -> None:
        raise StoreUnreachable

    async def leave(_: Any) -> None:
        raise ClientDisconnect

    for _ in range(exports.MAX_EXPORTS):
        with monkeypatch.context() as patch:
            patch.setattr(store, "page", fail)
            answer = await memory_api.http.get("/events/export", headers=user)
            assert answer.json()["code"] == "store-unreachable"
        Between.install(memory_api, later)
        await ask(memory_api, user, "ndjson")
        memory_api.services.exporter._store = store
        await ask(memory_api, user, "ndjson", send=leave)
    assert len(told(await export(memory_api, user, "?user_id=alice"))) == 8


# ---- what goes wrong --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("format=xlsx", "format"), ("format=", "format"), ("format=csv&format=cef", "format"),
        ("after=x", "after"), ("after=1.5", "after"), ("limit=3", "limit"), ("q=(", "q"),
        ("sort=timestamp", "sort"), ("nonsense=1", "nonsense"),
    ],
)  # fmt: skip
async def test_a_bad_question_is_refused(memory_api: Api, query: str, pointer: str) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"/events/export?{query}", headers=user)
    assert answer.status_code == 422
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("scope", [s for s in Scope if s != Scope.EVENTS_EXPORT])
async def test_no_other_scope_is_enough(memory_api: Api, scope: Scope) -> None:
    user = await memory_api.add("alice", scope)
    answer = await memory_api.http.get("/events/export", headers=user)
    assert (answer.status_code, answer.json()["scope"]) == (403, "events:export")


async def test_without_pyarrow_parquet_is_refused_with_what_to_install(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.delitem(sys.modules, "auditlogservice.ledger.formats.parquet", raising=False)
    answer = await memory_api.http.get("/events/export?format=parquet", headers=user)
    assert answer.status_code == 422
    assert "pip install 'auditlogservice[parquet]'" in answer.json()["detail"]
    assert (await memory_api.http.get("/events/export", headers=user)).status_code == 200


@pytest.mark.parametrize("error", [StoreUnreachable, QueryTimeout])
async def test_what_fails_at_once_is_a_problem(
    memory_api: Api, error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 4)

    async def fail(_: PageQuery) -> list[Record]:
        raise error

    monkeypatch.setattr(memory_api.services.exporter._store, "page", fail)
    answer = await memory_api.http.get("/events/export", headers=user)
    assert answer.status_code == 503
    assert answer.headers["retry-after"]


@pytest.mark.parametrize(
    ("name", "error"),
    [
        *((name, StoreUnreachable) for name in FORMATS),
        ("ndjson", QueryTimeout),
        ("ndjson", RuntimeError),
    ],
)
async def test_what_fails_later_breaks_the_answer_off(
    memory_api: Api, name: str, error: type[Exception]
) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 8)

    async def fail() -> None:
        raise error

    Between.install(memory_api, fail)
    messages = await ask(memory_api, user, name)
    assert messages[0]["status"] == 200
    assert all(message["more_body"] for message in messages[1:])


async def test_an_export_ends_when_its_token_does(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 8)

    async def disable() -> None:
        accounts = memory_api.services.accounts
        await accounts.change(await accounts.user("alice"), disabled=True)
        memory_api.time.advance(seconds=1)

    Between.install(memory_api, disable)
    with capture_logs():  # to print the traceback takes seconds
        messages = await ask(memory_api, user, "ndjson")
    assert messages[0]["status"] == 200
    assert all(message["more_body"] for message in messages[1:])
    assert sum(message["body"].count(b"\n") for message in messages[1:]) == 3


async def ask(api: Api, user: dict[str, str], name: str, *, send: Send | None = None) -> list[Any]:
    """What the application sends, seen from the server below it."""
    messages: list[Any] = []
    asked = [{"type": "http.request", "body": b"", "more_body": False}]
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "path":
        "/events/export", "raw_path": b"/events/export", "query_string": f"format={name}".encode(),
        "root_path": "",
        "headers": [(k.lower().encode(), v.encode()) for k, v in {"Host": "test", **user}.items()],
    }  # fmt: skip

    async def receive() -> Any:
        return asked.pop() if asked else await asyncio.Event().wait()

    async def keep(message: Any) -> None:
        messages.append(message)

    await api.app(scope, receive, send or keep)
    return messages


async def test_a_client_notices_that_the_answer_was_broken_off(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 8)

    async def fail() -> None:
        raise StoreUnreachable

    app = memory_api.app
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        async with asyncio.TaskGroup() as tasks, httpx2.AsyncClient(base_url=url) as http:
            tasks.create_task(server.serve([listener]))
            try:
                whole = await http.get("/events/export", headers=user)
                assert whole.headers["transfer-encoding"] == "chunked"
                assert len(told(whole)) == 8
                Between.install(memory_api, fail)
                with pytest.raises(httpx2.RemoteProtocolError):
                    await http.get("/events/export", headers=user)
            finally:
                server.should_exit = True


async def test_a_reader_that_takes_nothing_in_is_dropped(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    await fill(memory_api, user, 4)
    monkeypatch.setattr(exports, "MAX_STALL", 0.01)
    form = FORMATS["ndjson"].encoder()
    principal = await memory_api.services.tokens.check(user["Authorization"].split()[1])
    started = await memory_api.services.exporter.start(principal, EVERYTHING, after=START)

    async def stuck(message: Any) -> None:
        if message["type"] == "http.response.body":
            await asyncio.Event().wait()

    async def still() -> None:
        pass

    with pytest.raises(SlowReader):
        await exports._Download(started, form, {}, ExitStack(), still)._run(stuck)
