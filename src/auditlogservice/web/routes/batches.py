"""Recording many events in one request, each judged on its own or all together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
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
from auditlogservice.events import Erasure, is_idempotency_key, read_event
from auditlogservice.store.port import Appended, KeyConflict, Replayed, Submission, Withdrawn
from auditlogservice.web.authn import Writer
from auditlogservice.web.bodies import MAX_BATCH_BYTES, read_body, require_media
from auditlogservice.web.documents import JSON, answers, body, parameter, problems, refer
from auditlogservice.web.problems import PROBLEMS, answer, problem_of
from auditlogservice.web.routes.events import IDEMPOTENCY_KEY, idempotency_key
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft
    from auditlogservice.store.port import Outcome

router = APIRouter(tags=["events"])

NDJSON = "application/x-ndjson"
MAX_BATCH_EVENTS = 10_000
_PAUSE_EVERY = 200  # events prepared before other requests get their turn

_KEY_FLAW = Flaw("/idempotency_key", "an idempotency key is 1 to 255 visible ASCII characters")


@dataclass(frozen=True, slots=True)
class _Item:
    """One event of a batch: a draft, or the reason why there is none."""

    index: int
    draft: Draft | None
    error: AuditLogError | None = None


@router.post(
    "/events/batch",
    summary="Record many events",
    responses={
        200: answers("What became of each event", refer("BatchResult")),
        **problems(400, 401, 403, 413, 415, 422, 503),
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
    atomic = _atomic(request)
    batch_key = idempotency_key(request)
    raw = await read_body(request, limit=MAX_BATCH_BYTES)
    values = _lines(raw) if media == NDJSON else canonical.parse_array(raw)
    if len(values) > MAX_BATCH_EVENTS:
        raise InputTooLarge(f"a batch may have {MAX_BATCH_EVENTS:,} events")
    items = await _prepare(request, caller, values, batch_key)
    drafts = tuple(item.draft for item in items if item.draft)
    outcomes: tuple[Outcome, ...] = ()
    if drafts and not (atomic and len(drafts) < len(items)):
        outcomes = await services(request).recorder.record(Submission(drafts, atomic=atomic))
    elif atomic:
        outcomes = (Withdrawn(),) * len(drafts)
    result = _result(items, outcomes)
    if atomic and result["failed"]:
        return _refused(request, result)
    return Response(orjson.dumps(result), media_type=JSON)


def _atomic(request: Request) -> bool:
    given = request.query_params.getlist("atomic")
    match given:
        case []:
            return False
        case ["true" | "1"]:
            return True
        case ["false" | "0"]:
            return False
        case _:
            raise InvalidInput([Flaw("atomic", "atomic is true or false")])


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


async def _prepare(
    request: Request,
    caller: Principal,
    values: Sequence[Json | InputRefused],
    batch_key: str | None,
) -> list[_Item]:
    items = []
    for index, value in enumerate(values):
        items.append(_prepare_one(request, caller, index, value, batch_key))
        if index % _PAUSE_EVERY == _PAUSE_EVERY - 1:
            await asyncio.sleep(0)
    return items


def _prepare_one(
    request: Request, caller: Principal, index: int, value: Json | InputRefused, key: str | None
) -> _Item:
    if isinstance(value, InputRefused):
        return _Item(index, None, value)
    here = services(request)
    try:
        own_key, value = _split_key(value)
        event = read_event(value, now=here.clock())
        if own_key is None and key is not None:
            draft = here.recorder.draft(event, caller, key=key, index=index)
        else:
            draft = here.recorder.draft(event, caller, key=own_key)
    except InputRefused as error:
        return _Item(index, None, error)
    return _Item(index, draft)


def _split_key(value: Json) -> tuple[str | None, Json]:
    """The event's own key, and the event without it."""
    if not isinstance(value, dict) or value.get("idempotency_key") is None:
        return None, value
    key = value["idempotency_key"]
    if not isinstance(key, str) or not is_idempotency_key(key):
        raise InvalidInput([_KEY_FLAW])
    return key, {name: item for name, item in value.items() if name != "idempotency_key"}


def _result(items: list[_Item], outcomes: tuple[Outcome, ...]) -> dict[str, list[dict[str, Any]]]:
    successful: list[dict[str, Any]] = []
    failed: list[dict[str, Any]] = []
    remaining = iter(outcomes)
    for item in items:
        if item.error:
            failed.append(_failure(item.index, item.error))
            continue
        match next(remaining):
            case Appended(record):
                successful.append(
                    {"index": item.index, "_id": record.id, "sequence": record.sequence}
                )
            case Replayed(Erasure() as erasure):
                failed.append(_failure(item.index, erasure.error()))
            case Replayed(kept):
                successful.append(
                    {
                        "index": item.index,
                        "_id": kept.id,
                        "sequence": kept.sequence,
                        "replayed": True,
                    }
                )
            case KeyConflict():
                failed.append(_failure(item.index, IdempotencyKeyReused("/idempotency_key")))
            case Withdrawn():
                pass  # it failed for another's sake; the others say why
    return {"successful": successful, "failed": failed}


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
