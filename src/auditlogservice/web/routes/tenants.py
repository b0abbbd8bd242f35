"""Tenants, for the operator: which there are, made, suspended, resumed and removed.

None of this shows, or changes, what a tenant has on record.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auditlogservice.access import describe_tenant
from auditlogservice.errors import Conflict
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.suspensions import set_suspended
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Operator
from auditlogservice.web.callers import author_of
from auditlogservice.web.choosing import read_governing
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.access import Principal

router = APIRouter(tags=["tenants"])


class NewTenant(BaseModel):
    """A tenant to be made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str


class TenantChange(BaseModel):
    """What is to be different."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    suspended: bool


@router.get(
    "/tenants",
    summary="List tenants",
    responses={
        200: answers("All tenants", {"type": "array", "items": refer("Tenant")}),
        **problems(400, 401, 403, 422, 503),
    },
)
async def list_tenants(request: Request, _caller: Operator) -> Response:
    """In order of name; those too of which only users, or only a log, are there."""
    refuse_parameters(request)
    return json_answer(list(map(describe_tenant, await services(request).tenants.all())))


@router.post(
    "/tenants",
    summary="Add a tenant",
    status_code=201,
    responses={
        201: answers("The tenant", refer("Tenant")),
        **problems(400, 401, 403, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=body(json=refer("NewTenant")),
)
async def add_tenant(request: Request, caller: Operator) -> Response:
    """Its first user is made with `POST /users?tenant=…`."""
    asked = await read_governing(request, NewTenant)
    here, author = services(request), author_of(request, caller)
    await here.tenants.check_new(asked.name)
    async with here.self_audit.doing(acts.TENANT_ADDED, author, telling.tenant_added(asked.name)):
        made = await here.tenants.add(asked.name)
    return json_answer(describe_tenant(made), 201, {"Location": f"/tenants/{made.name}"})


@router.get(
    "/tenants/{tenant}",
    summary="Read a tenant",
    responses={
        200: answers("The tenant", refer("Tenant")),
        **problems(400, 401, 403, 404, 422, 503),
    },
)
async def read_tenant(request: Request, tenant: str, _caller: Operator) -> Response:
    refuse_parameters(request)
    return json_answer(describe_tenant(await services(request).tenants.get(tenant)))


@router.patch(
    "/tenants/{tenant}",
    summary="Suspend or resume a tenant",
    responses={
        200: answers("The tenant as it is now", refer("Tenant")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=body(json=refer("TenantChange")),
)
async def change_tenant(request: Request, tenant: str, caller: Operator) -> Response:
    """While it is suspended, nobody signs in to it and no token of it works, on any node.

    Its log stays, and stays signed. Resumed, it works as before.
    """
    asked = await read_governing(request, TenantChange)
    if asked.suspended:
        _refuse_own(caller, tenant)
    here = services(request)
    changed = await set_suspended(
        here.tenants,
        here.self_audit,
        author_of(request, caller),
        tenant,
        suspended=asked.suspended,
    )
    return json_answer(describe_tenant(changed))


@router.delete(
    "/tenants/{tenant}",
    summary="Remove a tenant",
    status_code=204,
    responses=problems(400, 401, 403, 404, 409, 422, 503),
)
async def remove_tenant(request: Request, tenant: str, caller: Operator) -> Response:
    """Only one without a user, a client and a record, erased ones included."""
    refuse_parameters(request)
    here, author = services(request), author_of(request, caller)
    await here.tenants.check_empty(tenant)
    async with here.self_audit.doing(acts.TENANT_REMOVED, author, telling.tenant_removed(tenant)):
        await here.tenants.remove(tenant)
    return Response(status_code=204)


def _refuse_own(caller: Principal, tenant: str) -> None:
    if tenant == caller.tenant:
        raise Conflict("nobody can suspend their own tenant")
