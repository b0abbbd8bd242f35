"""HTTP off the wire: what a caller who has not yet shown a token may cost.

The head of a request (its first line and its headers) is bounded in bytes, fields and seconds, and
connections are bounded in number. What is not HTTP is refused here, in the same form as every
other refusal. A request whose head is good goes on to the application; this module never looks
into one.
"""

from __future__ import annotations

import asyncio
import os
from functools import cache, partial
from typing import TYPE_CHECKING, Any, ClassVar

import httptools
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from auditlogservice.errors import MalformedInput, Overloaded, RequestTimeout, Unavailable
from auditlogservice.runtime.observability import logger
from auditlogservice.web.edge import security_headers
from auditlogservice.web.problems import (
    HEADERS_TOO_LARGE,
    MEDIA_TYPE,
    PROBLEMS,
    TARGET_TOO_LONG,
    Problem,
    describe,
)

if TYPE_CHECKING:
    from asyncio import TimerHandle, Transport

    from uvicorn._types import ASGI3Application, ASGIReceiveCallable, ASGISendCallable, Scope
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

MAX_CONNECTIONS = 4_096
_OWN_FILES = 128  # kept free for the database and the log


class _TooMuch(Exception):
    """Thrown through the parser, to end it."""

    def __init__(self, problem: Problem, detail: str) -> None:
        super().__init__(detail)
        self.problem = problem
        self.detail = detail


class _OneWrite:
    """Where an answer is written: its head goes out together with the beginning of its body.

    The server writes one after the other. A write is a system call and a packet, a tenth of what
    a single record costs. A head whose body keeps one waiting goes out by itself.
    """

    def __init__(self, cycle: RequestResponseCycle, loop: asyncio.AbstractEventLoop) -> None:
        self._cycle = cycle
        self._transport = cycle.transport
        self._loop = loop
        self._head = b""
        self._begun = False

    def write(self, data: bytes) -> None:
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines([head, data])
        elif self._cycle.response_started and not self._begun:
            self._begun, self._head = True, data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def close(self) -> None:
        self.flush()
        self._transport.close()


class BoundedHttp(HttpToolsProtocol):
    """One connection.

    A deadline runs while the head of a request is awaited, and while the rest of a body comes in
    that nobody reads any more. Between two requests the server's own keep-alive timeout runs.
    """

    head_bytes: ClassVar[int] = 64 * 1024
    head_fields: ClassVar[int] = 128
    head_seconds: ClassVar[float] = 10.0
    target_bytes: ClassVar[int] = 16 * 1024

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._awaits_head = True
        self._begun = False  # whether there is some of it
        self._deadline: TimerHandle | None = None
        self._deaf = False  # refused: nothing more is read
        self._excess: _TooMuch | None = None
        self._told = 0  # bytes of head, as far as its lines are complete
        self._progress = False  # whether the parser got beyond a head or into a body
        self._unfinished = 0  # bytes since then

    # ---- the connection ---------------------------------------------------------

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override] # TCP only
        super().connection_made(transport)
        if len(self.connections) > most_connections():
            self._refuse(PROBLEMS[Overloaded], "too many connections are open")
        else:
            self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        if self._awaits_head:
            self._arm()
        self._progress = False
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._refuse_unread()
            return
        except httptools.HttpParserUpgrade:
            pass  # there is nothing to upgrade to: the request is answered as it is
        self._unfinished = 0 if self._progress else self._unfinished + len(data)
        if self._unfinished > self.head_bytes:
            self._refuse(HEADERS_TOO_LARGE, self._head_limit())

    # ---- called by the parser ---------------------------------------------------

    def on_message_begin(self) -> None:
        self._told = 0
        self._begun = True
        self._arm()
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > self.target_bytes:
            self._stop(TARGET_TOO_LONG, f"an address may have {self.target_bytes:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        # Of trailers too, which stand behind a body and are counted with the headers.
        self._told += len(name) + len(value) + 4  # a colon, a blank, CR and LF
        if self._told > self.head_bytes or len(self.headers) >= self.head_fields:
            self._stop(HEADERS_TOO_LARGE, self._head_limit())
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        # RFC 9112 §3.2 has other forms for proxies. This is none, and the host that they carry
        # would be another one than that of the Host header.
        if not self.url.startswith(b"/"):
            self._stop(PROBLEMS[MalformedInput], "the address must begin with a slash")
        self._advance(awaits_head=False)
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._progress = True
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._advance(awaits_head=True)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._answer.flush()  # one without a body
        super().on_response_complete()
        if not self._awaits_head and not self.transport.is_closing():
            self._arm()  # for the rest of the body

    def _advance(self, *, awaits_head: bool) -> None:
        self._awaits_head = awaits_head
        self._begun = False
        self._progress = True
        self._disarm()

    def _stop(self, problem: Problem, detail: str) -> None:
        self._excess = _TooMuch(problem, detail)
        raise self._excess

    def _head_limit(self) -> str:
        return f"headers may have {self.head_bytes:,} bytes and {self.head_fields} fields"

    # ---- the deadline -----------------------------------------------------------

    def _arm(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(self.head_seconds, self._late)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if self._owes_an_answer():
            self._arm()  # the next request is only looked at after this one
        elif self._begun:
            limit = f"the headers may take {self.head_seconds:g} s"
            self._refuse(PROBLEMS[RequestTimeout], limit)
        else:
            self.transport.close()

    # ---- refusing ---------------------------------------------------------------

    def _newest(self) -> RequestResponseCycle | None:
        return self.cycle  # None before the first request, which its annotation leaves out

    def _owes_an_answer(self) -> bool:
        newest = self._newest()
        return newest is not None and not newest.response_complete

    def _refuse_unread(self) -> None:
        if self._excess:
            self._refuse(self._excess.problem, self._excess.detail)
        else:
            self._refuse(PROBLEMS[MalformedInput], "this is not HTTP/1.1 as RFC 9112 has it")

    def _refuse(self, problem: Problem, detail: str) -> None:
        """Answer with the problem where an answer to it is awaited, and end the connection."""
        self._deaf = True
        self._disarm()
        if self._owes_an_answer() and not self.cycle.more_body:
            # An answer would be taken for that to the request before. That comes first, and last.
            self.cycle.keep_alive = False
            return
        if self._may_answer():
            self._write(problem, detail)
        self.transport.close()

    def _may_answer(self) -> bool:
        if self.transport.is_closing() or self.pipeline:
            return False
        # Within a body, the answer is to its request, unless that has got one.
        newest = self._newest()
        return self._awaits_head or newest is None or not newest.response_started

    def _write(self, problem: Problem, detail: str) -> None:
        request_id = os.urandom(8).hex()
        # An empty reference, since the address may not have been read: this very request.
        body = describe(problem, detail=detail, instance="", request_id=request_id)
        headers = {
            **security_headers(self.scheme or "http"),
            "Connection": "close",
            "Content-Length": str(len(body)),
            "Content-Type": MEDIA_TYPE,
            "X-Request-ID": request_id,
        }
        if problem is PROBLEMS[Overloaded]:
            headers["Retry-After"] = str(Unavailable.retry_after)
        own = [(name.encode(), value.encode()) for name, value in headers.items()]
        lines = [b"%b: %b\r\n" % field for field in (*self.server_state.default_headers, *own)]
        self.transport.write(b"".join([STATUS_LINE[problem.status], *lines, b"\r\n", body]))
        logger("http").info("refused", status=problem.status, why=detail, request_id=request_id)

    # ---- the end of the process -------------------------------------------------

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._answer = _OneWrite(cycle, self.loop)
        cycle.transport = self._answer  # type: ignore[assignment] # all of one that it uses
        super()._start_asgi_task(cycle, partial(self._until_stopped, cycle, app))

    async def _until_stopped(
        self,
        cycle: RequestResponseCycle,
        app: ASGI3Application,
        scope: Scope,
        receive: ASGIReceiveCallable,
        send: ASGISendCallable,
    ) -> None:
        try:
            await app(scope, receive, send)
        except asyncio.CancelledError:
            # Only the server cancels, when its grace is over. Nobody can tell what became of the
            # request, so it gets no answer; and that is no defect.
            cycle.disconnected = True
            self.transport.abort()


@cache
def most_connections() -> int:
    """Return how many may be open at once: fewer where files are scarce."""
    try:
        import resource  # noqa: PLC0415 - not on every system

        files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except (ImportError, OSError):
        return MAX_CONNECTIONS
    if files == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(1, min(MAX_CONNECTIONS, files - _OWN_FILES))
