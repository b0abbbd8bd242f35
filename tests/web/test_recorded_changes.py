"""What is done to clients, tokens, secrets and tenants is a record in the log that it is about."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from auditlogservice.access import Scope
from auditlogservice.errors import LogDamaged, StorageFull
from auditlogservice.governance import SERVICE_USER
from bearers import ENTER, basic, enter, get, make, signed
from running import running
from watching import own_records

if TYPE_CHECKING:
    import pytest

    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import Outcome, Submission
    from running import Api

OPERATOR = (Scope.TENANTS_MANAGE, Scope.USERS_MANAGE, Scope.EVENTS_READ, Scope.EVENTS_WRITE)


def told(records: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    """The type, the actor and the target of each."""
    return [(one["event_type"], one["actor"]["id"], one["targets"][0]["id"]) for one in records]


async def until_told(api: Api) -> list[dict[str, Any]]:
    """The failed logins, all of them."""
    await api.services.failed_logins.close()
    return await own_records(api, "audit.login.failed")


# ---- clients --------------------------------------------------------------------------------


async def test_changes_of_clients_are_on_record_with_what_was_before(watched: Api) -> None:
    admin = await watched.add("admin")
    client, secret = await make(watched, admin, "events:write")
    at = f"/clients/{client}"
    change = {"scopes": ["events:read"], "disabled": True}
    assert (await watched.http.patch(at, json=change, headers=admin)).status_code == 200
    (kept,) = (await watched.http.get(at, headers=admin)).json()["secrets"]
    gone = await watched.http.delete(f"{at}/secrets/{kept['id']}", headers=admin)
    assert gone.status_code == 204
    assert (await watched.http.delete(at, headers=admin)).status_code == 204
    found = [
        one for one in await own_records(watched) if one["event_type"].startswith("audit.client.")
    ]
    assert told(found) == [
        (f"audit.client.{what}", "admin", "client:web-shop")
        for what in ("added", "changed", "changed", "changed", "removed")
    ]
    assert [one["event_data"] for one in found] == [
        {"scopes": ["events:write"]},
        {"secret_added": {"id": kept["id"], "label": "", "expires_at": None}},
        {
            "before": {"scopes": ["events:write"], "disabled": False},
            "after": {"scopes": ["events:read"], "disabled": True},
        },
        {"secret_removed": {"id": kept["id"]}},
        {"client_id": client, "scopes": ["events:read"]},
    ]
    assert secret not in json.dumps(found)


async def test_a_change_of_a_client_that_is_refused_beforehand_leaves_no_record(
    memory_api: Api,
) -> None:
    admin = await memory_api.add("admin")
    client, _ = await make(memory_api, admin)
    before = await own_records(memory_api)
    for method, path, body, status in (
        ("POST", "/clients", {"name": "web-shop", "scopes": []}, 409),
        ("POST", "/clients", {"name": "a b", "scopes": []}, 422),
        ("DELETE", f"/clients/{client}/secrets/{'0' * 24}", None, 404),
        ("DELETE", f"/clients/{client}/tokens/{'0' * 24}", None, 404),
        ("DELETE", "/me/tokens/x", None, 404),
        ("POST", "/tenants", {"name": "default"}, 409),
        ("DELETE", "/tenants/default", None, 409),
        ("PATCH", "/tenants/nobody", {"suspended": True}, 404),
    ):
        answer = await memory_api.http.request(method, path, json=body, headers=admin)
        assert answer.status_code == status, (method, path, answer.text)
    assert await own_records(memory_api) == before


async def test_what_a_client_does_is_told_as_that_of_a_client(watched_memory: Api) -> None:
    admin = await watched_memory.add("admin")
    event = await watched_memory.record(admin)
    scopes = (Scope.EVENTS_READ, Scope.ADMIN, Scope.EVENTS_DELETE)
    client, secret = await make(watched_memory, admin, *scopes)
    shop = await signed(watched_memory, client, secret)
    assert (await watched_memory.http.get("/users", headers=shop)).status_code == 403
    await watched_memory.listed(shop, "?name=User Logged In")
    hold = {"q": "name:x", "reason": "r"}
    assert (await watched_memory.http.post("/holds", json=hold, headers=shop)).status_code == 201
    deleted = await watched_memory.http.delete(f"/events/{event['_id']}", headers=shop)
    assert deleted.status_code == 204
    theirs = [
        one
        for one in await own_records(watched_memory)
        if one["actor"].get("id") == "client:web-shop"
    ]
    assert [(one["event_type"], one["actor"]["type"]) for one in theirs] == [
        ("audit.token.issued", "client"),
        ("audit.access.denied", "client"),
        ("audit.events.read", "client"),
        ("audit.hold.placed", "client"),
        ("audit.event.erased", "client"),
    ]


# ---- tokens ---------------------------------------------------------------------------------


async def test_tokens_are_on_record_when_they_are_issued_and_ended(watched: Api) -> None:
    admin = await watched.add("admin")
    client, secret = await make(watched, admin)
    entered = await enter(watched, client, secret, scope="events:read")
    mine = await get(watched, admin, label="job", scopes=["events:read"])
    its = await watched.http.post(f"/clients/{client}/tokens", json={}, headers=admin)
    assert its.status_code == 201
    for text in (mine["token"], entered["access_token"], "never issued", mine["token"]):
        assert (await watched.http.post("/revoke", data={"token": text})).status_code == 200
    path = f"/clients/{client}/tokens/{its.json()['id']}"
    assert (await watched.http.delete(path, headers=admin)).status_code == 204
    one_more = await get(watched, admin)
    gone = await watched.http.delete(f"/me/tokens/{one_more['id']}", headers=admin)
    assert gone.status_code == 204

    found = await own_records(watched, "audit.token.issued", "audit.token.revoked")
    signed_id = found[4]["targets"][0]["id"]  # of a token that shows its id to nobody else
    shop = "client:web-shop"
    assert told(found) == [
        ("audit.token.issued", shop, shop),
        ("audit.token.issued", "admin", mine["id"]),
        ("audit.token.issued", "admin", its.json()["id"]),
        ("audit.token.revoked", "admin", mine["id"]),
        ("audit.token.revoked", shop, signed_id),
        ("audit.token.revoked", "admin", its.json()["id"]),
        ("audit.token.issued", "admin", one_more["id"]),
        ("audit.token.revoked", "admin", one_more["id"]),
    ]
    assert found[0]["event_data"]["scopes"] == ["events:read"]
    assert found[1]["event_data"] == {
        "label": "job", "scopes": ["events:read"], "expires_at": mine["expires_at"],
    }  # fmt: skip
    assert found[3]["event_data"]["owner"] == "admin"
    everything = json.dumps(await own_records(watched))
    texts = (mine["token"], its.json()["token"], one_more["token"], entered["access_token"])
    for text in (secret, *texts):
        assert text not in everything


async def test_a_client_that_ends_a_token_of_somebody_else_is_the_one_on_record(
    watched_memory: Api,
) -> None:
    admin = await watched_memory.add("admin")
    client, secret = await make(watched_memory, admin)
    mine = await get(watched_memory, await watched_memory.add("bob", tenant="acme"))
    ended = await watched_memory.http.post(
        "/revoke", data={"token": mine["token"]}, headers=basic(client, secret)
    )
    assert ended.status_code == 200
    (found,) = await own_records(watched_memory, "audit.token.revoked", tenant="acme")
    assert found["actor"]["id"] == "client:web-shop"
    assert found["event_data"]["owner"] == "bob"


async def test_clients_that_do_not_show_who_they_are_are_on_record(watched: Api) -> None:
    admin = await watched.add("admin", tenant="acme")
    client, secret = await make(watched, admin)
    for _ in range(2):
        answer = await watched.http.post("/token", data=ENTER, headers=basic(client, "wrong"))
        assert answer.status_code == 401
    for path in ("/revoke", "/introspect"):
        form = {"token": "x", "client_id": client, "client_secret": "wrong"}
        assert (await watched.http.post(path, data=form)).status_code == 401
    mistaken = await watched.http.post("/token", data=ENTER, headers=basic(secret, client))
    assert mistaken.status_code == 401
    (nobody,) = await until_told(watched)
    assert nobody["actor"] == {"type": "user"}
    assert nobody["event_data"] == {"attempts": 1, "known": False}
    assert secret not in json.dumps(nobody)  # where the id belongs, a secret may have slipped in
    failed = await own_records(watched, "audit.login.failed", tenant="acme")
    assert sum(one["event_data"]["attempts"] for one in failed) == 4
    for one in failed:
        assert one["actor"] == {
            "id": "client:web-shop", "name": "client:web-shop", "type": "client",
        }  # fmt: skip
        assert one["targets"] == [{"type": "client", "id": "client:web-shop"}]


# ---- tenants, and what an operator does in them ------------------------------------------------


async def test_an_operators_changes_are_in_the_log_of_the_tenant_that_they_are_about(
    watched: Api,
) -> None:
    operator = await watched.add("operator", *OPERATOR, tenant="operations")
    assert (
        await watched.http.post("/tenants", json={"name": "acme"}, headers=operator)
    ).status_code == 201
    # Without a record in its own log, it can be removed again.
    assert (await watched.http.delete("/tenants/acme", headers=operator)).status_code == 204
    await watched.http.post("/tenants", json={"name": "acme"}, headers=operator)
    client = await watched.http.post(
        "/clients?tenant=acme",
        json={"name": "web-shop", "scopes": ["events:write"]},
        headers=operator,
    )
    at = f"/clients/{client.json()['id']}"
    await watched.http.post(f"{at}/secrets?tenant=acme", json={}, headers=operator)
    await watched.http.post(f"{at}/tokens?tenant=acme", json={}, headers=operator)
    for suspended in (True, False):
        change = {"suspended": suspended}
        await watched.http.patch("/tenants/acme", json=change, headers=operator)
    ours = await own_records(watched, tenant="operations")
    theirs = await own_records(watched, tenant="acme")
    assert [one["event_type"] for one in ours] == [
        "audit.login.succeeded", "audit.tenant.added", "audit.tenant.removed",
        "audit.tenant.added", "audit.tenant.changed", "audit.tenant.changed",
    ]  # fmt: skip
    assert [one["event_type"] for one in theirs] == [
        "audit.client.added", "audit.client.changed", "audit.token.issued",
        "audit.tenant.changed", "audit.tenant.changed",
    ]  # fmt: skip
    assert {one["actor"]["id"] for one in (*ours, *theirs)} == {"operator"}
    assert theirs[3]["event_data"] == {
        "before": {"suspended": False}, "after": {"suspended": True},
    }  # fmt: skip
    assert [one["event_data"] for one in ours[4:]] == [one["event_data"] for one in theirs[3:]]


async def test_a_tenant_without_a_log_is_suspended_without_getting_one(memory_api: Api) -> None:
    operator = await memory_api.add("operator", *OPERATOR, tenant="operations")
    await memory_api.http.post("/tenants", json={"name": "acme"}, headers=operator)
    change = {"suspended": True}
    changed = await memory_api.http.patch("/tenants/acme", json=change, headers=operator)
    assert changed.json()["events"] == 0
    assert (await memory_api.http.delete("/tenants/acme", headers=operator)).status_code == 204


# ---- fail closed ------------------------------------------------------------------------------


def refusing(monkeypatch: pytest.MonkeyPatch, api: Api, error: Exception, *tenants: str) -> None:
    """Make the store refuse what the service says of itself in these tenants' logs."""
    record = api.services.recorder.record

    async def refuse(submission: Submission) -> tuple[Outcome, ...]:
        (draft, *_) = submission.drafts
        if draft.user_id == SERVICE_USER and draft.tenant in tenants:
            raise error
        return await record(submission)

    monkeypatch.setattr(api.services.recorder, "record", refuse)


async def test_what_cannot_be_recorded_is_not_issued_changed_or_ended(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = watched_memory
    admin = await api.add("admin")
    client, secret = await make(api, admin)
    mine = await get(api, admin)
    at = f"/clients/{client}"
    before = (await api.http.get(at, headers=admin)).json()
    refusing(monkeypatch, api, StorageFull(), "default")
    for method, path, body in (
        ("POST", "/clients", {"name": "new", "scopes": []}),
        ("PATCH", at, {"disabled": True}), ("DELETE", at, None),
        ("POST", f"{at}/secrets", {}),
        ("DELETE", f"{at}/secrets/{before['secrets'][0]['id']}", None),
        ("POST", f"{at}/tokens", {}), ("POST", "/me/tokens", {"label": "new"}),
        ("DELETE", f"/me/tokens/{mine['id']}", None),
        ("POST", "/tenants", {"name": "acme"}),
    ):  # fmt: skip
        answer = await api.http.request(method, path, json=body, headers=admin)
        assert answer.status_code == 503, (method, path, answer.text)
    entered = await api.http.post("/token", data=ENTER, headers=basic(client, secret))
    assert entered.status_code == 503
    ended = await api.http.post("/revoke", data={"token": mine["token"]})
    assert ended.status_code == 503
    (left,) = (await api.http.get("/clients", headers=admin)).json()
    assert (left["disabled"], [one["id"] for one in left["secrets"]]) == (
        False,
        [one["id"] for one in before["secrets"]],
    )
    assert (await api.http.get(f"{at}/tokens", headers=admin)).json() == []
    assert [one["id"] for one in (await api.http.get("/me/tokens", headers=admin)).json()] == [
        mine["id"]
    ]
    assert (await api.http.get("/tenants/acme", headers=admin)).status_code == 404


async def test_a_tenant_whose_log_is_damaged_can_be_shut_out(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    operator = await memory_api.add("operator", *OPERATOR, tenant="operations")
    await memory_api.record(await memory_api.add("alice", tenant="acme"))
    refusing(monkeypatch, memory_api, LogDamaged(), "acme")
    change = {"suspended": True}
    changed = await memory_api.http.patch("/tenants/acme", json=change, headers=operator)
    assert (changed.status_code, changed.json()["suspended"]) == (200, True)
    (said,) = await own_records(memory_api, "audit.tenant.changed", tenant="operations")
    assert said["targets"] == [{"type": "tenant", "id": "acme"}]


async def test_essential_leaves_out_tokens_and_no_change(settings: Settings) -> None:
    async with running(settings) as api:
        admin = await api.add("admin")
        client, secret = await make(api, admin)
        await enter(api, client, secret)
        mine = await get(api, admin)
        await api.http.delete(f"/me/tokens/{mine['id']}", headers=admin)
        types = [one["event_type"] for one in await own_records(api)]
    assert types == ["audit.client.added", "audit.client.changed"]
