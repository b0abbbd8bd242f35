"""A tenant's rules over HTTP: read and replaced as a whole, with an ETag against lost updates."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from auditlogservice.errors import Flaw, InvalidInput, Outdated
from auditlogservice.ledger.governing.rulebooks import spelled
from auditlogservice.times import format_utc
from auditlogservice.web.answers import json_answer
from auditlogservice.web.documents import answers, parameter, refer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from starlette.requests import Request
    from starlette.responses import Response

    from auditlogservice.ledger.governing.rulebooks import Rule, RuleBook

_ETAG = re.compile(r'"(\d{1,18})"')
IF_MATCH = parameter(
    "If-Match",
    {"type": "string"},
    "The `ETag` of the rules that are to be replaced; without it, whatever they are.",
    place="header",
)


def rules_documented(schema: str) -> dict[str, Any]:
    return {
        **answers("The rules that hold", refer(schema)),
        "headers": {
            "ETag": {"description": "For `If-Match` of a change.", "schema": {"type": "string"}}
        },
    }


def check_once_each(fields: Iterable[str], *, name: str) -> None:
    """Raise InvalidInput if two rules have the same in their field `name`."""
    seen: set[str] = set()
    flaws: list[Flaw] = []
    for place, field in enumerate(fields):
        if field in seen:
            flaws.append(Flaw(f"/rules/{place}/{name}", "there is a rule for this already"))
        seen.add(field)
    if flaws:
        raise InvalidInput(flaws)


def expected_version(request: Request) -> int | None:
    """Return the version that the rules must have; None if any will do."""
    told = request.headers.get("if-match")
    if told is None or told.strip() == "*":
        return None
    found = _ETAG.fullmatch(told.strip())
    if found is None:
        raise Outdated("no rules ever had this ETag")
    return int(found[1])


def rules_answer(book: RuleBook[Rule]) -> Response:
    content = {
        "rules": spelled(book.rules),
        "changed_by": book.changed_by,
        "changed_at": book.changed_at and format_utc(book.changed_at),
    }
    return json_answer(content, headers={"ETag": f'"{book.version}"'})
