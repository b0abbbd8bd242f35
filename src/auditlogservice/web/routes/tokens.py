"""Tokens: got for a password or for a client's secret, looked at, and ended."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from auditlogservice.access import Scope, format_scopes, parse_scopes
from auditlogservice.errors import (
    InvalidClient,
    InvalidInput,
    InvalidScope,
    InvalidTokenRequest,
    NotAuthenticated,
    UnsupportedGrantType,
)
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import caller_of
from auditlogservice.web.budgets import begin_token
from auditlogservice.web.callers import author_of
from auditlogservice.web.client_authn import client_of
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.forms import read_form
from auditlogservice.web.logins import log_in, record_failure
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlogservice.access import Principal
    from auditlogservice.ledger.identity.inspected import Inspected
    from auditlogservice.ledger.identity.tokens import IssuedToken

router = APIRouter(tags=["tokens"], dependencies=[Depends(begin_token)])

# RFC 6749 §5.1; the second is for caches of HTTP/1.0.
_UNCACHED = {"Cache-Control": "no-store", "Pragma": "no-cache"}


@router.post(
    "/token",
    summary="Sign in",
    responses={
        200: answers("A bearer token", refer("Token")),
        **problems(400, 401, 408, 413, 415, 503),
    },
    openapi_extra=body(form=refer("TokenRequest"), multipart=refer("TokenRequest")),
)
async def issue_token(request: Request) -> Response:
    """Exchange a name and a password (RFC 6749 §4.3), or a client's secret (§4.4), for a token.

    A client shows its id and its secret in HTTP Basic, or as `client_id` and `client_secret`.
    """
    form = await read_form(request)
    wanted = _wanted(form)
    match form.get("grant_type", "password"):
        case "password":
            token = await _for_password(request, form, wanted)
        case "client_credentials":
            token = await _for_client(request, form, wanted)
        case _:
            raise UnsupportedGrantType("the grant types are password and client_credentials")
    answer = {
        "access_token": token.text,
        "token_type": "bearer",
        "expires_in": token.expires_in,
        "scope": format_scopes(token.scopes),
    }
    return json_answer(answer, headers=_UNCACHED)


async def _for_password(
    request: Request, form: Mapping[str, str], wanted: frozenset[Scope] | None
) -> IssuedToken:
    here = services(request)
    user = await log_in(request, form)
    try:
        _require_some(user.scopes, wanted)
    except InvalidScope:
        record_failure(request, form)  # who knows a password is seen trying it
        raise
    token = await here.tokens.issue(user, wanted)
    entry = telling.signed_in(user, token.scopes, expires_in=token.expires_in)
    await here.self_audit.record(acts.LOGIN_SUCCEEDED, author_of(request, user), entry)
    return token


async def _for_client(
    request: Request, form: Mapping[str, str], wanted: frozenset[Scope] | None
) -> IssuedToken:
    known = await client_of(request, form)
    if known is None:
        raise InvalidClient
    client, secret = known
    _require_some(client.scopes, wanted)
    here = services(request)
    token = await here.tokens.issue_to_client(client, secret, wanted)
    author, entry = author_of(request, client), telling.token_issued(client, token)
    await here.self_audit.record(acts.TOKEN_ISSUED, author, entry)
    return token


def _wanted(form: Mapping[str, str]) -> frozenset[Scope] | None:
    """Return the scopes that are asked for; None if the form does not say."""
    if not form.get("scope"):
        return None
    try:
        return parse_scopes(form["scope"].split(), pointer="scope")
    except InvalidInput as error:
        raise InvalidScope(error.flaws[0].detail) from None


def _require_some(owned: frozenset[Scope], wanted: frozenset[Scope] | None) -> None:
    """A token with none of what was asked for would be refused at its first use, without why."""
    if wanted is not None and not owned & wanted:
        raise InvalidScope("none of these scopes may be had")


@router.post(
    "/revoke",
    summary="End a token",
    response_class=Response,  # without a body
    responses={
        200: {"description": "The token is good for nothing"},
        **problems(400, 401, 408, 413, 415, 503),
    },
    openapi_extra=body(form=refer("RevocationRequest"), multipart=refer("RevocationRequest")),
)
async def revoke_token(request: Request) -> Response:
    """End a token of this service (RFC 7009): within a second on every node.

    Who has the token may end it; a client may say who it is. The answer is the same for a token
    that nobody ever issued.
    """
    form = await read_form(request)
    known = await client_of(request, form)
    text, here = _token(form), services(request)
    try:
        found = await here.callers.inspect(text)
    except NotAuthenticated:  # then there is nothing to end
        return Response(headers=_UNCACHED)
    owner = found.principal
    author = author_of(request, known[0] if known else owner, owner.tenant)
    # Somebody else may be quicker; it is ended then, too.
    with suppress(NotAuthenticated):
        async with here.self_audit.doing(acts.TOKEN_REVOKED, author, telling.token_revoked(found)):
            await here.callers.revoke(text)
    return Response(headers=_UNCACHED)


@router.post(
    "/introspect",
    summary="Look at a token",
    responses={
        200: answers("What the token is", refer("Introspection")),
        **problems(400, 401, 408, 413, 415, 503),
    },
    openapi_extra=body(form=refer("RevocationRequest"), multipart=refer("RevocationRequest")),
)
async def introspect_token(request: Request) -> Response:
    """Say whether a token is good, and for what (RFC 7662).

    The caller shows a token of its own, or its client's secret. It learns of its own tokens, and
    with `users:manage` of those of its tenant; all others look as if they were good for nothing.
    """
    form = await read_form(request)
    known = await client_of(request, form)
    here = services(request)
    if known is not None:
        owner, may_see = known[0].id, None
    else:
        caller = await caller_of(request)
        owner = caller.user_id
        may_see = caller.tenant if Scope.USERS_MANAGE in caller.scopes else None
    try:
        found = await here.callers.inspect(_token(form))
    except NotAuthenticated:
        return json_answer({"active": False}, headers=_UNCACHED)
    # Whoever asks is of a tenant that is not suspended, and so is what it may see.
    if found.principal.user_id != owner and found.principal.tenant != may_see:
        return json_answer({"active": False}, headers=_UNCACHED)
    return json_answer(_described(found), headers=_UNCACHED)


def _token(form: Mapping[str, str]) -> str:
    """Return the token that the form is about. A hint of its type is not needed, as it is told."""
    if "token" not in form:
        raise InvalidTokenRequest("token is needed")
    return form["token"]


def _described(found: Inspected) -> dict[str, Any]:
    """Return what RFC 7662 §2.2 says of a token that is active."""
    principal = found.principal
    return {
        "active": True,
        "scope": format_scopes(principal.scopes),
        "client_id": _client_id(principal),
        "username": principal.name,
        "token_type": "bearer",
        "exp": int(found.expires_at.timestamp()),
        "iat": int(found.issued_at.timestamp()),
        "sub": principal.user_id,
        "aud": found.issuer,
        "iss": found.issuer,
        "jti": principal.token_id,
    }


def _client_id(principal: Principal) -> str:
    """The client of a token, as the token itself says it: users are their own."""
    return principal.user_id if principal.kind == "client" else principal.name
