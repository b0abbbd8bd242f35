"""One request to a service that others run: within limits of time and size, and no further.

What it answers is not trusted here, and an address in an answer is not followed.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from auditlogservice.anchors import Refused, Unreachable

if TYPE_CHECKING:
    from collections.abc import Mapping
    from contextlib import AbstractAsyncContextManager

PATIENCE = 10.0  # seconds for all of it
MAX_ANSWER = 64 * 1024
_BUSY, _FIRST_FAILURE = 429, 500
# Nothing is unpacked, so that the limit is one for memory too.
_PLAIN = {"Accept-Encoding": "identity"}


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    content: bytes


async def get(http: httpx2.AsyncClient, url: str) -> Answer | Refused | Unreachable:
    """Return what is there, with any status that says something about this request."""
    return await _answer(http.stream("GET", url, headers=_PLAIN))


async def post(
    http: httpx2.AsyncClient,
    url: str,
    body: bytes,
    *,
    media_type: str,
    headers: Mapping[str, str] | None = None,
) -> Answer | Refused | Unreachable:
    """Return the answer, with any status that says something about this request."""
    told = {**_PLAIN, "Content-Type": media_type, **(headers or {})}
    return await _answer(http.stream("POST", url, content=body, headers=told))


async def _answer(
    asked: AbstractAsyncContextManager[httpx2.Response],
) -> Answer | Refused | Unreachable:
    content = b""
    try:
        async with asyncio.timeout(PATIENCE), asked as answer:
            if answer.status_code == _BUSY or answer.status_code >= _FIRST_FAILURE:
                return Unreachable(f"it answers {answer.status_code}")
            async for chunk in answer.aiter_raw():
                content += chunk
                if len(content) > MAX_ANSWER:
                    return Refused(f"its answer has more than {MAX_ANSWER} bytes")
    except TimeoutError:
        return Unreachable(f"it has not answered within {PATIENCE:g} s")
    except httpx2.HTTPError as error:
        return Unreachable(f"it cannot be reached: {str(error) or type(error).__name__}")
    return Answer(answer.status_code, content)
