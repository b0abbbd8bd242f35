"""Waiting for what happens in its own time, with a generous limit."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from running import Api


async def until(holds: Callable[[], Awaitable[bool]], *, seconds: float = 60) -> None:
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110 - it is asked, and tells nobody
            await asyncio.sleep(0.02)


async def ended(
    api: Api, user: dict[str, str], location: str, *, seconds: float = 60
) -> dict[str, Any]:
    """Return the erasure once it has ended."""
    found: dict[str, Any] = {}

    async def has_ended() -> bool:
        found.update((await api.http.get(location, headers=user)).json())
        return bool(found["state"] != "running")

    await until(has_ended, seconds=seconds)
    return found
