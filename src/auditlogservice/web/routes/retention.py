"""How long events are kept: the rules of a tenant, read and replaced as a whole."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.governance import MAX_RULES, RetentionRule
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

router = APIRouter(tags=["retention"])

_ANSWER = rules_documented("Retention")


class NewRules(BaseModel):
    """All rules that are to hold."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    rules: Annotated[list[RetentionRule], Field(max_length=MAX_RULES)]


@router.get(
    "/retention",
    summary="Read the retention rules",
    responses={200: _ANSWER, **problems(400, 401, 403, 422, 503)},
)
async def read_rules(request: Request, caller: Admin) -> Response:
    """Of the rules that fit a type the most exact counts; without any, events stay for good."""
    refuse_parameters(request)
    return rules_answer(await services(request).retention.book(caller.tenant))


@router.put(
    "/retention",
    summary="Replace the retention rules",
    responses={200: _ANSWER, **problems(400, 401, 403, 408, 412, 413, 415, 422, 503)},
    openapi_extra={**body(json=refer("NewRetention")), "parameters": [IF_MATCH]},
)
async def replace_rules(request: Request, caller: Admin) -> Response:
    """They hold at once, for what is there already too: what has expired is erased soon after."""
    asked = await read_governing(request, NewRules)
    check_once_each((rule.event_type for rule in asked.rules), name="event_type")
    book = await services(request).retention.change(
        caller, asked.rules, version=expected_version(request), origin=origin_of(request)
    )
    return rules_answer(book)
