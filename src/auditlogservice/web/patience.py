"""Work for a caller who may hang up: it stops when nobody waits for it any more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from starlette.requests import ClientDisconnect

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, Never

    from starlette.requests import Request
    from starlette.types import Send

T = TypeVar("T")


class SlowReader(Exception):
    """A reader that takes nothing in. The connection is broken off; it may come back."""


async def send_chunk(send: Send, chunk: bytes, *, seconds: float) -> None:
    """Send a part of a body; drop a reader that leaves us waiting: nothing is kept for it."""
    try:
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
    except TimeoutError:
        raise SlowReader from None


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` gives; cancel it and raise ClientDisconnect if the caller hangs up.

    The body must have been read before: from then on the server tells of nothing but the end.
    """
    return await first_of(work, _hung_up(request))


async def first_of(work: Coroutine[Any, Any, T], other: Coroutine[Any, Any, T]) -> T:
    """Return what the first of the two gives, or raise what it raises; cancel the other one."""
    outcome: T | _Failed

    async def end() -> None:
        nonlocal outcome
        outcome = await _settle(other)
        raise _Ended

    # One task, not two: each list is asked for this way, and a task is dear beside a page.
    try:
        async with asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(end())
            outcome = await _settle(work)
            waiting.cancel()
    except* _Ended:
        pass  # then `work` was cancelled
    finally:
        other.close()  # which was never begun if `work` did not wait at all
    if isinstance(outcome, _Failed):
        raise outcome.error
    return outcome


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class _Ended(Exception):
    """Ends the work in whose group it is raised."""


async def _settle(work: Coroutine[Any, Any, T]) -> T | _Failed:
    """Keep an error for the caller, from whom a task group would hide it in a group."""
    try:
        return await work
    except Exception as error:  # noqa: BLE001 - raised again by the caller
        return _Failed(error)


async def _hung_up(request: Request) -> Never:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect
