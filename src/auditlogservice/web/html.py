"""The frame of each page for people. No script, and one style sheet of the service's own."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse


def page(title: str, body: str, *, status: int = 200, head: str = "") -> HTMLResponse:
    """Return the page. `body` and `head` are HTML already; what others said is escaped in them."""
    return HTMLResponse(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width">{head}'
        f'<link rel="stylesheet" href="/style.css"><h1>{escape(title)}</h1>{body}</html>',
        status,
    )
