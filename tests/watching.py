"""A service that records all of its own acts, as fixtures, and what it has recorded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Principal
from auditlogservice.filters import Is
from auditlogservice.governance import SERVICE_USER
from auditlogservice.ledger.walk import START
from auditlogservice.runtime.settings import Settings
from running import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from running import Api


@pytest.fixture
def full(settings: Settings) -> Settings:
    return settings.model_copy(update={"self_audit": "full"})


@pytest.fixture
async def watched(full: Settings) -> AsyncIterator[Api]:
    """Over each store in turn."""
    async with running(full) as api:
        yield api


@pytest.fixture
async def watched_memory(tmp_path: Path) -> AsyncIterator[Api]:
    """For claims in which the store has no part."""
    async with running(Settings(store="sqlite:///:memory:", data_dir=tmp_path)) as api:
        yield api


async def own_records(api: Api, *types: str, tenant: str = "default") -> list[dict[str, Any]]:
    """What the service has recorded, read from the store, since looking by HTTP is a read."""
    nobody = Principal(user_id="", name="", tenant=tenant, scopes=frozenset())
    export = await api.services.exporter.start(nobody, Is("user_id", SERVICE_USER), after=START)
    found = [json.loads(record.answer()) async for page in export.pages for record in page]
    return [one for one in found if not types or one["event_type"] in types]


def begin_window(api: Api) -> None:
    """Put the clock forward to where a window begins, so that what follows lies within one."""
    now = api.time()
    api.time.advance(minutes=5 - now.minute % 5, seconds=-now.second)
