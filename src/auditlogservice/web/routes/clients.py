"""Clients of one's own tenant, or for an operator of any: programs, and their secrets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict
from starlette.responses import Response

from auditlogservice.errors import Conflict
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.clients import describe_client, describe_secret
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import UserManager
from auditlogservice.web.bodies import read_small
from auditlogservice.web.callers import author_of
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.moments import Moment
from auditlogservice.web.reach import TENANT, grantable, require_all, tenant_of, with_tenant
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from auditlogservice.access import Principal
    from auditlogservice.ledger.identity.clients import Client
    from auditlogservice.ledger.selfaudit.recording import Entry

router = APIRouter(tags=["clients"])


class NewClient(BaseModel):
    """A client to be made."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    name: str
    scopes: list[str]


class ClientChange(BaseModel):
    """What is to be different. What is absent stays."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    scopes: list[str] | None = None
    disabled: bool | None = None


class NewClientSecret(BaseModel):
    """A secret to be made; without `expires_at` it does not end by itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: str = ""
    expires_at: Moment | None = None


@router.get(
    "/clients",
    summary="List clients",
    responses={
        200: answers("The clients of the tenant", {"type": "array", "items": refer("Client")}),
        **problems(400, 401, 403, 404, 422, 503),
    },
    openapi_extra={"parameters": [TENANT]},
)
async def list_clients(request: Request, caller: UserManager) -> Response:
    """In order of name."""
    tenant = await tenant_of(request, caller)
    found = await services(request).clients.all(tenant)
    return json_answer([describe_client(client) for client in found])


@router.post(
    "/clients",
    summary="Add a client",
    status_code=201,
    responses={
        201: answers("The client, without a secret yet", refer("Client")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("NewClient"))},
)
async def add_client(request: Request, caller: UserManager) -> Response:
    """Nobody can give a scope that is not their own."""
    tenant = await tenant_of(request, caller)
    asked = await read_small(request, NewClient)
    scopes = grantable(caller, asked.scopes)
    here = services(request)
    await here.clients.check_new(asked.name, tenant=tenant)
    author, entry = author_of(request, caller, tenant), telling.client_added(asked.name, scopes)
    async with here.self_audit.doing(acts.CLIENT_ADDED, author, entry):
        client = await here.clients.add(asked.name, scopes=scopes, tenant=tenant)
    address = with_tenant(f"/clients/{client.id}", tenant, caller)
    return json_answer(describe_client(client), 201, {"Location": address})


@router.get(
    "/clients/{client_id}",
    summary="Read a client",
    responses={
        200: answers("The client", refer("Client")),
        **problems(400, 401, 403, 404, 422, 503),
    },
    openapi_extra={"parameters": [TENANT]},
)
async def read_client(request: Request, client_id: str, caller: UserManager) -> Response:
    tenant = await tenant_of(request, caller)
    client = await services(request).clients.get(client_id, tenant=tenant)
    return json_answer(describe_client(client))


@router.patch(
    "/clients/{client_id}",
    summary="Change a client",
    responses={
        200: answers("The client as it is now", refer("Client")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("ClientChange"))},
)
async def change_client(request: Request, client_id: str, caller: UserManager) -> Response:
    """Change scopes, or whether the client may come in; at once, on every node."""
    client = await within_reach(request, client_id, caller)
    asked = await read_small(request, ClientChange)
    scopes = None if asked.scopes is None else grantable(caller, asked.scopes)
    if client.id == caller.user_id and (asked.disabled or scopes is not None):
        raise Conflict("nobody can disable themselves or change their own scopes")
    entry = telling.client_changed(client, scopes=scopes, disabled=asked.disabled)
    async with _changing(request, caller, client, entry):
        client = await services(request).clients.change(
            client, scopes=scopes, disabled=asked.disabled
        )
    return json_answer(describe_client(client))


@router.delete(
    "/clients/{client_id}",
    summary="Remove a client",
    status_code=204,
    responses=problems(400, 401, 403, 404, 409, 422, 503),
    openapi_extra={"parameters": [TENANT]},
)
async def remove_client(request: Request, client_id: str, caller: UserManager) -> Response:
    """Remove a client, with its secrets and tokens; its events stay."""
    client = await within_reach(request, client_id, caller)
    if client.id == caller.user_id:
        raise Conflict("nobody can remove themselves")
    here, author = services(request), author_of(request, caller, client.tenant)
    async with here.self_audit.doing(acts.CLIENT_REMOVED, author, telling.client_removed(client)):
        await here.clients.remove(client)
    return Response(status_code=204)


@router.post(
    "/clients/{client_id}/secrets",
    summary="Add a secret to a client",
    status_code=201,
    responses={
        201: answers("The secret, shown this once", refer("NewClientSecretShown")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("NewClientSecret"))},
)
async def add_secret(request: Request, client_id: str, caller: UserManager) -> Response:
    """Two may be active at once, so that one can follow the other without a pause."""
    client = await within_reach(request, client_id, caller)
    asked = await read_small(request, NewClientSecret)
    here = services(request)
    secret, text = await here.clients.add_secret(
        client, label=asked.label, expires_at=asked.expires_at
    )
    await here.self_audit.made(
        acts.CLIENT_CHANGED,
        author_of(request, caller, client.tenant),
        telling.secret_added(client, secret),
        undo=lambda: here.clients.remove_secret(client, secret.id),
    )
    return json_answer({**describe_secret(secret), "secret": text}, 201)


@router.delete(
    "/clients/{client_id}/secrets/{secret_id}",
    summary="Remove a secret of a client",
    status_code=204,
    responses=problems(400, 401, 403, 404, 422, 503),
    openapi_extra={"parameters": [TENANT]},
)
async def remove_secret(
    request: Request, client_id: str, secret_id: str, caller: UserManager
) -> Response:
    """Signed tokens that were got with it end too; at once, on every node."""
    client = await within_reach(request, client_id, caller)
    client.require_secret(secret_id)
    async with _changing(request, caller, client, telling.secret_removed(client, secret_id)):
        await services(request).clients.remove_secret(client, secret_id)
    return Response(status_code=204)


def _changing(
    request: Request, caller: Principal, client: Client, entry: Entry
) -> AbstractAsyncContextManager[None]:
    """Put it on record that the client is to be changed."""
    author = author_of(request, caller, client.tenant)
    return services(request).self_audit.doing(acts.CLIENT_CHANGED, author, entry)


async def within_reach(request: Request, client_id: str, caller: Principal) -> Client:
    """Return the client, if it is of the tenant that is meant and has no scope the caller lacks.

    Whoever can give a client a secret can come in as that client. The call has no parameter but
    `tenant`.
    """
    tenant = await tenant_of(request, caller)
    client = await services(request).clients.get(client_id, tenant=tenant)
    require_all(caller, client.scopes)
    return client
