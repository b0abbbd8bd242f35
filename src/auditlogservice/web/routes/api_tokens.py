"""API tokens: one's own, and those of the clients that one manages."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.access import parse_scopes
from auditlogservice.errors import Conflict, Flaw, InvalidInput
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.apitokens import describe_api_token
from auditlogservice.ledger.identity.labels import MAX_API_TOKEN_DAYS
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Anyone, UserManager
from auditlogservice.web.bodies import read_small
from auditlogservice.web.callers import author_of
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.moments import Moment
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.reach import TENANT, grantable, require_all, tenant_of
from auditlogservice.web.routes.clients import within_reach
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from auditlogservice.access import Principal, Scope
    from auditlogservice.ledger.identity.clients import Client
    from auditlogservice.ledger.identity.credentials import ApiToken, OwnerKind

router = APIRouter(tags=["tokens"])

_LIST = {"type": "array", "items": refer("ApiToken")}


class NewApiToken(BaseModel):
    """A token to be made: with all scopes of its owner, and for 90 days, if nothing is said."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    label: str = ""
    scopes: list[str] | None = None
    expires_in: Annotated[int | None, Field(ge=1, le=MAX_API_TOKEN_DAYS * 86_400)] = None
    expires_at: Moment | None = None

    def ends(self, *, now: datetime) -> datetime | None:
        """Return when it is to end, if that is said. Raises InvalidInput if it is said twice."""
        if self.expires_in is None:
            return self.expires_at
        if self.expires_at is not None:
            raise InvalidInput([Flaw("/expires_at", "`expires_in` says already when it ends")])
        return now + timedelta(seconds=self.expires_in)


@router.get(
    "/me/tokens",
    summary="List one's API tokens",
    responses={200: answers("The tokens", _LIST), **problems(400, 401, 404, 409, 422, 503)},
)
async def list_own(request: Request, caller: Anyone) -> Response:
    """Those that are good, the oldest first."""
    refuse_parameters(request)
    return await _listed(request, _own(caller))


@router.post(
    "/me/tokens",
    summary="Get an API token",
    status_code=201,
    responses={
        201: answers("The token, shown this once", refer("NewApiTokenShown")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra=body(json=refer("NewApiToken")),
)
async def add_own(request: Request, caller: Anyone) -> Response:
    """It has no scope that the token lacks which is shown for it."""
    refuse_parameters(request)
    asked = await read_small(request, NewApiToken)
    scopes = caller.scopes if asked.scopes is None else grantable(caller, asked.scopes)
    return await _added(request, caller, _own(caller), asked, scopes)


@router.delete(
    "/me/tokens/{token_id}",
    summary="End one of one's API tokens",
    status_code=204,
    responses=problems(400, 401, 403, 404, 409, 422, 503),
)
async def remove_own(request: Request, token_id: str, caller: Anyone) -> Response:
    """A token with more scopes than the one that is shown is out of its reach."""
    refuse_parameters(request)
    owner = _own(caller)
    token = await services(request).api_tokens.get(owner.id, token_id)
    require_all(caller, token.scopes)
    return await _removed(request, caller, owner, token)


@router.get(
    "/clients/{client_id}/tokens",
    summary="List the API tokens of a client",
    responses={200: answers("The tokens", _LIST), **problems(400, 401, 403, 404, 422, 503)},
    openapi_extra={"parameters": [TENANT]},
)
async def list_of_client(request: Request, client_id: str, caller: UserManager) -> Response:
    """Those that are good, the oldest first."""
    tenant = await tenant_of(request, caller)
    client = await services(request).clients.get(client_id, tenant=tenant)
    return await _listed(request, _of_client(client))


@router.post(
    "/clients/{client_id}/tokens",
    summary="Make an API token for a client",
    status_code=201,
    responses={
        201: answers("The token, shown this once", refer("NewApiTokenShown")),
        **problems(400, 401, 403, 404, 408, 409, 413, 415, 422, 503),
    },
    openapi_extra={"parameters": [TENANT], **body(json=refer("NewApiToken"))},
)
async def add_to_client(request: Request, client_id: str, caller: UserManager) -> Response:
    """For what can keep a token, and cannot get a new one by itself."""
    client = await within_reach(request, client_id, caller)
    asked = await read_small(request, NewApiToken)
    scopes = client.scopes
    if asked.scopes is not None:
        scopes = parse_scopes(asked.scopes, pointer="/scopes")
    return await _added(request, caller, _of_client(client), asked, scopes)


@router.delete(
    "/clients/{client_id}/tokens/{token_id}",
    summary="End an API token of a client",
    status_code=204,
    responses=problems(400, 401, 403, 404, 422, 503),
    openapi_extra={"parameters": [TENANT]},
)
async def remove_of_client(
    request: Request, client_id: str, token_id: str, caller: UserManager
) -> Response:
    client = await within_reach(request, client_id, caller)
    token = await services(request).api_tokens.get(client.id, token_id)
    return await _removed(request, caller, _of_client(client), token)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Owner:
    """Whose the tokens are, and what it is called in records."""

    kind: OwnerKind
    id: str
    name: str
    tenant: str


def _own(caller: Principal) -> _Owner:
    """Return the caller as an owner. Raises Conflict if it is none of this service."""
    if caller.kind == "external":
        raise Conflict("who signs in elsewhere has no API tokens here")
    return _Owner(kind=caller.kind, id=caller.user_id, name=caller.name, tenant=caller.tenant)


def _of_client(client: Client) -> _Owner:
    return _Owner(kind="client", id=client.id, name=client.actor, tenant=client.tenant)


async def _listed(request: Request, owner: _Owner) -> Response:
    tokens = await services(request).api_tokens.all(owner.kind, owner.id)
    return json_answer([describe_api_token(token) for token in tokens])


async def _added(
    request: Request,
    caller: Principal,
    owner: _Owner,
    asked: NewApiToken,
    scopes: frozenset[Scope],
) -> Response:
    here = services(request)
    token, text = await here.api_tokens.issue(
        owner.kind,
        owner.id,
        scopes=scopes,
        label=asked.label,
        expires_at=asked.ends(now=here.clock()),
    )
    await here.self_audit.made(
        acts.TOKEN_ISSUED,
        author_of(request, caller, owner.tenant),
        telling.api_token_issued(owner.name, token),
        undo=lambda: here.api_tokens.remove(owner.kind, owner.id, token.id),
    )
    told = {**describe_api_token(token), "token": text}
    return json_answer(told, 201)


async def _removed(
    request: Request, caller: Principal, owner: _Owner, token: ApiToken
) -> Response:
    here, author = services(request), author_of(request, caller, owner.tenant)
    entry = telling.api_token_revoked(owner.name, token)
    async with here.self_audit.doing(acts.TOKEN_REVOKED, author, entry):
        await here.api_tokens.remove(owner.kind, owner.id, token.id)
    return Response(status_code=204)
