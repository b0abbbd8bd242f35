"""The whole service without a socket: the real application over each store, as fixtures."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import httpx2
import pytest
from argon2 import PasswordHasher

from auditlogservice.access import DEFAULT_TENANT, Scope
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.stores import open_store, utc_now
from auditlogservice.runtime.wiring import build_app
from auditlogservice.store.port import Document

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from fastapi import FastAPI

    from auditlogservice.web.services import Services

PASSWORD = "correct horse battery staple"
# Passwords are slow on purpose, and most tests are about something else. What is kept of a real
# one, tests/ledger/test_passwords.py shows.
QUICK_HASHER = partial(PasswordHasher, time_cost=1, memory_cost=8, parallelism=1)
EVENT: dict[str, Any] = {"name": "User Logged In", "event_type": "auth.login", "detail": "by web"}


@dataclass
class Time:
    """The clock of a test: it runs, and can be put forward."""

    ahead: timedelta = field(default_factory=timedelta)

    def __call__(self) -> datetime:
        return utc_now() + self.ahead

    def advance(self, **by: float) -> None:
        self.ahead += timedelta(**by)


@dataclass
class Api:
    """A running service, and a client for it."""

    app: FastAPI
    http: httpx2.AsyncClient
    services: Services
    time: Time

    async def add(self, name: str, *scopes: Scope, tenant: str = DEFAULT_TENANT) -> dict[str, str]:
        """Make a user; return the headers of a request in its name."""
        await self.services.accounts.add(
            name, PASSWORD, scopes=frozenset(scopes or Scope), tenant=tenant
        )
        return await self.sign_in(name)

    async def sign_in(self, name: str) -> dict[str, str]:
        form = {"username": name, "password": PASSWORD}
        answer = await self.http.post("/token", data=form)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['access_token']}"}

    async def record(self, user: dict[str, str], **told: Any) -> dict[str, Any]:
        answer = await self.http.post("/events", json={**EVENT, **told}, headers=user)
        assert answer.status_code == 201, answer.text
        record: dict[str, Any] = answer.json()
        return record

    async def listed(self, user: dict[str, str], query: str = "") -> list[dict[str, Any]]:
        answer = await self.http.get(f"/events{query}", headers=user)
        assert answer.status_code == 200, answer.text
        records: list[dict[str, Any]] = answer.json()
        return records


@asynccontextmanager
async def running(settings: Settings, time: Time | None = None) -> AsyncIterator[Api]:
    time = time or Time()
    with patch(
        "auditlogservice.ledger.identity.passwords.PasswordHasher", lambda **_: QUICK_HASHER()
    ):
        async with _open(settings, time) as api:
            yield api


@asynccontextmanager
async def two_nodes(
    settings: Settings, time: Time | None = None
) -> AsyncIterator[tuple[Api, Api]]:
    """Run two nodes over one store, each with a folder of its own."""
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    async with running(settings, time) as one, running(elsewhere, time) as other:
        yield one, other


@asynccontextmanager
async def _open(settings: Settings, time: Time) -> AsyncIterator[Api]:
    app = build_app(settings, clock=time)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://test") as http,
    ):
        yield Api(app, http, app.state.services, time)


async def said_already(settings: Settings) -> None:
    """Have the default tenant's log say how it is kept, so that no restart says so in it."""
    store = await open_store(settings)
    body = settings.self_audit.encode()
    await store.documents.put(
        Document(kind="self_audit", tenant=DEFAULT_TENANT, id="mode", body=body)
    )
    await store.close()


@pytest.fixture(params=["sqlite", "mongodb"])
def settings(request: pytest.FixtureRequest, tmp_path: Path) -> Settings:
    """The settings of one node, over each store in turn."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'audit.db'}"
    else:
        url = request.getfixturevalue("mongodb_url")
    return Settings(
        store=url, data_dir=tmp_path / "node", min_free_bytes=0, self_audit="essential"
    )


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings) as api:
        yield api


@pytest.fixture
async def memory_api(tmp_path: Path) -> AsyncIterator[Api]:
    """For claims in which the store has no part."""
    async with running(
        Settings(store="sqlite:///:memory:", data_dir=tmp_path, self_audit="essential")
    ) as api:
        yield api
