"""Which client is asking: its id and secret, in HTTP Basic or in the form (RFC 6749 §2.3.1)."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from auditlogservice.errors import InvalidClient, InvalidTokenRequest
from auditlogservice.web.callers import origin_of
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from auditlogservice.ledger.identity.clients import Client, ClientSecret


async def client_of(
    request: Request, form: Mapping[str, str]
) -> tuple[Client, ClientSecret] | None:
    """Return the client that the request says it comes from, and its secret; None if it says none.

    Raises InvalidClient if that is not true, InvalidTokenRequest if it says so in both ways.
    """
    shown = _shown(request, form)
    if shown is None:
        return None
    here = services(request)
    try:
        return await here.clients.sign_in(*shown)
    except InvalidClient:
        here.failed_logins.tell_client(shown[0], origin_of(request))
        raise


def _shown(request: Request, form: Mapping[str, str]) -> tuple[str, str] | None:
    headers = request.headers.getlist("authorization")
    if len(headers) > 1:
        raise InvalidTokenRequest("there is more than one Authorization header")
    basic = _basic(headers[0]) if headers else None
    if "client_secret" not in form:
        if basic and form.get("client_id", basic[0]) != basic[0]:
            raise InvalidTokenRequest("the form and the header name different clients")
        return basic
    if basic:
        raise InvalidTokenRequest("a client shows its secret in the header or in the form")
    return form.get("client_id", ""), form["client_secret"]


def _basic(header: str) -> tuple[str, str] | None:
    """Return the id and the secret of a Basic header; None if it is of another scheme."""
    scheme, _, told = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        pair = base64.b64decode(told.strip(), validate=True).decode()
        client_id, _, secret = pair.partition(":")
        return _decoded(client_id), _decoded(secret)
    except (binascii.Error, UnicodeError):
        raise InvalidClient from None


def _decoded(text: str) -> str:
    return unquote_plus(text, errors="strict")
