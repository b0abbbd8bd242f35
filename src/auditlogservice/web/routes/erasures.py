"""Erasing all that matches: seen beforehand, then done step by step, as a job to follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.language import to_document
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Eraser
from auditlogservice.web.callers import origin_of, record_read
from auditlogservice.web.choosing import NewErasure, chosen, read_governing
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.patience import while_connected
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.governance import ErasureJob

router = APIRouter(tags=["erasures"])


@router.post(
    "/erasures",
    summary="Erase all events that match",
    status_code=202,
    responses={
        202: answers("It will be done; `Location` says how far it is", refer("Erasure")),
        200: answers("A preview: what it would find", refer("ErasurePreview")),
        **problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=body(json=refer("NewErasure")),
)
async def start_erasure(request: Request, caller: Eraser) -> Response:
    """What is recorded later is not touched; what a legal hold covers is left and counted.

    With `preview` nothing is erased and nothing kept.
    """
    asked = await read_governing(request, NewErasure)
    where = chosen(asked, now=services(request).clock())
    erasures = services(request).erasures
    if asked.preview:
        found = await while_connected(request, erasures.preview(caller, where))
        await record_read(
            request,
            caller,
            "preview",
            question=orjson.dumps(to_document(where)).decode(),
            where=where,
        )
        return json_answer(found)
    job = await erasures.ask(caller, where, reason=asked.reason, origin=origin_of(request))
    return json_answer(_shown(job), 202, {"Location": f"/erasures/{job.id}"})


@router.get(
    "/erasures",
    summary="List erasures",
    responses={
        200: answers("All erasures by filter", {"type": "array", "items": refer("Erasure")}),
        **problems(400, 401, 403, 422, 503),
    },
)
async def list_erasures(request: Request, caller: Eraser) -> Response:
    """In the order in which they were asked for; the newest thousand."""
    refuse_parameters(request)
    return json_answer(
        [_shown(job) for job in await services(request).erasures.all(caller.tenant)]
    )


@router.get(
    "/erasures/{erasure_id}",
    summary="Follow an erasure",
    responses={
        200: answers("How far it is", refer("Erasure")),
        **problems(400, 401, 403, 404, 422, 503),
    },
)
async def read_erasure(request: Request, erasure_id: str, caller: Eraser) -> Response:
    refuse_parameters(request)
    return json_answer(_shown(await services(request).erasures.get(caller.tenant, erasure_id)))


def _shown(job: ErasureJob) -> dict[str, Any]:
    return {
        "id": job.id,
        "where": to_document(job.where),
        "reason": job.reason,
        "asked_by": job.asked_by,
        "asked_at": format_utc(job.asked_at),
        "end": job.end,
        "state": job.state,
        "erased": job.erased,
        "held": job.held,
        "last_sequence": job.last,
        "failure": job.failure,
    }
