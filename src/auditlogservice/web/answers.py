"""Answers in JSON, as the routes give them. Refusals are `problems.py`."""

from __future__ import annotations

import orjson
from starlette.responses import Response

from auditlogservice.web.documents import JSON


def json_answer(
    content: object, status: int = 200, headers: dict[str, str] | None = None
) -> Response:
    """Return an answer with this content."""
    return Response(orjson.dumps(content), status, headers, JSON)
