"""Recording many events in one request, each judged on its own or all together."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice import canonical
from auditlogservice.errors import (
    AuditLogError,
    Flaw,
    IdempotencyKeyReused,
    InputRefused,
    InputTooLarge,
    InvalidInput,
    MalformedInput,
)
from auditlogservice.events import Erasure, Record
from auditlogservice.ledger.batches import (
    Told,
    expected_load,
    guess_events,
    prepare,
    record_each,
    record_together,
)
from auditlogservice.store.port import Appended, KeyConflict, Replayed, Withdrawn
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Writer
from auditlogservice.web.bodies import (
    MAX_BATCH_BYTES,
    declared_length,
    read_body,
    require_media,
)
from auditlogservice.web.budgets import add_events
from auditlogservice.web.documents import JSON, NDJSON, answers, body, parameter, problems, refer
from auditlogservice.web.problems import PROBLEMS, answer, problem_of
from auditlogservice.web.questions import Parameters
from auditlogservice.web.routes.events import IDEMPOTENCY_KEY, idempotency_key
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft
    from auditlogservice.ledger.batches import Fate
    from auditlogservice.ledger.recorder import Recorder

router = APIRouter(tags=["events"])

MAX_BATCH_EVENTS = 10_000


@router.post(
    "/events/batch",
    summary="Record many events",
    responses={
        200: answers("What became of each event", refer("BatchResult")),
        **problems(400, 401, 403, 408, 413, 415, 422, 503),
    },
    openapi_extra={
        **body(
            json={"type": "array", "items": refer("BatchEvent")},
            ndjson={"type": "string", "description": "One event a line."},
        ),
        "parameters": [
            parameter(
                "atomic",
                {"type": "boolean", "default": False},
                "If true, one event that is refused refuses them all: 422, and nothing is kept.",
            ),
            IDEMPOTENCY_KEY,
        ],
    },
)
async def record_batch(request: Request, caller: Writer) -> Response:
    """Record up to 10,000 events. `Idempotency-Key` covers events that bring no key of their own.

    With it, a retry must send the same events in the same order.
    """
    media = require_media(request, (JSON, NDJSON))
    parameters = Parameters.read(request.scope["query_string"])
    atomic = parameters.choice("atomic", ("true", "false"), default="false") == "true"
    parameters.end()
    batch_key = idempotency_key(request)
    here = services(request)
    with here.batches.place(caller.source):
        # What there is no room for is refused before it is read: its sender hears so at once.
        here.recorder.check_room(caller, expected_load(declared_length(request)))
        raw = await read_body(request, limit=MAX_BATCH_BYTES)
        told = Told(caller, here.clock(), batch_key)
        load = expected_load(len(raw), events=guess_events(raw))
        with here.recorder.reserve(caller, load) as reservation:
            items = await _prepared(request, told, raw, media)
            record = record_together if atomic else record_each
            result = _result(caller.tenant, await record(here.recorder, reservation, items))
    if atomic and result["failed"]:
        return _refused(request, result)
    return json_answer(result)


async def _prepared(
    request: Request, told: Told, raw: bytes, media: str
) -> list[Draft | InputRefused]:
    """Prepare the batch in its turn, and count its events. Raises QuotaExceeded."""
    here = services(request)
    async with here.batches.turns.take(told.principal.source):
        # In a thread: a large batch keeps a core busy for seconds, and others want answers.
        items = await asyncio.to_thread(_prepare, here.recorder, told, raw, media)
    if len(items) > 1:
        await add_events(request, told.principal, len(items) - 1)
    return items


def _prepare(recorder: Recorder, told: Told, raw: bytes, media: str) -> list[Draft | InputRefused]:
    values = _lines(raw) if media == NDJSON else canonical.parse_array(raw)
    if len(values) > MAX_BATCH_EVENTS:
        raise InputTooLarge(f"a batch may have {MAX_BATCH_EVENTS:,} events")
    return prepare(recorder, told, values)


def _lines(raw: bytes) -> list[Json | InputRefused]:
    """The value of each line that is not blank, or why it has none."""
    values: list[Json | InputRefused] = []
    for line in raw.split(b"\n"):
        if not line.strip():
            continue
        try:
            values.append(canonical.parse(line))
        except InputRefused as error:
            values.append(error)
    if not values:
        raise MalformedInput("the body is empty")
    return values


def _result(tenant: str, fates: list[Fate]) -> dict[str, list[dict[str, Any]]]:
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    for index, fate in enumerate(fates):
        match fate:
            case Appended(record):
                successful.append(_success(index, record))
            case Replayed(Record() as record):
                successful.append({**_success(index, record), "replayed": True})
            case Replayed(Erasure() as erasure):
                failed.append(_failure(index, erasure.error(tenant)))
            case KeyConflict():
                failed.append(_failure(index, IdempotencyKeyReused("/idempotency_key")))
            case Withdrawn():
                pass  # it failed for another's sake; the others say why
            case AuditLogError():
                failed.append(_failure(index, fate))
    return {"successful": successful, "failed": failed}


def _success(index: int, record: Record) -> dict[str, Any]:
    return {"index": index, "_id": record.id, "sequence": record.sequence}


def _failure(index: int, error: AuditLogError) -> dict[str, Any]:
    flaw = error.flaws[0] if isinstance(error, InvalidInput) else Flaw("", str(error))
    return {
        "index": index,
        "code": problem_of(error).code,
        "detail": flaw.detail,
        "pointer": flaw.pointer,
    }


def _refused(request: Request, result: dict[str, list[dict[str, Any]]]) -> Response:
    """An atomic batch that cannot be kept: a problem, which points into the batch."""
    flaws = [
        {"pointer": f"/{failure['index']}{failure['pointer']}", "detail": failure["detail"]}
        for failure in result["failed"]
    ]
    return answer(
        request,
        PROBLEMS[InvalidInput],
        detail="an event of this atomic batch was refused, so none was kept",
        members={"errors": flaws, "successful": [], "failed": result["failed"]},
    )
