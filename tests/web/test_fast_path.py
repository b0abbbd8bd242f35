"""The fast path answers what the framework would, and takes no request from another route."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.routing import Match, Route

from auditlogservice.access import Scope
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.wiring import build_app
from auditlogservice.web.fast_path import FastPath, _choose
from running import EVENT, Api

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Send
    from starlette.types import Scope as AsgiScope

    Seen = tuple[int, dict[str, str], str]

GOOD = json.dumps(EVENT).encode()
JSON = {"Content-Type": "application/json"}
NO_TOKEN = {"Authorization": ""}
FALSE_TOKEN = {"Authorization": "Bearer x.y.z"}
# What differs between any two requests: ids, moments, places in the log, what is left of a budget.
_OWN = re.compile(
    r'"(?:_id|request_id|timestamp)":"[^"]*"|"sequence":\d+|(?<=;[rt]=)\d+'
    r"|(?<=cursor=)[^>]*"
)
_OF_RECORDED = re.compile(r"(?<=/events/)[0-9a-f]{24}")

POSTED: dict[str, dict[str, Any]] = {
    "an event": {"content": GOOD, "headers": JSON},
    "a key": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "once"}},
    "its retry": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "once"}},
    "a key that is none": {"content": GOOD, "headers": {**JSON, "Idempotency-Key": "ä".encode()}},
    "no event": {"content": b"{}", "headers": JSON},
    "no JSON": {"content": b"{", "headers": JSON},
    "another medium": {"content": GOOD, "headers": {"Content-Type": "text/plain"}},
    "a parameter": {"content": GOOD, "headers": JSON, "params": {"no": "such"}},
    "no token": {"content": GOOD, "headers": {**JSON, **NO_TOKEN}},
    "a false token": {"content": GOOD, "headers": {**JSON, **FALSE_TOKEN}},
}
# `{kept}`, `{erased}` and `{foreign}` are the ids of events, the last one of another tenant.
READ: dict[str, tuple[str, str, dict[str, str]]] = {
    "one": ("GET", "/events/{kept}", {}),
    "one, in capitals": ("GET", "/events/{KEPT}", {}),
    "one, with a slash behind": ("GET", "/events/{kept}/", {}),
    "one, percent-encoded": ("GET", "/events/%{kept_encoded}", {}),
    "one that was erased": ("GET", "/events/{erased}", {}),
    "one of others": ("GET", "/events/{foreign}", {}),
    "one that is not there": ("GET", "/events/000000000000000000000000", {}),
    "what is no id": ("GET", "/events/no-id", {}),
    "what is too long for an id": ("GET", "/events/{kept}0", {}),
    "one, with a line break": ("GET", "/events/{kept}%0A", {}),
    "one, with a parameter": ("GET", "/events/{kept}?no=such", {}),
    "one, with a bad query string": ("GET", "/events/{kept}?%ff", {}),
    "one, without a token": ("GET", "/events/{kept}", NO_TOKEN),
    "one, with a false token": ("GET", "/events/{kept}", FALSE_TOKEN),
    "the head of one": ("HEAD", "/events/{kept}", {}),
    "the options of one": ("OPTIONS", "/events/{kept}", {}),
    "a new one in its place": ("PUT", "/events/{kept}", {}),
    "a list": ("GET", "/events?limit=2", {}),
    "a list, with a slash behind": ("GET", "/events/?limit=2", {}),
    "a list that is counted": ("GET", "/events?name=first&count=true", {}),
    "a list, the newest first": ("GET", "/events?name=first&sort=-timestamp", {}),
    "a list of nothing": ("GET", "/events?name=nobody", {}),
    "a list by words": ("GET", "/events?q=first", {}),
    "a list with a bad limit": ("GET", "/events?limit=0", {}),
    "a list with two limits": ("GET", "/events?limit=1&limit=2", {}),
    "a list of no such field": ("GET", "/events?nothing=1", {}),
    "a list with a bad cursor": ("GET", "/events?cursor=x", {}),
    "a list with a bad query string": ("GET", "/events?q=%ff", {}),
    "a list, without a token": ("GET", "/events", NO_TOKEN),
    "a list, with a false token": ("GET", "/events", FALSE_TOKEN),
    "the head of a list": ("HEAD", "/events", {}),
    "all events to be erased": ("DELETE", "/events", {}),
    "other routes below": ("GET", "/events/count", {}),
    "other methods below": ("POST", "/events/{kept}", {}),
}


async def posted(api: Api, user: dict[str, str]) -> dict[str, Seen]:
    return {
        what: await answered(api, "POST", "/events", user, call) for what, call in POSTED.items()
    }


async def read(api: Api, user: dict[str, str], ids: dict[str, str]) -> dict[str, Seen]:
    return {
        what: await answered(api, method, path.format(**ids), user, {"headers": headers})
        for what, (method, path, headers) in READ.items()
    }


async def answered(
    api: Api, method: str, path: str, user: dict[str, str], call: dict[str, Any]
) -> Seen:
    told = {**call, "headers": {**user, **call["headers"]}}
    answer = await api.http.request(method, path, **told)
    headers = {
        name: _OWN.sub("", value)
        for name, value in answer.headers.items()
        if name not in {"x-request-id", "content-length"}
    }
    return answer.status_code, headers, _OWN.sub("", answer.text)


async def by_the_framework(fast: FastPath, scope: AsgiScope, receive: Receive, send: Send) -> None:
    app: ASGIApp = fast._app
    await app(scope, receive, send)


@pytest.mark.parametrize("scope", [Scope.EVENTS_WRITE, Scope.EVENTS_READ])
async def test_an_event_is_recorded_alike_on_both_ways(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    fast = await posted(memory_api, await memory_api.add("alice", scope))
    monkeypatch.setattr(FastPath, "__call__", by_the_framework)
    slow = await posted(memory_api, await memory_api.add("bob", scope))
    told = _OF_RECORDED.sub("", json.dumps([fast, slow]).replace("bob", "alice"))
    fast, slow = json.loads(told)
    assert fast == slow
    assert len({status for status, *_ in fast.values()}) > 2 or scope is Scope.EVENTS_READ


@pytest.mark.parametrize("scope", [Scope.EVENTS_READ, Scope.EVENTS_WRITE])
async def test_events_are_read_alike_on_both_ways(
    api: Api, monkeypatch: pytest.MonkeyPatch, scope: Scope
) -> None:
    user, ids = await api.add("reader", scope), await some_events(api)
    fast = await read(api, user, ids)
    monkeypatch.setattr(FastPath, "__call__", by_the_framework)
    assert fast == await read(api, user, ids)
    statuses = {what: status for what, (status, *_) in fast.items()}
    if scope is Scope.EVENTS_READ:
        assert (statuses["one"], statuses["one that was erased"], statuses["a list"]) == (
            200, 410, 200,
        )  # fmt: skip
    else:
        assert statuses["one"] == statuses["a list"] == 403


async def some_events(api: Api) -> dict[str, str]:
    alice = await api.add("alice")
    foreigner = await api.add("zoe", tenant="zeta")
    kept, erased = [(await api.record(alice, name="first"))["_id"] for _ in range(2)]
    await api.record(alice, name="second")
    foreign = (await api.record(foreigner))["_id"]
    reason = {"reason": "a test"}
    gone = await api.http.delete(f"/events/{erased}", params=reason, headers=alice)
    assert gone.status_code == 204, gone.text
    encoded = f"{ord(kept[0]):02x}{kept[1:]}"
    return {
        "kept": kept, "KEPT": kept.upper(), "kept_encoded": encoded, "erased": erased,
        "foreign": foreign,
    }  # fmt: skip


# ---- which requests it takes -----------------------------------------------------------------


def routes_of_all() -> list[Route]:
    app = build_app(Settings(store="sqlite:///:memory:"))
    included = [each.original_router for each in app.routes if hasattr(each, "original_router")]
    routers = [*included, app]
    return [each for router in routers for each in router.routes if isinstance(each, Route)]


ROUTES = routes_of_all()
LAST_STEPS = sorted({route.path.rpartition("/")[2] for route in ROUTES})
ids = st.text("0123456789abcdefABCDEF", min_size=23, max_size=25)
steps = ids | st.sampled_from(LAST_STEPS) | st.text(max_size=3)
paths = st.lists(steps, max_size=3).map(lambda below: "/".join(["/events", *below]))
methods = st.sampled_from(["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "get"])


@given(method=methods, path=paths)
def test_what_is_taken_is_what_the_router_would_have_sent_there(method: str, path: str) -> None:
    scope = {"type": "http", "method": method, "path": path, "root_path": "", "headers": []}
    hot = _choose(method, path)
    if hot is not None:
        assert hot.route is next(each for each in ROUTES if each.matches(scope)[0] is Match.FULL)


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "/events"), ("GET", "/events"), ("GET", f"/events/{'0aF' * 8}")]
)
def test_these_are_taken(method: str, path: str) -> None:
    assert _choose(method, path) is not None


async def test_requests_on_the_fast_path_are_counted_under_their_routes(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    record = await memory_api.record(user)
    await memory_api.listed(user)
    await memory_api.http.get(f"/events/{record['_id']}", headers=user)
    page = (await memory_api.http.get("/metrics")).text
    for method, route, status in (
        ("POST", "/events", 201), ("GET", "/events", 200), ("GET", "/events/{event_id}", 200),
    ):  # fmt: skip
        labels = f'method="{method}",route="{route}",status="{status}"'
        assert f"auditlog_request_seconds_count{{{labels}}} 1.0" in page
