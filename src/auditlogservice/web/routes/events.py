"""Recording one event, reading it, and erasing it. Batches are `batches.py`, lists `lists.py`."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice import canonical
from auditlogservice.errors import BadIdempotencyKey, IdempotencyKeyReused
from auditlogservice.events import (
    IDEMPOTENCY_KEY_RULE,
    MAX_EVENT_BYTES,
    MAX_IDEMPOTENCY_KEY,
    Erasure,
    Event,
    Record,
    is_idempotency_key,
    read_event,
)
from auditlogservice.governance import MAX_REASON
from auditlogservice.store.port import Appended, Replayed
from auditlogservice.web.authn import Eraser, Reader, Writer
from auditlogservice.web.bodies import read_body, require_media
from auditlogservice.web.callers import record_one_read
from auditlogservice.web.choosing import optional_reason
from auditlogservice.web.documents import JSON, answers, body, parameter, problems, refer
from auditlogservice.web.headers import header_values
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

router = APIRouter(tags=["events"])

IDEMPOTENCY_KEY = parameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": MAX_IDEMPOTENCY_KEY, "pattern": "^[!-~]+$"},
    "Makes a retry safe: one key of one user stands for one event.",
    place="header",
)


@router.post(
    "/events",
    summary="Record an event",
    status_code=201,
    responses={
        201: answers("The record, on disk and searchable", refer("Record")),
        200: answers("A retry: the record that the first call made", refer("Record")),
        **problems(400, 401, 403, 408, 410, 413, 415, 422, 503),
    },
    openapi_extra={**body(json=refer("Event")), "parameters": [IDEMPOTENCY_KEY]},
)
async def record_event(request: Request, caller: Writer) -> Response:
    """201 means that the record is on disk and that the next search finds it."""
    require_media(request, (JSON,))
    refuse_parameters(request)
    key = idempotency_key(request)
    raw = await read_body(request, limit=MAX_EVENT_BYTES)
    recorder, clock = services(request).recorder, services(request).clock

    def read() -> Event:
        return read_event(canonical.parse(raw), now=clock())

    match await recorder.record_one(read, caller, key=key):
        case Appended(record):
            return _record(record.answer(), 201, {"Location": f"/events/{record.id}"})
        case Replayed(Erasure() as erasure):
            raise erasure.error(caller.tenant)
        case Replayed(Record() as record):
            headers = {"Location": f"/events/{record.id}", "Idempotent-Replayed": "true"}
            return _record(record.answer(), 200, headers)
        case _:
            raise IdempotencyKeyReused


def idempotency_key(request: Request) -> str | None:
    """Return the Idempotency-Key header, if there is one. Raises BadIdempotencyKey."""
    given = header_values(request.scope, b"idempotency-key")
    if not given:
        return None
    if len(given) > 1 or not is_idempotency_key(given[0]):
        raise BadIdempotencyKey(IDEMPOTENCY_KEY_RULE)
    return given[0]


@router.get(
    "/events/{event_id}",
    summary="Read an event",
    responses={
        200: answers("The record", refer("Record")),
        **problems(400, 401, 403, 404, 410, 422, 503),
    },
)
async def read_one(request: Request, event_id: str, caller: Reader) -> Response:
    refuse_parameters(request)
    record = await services(request).records.get(caller, event_id)
    await record_one_read(request, caller, "get", record.id, record)
    return _record(record.answer(), 200, {})


@router.delete(
    "/events/{event_id}",
    summary="Erase an event",
    status_code=204,
    responses=problems(400, 401, 403, 404, 409, 410, 422, 503),
    openapi_extra={
        "parameters": [
            parameter("reason", {"type": "string", "maxLength": MAX_REASON}, "Why; kept for good.")
        ]
    },
)
async def erase_event(request: Request, event_id: str, caller: Eraser) -> Response:
    """The content is destroyed; the place in the log stays, with who, when and why."""
    reason = optional_reason(request)
    await services(request).eraser.erase(caller, event_id, reason=reason)
    return Response(status_code=204)


def _record(content: bytes, status: int, headers: dict[str, str]) -> Response:
    return Response(content, status, headers, JSON)
