"""Which call is counted against which budget, and where that is done: before a body is read.

What is not here is not counted: what proves the log, what erases, what manages, and what tells
how the service is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import Request  # noqa: TC002 - FastAPI reads the types of a dependency

from auditlogservice.budgets import Budget
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.access import Principal

BUDGETS = {
    ("POST", "/events"): Budget.INGEST,
    ("POST", "/events/batch"): Budget.INGEST,
    ("GET", "/events"): Budget.SEARCH,
    ("POST", "/events/search"): Budget.SEARCH,
    ("GET", "/events/count"): Budget.SEARCH,
    ("GET", "/events/histogram"): Budget.SEARCH,
    ("GET", "/events/facets"): Budget.SEARCH,
    ("GET", "/events/feed"): Budget.SEARCH,
    ("GET", "/events/stream"): Budget.SEARCH,
    ("GET", "/events/{event_id}"): Budget.SEARCH,
    ("GET", "/events/export"): Budget.EXPORT,
    ("POST", "/token"): Budget.TOKEN,
    ("POST", "/revoke"): Budget.TOKEN,
    ("POST", "/introspect"): Budget.TOKEN,
    ("POST", "/signin"): Budget.TOKEN,
}


async def begin(request: Request, caller: Principal) -> None:
    """Count one call, or the first event of it. Raises RateLimited, QuotaExceeded."""
    budget = BUDGETS.get((request.method, request.scope["route"].path))
    if budget is None:
        return
    here = services(request)
    standings = here.limiter.begin(budget, caller)
    if budget is Budget.INGEST and (quota := await here.quotas.use(caller.tenant, 1)):
        standings.append(quota)
    request.scope["standings"] = standings  # for the answer, whoever makes it


async def add_events(request: Request, caller: Principal, number: int) -> None:
    """Count more events of a call that was begun. Raises QuotaExceeded."""
    here = services(request)
    quota = await here.quotas.use(caller.tenant, number)
    standings = here.limiter.add(Budget.INGEST, caller, number)
    request.scope["standings"] = [*standings, quota] if quota else standings


async def begin_token(request: Request) -> None:
    """Count one call of somebody who has yet to say who they are. Raises RateLimited."""
    standings = services(request).limiter.begin_unknown(Budget.TOKEN, address(request))
    request.scope["standings"] = standings


def address(request: Request) -> str:
    """Return where the request comes from; behind a proxy that is trusted, what that says."""
    return request.client.host if request.client else ""
