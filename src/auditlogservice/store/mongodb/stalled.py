"""Ends transactions of our own that nobody goes on with.

A process that is killed between its insert and its commit leaves a transaction open, and with it
the claim on the tenant's next sequences: the server lets go after 60 seconds. Whoever waits for
those sequences ends it sooner. This is safe even if its owner lives: the commit then fails as
one that kept nothing, and the owner tries again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from pymongo.errors import PyMongoError

if TYPE_CHECKING:
    from pymongo.asynchronous.command_cursor import AsyncCommandCursor
    from pymongo.asynchronous.database import AsyncDatabase

    from auditlogservice.store.mongodb.schema import Document

_IDLE_MICROS = 1_000_000
_EVERY = 1.0  # seconds between two looks, over all tenants

_log = logging.getLogger(__name__)


class StalledTransactions:
    """Looks for them at most once a second, however many tasks are waiting."""

    def __init__(self, admin: AsyncDatabase[Document], *, application: str) -> None:
        self._admin = admin
        self._application = application
        self._next_look = 0.0

    async def end(self) -> None:
        """End those there are. Failing is harmless: the server's own limit remains."""
        now = asyncio.get_running_loop().time()
        if now < self._next_look:
            return
        self._next_look = now + _EVERY
        try:
            stalled = [found["lsid"]["id"] async for found in await self._find()]
            if stalled:
                _log.warning("ending %d stalled transactions", len(stalled))
                await self._admin.command("killSessions", [{"id": one} for one in stalled])
        except PyMongoError as error:
            _log.warning("looking for stalled transactions: %s", type(error).__name__)

    async def _find(self) -> AsyncCommandCursor[Document]:
        # allUsers false: a user may see and end its own sessions without any privilege.
        return await self._admin.aggregate(
            [
                {"$currentOp": {"allUsers": False, "idleSessions": True}},
                {
                    "$match": {
                        "type": "idleSession",
                        "appName": self._application,
                        "transaction.parameters.autocommit": False,
                        "transaction.timeInactiveMicros": {"$gte": _IDLE_MICROS},
                    }
                },
            ]
        )
