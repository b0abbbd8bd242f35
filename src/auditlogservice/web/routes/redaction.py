"""What is taken out of events: the rules of a tenant, read and replaced as a whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.redaction import MAX_REDACTION_RULES, RedactionRule
from auditlogservice.web.authn import Admin
from auditlogservice.web.callers import origin_of
from auditlogservice.web.choosing import read_governing
from auditlogservice.web.documents import body, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.rulebooks import (
    IF_MATCH,
    check_once_each,
    expected_version,
    rules_answer,
    rules_documented,
)
from auditlogservice.web.services import services

router = APIRouter(tags=["redaction"])

_ANSWER = rules_documented("Redaction")


class NewRedaction(BaseModel):
    """All rules that are to hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rules: Annotated[list[RedactionRule], Field(max_length=MAX_REDACTION_RULES)]


@router.get(
    "/redaction",
    summary="Read the redaction rules",
    responses={200: _ANSWER, **problems(400, 401, 403, 422, 503)},
)
async def read_redaction(request: Request, caller: Admin) -> Response:
    refuse_parameters(request)
    return rules_answer(await services(request).redaction.book(caller.tenant))


@router.put(
    "/redaction",
    summary="Replace the redaction rules",
    responses={200: _ANSWER, **problems(400, 401, 403, 408, 412, 413, 415, 422, 503)},
    openapi_extra={**body(json=refer("NewRedaction")), "parameters": [IF_MATCH]},
)
async def replace_redaction(request: Request, caller: Admin) -> Response:
    """They hold on every node within two seconds, for what comes in from then on."""
    asked = await read_governing(request, NewRedaction)
    check_once_each((rule.path for rule in asked.rules), name="path")
    book = await services(request).redaction.change(
        caller, asked.rules, version=expected_version(request), origin=origin_of(request)
    )
    return rules_answer(book)
