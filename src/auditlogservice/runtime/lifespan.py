"""The start of the application: what it refuses is told in a line, and what it made is set aside.

The server would print a traceback for any failure. That is right for a defect, and wrong for a
failure raised on purpose, whose message says what to do.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from auditlogservice.errors import AuditLogError
from auditlogservice.runtime.interpreter import set_start_aside
from auditlogservice.runtime.observability import logger

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send


class KeptStart:
    """The application. `error` is what its start failed of, if that was raised on purpose."""

    def __init__(self, app: ASGIApp, *, log: bool = False) -> None:
        self._app = app
        self._log = log
        self.error: AuditLogError | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        failed: list[Message] = []

        async def hold(message: Message) -> None:
            if message["type"].endswith(".failed"):
                failed.append(message)  # with a traceback; whether that is told is seen below
                return
            if message["type"] == "lifespan.startup.complete":
                set_start_aside()
            await send(message)

        try:
            await self._app(scope, receive, hold)
        except AuditLogError as error:
            self.error = error
            if self._log:
                logger("start").error("cannot start", why=str(error))
            logging.getLogger("uvicorn.error").disabled = True  # it would add that it stops
            await send({"type": "lifespan.startup.failed"})
        except Exception:
            for message in failed:
                await send(message)
            raise
