"""The fast path: the requests that a busy log has most of go past the framework.

They are a single event, one record, and a page of a list. FastAPI's way to a handler, through
routers and dependencies, takes 300 µs, more than such a read costs otherwise
(docs/performance.md has the figures), so this middleware calls the very functions of the routes
before it. What is answered is the same to the byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from starlette.requests import Request

from auditlogservice.access import Scope as Permission
from auditlogservice.errors import AuditLogError
from auditlogservice.events import parse_event_id
from auditlogservice.web.authn import let_in
from auditlogservice.web.problems import answer_refusal
from auditlogservice.web.routes import events, lists

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from fastapi import APIRouter
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp, Receive, Scope, Send

    from auditlogservice.access import Principal

_ONE = "/events/"


async def _read_one(request: Request, caller: Principal) -> Response:
    return await events.read_one(request, request.scope["path"].removeprefix(_ONE), caller)


@dataclass(frozen=True, slots=True)
class _Hot:
    """What the router would have found: the route, its one scope, and what answers."""

    route: BaseRoute
    needed: Permission
    handle: Callable[[Request, Principal], Awaitable[Response]]


def _route(router: APIRouter, endpoint: object) -> BaseRoute:
    return next(each for each in router.routes if getattr(each, "endpoint", None) is endpoint)


_ALL = {
    "POST": _Hot(
        _route(events.router, events.record_event), Permission.EVENTS_WRITE, events.record_event
    ),
    "GET": _Hot(
        _route(lists.router, lists.list_events), Permission.EVENTS_READ, lists.list_events
    ),
}
_READ = _Hot(_route(events.router, events.read_one), Permission.EVENTS_READ, _read_one)


def _choose(method: str, path: str) -> _Hot | None:
    if path == "/events":
        return _ALL.get(method)
    # Of the other routes below it none ends in what can be an id; a bad id goes the long way.
    if method == "GET" and path.startswith(_ONE) and parse_event_id(path[len(_ONE) :]):
        return _READ
    return None


class FastPath:
    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        hot = _choose(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if hot is None:
            await self._app(scope, receive, send)
            return
        # Metrics and budgets go by the route that would have been taken.
        scope["route"] = hot.route
        answer = await _answer(Request(scope, receive), hot)
        await answer(scope, receive, send)


async def _answer(request: Request, hot: _Hot) -> Response:
    try:
        return await hot.handle(request, await let_in(request, hot.needed))
    except AuditLogError as error:
        return await answer_refusal(request, error)
