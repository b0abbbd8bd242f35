"""What every answer carries, whatever its status and whoever gives it, and what none does."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from auditlogservice.access import Scope
from auditlogservice.errors import StoreUnreachable
from auditlogservice.runtime.settings import Settings
from running import EVENT, PASSWORD, Api, running
from served import served

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import httpx2
    import pytest

ALWAYS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "content-security-policy": "default-src 'none'; style-src 'self'; frame-ancestors 'none'",
}


def assert_safe(headers: Mapping[str, str]) -> None:
    """Claim that an answer forbids what browsers could do with it, and names no software."""
    for name, value in ALWAYS.items():
        assert headers[name] == value
    assert headers["x-request-id"]
    assert not {"server", "x-powered-by", "set-cookie"} & set(headers)
    assert not [name for name in headers if name.startswith("access-control-")]


async def answers_of_each_status(api: Api) -> list[httpx2.Response]:
    """One answer for each status that the application gives to who is there."""
    everything = await api.add("alice")
    reader = await api.add("bob", Scope.EVENTS_READ)
    http, path = api.http, "/events"
    key = {**everything, "Idempotency-Key": "k"}
    created = await http.post(path, json=EVENT, headers=key)
    event = f"/events/{created.json()['_id']}"
    held = {"q": "nobody", "reason": "case"}
    bob = {"name": "bob", "password": PASSWORD}
    sent_as_json = {**everything, "Content-Type": "application/json"}
    outdated = {**everything, "If-Match": '"9"'}
    hold = await http.post("/holds", json=held, headers=everything)
    found = [
        created,
        hold,
        await http.post(path, json=EVENT, headers=key),
        await http.get("/events/feed", headers=everything),
        await http.get("/style.css"),
        await http.post("/token", data={"username": "alice", "password": "wrong"}),
        await http.get(path),
        await http.post(path, json=EVENT, headers=reader),
        await http.get("/nowhere"),
        await http.request("TRACE", path),
        await http.request("OPTIONS", path),
        await http.post("/users", json=bob, headers=everything),
        await http.put("/retention", json={"rules": []}, headers=outdated),
        await http.post(path, content=b"x" * 300_000, headers=sent_as_json),
        await http.post("/token", content=b"x"),
        await http.get("/livez", headers={"Host": "["}),
        await http.get("/events?sort=up", headers=everything),
        await http.delete(event, headers=everything),
        await http.get(event, headers=everything),
    ]  # fmt: skip

    async def down() -> None:
        raise StoreUnreachable

    object.__setattr__(api.services, "ping", down)
    return [*found, await http.get("/readyz")]


async def test_every_answer_carries_the_security_headers(memory_api: Api) -> None:
    found = await answers_of_each_status(memory_api)
    statuses = {answer.status_code for answer in found}
    assert statuses == {
        200, 201, 204, 400, 401, 403, 404, 405, 409, 410, 412, 413, 415, 422, 503,
    }  # fmt: skip
    for answer in found:
        assert_safe(answer.headers)
        assert answer.headers["cache-control"] == "no-store", answer.url


async def test_a_defect_carries_them_too(memory_api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError

    monkeypatch.setattr(memory_api.app, "openapi", broken)
    answer = await memory_api.http.get("/docs")
    assert answer.status_code == 500
    assert_safe(answer.headers)


BELOW = [
    (b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"HEAD /openapi.json HTTP/1.1\r\nHost: a\r\n\r\n", 200),
    (b"OPTIONS /events HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"TRACE /events HTTP/1.1\r\nHost: a\r\n\r\n", 405),
    (b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET http://a/livez HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    (b"GET /livez HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421),
    (b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * 20_000), 414),
    (b"GET /livez HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (b"a" * 70_000), 431),
    (b"nonsense\r\n\r\n", 400),
]


async def test_so_does_what_never_reaches_the_application(tmp_path: Path) -> None:
    settings = Settings(store="sqlite:///:memory:", data_dir=tmp_path, allowed_hosts="a")
    async with running(settings) as api, served(api, settings) as port:
        for sent, status in BELOW:
            first, headers = await head_of_answer(port, sent)
            assert first.split()[1] == str(status), sent[:80]
            assert_safe(headers)
            assert headers["cache-control"] == "no-store"
            assert "strict-transport-security" not in headers


async def head_of_answer(port: int, sent: bytes) -> tuple[str, dict[str, str]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(sent)
        async with asyncio.timeout(10):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
    finally:
        writer.close()
    first, *lines = head.strip().split("\r\n")
    return first, {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}


# ---- other origins ----------------------------------------------------------------------

ORIGIN = {"Origin": "https://evil.example"}
PREFLIGHT = ORIGIN | {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
    "Access-Control-Request-Private-Network": "true",
}


async def test_no_page_of_another_origin_is_let_in(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    document = memory_api.app.openapi()
    for path in [*document["paths"], "/nowhere"]:
        answer = await memory_api.http.options(path, headers=PREFLIGHT)
        assert answer.status_code in {404, 405}, path
        assert_safe(answer.headers)
    for path in ("/livez", "/events", "/openapi.json", "/metrics"):
        for headers in (ORIGIN, ORIGIN | user, {"Origin": "null"}):
            assert_safe((await memory_api.http.get(path, headers=headers)).headers)
