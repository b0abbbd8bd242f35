"""The short way in for single events: past the framework, to the same function.

Most requests of a busy log are these. FastAPI's way to a handler, through routers and
dependencies, takes about a quarter of all that an event costs (docs/performance.md has the
figures), so this middleware takes `POST /events` out before it. What is answered is the same to
the byte.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.requests import Request

from auditlogservice.access import Scope as Permission
from auditlogservice.errors import AuditLogError
from auditlogservice.web.authn import let_in
from auditlogservice.web.problems import answer_refusal
from auditlogservice.web.routes import events

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Receive, Scope, Send


class Ingest:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or (scope["method"], scope["path"]) != ("POST", "/events"):
            await self._app(scope, receive, send)
            return
        # Metrics and budgets go by the route that would have been taken.
        scope["route"] = events.RECORD
        answer = await _answer(Request(scope, receive))
        await answer(scope, receive, send)


async def _answer(request: Request) -> Response:
    try:
        return await events.record_event(request, await let_in(request, Permission.EVENTS_WRITE))
    except AuditLogError as error:
        return await answer_refusal(request, error)
