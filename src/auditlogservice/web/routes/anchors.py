"""What others say of the log: cosignatures of witnesses (C2SP) and timestamps (RFC 3161)."""

from __future__ import annotations

import base64

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.checkpoints import parse_number
from auditlogservice.errors import MalformedInput, NotFound
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import LedgerReader
from auditlogservice.web.documents import answers, media, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.routes.ledger import AS_IT_IS_NOW, TEXT, require_own
from auditlogservice.web.services import services

router = APIRouter(tags=["ledger"])

REPLY = "application/timestamp-reply"
_REFUSED = problems(400, 401, 403, 404, 422, 503)


@router.get(
    "/ledger/{tenant}/witnessed",
    summary="The newest witnessed checkpoint",
    responses={
        200: media(TEXT, "A checkpoint with cosignatures (c2sp.org/tlog-cosignature)"),
        **_REFUSED,
    },
)
async def read_witnessed(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """Witnesses have seen that it extends every checkpoint that they cosigned before."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    note = await services(request).anchors.witnessed(tenant)
    if note is None:
        raise NotFound("no witness has cosigned a checkpoint of this log")
    return Response(note.to_bytes(), headers=AS_IT_IS_NOW, media_type=TEXT)


@router.get(
    "/ledger/{tenant}/timestamps",
    summary="The timestamps of checkpoints",
    responses={
        200: answers(
            "From the oldest to the newest", {"type": "array", "items": refer("Timestamp")}
        ),
        **_REFUSED,
    },
)
async def read_timestamps(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """Of the last day all, of the last year the first of each day, then of each month."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    told = [
        {
            "size": each.size,
            "time": format_utc(each.time),
            "checkpoint": each.note.decode(),
            "reply": base64.b64encode(each.reply).decode(),
        }
        for each in await services(request).anchors.timestamps(tenant)
    ]
    return json_answer(told, headers=AS_IT_IS_NOW)


@router.get(
    "/ledger/{tenant}/timestamps/{size}",
    summary="The timestamp of one checkpoint",
    responses={200: media(REPLY, "What the authority answered (RFC 3161)"), **_REFUSED},
)
async def read_timestamp(
    request: Request, tenant: str, size: str, caller: LedgerReader
) -> Response:
    """It is of the bytes of the signed checkpoint with so many records."""
    refuse_parameters(request)
    require_own(tenant, caller.tenant)
    try:
        found = await services(request).anchors.timestamp(tenant, parse_number(size))
    except MalformedInput:
        found = None
    if found is None:
        raise NotFound("no checkpoint of this size has a timestamp")
    return Response(found.reply, headers=AS_IT_IS_NOW, media_type=REPLY)
