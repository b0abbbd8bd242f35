"""Other ways to say the same: none of them leads past a scope, or past the record of a read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import Scope
from auditlogservice.runtime.settings import Settings
from running import Api, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

# How `/events` and the address of an event may be written otherwise.
PATHS = (
    "/events", "/events/", "//events", "/events//", "/EVENTS", "/Events", "/events%2F",
    "/%65vents", "/./events", "/x/../events", "/events/.", "/events;a=b", "/events%00",
    "/events%20", "/events?", "/events?limit=1&limit=1",
    "/events?access_token=x", "/events?tenant=default",
    "/events/search", "/events/count", "/events/feed", "/events/facets?field=name",
    "/events/histogram", "/events/export/", "/events/export",
)  # fmt: skip
METHODS = ("GET", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get")
OVERRIDES = (
    {"X-HTTP-Method-Override": "DELETE"}, {"X-HTTP-Method": "DELETE"},
    {"X-Method-Override": "DELETE"}, {"X-Original-URL": "/users"}, {"X-Rewrite-URL": "/users"},
    {"X-Forwarded-User": "admin"}, {"X-Remote-User": "admin"}, {"Forwarded": "for=127.0.0.1"},
    {"X-Forwarded-For": "127.0.0.1"}, {"X-Forwarded-Prefix": "/users"},
    {"X-User-Id": "admin"}, {"X-Tenant": "acme"},
)  # fmt: skip


@pytest.fixture
async def watched(tmp_path: Path) -> AsyncIterator[Api]:
    """A service that records what it should."""
    async with running(Settings(store="sqlite:///:memory:", data_dir=tmp_path)) as api:
        yield api


def paths_to(event_id: str) -> list[str]:
    ids = event_id, event_id.upper(), f"{event_id}/", f"{event_id}%2F", f".//{event_id}"
    return [*PATHS, *(f"/events/{each}" for each in ids), f"/events/{event_id}/proof"]


async def test_no_detour_leads_past_the_scope(memory_api: Api) -> None:
    writer = await memory_api.add("source", Scope.EVENTS_WRITE)
    event = await memory_api.record(writer, detail="not for everybody")
    for headers, refusals in ({}, {401, 404, 405, 400}), (writer, {403, 404, 405, 400}):
        for path in paths_to(event["_id"]):
            for method in METHODS:
                answer = await memory_api.http.request(method, path, headers=headers)
                assert answer.status_code in refusals, (method, path)
                assert "not for everybody" not in answer.text


async def test_no_detour_leads_past_the_record(watched: Api) -> None:
    source = await watched.add("source", Scope.EVENTS_WRITE)
    event = await watched.record(source, detail="seen")
    for number, path in enumerate(paths_to(event["_id"])):
        for method in METHODS:
            name = f"{method}-{number}"
            reader = await watched.add(name, *Scope)
            answer = await watched.http.request(method, path, headers=reader)
            if answer.status_code == 200:
                told = "event_type:(audit.events.read OR audit.events.exported)"
                question = {"q": f'{told} actor.id:"{name}"'}
                asked = await watched.http.get("/events", params=question, headers=reader)
                assert asked.json(), (method, path)


@pytest.mark.parametrize("header", OVERRIDES, ids=str)
async def test_no_header_changes_what_is_asked_or_who_asks(
    memory_api: Api, header: dict[str, str]
) -> None:
    reader = await memory_api.add("reader", Scope.EVENTS_READ)
    plain = await memory_api.http.get("/me", headers=reader)
    assert (await memory_api.http.get("/me", headers=reader | header)).json() == plain.json()
    assert (await memory_api.http.get("/users", headers=reader | header)).status_code == 403
    assert (await memory_api.http.get("/users", headers=header)).status_code == 401
