"""What an operator allows one tenant, where that is not what the settings say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.ledger.governing.quotas import MAX_QUOTA
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Operator
from auditlogservice.web.choosing import read_governing
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.ledger.governing.quotas import TenantLimits

router = APIRouter(tags=["tenants"])

_ANSWER = answers("What was set for the tenant", refer("TenantLimits"))


class NewLimits(BaseModel):
    """All that is to hold. Null is what the settings say."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    events_per_day: Annotated[int, Field(ge=0, le=MAX_QUOTA)] | None


@router.get(
    "/tenants/{tenant}/limits",
    summary="Read the limits of a tenant",
    responses={200: _ANSWER, **problems(400, 401, 403, 404, 422, 503)},
)
async def read_tenant_limits(request: Request, tenant: str, _caller: Operator) -> Response:
    refuse_parameters(request)
    await services(request).tenants.get(tenant)  # one that is not there has no limits
    return _answer(await services(request).quotas.limits(tenant))


@router.put(
    "/tenants/{tenant}/limits",
    summary="Set the limits of a tenant",
    responses={200: _ANSWER, **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503)},
    openapi_extra=body(json=refer("NewTenantLimits")),
)
async def set_tenant_limits(request: Request, tenant: str, caller: Operator) -> Response:
    """They hold on every node within a second. The change is on record in the operator's log."""
    asked = await read_governing(request, NewLimits)
    await services(request).tenants.get(tenant)
    return _answer(await services(request).quotas.change(caller, tenant, asked.events_per_day))


def _answer(limits: TenantLimits) -> Response:
    return json_answer(
        {
            "events_per_day": limits.events_per_day,
            "changed_by": limits.changed_by,
            "changed_at": limits.changed_at and format_utc(limits.changed_at),
        }
    )
