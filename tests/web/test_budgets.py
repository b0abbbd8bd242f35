"""What an operator allows: rates for clients and tenants, and a tenant's quota of a day."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from test_access import NOWHERE, SCOPED, call

from auditlogservice.access import Scope
from auditlogservice.budgets import Budget
from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.settings import Settings, load_settings
from auditlogservice.runtime.stores import utc_now
from auditlogservice.web.budgets import BUDGETS
from auditlogservice.web.rate_limits import rate_limit_fields
from running import EVENT, Time, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx2

    from running import Api

# Calls with a scope that no budget counts, and why.
UNCOUNTED = {
    "/clients": "what manages",
    "/erasures": "what erases, or asks about it, is bounded in number",
    "/events/{event_id}": "erasing, one by one",
    "/events/{event_id}/proof": "what proves the log",
    "/holds": "what governs",
    "/ledger/{tenant}": "what proves the log",
    "/me": "asks no store",
    "/redaction": "what governs",
    "/retention": "what governs",
    "/tenants": "what manages",
    "/users": "what manages",
}


@asynccontextmanager
async def limited(folder: Path, **limits: Any) -> AsyncIterator[Api]:
    """A service with limits, over a store in memory."""
    settings = Settings(
        store="sqlite:///:memory:", data_dir=folder, self_audit="essential", **limits
    )
    async with running(settings) as api:
        yield api


def refused(answer: httpx2.Response, code: str) -> dict[str, Any]:
    """See that this is a 429 as promised; return the problem."""
    assert answer.status_code == 429, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert int(answer.headers["retry-after"]) >= 1
    assert {"ratelimit", "ratelimit-policy"} <= set(answer.headers)
    problem: dict[str, Any] = answer.json()
    assert problem["code"] == code
    return problem


async def record(api: Api, user: dict[str, str]) -> httpx2.Response:
    return await api.http.post("/events", json=EVENT, headers=user)


async def batch(api: Api, user: dict[str, str], number: int, query: str = "") -> httpx2.Response:
    return await api.http.post(f"/events/batch{query}", json=[EVENT] * number, headers=user)


# ---- what is counted ------------------------------------------------------------------------


def test_each_call_with_a_scope_is_counted_or_there_is_a_reason() -> None:
    for method, path in SCOPED.keys() - BUDGETS.keys():
        assert [known for known in UNCOUNTED if path.startswith(known)], (method, path)
    unknown = {("POST", path) for path in ("/token", "/revoke", "/introspect", "/signin")}
    assert BUDGETS.keys() - SCOPED.keys() == unknown
    assert set(BUDGETS.values()) == set(Budget)


async def test_without_a_setting_no_call_is_counted(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    for _ in range(50):
        answer = await record(memory_api, user)
        assert answer.status_code == 201
        assert not [name for name in answer.headers if name.startswith("ratelimit")]


@pytest.mark.parametrize("budget", [Budget.SEARCH, Budget.EXPORT])
async def test_a_budget_counts_its_own_calls_and_no_others(tmp_path: Path, budget: Budget) -> None:
    async with limited(tmp_path, **{f"limit_{budget}": "1000/d"}) as api:
        owner = await api.add("owner")
        names = {**NOWHERE, "event_id": (await api.record(owner))["_id"]}
        bucket = api.services.limiter._of_client[budget]
        for route in SCOPED:
            if route[1] in {"/events/stream", "/users/{name}"} or route[0] == "DELETE":
                continue
            before = sum(each.level for each in bucket._buckets.values())
            await call(api, route, owner, names)
            after = sum(each.level for each in bucket._buckets.values())
            spent = round(before - after) if before else round(1000 - after) % 1000
            assert spent == (BUDGETS.get(route) == budget), route


# ---- rates ----------------------------------------------------------------------------------


async def test_each_answer_says_what_is_left_and_the_last_one_when_to_come_back(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, limit_ingest="3/h") as api:
        alice, bob = await api.add("alice"), await api.add("bob")
        for left in (2, 1, 0):
            answer = await record(api, alice)
            assert answer.status_code == 201
            assert answer.headers["ratelimit-policy"] == '"ingest";q=3;w=3600'
            assert answer.headers["ratelimit"].startswith(f'"ingest";r={left};t=')
        answer = await record(api, alice)
        assert "3 in 3,600 s" in refused(answer, "rate-limited")["detail"]
        assert 1_100 < int(answer.headers["retry-after"]) <= 1_200
        assert (await record(api, bob)).status_code == 201
        assert len(await api.listed(alice)) == 4
        page, _ = api.services.metrics.page()
        assert b'auditlog_limited_total{policy="ingest"} 1.0' in page


async def test_a_batch_counts_its_events_and_is_served_if_anything_is_left(
    tmp_path: Path,
) -> None:
    async with limited(tmp_path, limit_ingest="100/h") as api:
        user = await api.add("alice")
        answer = await batch(api, user, 60)
        assert answer.headers["ratelimit"].startswith('"ingest";r=40;t=')
        assert len((await batch(api, user, 60)).json()["successful"]) == 60
        answer = await batch(api, user, 1)
        refused(answer, "rate-limited")
        assert 720 < int(answer.headers["retry-after"]) <= 756  # 20 owed, and one more


async def test_a_refusal_that_has_another_reason_says_what_is_left_too(tmp_path: Path) -> None:
    async with limited(tmp_path, limit_ingest="3/h") as api:
        user = await api.add("alice")
        answer = await api.http.post("/events", json={"name": 1}, headers=user)
        assert answer.status_code == 422
        assert answer.headers["ratelimit"].startswith('"ingest";r=2;')


async def test_a_tenant_has_a_rate_of_its_own(tmp_path: Path) -> None:
    async with limited(tmp_path, limit_search_tenant="2/h", limit_search="10/h") as api:
        alice, bob = await api.add("alice"), await api.add("bob")
        zoe = await api.add("zoe", tenant="other")
        answer = await api.http.get("/events", headers=alice)
        assert answer.headers["ratelimit-policy"] == (
            '"search";q=10;w=3600, "search-tenant";q=2;w=3600'
        )
        assert (await api.http.get("/events/count", headers=bob)).status_code == 200
        answer = await api.http.get("/events/feed", headers=bob)
        refused(answer, "rate-limited")
        assert answer.headers["ratelimit-policy"] == '"search-tenant";q=2;w=3600'
        assert (await api.http.get("/events", headers=zoe)).status_code == 200


async def test_tokens_are_counted_by_address_whatever_is_asked(tmp_path: Path) -> None:
    async with limited(tmp_path, limit_token="2/h") as api:
        await api.add("alice")
        assert (await api.http.post("/token", data={"username": "x"})).status_code == 400
        refused(await api.http.post("/token", data={}), "rate-limited")


async def test_nobody_without_a_scope_uses_up_anything(tmp_path: Path) -> None:
    async with limited(tmp_path, limit_ingest="1/h", limit_ingest_tenant="1/h") as api:
        reader, writer = await api.add("reader", Scope.EVENTS_READ), await api.add("writer")
        for headers in (reader, {}):
            assert (await record(api, headers)).status_code in {401, 403}
        assert (await record(api, writer)).status_code == 201


@pytest.mark.parametrize("text", ["5", "fast", "0/s", "5/y", "5/s,6/m", "-1/s"])
def test_a_rate_that_is_none_is_refused_at_the_start(text: str) -> None:
    with pytest.raises(UnsafeSetup, match="AUDITLOG_LIMIT_SEARCH"):
        load_settings(limit_search=text)


def test_no_fields_are_sent_where_nothing_is_counted() -> None:
    assert rate_limit_fields([]) == {}


# ---- the quota of a day -----------------------------------------------------------------------


def noon() -> Time:
    """A clock at noon (UTC), so that no test runs over midnight."""
    now = utc_now()
    return Time(now.replace(hour=12, minute=0, second=0) + timedelta(days=1) - now)


async def test_a_tenant_records_so_many_events_a_day_and_no_more(settings: Settings) -> None:
    time = noon()
    async with running(settings.model_copy(update={"quota_events": 5}), time) as api:
        alice, bob = await api.add("alice"), await api.add("bob")
        zoe = await api.add("zoe", tenant="other")
        answer = await record(api, alice)
        assert answer.headers["ratelimit-policy"] == '"events-per-day";q=5;w=86400'
        left, _, reset = answer.headers["ratelimit"].rpartition("=")
        assert left == '"events-per-day";r=4;t'
        assert 43_100 < int(reset) <= 43_200
        assert len((await batch(api, bob, 3)).json()["successful"]) == 3
        answer = await batch(api, bob, 2)  # one would fit, and a batch is not cut
        assert "5 events a day" in refused(answer, "quota-exceeded")["detail"]
        time.advance(seconds=2)
        assert (await record(api, alice)).status_code == 201
        time.advance(seconds=2)
        answer = await record(api, alice)
        refused(answer, "quota-exceeded")
        assert 43_000 < int(answer.headers["retry-after"]) <= 43_200
        assert (await record(api, zoe)).status_code == 201
        assert len(await api.listed(alice)) == 5
        time.advance(hours=12)
        assert (await record(api, await api.sign_in("alice"))).status_code == 201


async def test_nodes_count_together(settings: Settings) -> None:
    settings = settings.model_copy(update={"quota_events": 4})
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    time = noon()
    async with running(settings, time) as one, running(elsewhere, time) as other:
        user = await one.add("alice")
        for node in (one, other, one, other):
            assert (await record(node, user)).status_code == 201
            time.advance(seconds=2)
        for node in (one, other):
            refused(await record(node, user), "quota-exceeded")


async def test_what_was_let_in_counts_before_the_log_is_looked_at_again(
    settings: Settings,
) -> None:
    async with running(settings.model_copy(update={"quota_events": 3}), noon()) as api:
        user = await api.add("alice")
        statuses = [(await record(api, user)).status_code for _ in range(4)]
        assert statuses == [201, 201, 201, 429]


async def test_all_who_wait_for_a_look_at_the_quota_go_on_together(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One by one they had a turn of the loop each: thousands waited for seconds."""
    quotas, told = memory_api.services.quotas, asyncio.Event()
    looks = []

    async def look(*question: str) -> None:
        looks.append(question)
        await told.wait()

    monkeypatch.setattr(quotas, "_documents", SimpleNamespace(get=look))
    loop = asyncio.get_running_loop()
    waiting = [loop.create_task(quotas.use("acme", 1)) for _ in range(100)]
    for is_told in (False, True):
        if is_told:
            told.set()
        for _ in range(8):  # turns of the loop
            await asyncio.sleep(0)
        assert [task.done() for task in waiting] == [is_told] * 100
    assert len(looks) == 1


async def test_an_operator_sets_the_quota_of_one_tenant_on_every_node(settings: Settings) -> None:
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    time = noon()
    async with running(settings, time) as one, running(elsewhere, time) as other:
        operator = await one.add(
            "operator", Scope.TENANTS_MANAGE, Scope.EVENTS_READ, tenant="operators"
        )
        alice, zoe = await one.add("alice"), await one.add("zoe", tenant="other")
        assert (await record(other, alice)).status_code == 201
        answer = await one.http.put(
            "/tenants/default/limits", json={"events_per_day": 1}, headers=operator
        )
        assert answer.status_code == 200
        told = answer.json()
        assert (told["events_per_day"], told["changed_by"]) == (1, "operator")
        time.advance(seconds=2)
        for node in (one, other):
            refused(await record(node, alice), "quota-exceeded")
        assert (await record(other, zoe)).status_code == 201
        answer = await other.http.get("/tenants/default/limits", headers=operator)
        assert answer.json() == told
        await other.http.put(
            "/tenants/default/limits", json={"events_per_day": None}, headers=operator
        )
        time.advance(seconds=2)
        assert (await record(one, alice)).status_code == 201
        changes = [
            (each["event_type"], each["targets"][0]["id"], each["event_data"])
            for each in await one.listed(operator)
        ]
        assert changes == [
            ("audit.limits.changed", "default", {"events_per_day": 1, "before": None}),
            ("audit.limits.changed", "default", {"events_per_day": None, "before": 1}),
        ]


async def test_a_quota_of_its_own_goes_before_that_of_the_settings(settings: Settings) -> None:
    async with running(settings.model_copy(update={"quota_events": 1}), noon()) as api:
        user = await api.add("alice")
        for quota, status in ((100, 201), (0, 429)):
            await api.http.put(
                "/tenants/default/limits", json={"events_per_day": quota}, headers=user
            )
            assert [(await record(api, user)).status_code for _ in range(3)] == [status] * 3


@pytest.mark.parametrize(
    "body", [{}, {"events_per_day": -1}, {"events_per_day": "5"}, {"events_per_day": 10**13}, [],
             {"events_per_day": 5, "colour": "red"}, {"events_per_day": True}],
)  # fmt: skip
async def test_limits_that_are_none_are_refused(memory_api: Api, body: Any) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.put("/tenants/default/limits", json=body, headers=user)
    assert answer.status_code == 422
    answer = await memory_api.http.get("/tenants/default/limits", headers=user)
    assert answer.json() == {"events_per_day": None, "changed_by": None, "changed_at": None}


@pytest.mark.parametrize("tenant", ["nowhere", "No%20Tenant"])
async def test_a_tenant_that_is_not_there_has_no_limits(memory_api: Api, tenant: str) -> None:
    user = await memory_api.add("alice")
    path = f"/tenants/{tenant}/limits"
    told = {"events_per_day": 5}
    for answer in (
        await memory_api.http.get(path, headers=user),
        await memory_api.http.put(path, json=told, headers=user),
    ):
        assert answer.status_code == 404


async def test_reading_and_erasing_go_on_when_the_quota_is_used_up(settings: Settings) -> None:
    async with running(settings.model_copy(update={"quota_events": 1}), noon()) as api:
        user = await api.add("alice")
        event = (await record(api, user)).json()["_id"]
        refused(await record(api, user), "quota-exceeded")
        assert len(await api.listed(user)) == 1
        answer = await api.http.delete(f"/events/{event}?reason=r", headers=user)
        assert answer.status_code == 204
