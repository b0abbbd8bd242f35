"""Asking for many events: page by page, how many, when, and with which values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import orjson
from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice import canonical
from auditlogservice.errors import QueryTimeout
from auditlogservice.filters import TOP_LEVEL
from auditlogservice.language import parse_document
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.ledger.statistics import INTERVALS
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.authn import Reader
from auditlogservice.web.bodies import MAX_SEARCH_BYTES, read_body, require_media
from auditlogservice.web.callers import question_of, record_read
from auditlogservice.web.documents import JSON, answers, body, parameter, problems, refer
from auditlogservice.web.patience import while_connected
from auditlogservice.web.questions import (
    DEFAULT_LIMIT,
    Parameters,
    next_link,
    parse_question,
    refuse_large,
    take_filter,
    take_page,
)
from auditlogservice.web.services import services

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from auditlogservice.access import Principal
    from auditlogservice.ledger.records import Page, Question
    from auditlogservice.ledger.statistics import Count

T = TypeVar("T")

router = APIRouter(tags=["questions"])

MAX_FACETS = 100

FILTERS = [
    parameter(
        "since",
        {"type": "string"},
        "Received at or after: RFC 3339, a day, or how long ago, as in `15m` or `7d`.",
    ),
    parameter("until", {"type": "string"}, "Received before; spelled as `since`."),
    parameter("q", {"type": "string"}, "A question as one would type it into a search box."),
    parameter(
        "filters",
        {"type": "object", "additionalProperties": {"type": "string"}},
        "Any field, nested ones by dotted path: `name=…`, `actor.id=…`. Repeating a field means "
        "OR, different fields mean AND. Operators stand in brackets: `event_data.n[gte]=10`.",
        style="form",
        explode=True,
    ),
]
PAGES = [
    parameter(
        "limit",
        {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
        "How many records a page may have.",
    ),
    parameter(
        "sort",
        {"type": "string", "enum": ["timestamp", "-timestamp"], "default": "timestamp"},
        "Oldest first, or newest first.",
    ),
    parameter("cursor", {"type": "string"}, "From the `Link` header of the page before."),
]
LINK = {
    "description": 'The next page, if there is one: `<…>; rel="next"` (RFC 8288)',
    "schema": {"type": "string"},
}
_PAGE = {
    **answers("A page of records", {"type": "array", "items": refer("Record")}),
    "headers": {"Link": LINK},
}


@router.get(
    "/events",
    summary="List events",
    responses={200: _PAGE, **problems(400, 401, 403, 422, 503)},
    openapi_extra={
        "parameters": [
            *PAGES,
            parameter(
                "count",
                {"type": "boolean", "default": False},
                "If true, `X-Total-Count` says how many match in all, and "
                "`X-Total-Count-Relation` whether that is exact (`eq`) or at least (`gte`). Where "
                "counting takes too long, the relation is `unknown`, and there is no number.",
            ),
            *FILTERS,
        ]
    },
)
async def list_events(request: Request, caller: Reader) -> Response:
    """Return a page; following `Link` reaches every record, once each."""
    parameters = Parameters.read(request.scope["query_string"])
    counted = parameters.choice("count", ("true", "false"), default="false") == "true"
    question = parse_question(parameters, now=services(request).clock())
    records = services(request).records
    page = await _ask(request, caller, lambda: records.page(caller, question))
    totals = await _totals(request, caller, question) if counted else {}
    await record_read(
        request,
        caller,
        "list",
        question=question_of(parameters),
        where=question.where,
        shown=None if counted else page.listing,
    )
    return _listed(page, "/events", parameters, totals)


async def _totals(request: Request, caller: Principal, question: Question) -> dict[str, str]:
    """Headers that say how many match. A page that was found is answered whether or not."""
    try:
        statistics = services(request).statistics
        count = await _ask(
            request, caller, lambda: statistics.count(caller.tenant, question.where)
        )
    except QueryTimeout:
        return {"X-Total-Count-Relation": "unknown"}
    return {"X-Total-Count": str(count.value), "X-Total-Count-Relation": count.relation}


@router.post(
    "/events/search",
    summary="List events, by a question in JSON",
    responses={200: _PAGE, **problems(400, 401, 403, 408, 413, 415, 422, 503)},
    openapi_extra={**body(json=refer("Filter")), "parameters": PAGES},
)
async def search_events(request: Request, caller: Reader) -> Response:
    """Return a page. For the next one, send the same body to the address in `Link`."""
    require_media(request, (JSON,))
    parameters = Parameters.read(request.scope["query_string"])
    page = take_page(parameters, now=services(request).clock())
    for name in parameters.given:
        parameters.refuse(name, "conditions stand in the body; here only limit, sort and cursor")
    parameters.done()
    document = canonical.parse(await read_body(request, limit=MAX_SEARCH_BYTES))
    where = parse_document(document, now=page.now)
    refuse_large(parameters, where)
    parameters.done()
    records = services(request).records
    found = await _ask(request, caller, lambda: records.page(caller, page.about(where)))
    await record_read(
        request,
        caller,
        "search",
        question=orjson.dumps(document).decode(),
        where=where,
        shown=found.listing,
    )
    return _listed(found, "/events/search", parameters, {})


async def _ask(
    request: Request, caller: Principal, question: Callable[[], Coroutine[Any, Any, T]]
) -> T:
    """Ask when it is the caller's turn, and as long as the caller waits for it."""

    async def ask() -> T:
        async with services(request).questions.take(caller.source):
            return await question()

    return await while_connected(request, ask())


def _listed(page: Page, path: str, parameters: Parameters, headers: dict[str, str]) -> Response:
    if page.next:
        headers["Link"] = next_link(path, parameters, cursor=page.next)
    return Response(b"[%b]" % page.listing.answers, 200, headers, JSON)


# ---- figures ------------------------------------------------------------------------------


@router.get(
    "/events/count",
    summary="Count events",
    responses={
        200: answers("How many match; `gte` says: at least", refer("Count")),
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={"parameters": FILTERS},
)
async def count_events(request: Request, caller: Reader) -> Response:
    """Count exactly up to 10,000; beyond, the relation is `gte`."""
    parameters = Parameters.read(request.scope["query_string"])
    where = take_filter(parameters, now=services(request).clock())
    parameters.done()
    statistics = services(request).statistics
    found = await _ask(request, caller, lambda: statistics.count(caller.tenant, where))
    await record_read(request, caller, "count", question=question_of(parameters), where=where)
    return json_answer(_counted(found))


@router.get(
    "/events/histogram",
    summary="Count events over time",
    responses={
        200: answers("How many came in from the start of each bucket", refer("Histogram")),
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={
        "parameters": [
            parameter(
                "interval",
                {"type": "string", "enum": ["auto", *INTERVALS], "default": "auto"},
                "The width of a bucket; `auto` gives about sixty.",
            ),
            *FILTERS,
        ]
    },
)
async def histogram(request: Request, caller: Reader) -> Response:
    """Buckets begin at multiples of the interval, in UTC.

    `gte`: not all was looked at, and buckets before `complete_since` may lack records. `lte`:
    counted by place in the log, so records that were erased since are counted too.
    """
    parameters = Parameters.read(request.scope["query_string"])
    interval = parameters.choice("interval", ("auto", *INTERVALS), default="auto")
    where = take_filter(parameters, now=services(request).clock())
    parameters.done()
    statistics = services(request).statistics
    width = None if interval == "auto" else interval
    found = await _ask(
        request, caller, lambda: statistics.histogram(caller.tenant, where, interval=width)
    )
    await record_read(request, caller, "histogram", question=question_of(parameters), where=where)
    since = found.complete_since
    return json_answer(
        {
            "interval": found.interval,
            "buckets": [
                {"start": format_utc(start), "count": count} for start, count in found.buckets
            ],
            "relation": found.relation,
            "complete_since": since and format_utc(since),
        }
    )


@router.get(
    "/events/facets",
    summary="Count the values of a field",
    responses={
        200: answers("The most frequent values", refer("Facets")),
        **problems(400, 401, 403, 422, 503),
    },
    openapi_extra={
        "parameters": [
            parameter("field", {"type": "string"}, "Which field, by path.", required=True),
            parameter(
                "limit",
                {"type": "integer", "minimum": 1, "maximum": MAX_FACETS, "default": 10},
                "How many values.",
            ),
            *FILTERS,
        ]
    },
)
async def facets(request: Request, caller: Reader) -> Response:
    """Of the newest 10,000 records that match; `records` says how many were looked at."""
    parameters = Parameters.read(request.scope["query_string"])
    field = parameters.single("field")
    if field is None or field.partition(".")[0] not in TOP_LEVEL:
        parameters.refuse("field", "the path of a field, such as event_type or actor.id")
    limit = parameters.number("limit", default=10, low=1, high=MAX_FACETS)
    where = take_filter(parameters, now=services(request).clock())
    parameters.done()
    statistics = services(request).statistics
    found = await _ask(
        request,
        caller,
        lambda: statistics.facets(caller.tenant, where, field=field or "", limit=limit),
    )
    await record_read(request, caller, "facets", question=question_of(parameters), where=where)
    return json_answer(
        {
            "field": found.field,
            "values": [{"value": value, "count": count} for value, count in found.values],
            "records": _counted(found.records),
        }
    )


def _counted(count: Count) -> dict[str, Any]:
    return {"value": count.value, "relation": count.relation}
