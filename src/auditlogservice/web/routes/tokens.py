"""Tokens for passwords: the form login that clients of this API have always used."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.access import format_scopes, parse_scopes
from auditlogservice.errors import (
    InvalidInput,
    InvalidScope,
    InvalidTokenRequest,
    UnsupportedGrantType,
)
from auditlogservice.web.answers import json_answer
from auditlogservice.web.bodies import require_media
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.forms import read_form
from auditlogservice.web.services import services

router = APIRouter(tags=["tokens"])


@router.post(
    "/token",
    summary="Sign in",
    responses={
        200: answers("A bearer token", refer("Token")),
        **problems(400, 408, 413, 415, 503),
    },
    openapi_extra=body(form=refer("TokenRequest"), multipart=refer("TokenRequest")),
)
async def issue_token(request: Request) -> Response:
    """Exchange a name and a password for a token (RFC 6749 §4.3)."""
    require_media(request, ("application/x-www-form-urlencoded", "multipart/form-data"))
    form = await read_form(request)
    if form.get("grant_type", "password") != "password":
        raise UnsupportedGrantType("the grant type is password")
    if "username" not in form or "password" not in form:
        raise InvalidTokenRequest("username and password are needed")
    try:
        wanted = (
            parse_scopes(form["scope"].split(), pointer="scope") if form.get("scope") else None
        )
    except InvalidInput as error:
        raise InvalidScope(error.flaws[0].detail) from None
    here = services(request)
    user = await here.accounts.sign_in(form["username"], form["password"])
    token = await here.tokens.issue(user, wanted)
    answer = {
        "access_token": token.text,
        "token_type": "bearer",
        "expires_in": token.expires_in,
        "scope": format_scopes(token.scopes),
    }
    return json_answer(answer)
