"""What operators and machines ask of the service itself. Public: nothing here is about events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.errors import StoreUnreachable, Unavailable
from auditlogservice.web.answers import json_answer
from auditlogservice.web.documents import JSON, answers, problems
from auditlogservice.web.problems import PROBLEMS, answer
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

router = APIRouter(tags=["service"])

_PING_SECONDS = 2
_OBJECT = {"type": "object"}


@router.get(
    "/livez",
    summary="Is the process alive?",
    responses={200: answers("It is", _OBJECT)},
)
async def read_liveness() -> Response:
    """Never asks the store: a database that is down is no reason to restart the process."""
    return Response(b'{"status":"alive"}', media_type=JSON)


@router.get(
    "/readyz",
    summary="Can it work now?",
    responses={200: answers("It can", _OBJECT), **problems(503)},
)
async def read_readiness(request: Request) -> Response:
    """Say for each thing that work needs whether it is there, and if not, why."""
    here = services(request)
    checks = {
        "store": await _store_check(here.ping),
        "queue": "full" if here.recorder.is_full else "ok",
        "process": "stopping" if here.follower.is_closing else "ok",
    }
    wrong = [f"{name}: {state}" for name, state in checks.items() if state != "ok"]
    if wrong:
        return answer(
            request,
            PROBLEMS[Unavailable],
            detail="; ".join(wrong),
            members={"checks": checks},
            headers={"Retry-After": str(Unavailable.retry_after)},
        )
    return json_answer({"status": "ready", "checks": checks})


async def _store_check(ping: Callable[[], Awaitable[None]]) -> str:
    try:
        async with asyncio.timeout(_PING_SECONDS):
            await ping()
    except TimeoutError:
        return str(StoreUnreachable())
    except Unavailable as error:
        return str(error)
    return "ok"


@router.get(
    "/metrics",
    summary="Figures for Prometheus",
    responses={200: {"description": "The figures", "content": {"text/plain": {}}}},
)
async def read_metrics(request: Request) -> Response:
    page, media = services(request).metrics.page()
    return Response(page, media_type=media)
