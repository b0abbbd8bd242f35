"""Users of one's own tenant, or for an operator of any, and who one is oneself."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.access import DEFAULT_SCOPES, describe_user, format_scopes
from auditlogservice.errors import Conflict
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.passwords import check_password
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Anyone, UserManager
from auditlogservice.web.bodies import read_small
from auditlogservice.web.callers import author_of
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.reach import TENANT, grantable, require_all, tenant_of, with_tenant
from auditlogservice.web.services import services

router = APIRouter(tags=["users"])


class NewUser(BaseModel):
    """A user to be made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    password: Annotated[str, Field(repr=False)]
    scopes: list[str] = Field(default_factory=lambda: format_scopes(DEFAULT_SCOPES).split())


class UserChange(BaseModel):
    """What is to be different. What is absent stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    password: Annotated[str | None, Field(repr=False)] = None
    scopes: list[str] | None = None
    disabled: bool | None = None


@router.get(
    "/me",
    summary="Who am I?",
    responses={200: answers("The caller", refer("Caller")), **problems(400, 401, 422, 503)},
)
async def read_me(request: Request, caller: Anyone) -> Response:
    """Any good token may ask, whatever its scopes."""
    refuse_parameters(request)
    return json_answer(
        {
            "name": caller.name,
            "tenant": caller.tenant,
            "scopes": format_scopes(caller.scopes).split(),
        }
    )


@router.get(
    "/users",
    summary="List users",
    responses={
        200: answers("The users of the tenant", {"type": "array", "items": refer("User")}),
        **problems(400, 401, 403, 404, 422, 503),
    },
    openapi_extra={"parameters": [TENANT]},
)
async def list_users(request: Request, caller: UserManager) -> Response:
    tenant = await tenant_of(request, caller)
    users = await services(request).accounts.users(tenant)
    return json_answer([describe_user(user) for user in users])


@router.post(
    "/users",
    summary="Add a user",
    status_code=201,
    responses={
        201: answers("The user", refer("User")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("NewUser"))},
)
async def add_user(request: Request, caller: UserManager) -> Response:
    """Nobody can give a scope that is not their own."""
    tenant = await tenant_of(request, caller)
    asked = await read_small(request, NewUser)
    scopes = grantable(caller, asked.scopes)
    here = services(request)
    await here.accounts.check_new(asked.name, asked.password, tenant=tenant)
    async with here.self_audit.doing(
        acts.USER_ADDED, author_of(request, caller, tenant), telling.user_added(asked.name, scopes)
    ):
        user = await here.accounts.add(asked.name, asked.password, scopes=scopes, tenant=tenant)
    address = with_tenant(f"/users/{user.name}", tenant, caller)
    return json_answer(describe_user(user), 201, {"Location": address})


@router.get(
    "/users/{name}",
    summary="Read a user",
    responses={200: answers("The user", refer("User")), **problems(400, 401, 403, 404, 422, 503)},
    openapi_extra={"parameters": [TENANT]},
)
async def read_user(request: Request, name: str, caller: UserManager) -> Response:
    tenant = await tenant_of(request, caller)
    user = await services(request).accounts.user(name, tenant=tenant)
    return json_answer(describe_user(user))


@router.patch(
    "/users/{name}",
    summary="Change a user",
    responses={
        200: answers("The user as it is now", refer("User")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("UserChange"))},
)
async def change_user(request: Request, name: str, caller: UserManager) -> Response:
    """Change password, scopes, or whether the user may come in; at once, on every node.

    Who has a scope that the caller lacks is out of reach.
    """
    tenant = await tenant_of(request, caller)
    asked = await read_small(request, UserChange)
    here = services(request)
    user = await here.accounts.user(name, tenant=tenant)
    require_all(caller, user.scopes)
    scopes = None if asked.scopes is None else grantable(caller, asked.scopes)
    if user.id == caller.user_id and (asked.disabled or scopes is not None):
        raise Conflict("nobody can disable themselves or change their own scopes")
    if asked.password is not None:
        check_password(asked.password)
    entry = telling.user_changed(
        user, password=asked.password, scopes=scopes, disabled=asked.disabled
    )
    author = author_of(request, caller, tenant)
    async with here.self_audit.doing(acts.USER_CHANGED, author, entry):
        user = await here.accounts.change(
            user, password=asked.password, scopes=scopes, disabled=asked.disabled
        )
    return json_answer(describe_user(user))


@router.delete(
    "/users/{name}",
    summary="Remove a user",
    status_code=204,
    responses=problems(400, 401, 403, 404, 409, 422, 503),
    openapi_extra={"parameters": [TENANT]},
)
async def remove_user(request: Request, name: str, caller: UserManager) -> Response:
    """Remove a user, who has no scope that the caller lacks; its events stay."""
    tenant = await tenant_of(request, caller)
    here = services(request)
    user = await here.accounts.user(name, tenant=tenant)
    require_all(caller, user.scopes)
    if user.id == caller.user_id:
        raise Conflict("nobody can remove themselves")
    async with here.self_audit.doing(
        acts.USER_REMOVED, author_of(request, caller, tenant), telling.user_removed(user)
    ):
        await here.accounts.remove(user)
        await here.api_tokens.forget(user.id)
    return Response(status_code=204)
