"""The short way in for single events answers what the framework's way would."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.web.ingest import Ingest
from running import EVENT, Api

if TYPE_CHECKING:
    import httpx2
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as AsgiScope

    Seen = tuple[int, dict[str, str], str]

GOOD = json.dumps(EVENT).encode()
JSON = {"Content-Type": "application/json"}
# What differs between any two requests: ids, moments, places in the log, what is left of a budget.
_OWN = re.compile(
    r'"(?:_id|request_id|timestamp)":"[^"]*"|"sequence":\d+|(?<=/events/)[0-9a-f]{24}|(?<=;[rt]=)\d+'
)

CALLS: dict[str, dict[str, Any]] = {
    "an event": {"content": GOOD, "headers": JSON},
    "a key": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "once"}},
    "its retry": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "once"}},
    "a key that is none": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "ä".encode()}},
    "no event": {"content": b"{}", "headers": JSON},
    "no JSON": {"content": b"{", "headers": JSON},
    "another medium": {"content": GOOD, "headers": {"Content-Type": "text/plain"}},
    "a parameter": {"content": GOOD, "headers": JSON, "params": {"no": "such"}},
    "no token": {"content": GOOD, "headers": {**JSON, "Authorization": ""}},
    "a false token": {"content": GOOD, "headers": {**JSON, "Authorization": "Bearer x.y.z"}},
}


async def answered(api: Api, user: dict[str, str], path: str = "/events") -> list[Seen]:
    return [
        comparable(await api.http.post(path, **{**call, "headers": {**user, **call["headers"]}}))
        for call in CALLS.values()
    ]


def comparable(answer: httpx2.Response) -> Seen:
    headers = {
        name: _OWN.sub("", value)
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "content-length"}
    }
    return answer.status_code, headers, _OWN.sub("", answer.text)


async def by_the_framework(ingest: Ingest, scope: AsgiScope, receive: Receive, send: Send) -> None:
    app: ASGIApp = ingest._app
    await app(scope, receive, send)


@pytest.mark.parametrize("scope", [Scope.EVENTS_WRITE, Scope.EVENTS_READ])
async def test_both_ways_answer_alike(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    short = await answered(memory_api, await memory_api.add("alice", scope))
    monkeypatch.setattr(Ingest, "__call__", by_the_framework)
    long = await answered(memory_api, await memory_api.add("bob", scope))
    alike = json.loads(json.dumps(long).replace("bob", "alice"))
    assert dict(zip(CALLS, json.loads(json.dumps(short)), strict=True)) == dict(
        zip(CALLS, alike, strict=True)
    )
    assert len({status for status, *_ in short}) > 2 or scope is Scope.EVENTS_READ


async def test_other_methods_and_addresses_go_the_long_way(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    assert (await memory_api.http.put("/events", content=GOOD, headers=user)).status_code == 405
    assert (await memory_api.http.get("/events", headers=user)).status_code == 200
    assert (await memory_api.http.post("/events/", content=GOOD, headers=user)).status_code == 201


async def test_the_short_way_is_counted_under_its_route(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    await memory_api.record(user)
    page = (await memory_api.http.get("/metrics")).text
    assert 'auditlog_request_seconds_count{method="POST",route="/events",status="201"} 1.0' in page
