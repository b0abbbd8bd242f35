"""What verifiers found, told by themselves and put on record: the service cannot watch them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.auditing.findings import State
from auditlogservice.ledger.selfaudit.acts import LEDGER_VERIFIED
from auditlogservice.ledger.selfaudit.recording import Entry
from auditlogservice.merkle import MAX_SIZE
from auditlogservice.web.authn import LedgerReader
from auditlogservice.web.callers import author_of
from auditlogservice.web.choosing import read_governing
from auditlogservice.web.documents import body, problems, refer
from auditlogservice.web.routes.ledger import require_own
from auditlogservice.web.services import services

router = APIRouter(tags=["ledger"])

_Count = Annotated[int, Field(ge=0, le=MAX_SIZE)]
_STATE = "^(" + "|".join(State) + ")$"


class Verification(BaseModel):
    """What a verification found in a tree of `size`; `found` counts what was not as it must be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    size: _Count
    root: Annotated[str, Field(pattern="^([0-9a-f]{64})?$")]
    found: Annotated[int, Field(ge=0, le=2**63 - 1)]
    states: dict[Annotated[str, Field(pattern=_STATE)], _Count]


@router.post(
    "/ledger/{tenant}/verifications",
    summary="Tell what a verification found",
    status_code=204,
    responses=problems(400, 401, 403, 404, 408, 413, 415, 422, 503),
    openapi_extra=body(json=refer("Verification")),
)
async def record_verification(request: Request, tenant: str, caller: LedgerReader) -> Response:
    """It is on record in the log then, as what the caller says: nobody else has seen it."""
    told = await read_governing(request, Verification)
    require_own(tenant, caller.tenant)
    verdict = "all is right" if told.found == 0 else f"{told.found:,} findings"
    entry = Entry(
        detail=f"{caller.name} verified {told.size:,} records: {verdict}",
        kind="log",
        id=tenant,
        data={
            "size": told.size,
            "root": told.root,
            "found": told.found,
            "states": dict(told.states),
        },
    )
    await services(request).self_audit.record(
        LEDGER_VERIFIED,
        author_of(request, caller),
        entry,
        outcome="success" if told.found == 0 else "failure",
    )
    return Response(status_code=204)
