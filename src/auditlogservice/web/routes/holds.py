"""Legal holds: what must not be erased, whoever asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.governance import MAX_REASON
from auditlogservice.language import to_document
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Admin
from auditlogservice.web.callers import origin_of
from auditlogservice.web.choosing import Choice, chosen, read_governing, required_reason
from auditlogservice.web.documents import answers, body, parameter, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.governance import Hold

router = APIRouter(tags=["holds"])


@router.post(
    "/holds",
    summary="Place a legal hold",
    status_code=201,
    responses={
        201: answers("The hold, which stands", refer("Hold")),
        **problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=body(json=refer("NewHold")),
)
async def place_hold(request: Request, caller: Admin) -> Response:
    """From now on nothing that matches is erased, by anyone or by any rule.

    That goes for what is recorded later too. `7d` and the like are counted back from now, once.
    """
    asked = await read_governing(request, Choice)
    where = chosen(asked, now=services(request).clock())
    hold = await services(request).holds.place(
        caller, where, reason=asked.reason, origin=origin_of(request)
    )
    return json_answer(_shown(hold), 201, {"Location": f"/holds/{hold.id}"})


@router.get(
    "/holds",
    summary="List legal holds",
    responses={
        200: answers("The holds that stand", {"type": "array", "items": refer("Hold")}),
        **problems(400, 401, 403, 422, 503),
    },
)
async def list_holds(request: Request, caller: Admin) -> Response:
    """In the order in which they were placed."""
    refuse_parameters(request)
    return json_answer(
        [_shown(hold) for hold in await services(request).holds.standing(caller.tenant)]
    )


@router.get(
    "/holds/{hold_id}",
    summary="Read a legal hold",
    responses={200: answers("The hold", refer("Hold")), **problems(400, 401, 403, 404, 422, 503)},
)
async def read_hold(request: Request, hold_id: str, caller: Admin) -> Response:
    refuse_parameters(request)
    return json_answer(_shown(await services(request).holds.get(caller.tenant, hold_id)))


@router.delete(
    "/holds/{hold_id}",
    summary="Lift a legal hold",
    status_code=204,
    responses=problems(400, 401, 403, 404, 422, 503),
    openapi_extra={
        "parameters": [
            parameter(
                "reason",
                {"type": "string", "minLength": 1, "maxLength": MAX_REASON},
                "Why; kept for good.",
                required=True,
            )
        ]
    },
)
async def lift_hold(request: Request, hold_id: str, caller: Admin) -> Response:
    """What only this hold covered may be erased again. Who lifted it, and why, stays on record."""
    reason = required_reason(request)
    await services(request).holds.lift(caller, hold_id, reason=reason, origin=origin_of(request))
    return Response(status_code=204)


def _shown(hold: Hold) -> dict[str, Any]:
    return {
        "id": hold.id,
        "where": to_document(hold.where),
        "reason": hold.reason,
        "placed_by": hold.placed_by,
        "placed_at": format_utc(hold.placed_at),
    }
