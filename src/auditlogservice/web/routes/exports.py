"""Exports: all that matches as one file, streamed, with one page in memory at a time.

An answer is complete, or its connection is broken off: what can be wrong from the start is a
problem, and what fails later leaves the answer without its end, which every HTTP client notices.
"""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice import access
from auditlogservice.events import Sequence
from auditlogservice.ledger.formats.known import FORMATS
from auditlogservice.ledger.walk import LAST, START
from auditlogservice.web.authn import Exporter, require_still
from auditlogservice.web.callers import question_of, record_export
from auditlogservice.web.documents import parameter, problems
from auditlogservice.web.patience import send_chunk, while_connected
from auditlogservice.web.questions import Parameters, take_filter
from auditlogservice.web.routes.lists import FILTERS
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.types import Receive, Scope, Send

    from auditlogservice.ledger.exporter import Export
    from auditlogservice.ledger.formats.encoding import Encoder

router = APIRouter(tags=["exports"])

MAX_STALL = 60.0  # seconds that a reader may keep a write waiting before it is dropped
MAX_EXPORTS = 8  # at once: each has a page in memory, and what its format makes of it


@router.get(
    "/events/export",
    summary="Export events",
    responses={
        200: {
            "description": "The file. It is complete if the answer has an end",
            "content": {
                media: {"schema": {"type": "string"}}
                for media in sorted({each.media_type for each in FORMATS.values()})
            },
            "headers": {
                "Auditlog-Snapshot-End": {
                    "description": "The first sequence that is not in the file, matching or not: "
                    "what to give as `after`, less one, to get what came in since.",
                    "schema": {"type": "integer", "format": "int64", "minimum": 0},
                },
                "Content-Disposition": {
                    "description": "A name for the file.",
                    "schema": {"type": "string"},
                },
            },
        },
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={
        "parameters": [
            parameter(
                "format",
                {"type": "string", "enum": list(FORMATS), "default": "ndjson"},
                "What the file looks like.",
            ),
            parameter(
                "after",
                {"type": "integer", "minimum": START, "default": START},
                "Only what comes after this sequence: how a broken export goes on.",
            ),
            *FILTERS,
        ]
    },
)
async def export_events(request: Request, caller: Exporter) -> Response:
    """Every record that matches and was kept when the export began, oldest first."""
    parameters = Parameters.read(request.scope["query_string"])
    name = parameters.choice("format", FORMATS, default="ndjson")
    after = parameters.number("after", default=START, low=START, high=LAST)
    here = services(request)
    where = take_filter(parameters, now=here.clock())
    parameters.done()
    form = FORMATS[name]
    with ExitStack() as stack:
        stack.enter_context(here.exports.take(caller.source))
        encoder = await asyncio.to_thread(form.encoder)
        export = await while_connected(
            request,
            here.exporter.start(
                caller,
                where,
                after=Sequence(after),
                turn=lambda: here.questions.take(caller.source),
            ),
        )
        await record_export(
            request,
            caller,
            form=name,
            question=question_of(parameters),
            where=where,
            after=after,
            end=export.end,
        )
        place = stack.pop_all()  # from here on it is the answer's, which starts at once
    file = f"audit-{caller.tenant}-{after + 1}-{export.end}.{form.suffix}"
    headers = {
        "Auditlog-Snapshot-End": str(export.end),
        "Content-Disposition": f'attachment; filename="{file}"',
        "Content-Type": form.media_type,
    }
    still = partial(require_still, request, access.Scope.EVENTS_EXPORT)
    return _Download(export, encoder, headers, place, still)


class _Download(Response):
    """The answer to an export: read on only as fast as the reader takes it in."""

    def __init__(
        self,
        export: Export,
        encoder: Encoder,
        headers: dict[str, str],
        place: ExitStack,
        still: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(headers=headers)
        del self.headers["content-length"]
        self._export = export
        self._encoder = encoder
        self._place = place
        self._still = still

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._place:
            await while_connected(Request(scope, receive), self._run(send))

    async def _run(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        await send_chunk(send, self._encoder.start(), seconds=MAX_STALL)
        async for page in self._export.pages:
            await self._still()
            # Encoding takes time that others would have to wait for.
            chunk = await asyncio.to_thread(self._encoder.add, page)
            del page  # before the chunk waits for its reader, and the next page is read
            await send_chunk(send, chunk, seconds=MAX_STALL)
            del chunk
        chunk = await asyncio.to_thread(self._encoder.finish)
        await send_chunk(send, chunk, seconds=MAX_STALL)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
