"""Tokens for passwords: the form login that clients of this API have always used."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from fastapi import APIRouter, Depends, Request
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.responses import Response

from auditlogservice.access import format_scopes, parse_scopes
from auditlogservice.errors import (
    InvalidInput,
    InvalidScope,
    InvalidTokenRequest,
    MalformedInput,
    Overloaded,
    TooManyAttempts,
    UnsupportedGrantType,
    UnsupportedMedia,
)
from auditlogservice.web.answers import json_answer
from auditlogservice.web.bodies import MAX_FORM_BYTES, read_body, require_media
from auditlogservice.web.budgets import address, begin_token
from auditlogservice.web.documents import answers, body, problems, refer
from auditlogservice.web.patience import while_connected
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from starlette.types import Message

router = APIRouter(tags=["tokens"], dependencies=[Depends(begin_token)])

MAX_FORM_FIELDS = 20
REFUSAL_DELAY = 1.0  # seconds


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
    form = await _form(request)
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
    signing_in = here.accounts.sign_in(
        form["username"], form["password"], address=address(request)
    )
    try:
        # Of a flood that hangs up, nothing is left waiting for its turn.
        user = await while_connected(request, signing_in)
    except (Overloaded, TooManyAttempts):
        # Who tries again at once, again and again, would keep the loop from everybody's work.
        await asyncio.sleep(REFUSAL_DELAY)
        raise
    token = await here.tokens.issue(user, wanted)
    answer = {
        "access_token": token.text,
        "token_type": "bearer",
        "expires_in": token.expires_in,
        "scope": format_scopes(token.scopes),
    }
    return json_answer(answer)


async def _form(request: Request) -> dict[str, str]:
    """Return the text fields of the form, each at most once, read under the limits."""
    _, options = parse_options_header(request.headers.get("content-type"))
    if options.get(b"charset", b"utf-8").lower() not in {b"utf-8", b"utf8"}:
        raise UnsupportedMedia("a form is UTF-8")
    raw = await read_body(request, limit=MAX_FORM_BYTES)

    async def receive() -> Message:
        return {"type": "http.request", "body": raw, "more_body": False}

    try:
        async with Request(request.scope, receive).form(
            max_files=0, max_fields=MAX_FORM_FIELDS, max_part_size=MAX_FORM_BYTES
        ) as form:
            items = form.multi_items()
        fields = [(name, value) for name, value in items if isinstance(value, str)]
        for name, value in fields:
            _ = name.encode(), value.encode()  # a lone surrogate is no text
    except (HTTPException, FormParserError, KeyError, ValueError):
        raise MalformedInput("the form cannot be read") from None
    if len(dict(fields)) < len(fields) or len(fields) > MAX_FORM_FIELDS:
        raise InvalidTokenRequest("a field of the form is given twice")
    return dict(fields)
