"""What operators and machines ask of the service itself. Public: nothing here is about events."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice import canonical
from auditlogservice.errors import StoreUnreachable, Unavailable
from auditlogservice.events import MAX_AHEAD, MAX_EVENT_BYTES
from auditlogservice.language import MAX_CONDITIONS, MAX_PATTERN, MAX_PATTERNS, MAX_WORDS
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.web.bodies import MAX_BATCH_BYTES, MAX_FORM_BYTES, MAX_USER_BYTES
from auditlogservice.web.documents import JSON, answers, problems
from auditlogservice.web.problems import PROBLEMS, answer
from auditlogservice.web.questions import DEFAULT_LIMIT
from auditlogservice.web.routes.batches import MAX_BATCH_EVENTS
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
        "process": "stopping" if here.recorder.is_closing else "ok",
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
    return Response(orjson.dumps({"status": "ready", "checks": checks}), media_type=JSON)


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


@router.get(
    "/limits",
    summary="How much is too much?",
    responses={200: answers("Every limit, in bytes, seconds or pieces", _OBJECT)},
)
async def read_limits() -> Response:
    limits = {
        "event_bytes": MAX_EVENT_BYTES,
        "batch_bytes": MAX_BATCH_BYTES,
        "batch_events": MAX_BATCH_EVENTS,
        "form_bytes": MAX_FORM_BYTES,
        "user_bytes": MAX_USER_BYTES,
        "nesting_depth": canonical.MAX_DEPTH,
        "object_keys": canonical.MAX_KEYS,
        "key_bytes": canonical.MAX_KEY_BYTES,
        "occurred_at_ahead_seconds": int(MAX_AHEAD.total_seconds()),
        "idempotency_key_characters": 255,
        "page_default": DEFAULT_LIMIT,
        "page_max": MAX_LIMIT,
        "filter_conditions": MAX_CONDITIONS,
        "phrase_words": MAX_WORDS,
        "pattern_characters": MAX_PATTERN,
        "patterns_characters": MAX_PATTERNS,
    }
    return Response(orjson.dumps(limits), media_type=JSON)
