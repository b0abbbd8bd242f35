"""Small forms, as OAuth and browsers send them, with each field at most once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from auditlogservice.errors import InvalidTokenRequest, MalformedInput, UnsupportedMedia
from auditlogservice.web.bodies import MAX_FORM_BYTES, read_body, require_media

if TYPE_CHECKING:
    from starlette.types import Message

MAX_FORM_FIELDS = 20


async def read_form(request: Request) -> dict[str, str]:
    """Return the text fields of the form, each at most once, read under the limits."""
    require_media(request, ("application/x-www-form-urlencoded", "multipart/form-data"))
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
