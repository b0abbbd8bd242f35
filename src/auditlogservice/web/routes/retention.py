"""How long events are kept: the rules of a tenant, read and replaced as a whole."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from auditlogservice.errors import Flaw, InvalidInput, Outdated
from auditlogservice.governance import MAX_RULES, RetentionRule
from auditlogservice.ledger.retention import spelled
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Admin
from auditlogservice.web.callers import origin_of
from auditlogservice.web.choosing import read_governing
from auditlogservice.web.documents import answers, body, parameter, problems, refer
from auditlogservice.web.questions import refuse_parameters
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.ledger.retention import RuleBook

router = APIRouter(tags=["retention"])

_ETAG = re.compile(r'"(\d{1,18})"')
_ANSWER = {
    **answers("The rules that hold", refer("Retention")),
    "headers": {
        "ETag": {"description": "For `If-Match` of a change.", "schema": {"type": "string"}}
    },
}


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
    return _answer(await services(request).retention.book(caller.tenant))


@router.put(
    "/retention",
    summary="Replace the retention rules",
    responses={200: _ANSWER, **problems(400, 401, 403, 408, 409, 412, 413, 415, 422, 503)},
    openapi_extra={
        **body(json=refer("NewRetention")),
        "parameters": [
            parameter(
                "If-Match",
                {"type": "string"},
                "The `ETag` of the rules that are to be replaced; without it, whatever they are.",
                place="header",
            )
        ],
    },
)
async def replace_rules(request: Request, caller: Admin) -> Response:
    """They hold at once, for what is there already too: what has expired is erased soon after."""
    asked = await read_governing(request, NewRules)
    _check_once_each(asked.rules)
    retention = services(request).retention
    book = await retention.change(
        caller, asked.rules, version=_expected(request), origin=origin_of(request)
    )
    return _answer(book)


def _check_once_each(rules: Sequence[RetentionRule]) -> None:
    seen: set[str] = set()
    flaws: list[Flaw] = []
    for place, rule in enumerate(rules):
        if rule.event_type in seen:
            flaws.append(Flaw(f"/rules/{place}/event_type", "there is a rule for this already"))
        seen.add(rule.event_type)
    if flaws:
        raise InvalidInput(flaws)


def _expected(request: Request) -> int | None:
    """Return the version that the rules must have; None if any will do."""
    told = request.headers.get("if-match")
    if told is None or told.strip() == "*":
        return None
    found = _ETAG.fullmatch(told.strip())
    if found is None:
        raise Outdated("no rules ever had this ETag")
    return int(found[1])


def _answer(book: RuleBook) -> Response:
    content = {
        "rules": spelled(book.rules),
        "changed_by": book.changed_by,
        "changed_at": book.changed_at and format_utc(book.changed_at),
    }
    return json_answer(content, headers={"ETag": f'"{book.version}"'})
