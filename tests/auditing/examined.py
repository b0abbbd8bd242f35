"""A log, whoever has the database, and an auditor with nothing but a key and an old checkpoint."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import httpx2

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.auditing.proceeding import audit, read_checkpoint
from auditlogservice.auditing.served import Served
from auditlogservice.client import Client
from auditlogservice.ledger.proving.auditor import check_store
from auditlogservice.notes import VerifierKey
from auditlogservice.runtime.stores import open_store
from running import EVENT, Api, running, said_already

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.auditing.findings import Report
    from auditlogservice.runtime.settings import Settings

LOG = f"/ledger/{DEFAULT_TENANT}"


class Bridge(httpx2.BaseTransport):
    """Lets a client in another thread call the application in the loop."""

    def __init__(self, app: Any, loop: asyncio.AbstractEventLoop) -> None:
        self._inner = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
        self._loop = loop

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        async def call() -> httpx2.Response:
            asked = httpx2.Request(
                request.method, request.url, headers=request.headers, content=request.read()
            )
            answer = await self._inner.handle_async_request(asked)
            content = await answer.aread()
            return httpx2.Response(answer.status_code, headers=answer.headers, content=content)

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()


def transport_of(api: Api) -> Bridge:
    return Bridge(api.app, asyncio.get_running_loop())


@dataclass
class Stranger:
    """Holds the keys of the log and the last checkpoint that it saw, and trusts nothing else."""

    keys: list[VerifierKey] = field(default_factory=list)
    seen: bytes = b""

    async def look(self, api: Api, user: dict[str, str]) -> None:
        """Take the keys, and the checkpoint of now, away."""
        keys = await api.http.get(f"{LOG}/keys", headers=user)
        self.keys = [VerifierKey.parse(line) for line in keys.text.splitlines()]
        note = await api.http.get(f"{LOG}/checkpoint", headers=user)
        assert note.status_code == 200, note.text
        self.seen = note.content

    async def verify(self, api: Api, user: dict[str, str]) -> Report:
        token = user["Authorization"].removeprefix("Bearer ")
        since = read_checkpoint(self.seen, self.keys) if self.seen else None

        def work() -> Report:
            with (
                Client("http://test", token, transport=transport) as client,
                client.log(DEFAULT_TENANT) as log,
            ):
                return audit(Served(log), keys=self.keys, since=since)[0]

        transport = transport_of(api)
        return await asyncio.to_thread(work)

    async def check(self, settings: Settings) -> tuple[Report, Report]:
        """Do what `fsck` does, with the key; return what it says of the log, and of the store."""
        store = await open_store(settings)
        try:
            reports, own = await check_store(store.ledger, keys=self.keys)
            return reports[DEFAULT_TENANT], own
        finally:
            await store.close()


async def filled(api: Api, user: dict[str, str], count: int) -> list[str]:
    """Record so many events; return their ids."""
    ids: list[str] = []
    for first in range(0, count, 500):
        batch = [
            {**EVENT, "detail": f"number {n}", "event_data": {"n": n}}
            for n in range(first, min(first + 500, count))
        ]
        answer = await api.http.post("/events/batch", json=batch, headers=user)
        assert answer.is_success, answer.text
        ids += [each["_id"] for each in answer.json()["successful"]]
    return ids


async def erase(api: Api, user: dict[str, str], event_id: str, reason: str) -> None:
    answer = await api.http.delete(f"/events/{event_id}", params={"reason": reason}, headers=user)
    assert answer.status_code == 204, answer.text


@asynccontextmanager
async def node(settings: Settings) -> AsyncIterator[tuple[Api, dict[str, str]]]:
    """A running node, and a user of it who may do everything."""
    await said_already(settings)
    async with running(settings) as api:
        try:
            user = await api.sign_in("alice")
        except AssertionError:
            user = await api.add("alice")
        yield api, user
