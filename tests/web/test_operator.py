"""The operator: tenants are made, suspended and removed, and nothing that they keep is seen."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from test_access import BODIES, QUERIES, SCOPED, STREAM, address, made, until_refused
from test_follow import listening

from auditlogservice.access import Scope
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.notes import Note
from running import PASSWORD, two_nodes

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

OPERATOR = (Scope.TENANTS_MANAGE, Scope.USERS_MANAGE)


async def test_an_operator_makes_suspends_resumes_and_removes_a_tenant(api: Api) -> None:
    operator = await api.add("operator", *OPERATOR, tenant="operations")
    made = await api.http.post("/tenants", json={"name": "acme"}, headers=operator)
    assert made.status_code == 201
    told = made.json()
    assert told == {
        "name": "acme", "created_at": told["created_at"], "suspended": False, "events": 0,
        "users": 0, "clients": 0,
    }  # fmt: skip
    assert made.headers["location"] == "/tenants/acme"
    listed = (await api.http.get("/tenants", headers=operator)).json()
    assert [(each["name"], each["users"]) for each in listed] == [("acme", 0), ("operations", 1)]
    for suspended in (True, False):
        change = {"suspended": suspended}
        changed = await api.http.patch("/tenants/acme", json=change, headers=operator)
        assert (changed.status_code, changed.json()) == (200, {**told, **change})
        assert (await api.http.get("/tenants/acme", headers=operator)).json() == changed.json()
    assert (await api.http.delete("/tenants/acme", headers=operator)).status_code == 204
    assert (await api.http.get("/tenants/acme", headers=operator)).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "about"),
    [
        ("POST", "/tenants", {"name": "Acme"}, 422, "/name"),
        ("POST", "/tenants", {"name": ""}, 422, "/name"),
        ("POST", "/tenants", {"name": 3}, 422, "/name"),
        ("POST", "/tenants", {}, 422, "/name"),
        ("POST", "/tenants", {"name": "new", "suspended": True}, 422, "/suspended"),
        ("POST", "/tenants", {"name": "acme"}, 409, "exists already"),
        ("PATCH", "/tenants/acme", {"suspended": "yes"}, 422, "/suspended"),
        ("PATCH", "/tenants/acme", {}, 422, "/suspended"),
        ("PATCH", "/tenants/acme", {"suspended": True, "name": "new"}, 422, "/name"),
        ("PATCH", "/tenants/operations", {"suspended": True}, 409, "their own"),
        ("PATCH", "/tenants/nobody", {"suspended": True}, 404, "no tenant"),
        ("GET", "/tenants/nobody", None, 404, "no tenant"),
        ("GET", "/tenants/a%2Fb", None, 404, "no such thing"),
        ("DELETE", "/tenants/nobody", None, 404, "no tenant"),
        ("DELETE", "/tenants/acme", None, 409, "suspend it instead"),
        ("DELETE", "/tenants/operations", None, 409, "suspend it instead"),
    ],
)
async def test_what_cannot_be_done_to_a_tenant_is_refused_and_changes_nothing(
    memory_api: Api, method: str, path: str, body: Any, status: int, about: str
) -> None:
    operator = await memory_api.add("operator", *OPERATOR, tenant="operations")
    await memory_api.add("alice", tenant="acme")
    before = await memory_api.services.tenants.all()
    answer = await memory_api.http.request(method, path, json=body, headers=operator)
    told = answer.json()
    assert answer.status_code == status, told
    if status == 422:
        assert [flaw["pointer"] for flaw in told["errors"]] == [about]
    else:
        assert about in f"{told['title']}: {told['detail']}"
    assert await memory_api.services.tenants.all() == before


# ---- users of another tenant ------------------------------------------------------------


async def test_the_first_admin_of_a_tenant_is_made_by_an_operator(api: Api) -> None:
    operator = await api.add("operator", tenant="operations")
    await api.http.post("/tenants", json={"name": "acme"}, headers=operator)
    scopes = sorted(set(Scope) - {Scope.TENANTS_MANAGE})
    asked = {"name": "boss", "password": PASSWORD, "scopes": scopes}
    made = await api.http.post("/users?tenant=acme", json=asked, headers=operator)
    assert (made.status_code, made.json()["tenant"]) == (201, "acme")
    where = made.headers["location"]
    assert (await api.http.get(where, headers=operator)).json() == made.json()
    users = await api.http.get("/users?tenant=acme", headers=operator)
    assert users.json() == [made.json()]

    boss = await api.sign_in("boss")
    asked = {"name": "source", "password": PASSWORD, "scopes": ["events:write"]}
    mine = await api.http.post("/users", json=asked, headers=boss)
    assert (mine.status_code, mine.json()["tenant"]) == (201, "acme")
    assert mine.headers["location"] == "/users/source"

    off = await api.http.patch(where, json={"disabled": True}, headers=operator)
    assert off.json()["disabled"]
    assert (await api.http.delete(where, headers=operator)).status_code == 204
    users = await api.http.get("/users?tenant=acme", headers=operator)
    assert [user["name"] for user in users.json()] == ["source"]
    users = await api.http.get("/users", headers=operator)
    assert [user["name"] for user in users.json()] == ["operator"]


USER_CALLS = [
    ("GET", "/users", None),
    ("POST", "/users", {"name": "eve", "password": PASSWORD, "scopes": []}),
    ("GET", "/users/alice", None),
    ("PATCH", "/users/alice", {"disabled": True}),
    ("DELETE", "/users/alice", None),
]


@pytest.mark.parametrize(("method", "path", "body"), USER_CALLS)
async def test_for_who_is_no_operator_another_tenant_is_not_there(
    memory_api: Api, method: str, path: str, body: Any
) -> None:
    await memory_api.add("alice", Scope.EVENTS_READ, tenant="acme")
    manager = await memory_api.add("manager", *set(Scope) - {Scope.TENANTS_MANAGE}, tenant="other")
    told = []
    for tenant in ("acme", "nobody", "a b", ""):
        answer = await memory_api.http.request(
            method, path, params={"tenant": tenant}, json=body, headers=manager
        )
        assert answer.status_code == 404, answer.text
        told.append({**answer.json(), "request_id": None})
    assert told == [told[0]] * 4
    assert [user.name for user in await memory_api.services.accounts.users("acme")] == ["alice"]
    mine = await memory_api.http.get("/users?tenant=other", headers=manager)
    assert [user["name"] for user in mine.json()] == ["manager"]


@pytest.mark.parametrize(("method", "path", "body"), USER_CALLS)
async def test_an_operator_finds_a_user_in_its_tenant_alone(
    memory_api: Api, method: str, path: str, body: Any
) -> None:
    await memory_api.add("alice", Scope.USERS_MANAGE, tenant="acme")
    await memory_api.add("bob", Scope.USERS_MANAGE, tenant="other")
    operator = await memory_api.add("operator", *OPERATOR, tenant="operations")
    ask = memory_api.http.request
    for query in ("", "?tenant=other", "?tenant=nobody"):
        answer = await ask(method, path + query, json=body, headers=operator)
        if "/alice" in path or "nobody" in query:
            assert answer.status_code == 404, answer.text
        else:
            assert "alice" not in answer.text
    for query in ("?tenant=acme&tenant=acme", "?tenant=acme&colour=red"):
        assert (await ask(method, path + query, json=body, headers=operator)).status_code == 422
    if "/alice" in path:
        answer = await ask(method, f"{path}?tenant=acme", json=body, headers=operator)
        assert answer.status_code < 300, answer.text


async def test_managing_tenants_alone_reaches_no_user(memory_api: Api) -> None:
    await memory_api.add("alice", tenant="acme")
    operator = await memory_api.add("operator", Scope.TENANTS_MANAGE, tenant="operations")
    for method, path, body in USER_CALLS:
        answer = await memory_api.http.request(
            method, f"{path}?tenant=acme", json=body, headers=operator
        )
        assert answer.status_code == 403, path


async def test_an_operator_gives_no_scope_that_is_not_its_own_in_any_tenant(
    memory_api: Api,
) -> None:
    await memory_api.add("alice", Scope.EVENTS_READ, tenant="acme")
    operator = await memory_api.add("operator", *OPERATOR, tenant="operations")
    asked = {"name": "eve", "password": PASSWORD, "scopes": ["events:read"]}
    ask = memory_api.http
    answers = [
        await ask.post("/users?tenant=acme", json=asked, headers=operator),
        await ask.patch(
            "/users/alice?tenant=acme", json={"password": "another password"}, headers=operator
        ),
        await ask.delete("/users/alice?tenant=acme", headers=operator),
    ]
    assert [(each.status_code, each.json()["scope"]) for each in answers] == [
        (403, "events:read")
    ] * 3
    await memory_api.sign_in("alice")


async def test_an_operator_reads_nothing_that_another_tenant_keeps(api: Api) -> None:
    """It has every scope and names the tenant; tests/web/test_access.py swaps the ids."""
    names = await made(api, await api.add("alice", tenant="acme"), "acme")
    operator = await api.add("operator", tenant="operations")
    secrets = {"secret of acme", *(names[kind] for kind in names if kind.endswith("_id"))}
    managed = ("/tenants", "/users", "/clients")
    of_tenants = {route for route in SCOPED if route[1].startswith(managed)}
    for route in sorted(SCOPED.keys() - of_tenants - {STREAM}):
        url = f"{address(route, names)}?tenant=acme&{QUERIES.get(route, '')}"
        answer = await api.http.request(route[0], url, json=BODIES.get(route), headers=operator)
        assert answer.status_code in {200, 404, 422}, (route, answer.text)
        found = [
            each for each in secrets if each in answer.text.replace(address(route, names), "")
        ]
        assert found == [], route


# ---- a suspended tenant -----------------------------------------------------------------


async def test_a_suspended_tenant_is_shut_on_every_node_within_a_second_and_opens_again(
    settings: Settings,
) -> None:
    async with two_nodes(settings) as (one, other):
        operator = await one.add("operator", *OPERATOR, tenant="operations")
        alice = await one.add("alice", tenant="acme")
        record = await one.record(alice)
        for node in (one, other):  # both have just seen that she is welcome
            assert (await node.http.get("/me", headers=alice)).status_code == 200
        change = {"suspended": True}
        assert (
            await one.http.patch("/tenants/acme", json=change, headers=operator)
        ).status_code == 200
        waits = await asyncio.gather(until_refused(one, alice), until_refused(other, alice))
        assert max(waits) <= 2  # half a second, and what a busy machine adds
        for node in (one, other):
            assert await refused(node, "alice", PASSWORD) == await refused(node, "alice", "wrong")
            assert (await node.http.get("/me", headers=operator)).status_code == 200

        change = {"suspended": False}
        await one.http.patch("/tenants/acme", json=change, headers=operator)
        for node in (one, other):
            node.time.advance(seconds=1)
            assert await node.listed(alice, "?user_id=alice") == [record]
            await node.sign_in("alice")


async def refused(api: Api, name: str, password: str) -> tuple[int, dict[str, Any]]:
    answer = await api.http.post("/token", data={"username": name, "password": password})
    return answer.status_code, {**answer.json(), "request_id": None}


async def test_the_log_of_a_suspended_tenant_stays_and_stays_signed(api: Api) -> None:
    alice = await api.add("alice", tenant="acme")
    for _ in range(3):
        await api.record(alice)
    await api.services.tenants.suspend("acme")
    note = (await api.services.signer.checkpoint("acme")).note
    assert Checkpoint.parse(Note.parse(note).text).size == 3
    assert (await api.services.tenants.get("acme")).events == 3


async def test_a_stream_ends_when_its_tenant_is_suspended(memory_api: Api) -> None:
    alice = await memory_api.add("alice", tenant="acme")
    async with listening(memory_api, alice) as listener:
        await memory_api.services.tenants.suspend("acme")
        event = await listener.event()
        assert event[b"event"] == b"problem"
        assert b"not-authenticated" in event[b"data"]
