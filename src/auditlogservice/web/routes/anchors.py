"""What others say of the log: cosignatures of witnesses (C2SP) and timestamps (RFC 3161)."""

from __future__ import annotations

import base64
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.errors import NotFound
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.merkle import MAX_SIZE
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import LedgerReader
from auditlogservice.web.documents import answers, media, parameter, problems, refer
from auditlogservice.web.questions import (
    DEFAULT_LIMIT,
    Parameters,
    next_link,
    refuse_parameters,
)
from auditlogservice.web.routes.ledger import AS_IT_IS_NOW, TEXT, number_of, require_own
from auditlogservice.web.routes.lists import LINK
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
        200: {
            **answers(
                "From the newest to the oldest", {"type": "array", "items": refer("Timestamp")}
            ),
            "headers": {"Link": LINK},
        },
        **_REFUSED,
    },
    openapi_extra={
        "parameters": [
            parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                "How many timestamps a page may have.",
            ),
            parameter(
                "before",
                {"type": "integer", "minimum": 0},
                "Only of checkpoints with fewer records.",
            ),
        ]
    },
)
async def read_timestamps(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """Of the last day all, of the last year the first of each day, then of each month."""
    parameters = Parameters.read(request.scope["query_string"])
    limit = parameters.number("limit", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
    before = None
    if "before" in parameters.given:
        before = parameters.number("before", default=0, low=0, high=MAX_SIZE)
    parameters.end()
    require_own(tenant, caller.tenant)
    found = await services(request).anchors.newest_timestamps(
        tenant, before=before, limit=limit + 1
    )
    told = [
        {
            "size": each.size,
            "time": format_utc(each.time),
            "checkpoint": each.note.decode(),
            "reply": base64.b64encode(each.reply).decode(),
        }
        for each in found[:limit]
    ]
    headers = dict(AS_IT_IS_NOW)
    if len(found) > limit:
        path = f"/ledger/{quote(tenant, safe='')}/timestamps"
        headers["Link"] = next_link(path, parameters, before=str(told[-1]["size"]))
    return json_answer(told, headers=headers)


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
    records = number_of(size, most=MAX_SIZE)
    found = None
    if records is not None:
        found = await services(request).anchors.timestamp(tenant, records)
    if found is None:
        raise NotFound("no checkpoint of this size has a timestamp")
    return Response(found.reply, headers=AS_IT_IS_NOW, media_type=REPLY)
