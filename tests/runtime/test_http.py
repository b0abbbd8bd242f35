"""What is not HTTP, too slow or too much is refused, before anybody is asked who they are."""

from __future__ import annotations

import asyncio
import contextlib
import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from auditlogservice.runtime import http
from auditlogservice.runtime.http import BoundedHttp, most_connections
from auditlogservice.web.edge import SECURITY_HEADERS
from auditlogservice.web.problems import MEDIA_TYPE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

PATIENCE = 10.0
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Short(BoundedHttp):
    head_seconds = 0.2


class Long(BoundedHttp):
    """For claims about size, so that time cannot be the reason."""

    head_seconds = PATIENCE * 2


@dataclass
class App:
    """Answers each request with the size of its body; `/early` before the body, `/slow` late."""

    seen: list[int] = field(default_factory=list)
    go: asyncio.Event = field(default_factory=asyncio.Event)
    begun: asyncio.Event = field(default_factory=asyncio.Event)
    ended: list[BaseException] = field(default_factory=list)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.begun.set()
        size, more = 0, scope["path"] != "/early"
        try:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return
                size += len(message.get("body", b""))
                more = message.get("more_body", False)
            if scope["path"] == "/slow":
                await self.go.wait()
        except asyncio.CancelledError as error:
            self.ended.append(error)
            raise
        self.seen.append(size)
        headers = [(b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"ok"})


@dataclass
class Listening:
    app: App
    port: int
    state: ServerState

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def tell(self, sent: bytes) -> bytes:
        """Send this, and return all that is answered until the other side hangs up."""
        async with self.connected() as (reader, writer):
            writer.write(sent)
            return await until_end(reader)


async def until_end(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


@asynccontextmanager
async def listening(protocol: type[BoundedHttp]) -> AsyncIterator[Listening]:
    app = App()
    config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
    config.load()
    state = ServerState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: protocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    try:
        yield Listening(app, server.sockets[0].getsockname()[1], state)
    finally:
        app.go.set()
        server.close()
        for connection in list(state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)


def refused(answer: bytes, status: int, code: str) -> None:
    """Claim that this is one answer, and a refusal as all others are."""
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    assert first.split()[1] == str(status)
    headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
    problem = json.loads(body)
    assert (problem["status"], problem["code"]) == (status, code)
    assert set(problem) == {
        "type", "title", "status", "detail", "instance", "code", "request_id",
    }  # fmt: skip
    assert headers["content-type"] == MEDIA_TYPE
    assert headers["connection"] == "close"
    assert headers["x-request-id"] == problem["request_id"]
    assert int(headers["content-length"]) == len(body)
    for name, value in SECURITY_HEADERS.items():
        assert headers[name.lower()] == value


def head(*lines: bytes, first: bytes = b"POST / HTTP/1.1") -> bytes:
    return b"\r\n".join([first, b"Host: x", *lines, b"", b""])


# ---- what is not HTTP -------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        head(first=b"BREW / HTTP/1.1"),
        head(first=b"get / HTTP/1.1"),
        head(first=b"GET / HTTP/9.9"),
        head(first="GET /é HTTP/1.1".encode()),
        head(first=b"CONNECT x:1 HTTP/1.1"),
        head(first=b"GET http://x/ HTTP/1.1"),
        head(first=b"GET http://elsewhere/ HTTP/1.1"),
        head(first=b"OPTIONS * HTTP/1.1"),
        head(b"no colon"),
        head(b"a: \x00"),
        head(b"Content-Length: x"),
        head(b"Content-Length: -1"),
        head(b"Content-Length: 1", b"Content-Length: 2"),
        head(b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        head(b"Transfer-Encoding: chunked") + b"nonsense\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # someone who speaks TLS
    ],
)
async def test_what_is_not_http_is_refused_as_everything_is(sent: bytes) -> None:
    async with listening(Long) as here:
        refused(await here.tell(sent), 400, "malformed")
        assert here.app.seen == []


async def test_nonsense_behind_a_request_does_not_take_the_place_of_its_answer() -> None:
    async with listening(Long) as here, here.connected() as (reader, writer):
        writer.write(GET.replace(b"/ ", b"/slow ") + b"nonsense\r\n\r\n")
        await asyncio.sleep(0.05)
        here.app.go.set()
        answer = await until_end(reader)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.endswith(b"\r\n\r\nok")


async def test_a_body_that_breaks_after_its_answer_gets_no_second_one() -> None:
    async with listening(Long) as here:
        early = head(b"Transfer-Encoding: chunked", first=b"POST /early HTTP/1.1")
        async with here.connected() as (reader, writer):
            writer.write(early)
            assert (await reader.readuntil(b"ok")).startswith(b"HTTP/1.1 200")
            writer.write(b"nonsense\r\n")
            assert await until_end(reader) == b""


# ---- too much ---------------------------------------------------------------------------


def of_bytes(size: int) -> bytes:
    """A head of so many bytes of headers."""
    value = b"v" * 2_000
    lines, rest = divmod(size - len("Host: x\r\n"), len(value) + 7)
    return head(
        *[b"a%03d: %b" % (n, value[:-1]) for n in range(lines)], b"b: " + b"v" * (rest - 5)
    )


async def test_headers_are_read_up_to_the_limit_and_not_beyond() -> None:
    async with listening(Long) as here:
        async with here.connected() as (reader, writer):
            writer.write(of_bytes(Long.head_bytes - 10))
            assert await reader.readuntil(b"ok")
        refused(await here.tell(of_bytes(Long.head_bytes + 1)), 431, "headers-too-large")
        fields = [b"a: b"] * Long.head_fields
        refused(await here.tell(head(*fields)), 431, "headers-too-large")


@pytest.mark.parametrize(
    "start",
    [
        head()[:-2] + b"a: ",
        head()[:-2] + b"a",
        b"\r\n",
        head(b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nTrailer: ",
        head(b"Transfer-Encoding: chunked") + b"1;a=",
    ],
)
async def test_a_line_without_an_end_is_not_kept_without_an_end(start: bytes) -> None:
    async with listening(Long) as here, here.connected() as (reader, writer):
        writer.write(start)
        filler = b"\r\n" if start == b"\r\n" else b"aa"
        with contextlib.suppress(ConnectionError):
            for _ in range(100):
                writer.write(filler * 8_192)
                await writer.drain()
                await asyncio.sleep(0.002)
        with contextlib.suppress(ConnectionError):
            await until_end(reader)
        await gone(here)


async def gone(here: Listening) -> None:
    """Claim that no connection is left, as far as the server can tell."""
    for _ in range(500):
        if not here.state.connections:
            return
        await asyncio.sleep(0.01)
    pytest.fail("a connection is still open")


async def test_many_trailers_are_too_many_headers() -> None:
    async with listening(Long) as here:
        trailers = b"0\r\n" + b"a: b\r\n" * 200
        answer = await here.tell(head(b"Transfer-Encoding: chunked") + trailers)
        refused(answer, 431, "headers-too-large")


async def test_an_address_is_read_up_to_the_limit_and_not_beyond() -> None:
    async with listening(Long) as here:
        async with here.connected() as (reader, writer):
            writer.write(head(first=b"GET /%b HTTP/1.1" % (b"a" * (Long.target_bytes - 1))))
            assert await reader.readuntil(b"ok")
        long = head(first=b"GET /%b HTTP/1.1" % (b"a" * Long.target_bytes))
        refused(await here.tell(long), 414, "target-too-long")


async def test_bodies_and_requests_in_a_row_are_no_headers() -> None:
    async with listening(Long) as here, here.connected() as (reader, writer):
        body = b"x" * 300_000
        one = head(b"Content-Length: %d" % len(body)) + body
        chunks = b"1\r\nx\r\n" * 40_000 + b"0\r\n\r\n"
        many = head(b"Transfer-Encoding: chunked") + chunks
        writer.write((one + many) * 3 + GET * 3_000)
        async with asyncio.timeout(PATIENCE):
            for _ in range(3_006):
                await reader.readuntil(b"ok")
        assert here.app.seen == [300_000, 40_000] * 3 + [0] * 3_000


async def test_beyond_so_many_connections_the_next_is_told_to_come_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http, "most_connections", lambda: 2)
    async with listening(Long) as here, here.connected(), here.connected():
        async with here.connected() as (reader, _):
            answer = await until_end(reader)
        refused(answer, 503, "overloaded")
        assert b"Retry-After: 1\r\n" in answer
        assert len(here.state.connections) == 2


def test_connections_are_bounded() -> None:
    assert 1 <= most_connections() <= http.MAX_CONNECTIONS


# ---- too slow ---------------------------------------------------------------------------


async def test_who_says_nothing_is_hung_up_on() -> None:
    async with listening(Short) as here, contextlib.AsyncExitStack() as stack:
        opened = [await stack.enter_async_context(here.connected()) for _ in range(50)]
        assert [await until_end(reader) for reader, _ in opened] == [b""] * 50
        await gone(here)


async def test_half_a_head_is_refused_when_its_time_is_over() -> None:
    async with listening(Short) as here:
        refused(await here.tell(head()[:-2]), 408, "request-timeout")
        # After a good request on the same connection too.
        answer = await here.tell(GET + head()[:-2])
        refused(answer.partition(b"\r\n\r\nok")[2], 408, "request-timeout")


@pytest.mark.parametrize("drop", [b"\r\n", b"a"])
async def test_a_trickle_is_not_a_head(drop: bytes) -> None:
    async with listening(Short) as here, here.connected() as (reader, writer):
        writer.write(GET)
        await reader.readuntil(b"ok")
        ended = asyncio.ensure_future(until_end(reader))
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                writer.write(drop)
                await writer.drain()
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            await ended
        await gone(here)


async def test_the_rest_of_a_body_that_nobody_reads_is_not_awaited_for_ever() -> None:
    async with listening(Short) as here, here.connected() as (reader, writer):
        writer.write(head(b"Content-Length: 1000", first=b"POST /early HTTP/1.1"))
        await reader.readuntil(b"ok")
        ended = asyncio.ensure_future(until_end(reader))
        with contextlib.suppress(ConnectionError):
            while not ended.done():
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        with contextlib.suppress(ConnectionError):
            assert await ended == b""


async def test_an_answer_that_takes_long_is_waited_for() -> None:
    async with listening(Short) as here, here.connected() as (reader, writer):
        writer.write(GET.replace(b"/ ", b"/slow ") + head()[:-2])
        await asyncio.sleep(Short.head_seconds * 2)
        here.app.go.set()
        assert await reader.readuntil(b"ok")


# ---- the end ----------------------------------------------------------------------------


async def test_a_request_that_outlives_the_grace_is_broken_off_and_is_no_defect(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with listening(Long) as here, here.connected() as (reader, writer):
        writer.write(head(b"Content-Length: 10") + b"x")
        await here.app.begun.wait()
        for task in here.state.tasks:
            task.cancel()
        with contextlib.suppress(ConnectionError):
            assert await until_end(reader) == b""
        assert len(here.app.ended) == 1
        assert "Exception in ASGI application" not in caplog.text


# ---- the way out ------------------------------------------------------------------------


@dataclass
class Line:
    """A transport that keeps what each system call would send."""

    sent: list[bytes] = field(default_factory=list)
    closed: bool = False

    def write(self, data: bytes) -> None:
        self.sent.append(data)

    def writelines(self, parts: list[bytes]) -> None:
        self.sent.append(b"".join(parts))

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


@dataclass
class Cycle:
    transport: Line = field(default_factory=Line)
    response_started: bool = True


def answering(cycle: Cycle) -> http._OneWrite:
    return http._OneWrite(cycle, asyncio.get_running_loop())  # type: ignore[arg-type] # as far as it is used


async def test_a_head_goes_out_with_the_beginning_of_its_body() -> None:
    cycle = Cycle()
    answer = answering(cycle)
    for part in (b"head,", b"one", b"two"):
        answer.write(part)
    await asyncio.sleep(0)
    assert cycle.transport.sent == [b"head,one", b"two"]


async def test_a_head_does_not_wait_for_a_body_that_comes_later() -> None:
    cycle = Cycle()
    answer = answering(cycle)
    answer.write(b"head")
    await asyncio.sleep(0)
    assert cycle.transport.sent == [b"head"]
    answer.write(b"one")
    assert cycle.transport.sent == [b"head", b"one"]


async def test_an_answer_without_a_body_goes_out_before_the_end_of_the_connection() -> None:
    cycle = Cycle()
    answer = answering(cycle)
    answer.write(b"head")
    answer.close()
    assert (cycle.transport.sent, answer.is_closing()) == ([b"head"], True)


async def test_nothing_is_written_to_a_connection_that_is_lost() -> None:
    cycle = Cycle()
    answering(cycle).write(b"head")
    cycle.transport.closed = True
    await asyncio.sleep(0)
    assert cycle.transport.sent == []


async def test_who_is_asked_to_go_on_with_a_body_hears_so_at_once() -> None:
    cycle = Cycle(response_started=False)
    answering(cycle).write(b"100")
    assert cycle.transport.sent == [b"100"]


async def test_answers_to_requests_sent_together_come_in_their_order() -> None:
    async with listening(Long) as here:
        heads = await here.tell(
            b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET
            + b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        )  # fmt: skip
    first, second, third = heads.split(b"HTTP/1.1 200 OK\r\n")[1:]
    assert second.endswith(b"\r\n\r\nok")
    assert b"connection: close" not in first + second
    assert third.endswith(b"connection: close\r\n\r\n")
