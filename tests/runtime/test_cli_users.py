"""`users` on the store itself: what is done there is on record like what comes over HTTP."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from typer.testing import CliRunner

from auditlogservice.filters import EVERYTHING
from auditlogservice.runtime.cli import serve
from auditlogservice.runtime.cli.app import app
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.stores import open_store
from auditlogservice.store.port import PageQuery
from running import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(data_dir=tmp_path, min_free_bytes=0)


def run(settings: Settings, *words: str, entered: str | None = None) -> int:
    spelled = ["users", *words, "--data-dir", str(settings.data_dir)]
    return CliRunner().invoke(app, spelled, input=entered).exit_code


async def log_of(settings: Settings, tenant: str) -> list[dict[str, Any]]:
    store = await open_store(settings)
    query = PageQuery(tenant=tenant, where=EVERYTHING, order="oldest", beyond=None, limit=100)
    found = [json.loads(record.payload) for record in await store.events.page(query)]
    await store.close()
    return found


def test_changes_of_users_on_the_store_are_on_record_in_their_tenants_log(
    settings: Settings,
) -> None:
    password = f"{PASSWORD}\n"
    for words, entered in (
        (("add", "bob", "--tenant", "acme", "--scope", "events:read", "--password-stdin"),
         password),
        (("scopes", "bob", "events:write"), None),
        (("disable", "bob"), None),
        (("passwd", "bob", "--password-stdin"), f"another {password}"),
        (("remove", "bob"), None),
    ):  # fmt: skip
        assert run(settings, *words, entered=entered) == 0, words
    found = asyncio.run(log_of(settings, "acme"))
    assert [(one["event_type"], one["event_data"]) for one in found] == [
        ("audit.user.added", {"scopes": ["events:read"]}),
        (
            "audit.user.changed",
            {
                "before": {"scopes": ["events:read"]},
                "after": {"scopes": ["events:write"]},
                "new_password": False,
            },
        ),
        (
            "audit.user.changed",
            {"before": {"disabled": False}, "after": {"disabled": True}, "new_password": False},
        ),
        ("audit.user.changed", {"before": {}, "after": {}, "new_password": True}),
        ("audit.user.removed", {"scopes": ["events:write"]}),
    ]
    assert {(one["actor"]["id"], one["actor"]["type"]) for one in found} == {
        ("@operator", "operator")
    }
    assert PASSWORD not in json.dumps(found)


def test_what_the_command_refuses_leaves_no_record(settings: Settings) -> None:
    password = f"{PASSWORD}\n"
    assert run(settings, "add", "bob", "--password-stdin", entered=password) == 0
    assert run(settings, "add", "bob", "--password-stdin", entered=password) == 1
    assert run(settings, "passwd", "bob", "--password-stdin", entered="short\n") == 1
    assert run(settings, "remove", "eve") == 1
    assert len(asyncio.run(log_of(settings, "default"))) == 1


async def test_the_first_admin_is_on_record_once(settings: Settings) -> None:
    for _ in range(2):
        await serve._greet_first_admin(settings, "http://test")
    (made,) = await log_of(settings, "default")
    assert made["event_type"] == "audit.user.added"
    assert made["targets"] == [{"type": "user", "id": "admin"}]
