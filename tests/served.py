"""The application behind a real socket, with the configuration that `serve` uses."""

from __future__ import annotations

import asyncio
import socket
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import uvicorn

from auditlogservice.runtime.cli.serve import _config

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.runtime.settings import Settings
    from running import Api


@asynccontextmanager
async def served(api: Api, settings: Settings) -> AsyncIterator[int]:
    """Give the port."""
    config = _config(api.app, settings)
    config.lifespan = "off"  # the application runs already
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            try:
                while not server.started:  # noqa: ASYNC110 - it has no event for that
                    await asyncio.sleep(0.01)
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True
