"""Following the log: a feed for machines that ask, and a stream for those that listen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.access import Scope
from auditlogservice.errors import AuditLogError
from auditlogservice.events import Sequence
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.ledger.walk import LAST, START
from auditlogservice.web.authn import Reader, require_still
from auditlogservice.web.callers import question_of, record_read
from auditlogservice.web.documents import JSON, NDJSON, parameter, problems, refer
from auditlogservice.web.patience import first_of, send_chunk, while_connected
from auditlogservice.web.problems import problem_of
from auditlogservice.web.questions import DEFAULT_LIMIT, Parameters, next_link, take_filter
from auditlogservice.web.routes.lists import FILTERS
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Send
    from starlette.types import Scope as AsgiScope

    from auditlogservice.access import Principal
    from auditlogservice.events import Record
    from auditlogservice.filters import Filter

router = APIRouter(tags=["following"])

MAX_WAIT = 60  # seconds
HEARTBEAT = 15.0  # seconds of silence, after which a stream says that it is alive
LOOK_AGAIN = 0.5  # seconds after which a stream asks whether its token is still good
RECORD_AGAIN = 3600.0  # seconds after which it goes on record again that a stream is read
MAX_STALL = 30.0  # seconds that a reader may keep a write waiting before it is dropped

_AFTER = parameter(
    "after",
    {"type": "integer", "minimum": -1},
    "The last sequence that was seen. Without it, from the first record on.",
)


@router.get(
    "/events/feed",
    summary="Follow the log, by asking",
    responses={
        200: {
            "description": "What came after; as NDJSON, a record a line, for who accepts that",
            "content": {
                JSON: {"schema": {"type": "array", "items": refer("Record")}},
                NDJSON: {"schema": {"type": "string"}},
            },
            "headers": {
                "Link": {
                    "description": 'Where to go on, always there: `<…>; rel="next"`',
                    "schema": {"type": "string"},
                }
            },
        },
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={
        "parameters": [
            _AFTER,
            parameter(
                "wait",
                {"type": "integer", "minimum": 0, "maximum": MAX_WAIT, "default": 0},
                "How many seconds to wait if there is nothing yet.",
            ),
            parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                "How many records at most.",
            ),
            *FILTERS,
        ]
    },
)
async def read_feed(request: Request, caller: Reader) -> Response:
    """Return records in the order of their sequence; following `Link` sees each exactly once."""
    parameters = Parameters.read(request.scope["query_string"])
    after = parameters.number("after", default=START, low=START, high=LAST)
    wait = parameters.number("wait", default=0, low=0, high=MAX_WAIT)
    limit = parameters.number("limit", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
    here = services(request)
    where = take_filter(parameters, now=here.clock())
    parameters.done()
    work = here.follower.read_on(
        caller.tenant,
        where,
        after=Sequence(after),
        limit=limit,
        wait=wait,
        turn=lambda: here.questions.take(caller.source),
    )
    news = await while_connected(request, work)
    await require_still(request, Scope.EVENTS_READ)
    await record_read(
        request,
        caller,
        "feed",
        question=question_of(parameters),
        where=where,
        shown=news.records,
    )
    headers = {"Link": next_link("/events/feed", parameters, after=str(news.last))}
    told = [record.answer() for record in news.records]
    if NDJSON in request.headers.get("accept", ""):
        # For who wants the bytes of each record: lines are cut apart without reading them.
        return Response(b"".join(b"%b\n" % each for each in told), 200, headers, NDJSON)
    return Response(b"[%b]" % b",".join(told), 200, headers, JSON)


@router.get(
    "/events/stream",
    summary="Follow the log, by listening",
    responses={
        200: {
            "description": "Server-Sent Events: `id` is the sequence, `data` the record",
            "content": {"text/event-stream": {"schema": {"type": "string"}}},
        },
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={
        "parameters": [
            parameter(
                "after",
                {"type": "integer", "minimum": -1},
                "The last sequence that was seen. Without it, and without `Last-Event-ID`, only "
                "what comes in from now on.",
            ),
            parameter(
                "Last-Event-ID",
                {"type": "string"},
                "What a browser sends when it connects again; it wins over `after`.",
                place="header",
            ),
            *FILTERS,
        ]
    },
)
async def stream(request: Request, caller: Reader) -> Response:
    """Send each record once, in order; a reader that is too slow is dropped, and can go on."""
    here = services(request)
    parameters = Parameters.read(request.scope["query_string"])
    told = request.headers.get("last-event-id")
    if told is not None:
        parameters.given["after"] = [told]
    after = None
    if "after" in parameters.given:
        after = Sequence(parameters.number("after", default=START, low=START, high=LAST))
    where = take_filter(parameters, now=here.clock())
    parameters.done()
    if after is None:
        after = await here.follower.end(caller.tenant)

    async def record() -> None:
        await record_read(request, caller, "stream", question=question_of(parameters), where=where)

    await record()
    return _EventStream(request, caller, where, after, record)


class _EventStream(Response):
    """The answer to a listener: it ends when either side wants it to, or the token ends."""

    media_type = "text/event-stream"

    def __init__(
        self,
        request: Request,
        caller: Principal,
        where: Filter,
        after: Sequence,
        record: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__()
        del self.headers["content-length"]
        self._request = request
        self._here = services(request)
        self._caller = caller
        self._where = where
        self._after = after
        self._record = record

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        await while_connected(Request(scope, receive), self._run(send))

    async def _run(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send_chunk(send, b"retry: 1000\n\n", seconds=MAX_STALL)
        try:
            # Side by side, since reading on may take long where no index helps.
            await first_of(self._follow(send), self._end())
        except AuditLogError as error:
            # Too late for a status: the listener is told, and may come back with its last id.
            code = problem_of(error).code.encode()
            message = b'event: problem\ndata: {"code":"%b"}\n\n' % code
            await send_chunk(send, message, seconds=MAX_STALL)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _follow(self, send: Send) -> None:
        follower = self._here.follower
        clock = asyncio.get_running_loop().time
        speak = clock() + HEARTBEAT
        record = clock() + RECORD_AGAIN
        while not follower.is_closing:
            news = await follower.read_on(
                self._caller.tenant,
                self._where,
                after=self._after,
                limit=_BATCH,
                wait=max(speak - clock(), 0),
                turn=lambda: self._here.questions.take(self._caller.source),
            )
            if clock() >= record:
                await self._record()
                record = clock() + RECORD_AGAIN
            self._after = news.last
            if news.records:
                chunk = b"".join(map(_message, news.records))
            elif clock() >= speak:
                # The id moves on over what does not match, so that coming back is cheap.
                chunk = b": alive\nid: %d\n\n" % news.last
            else:
                continue
            await send_chunk(send, chunk, seconds=MAX_STALL)
            speak = clock() + HEARTBEAT

    async def _end(self) -> None:
        """Return when the service stops; raise when the token is not good any more."""
        while not await self._here.follower.closes_within(LOOK_AGAIN):
            await require_still(self._request, Scope.EVENTS_READ)


def _message(record: Record) -> bytes:
    # JSON has no line breaks in it, so that one `data` line holds it all.
    return b"id: %d\ndata: %b\n\n" % (record.sequence, record.answer())


_BATCH = 100
