"""Pages for people: the reference of the API, and one for each kind of problem. No script."""

from __future__ import annotations

from html import escape
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import Response

from auditlogservice.errors import NotFound
from auditlogservice.web.html import page
from auditlogservice.web.problems import ALL

router = APIRouter(include_in_schema=False)

_STYLE = """
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 52rem; margin: 2rem auto; padding: 0 1rem; }
code { font-family: ui-monospace, monospace; }
section { border-top: 1px solid #8885; padding: .5rem 0; }
h2 code:first-child { display: inline-block; min-width: 5rem; }
h2 { font-size: 1.1rem; }
form { display: grid; gap: .75rem; max-width: 20rem; }
label { display: grid; }
input, button { font: inherit; padding: .4rem; }
""".strip()


@router.get("/docs")
async def read_reference(request: Request) -> Response:
    document = request.app.openapi()
    sections = [
        _operation(method, path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    intro = (
        f"<p>{escape(document['info']['description'])}</p>"
        '<p>For machines: <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1).</p>'
    )
    return page("API reference", intro + "".join(sections))


@router.get("/problems/{code}")
async def read_problem(code: str) -> Response:
    problem = ALL.get(code)
    if problem is None:
        raise NotFound("no problem has this code")
    body = (
        f"<p>Status {problem.status}, code <code>{escape(problem.code)}</code></p>"
        f"<p>{escape(problem.advice)}</p>"
    )
    return page(problem.title, body)


@router.get("/style.css")
async def read_style() -> Response:
    return Response(_STYLE, media_type="text/css")


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    answers = "".join(
        f"<li><code>{escape(status)}</code> {escape(answer['description'])}</li>"
        for status, answer in operation["responses"].items()
    )
    parameters = "".join(
        f"<li><code>{escape(each['name'])}</code> {escape(each.get('description', ''))}</li>"
        for each in operation.get("parameters", [])
    )
    return (
        f"<section><h2><code>{escape(method.upper())}</code> <code>{escape(path)}</code></h2>"
        f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>"
        f"<ul>{parameters}</ul><ul>{answers}</ul></section>"
    )
