"""Programs come in with an id and a secret of their own, and only as far as they may."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.ledger.identity.clients import MAX_SECRETS
from bearers import BOTH, ENTER, basic, enter, make, signed
from running import EVENT, running, two_nodes

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

# ---- coming in ----------------------------------------------------------------------------


async def test_a_client_records_and_the_record_says_which_one(api: Api) -> None:
    admin = await api.add("admin")
    await api.add("web-shop", Scope.EVENTS_READ)  # a user of this name is somebody else
    headers = await signed(api, *await make(api, admin))
    record = await api.record(headers)
    assert record["user_id"] == "client:web-shop"
    assert (await api.http.get("/me", headers=headers)).json() == {
        "name": "client:web-shop", "tenant": "default", "scopes": BOTH,
    }  # fmt: skip
    assert (await api.http.post("/users", json={}, headers=headers)).status_code == 403


async def test_no_user_can_have_the_name_of_a_client_in_records(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    asked = {"name": "client:web-shop", "password": "a long enough password", "scopes": []}
    answer = await memory_api.http.post("/users", json=asked, headers=admin)
    assert answer.status_code == 422


@pytest.mark.parametrize("way", ["basic", "form", "multipart"])
async def test_a_client_shows_its_secret_in_the_header_or_in_the_form(
    memory_api: Api, way: str
) -> None:
    client, secret = await make(memory_api, await memory_api.add("admin"))
    form = ENTER | {"client_id": client, "client_secret": secret}
    match way:
        case "basic":
            asked: dict[str, Any] = {"data": ENTER, "headers": basic(client, secret)}
        case "form":
            asked = {"data": form}
        case _:
            asked = {"files": {name: (None, value) for name, value in form.items()}}
    answer = await memory_api.http.post("/token", **asked)
    assert answer.status_code == 200, answer.text
    assert answer.json()["scope"] == " ".join(BOTH)
    assert answer.json()["token_type"] == "bearer"
    assert answer.headers["cache-control"] == "no-store"


async def test_both_ways_at_once_are_refused(memory_api: Api) -> None:
    client, secret = await make(memory_api, await memory_api.add("admin"))
    form = ENTER | {"client_id": client, "client_secret": secret}
    answer = await memory_api.http.post("/token", data=form, headers=basic(client, secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")
    other = ENTER | {"client_id": "0" * 24}
    answer = await memory_api.http.post("/token", data=other, headers=basic(client, secret))
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_request")


async def test_whatever_is_wrong_with_a_client_the_answer_is_one(api: Api) -> None:
    admin = await api.add("admin")
    client, secret = await make(api, admin)
    off, its = await make(api, admin, name="off")
    await api.http.patch(f"/clients/{off}", json={"disabled": True}, headers=admin)
    wrong = [
        basic("0" * 24, secret), basic(client, its), basic(client, ""), basic(off, its),
        basic("", ""), basic("web-shop", secret), basic("' OR 1=1 --", "\0"),
        {"Authorization": "Basic"}, {"Authorization": "Basic %%%"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"%ff:%ff").decode()},
        {},
    ]  # fmt: skip
    told = set()
    for headers in wrong:
        answer = await api.http.post("/token", data=ENTER, headers=headers)
        assert answer.status_code == 401, headers
        assert answer.headers["www-authenticate"].startswith("Basic realm=")
        told.add((answer.json()["error"], answer.json()["detail"]))
    assert len(told) == 1
    assert {error for error, _ in told} == {"invalid_client"}


async def test_a_wrong_client_takes_as_many_comparisons_as_a_wrong_secret(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted rather than timed: a hash of a short text is too quick to be seen among requests."""
    client, _ = await make(memory_api, await memory_api.add("admin"))
    compared: list[str] = []

    def never(_: str, kept: str) -> bool:
        compared.append(kept)
        return False

    monkeypatch.setattr("auditlogservice.ledger.identity.clients.is_of", never)
    for name in (client, "0" * 24, "nobody"):
        compared.clear()
        answer = await memory_api.http.post("/token", data=ENTER, headers=basic(name, "x"))
        assert answer.status_code == 401
        assert [len(kept) for kept in compared] == [64] * MAX_SECRETS


@pytest.mark.parametrize(
    ("scope", "given"),
    [
        ("", " ".join(BOTH)),
        ("events:read", "events:read"),
        ("events:read events:delete", "events:read"),
        ("events:delete", None),
        ("events:everything", None),
    ],
)
async def test_a_scope_that_is_asked_for_narrows_the_token(
    memory_api: Api, scope: str, given: str | None
) -> None:
    client, secret = await make(memory_api, await memory_api.add("admin"))
    answer = await memory_api.http.post(
        "/token", data=ENTER | {"scope": scope}, headers=basic(client, secret)
    )
    if given is None:
        assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")
    else:
        assert answer.json()["scope"] == given


async def test_a_user_who_asks_only_for_what_it_may_not_have_is_told_so(memory_api: Api) -> None:
    await memory_api.add("bob", Scope.EVENTS_READ)
    form = {
        "username": "bob", "password": "correct horse battery staple", "scope": "events:delete",
    }  # fmt: skip
    answer = await memory_api.http.post("/token", data=form)
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_scope")


# ---- secrets --------------------------------------------------------------------------------


async def test_one_secret_follows_the_other_without_a_pause_and_a_third_has_to_wait(
    api: Api,
) -> None:
    admin = await api.add("admin")
    client, old = await make(api, admin)
    place = f"/clients/{client}/secrets"
    second = await api.http.post(place, json={"label": "next"}, headers=admin)
    new = second.json()["secret"]
    assert (await api.http.post(place, json={}, headers=admin)).status_code == 409
    tokens = [await signed(api, client, secret) for secret in (old, new)]

    told = (await api.http.get(f"/clients/{client}", headers=admin)).json()["secrets"]
    assert [each["label"] for each in told] == ["", "next"]
    assert all(each["last_used_at"] for each in told)
    gone = await api.http.delete(f"{place}/{told[0]['id']}", headers=admin)
    assert gone.status_code == 204
    assert (await api.http.delete(f"{place}/{told[0]['id']}", headers=admin)).status_code == 404
    refused = await api.http.post("/token", data=ENTER, headers=basic(client, old))
    assert refused.status_code == 401
    api.time.advance(seconds=1)  # what was got with the removed secret ends with it
    statuses = [(await api.http.get("/me", headers=each)).status_code for each in tokens]
    assert statuses == [401, 200]


async def test_no_answer_and_no_store_has_a_secret_that_was_shown(
    api: Api, settings: Settings
) -> None:
    admin = await api.add("admin")
    client, secret = await make(api, admin)
    token = await api.http.post(f"/clients/{client}/tokens", json={}, headers=admin)
    text = token.json()["token"]
    await enter(api, client, secret)
    seen = [
        (await api.http.get(path, headers=admin)).text
        for path in ("/clients", f"/clients/{client}", f"/clients/{client}/tokens")
    ]
    async with running(settings.model_copy(update={"data_dir": settings.data_dir / "b"})) as other:
        documents = other.services.clients._documents
        seen += [
            each.body.decode()
            for kind in ("client", "credentials", "client-name")
            for each in await documents.all(kind)
        ]
    assert len(seen) == 6
    for each in seen:
        assert secret.removeprefix("alsc_")[:43] not in each
        assert text[-49:-6] not in each  # the prefix that says which one it is may be there


async def test_a_secret_ends_when_it_was_said_to(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    client, first = await make(memory_api, admin)
    end = memory_api.time().isoformat()
    place = f"/clients/{client}/secrets"
    late = await memory_api.http.post(place, json={"expires_at": end}, headers=admin)
    assert late.status_code == 422
    memory_api.time.advance(hours=-1)
    short = await memory_api.http.post(place, json={"expires_at": end}, headers=admin)
    assert short.status_code == 201
    await enter(memory_api, client, short.json()["secret"])
    memory_api.time.advance(hours=1)
    ended = await memory_api.http.post(
        "/token", data=ENTER, headers=basic(client, short.json()["secret"])
    )
    assert ended.status_code == 401
    await enter(memory_api, client, first)
    assert (await memory_api.http.post(place, json={}, headers=admin)).status_code == 201


async def test_many_who_add_a_secret_at_once_make_two(api: Api) -> None:
    admin = await api.add("admin")
    made = await api.http.post("/clients", json={"name": "a", "scopes": []}, headers=admin)
    place = f"/clients/{made.json()['id']}/secrets"
    answers = await asyncio.gather(
        *(api.http.post(place, json={}, headers=admin) for _ in range(6))
    )
    assert sorted(each.status_code for each in answers) == [201] * 2 + [409] * 4


# ---- who manages them -----------------------------------------------------------------------


async def test_names_are_unique_in_a_tenant_and_free_again_after_a_removal(api: Api) -> None:
    admin = await api.add("admin")
    other = await api.add("other", tenant="other")
    client, _ = await make(api, admin)
    await make(api, other)
    again = {"name": "web-shop", "scopes": BOTH}
    answer = await api.http.post("/clients", json=again, headers=admin)
    assert (answer.status_code, answer.json()["code"]) == (409, "client-exists")
    listed = (await api.http.get("/clients", headers=admin)).json()
    assert [each["id"] for each in listed] == [client]
    assert (await api.http.delete(f"/clients/{client}", headers=admin)).status_code == 204
    fresh, _ = await make(api, admin)
    assert fresh != client


async def test_of_many_who_take_one_name_at_once_one_gets_it(api: Api) -> None:
    admin = await api.add("admin")
    asked = {"name": "a", "scopes": []}
    answers = await asyncio.gather(
        *(api.http.post("/clients", json=asked, headers=admin) for _ in range(6))
    )
    assert sorted(each.status_code for each in answers) == [201] + [409] * 5
    assert len((await api.http.get("/clients", headers=admin)).json()) == 1


async def test_a_client_of_another_tenant_looks_as_if_it_did_not_exist(api: Api) -> None:
    admin, other = await api.add("admin"), await api.add("other", tenant="other")
    client, secret = await make(api, admin)
    token = await api.http.post(f"/clients/{client}/tokens", json={}, headers=admin)
    place = f"/clients/{client}"
    own = (await api.http.get(place, headers=admin)).json()["secrets"][0]["id"]
    for method, path, body in (
        ("GET", place, None), ("PATCH", place, {"disabled": True}), ("DELETE", place, None),
        ("POST", f"{place}/secrets", {}), ("DELETE", f"{place}/secrets/{own}", None),
        ("GET", f"{place}/tokens", None), ("POST", f"{place}/tokens", {}),
        ("DELETE", f"{place}/tokens/{token.json()['id']}", None),
    ):  # fmt: skip
        answer = await api.http.request(method, path, json=body, headers=other)
        assert answer.status_code == 404, (method, path)
    assert (await api.http.get("/clients", headers=other)).json() == []
    await enter(api, client, secret)


async def test_nobody_reaches_a_client_with_a_scope_that_they_lack(memory_api: Api) -> None:
    """Else who can only manage users could give a client a secret, and come in with it."""
    admin = await memory_api.add("admin")
    manager = await memory_api.add("manager", Scope.USERS_MANAGE)
    client, secret = await make(memory_api, admin)
    place = f"/clients/{client}"
    own = (await memory_api.http.get(place, headers=admin)).json()["secrets"][0]["id"]
    for method, path, body in (
        ("POST", "/clients", {"name": "mine", "scopes": ["events:read"]}),
        ("PATCH", place, {"disabled": True}), ("PATCH", place, {"scopes": []}),
        ("DELETE", place, None), ("POST", f"{place}/secrets", {}),
        ("DELETE", f"{place}/secrets/{own}", None), ("POST", f"{place}/tokens", {"scopes": []}),
        ("DELETE", f"{place}/tokens/{own}", None),
    ):  # fmt: skip
        answer = await memory_api.http.request(method, path, json=body, headers=manager)
        assert answer.status_code == 403, (method, path)
    await enter(memory_api, client, secret)


async def test_a_client_shuts_out_neither_itself_nor_gives_itself_more(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    client, secret = await make(memory_api, admin, "users:manage")
    headers = await signed(memory_api, client, secret)
    changes: list[dict[str, Any]] = [{"disabled": True}, {"scopes": []}]
    for body in changes:
        answer = await memory_api.http.patch(f"/clients/{client}", json=body, headers=headers)
        assert answer.status_code == 409
    gone = await memory_api.http.delete(f"/clients/{client}", headers=headers)
    assert gone.status_code == 409


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": "a:b", "scopes": []}, "/name"),
        ({"name": "", "scopes": []}, "/name"),
        ({"name": "a"}, "/scopes"),
        ({"name": "a", "scopes": ["root"]}, "/scopes"),
        ({"name": "a", "scopes": [], "tenant": "other"}, "/tenant"),
        ([], ""),
    ],
)
async def test_bad_clients_are_refused(memory_api: Api, body: Any, pointer: str) -> None:
    admin = await memory_api.add("admin")
    answer = await memory_api.http.post("/clients", json=body, headers=admin)
    assert answer.status_code == 422, answer.text
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("way", ["disabled", "removed", "narrowed"])
async def test_what_is_done_to_a_client_holds_on_every_node_within_a_second(
    settings: Settings, way: str
) -> None:
    async with two_nodes(settings) as (one, other):
        admin = await one.add("admin")
        client, secret = await make(one, admin)
        token = await one.http.post(f"/clients/{client}/tokens", json={}, headers=admin)
        callers = [
            await signed(one, client, secret),
            {"Authorization": f"Bearer {token.json()['token']}"},
        ]
        for node in (one, other):
            for headers in callers:
                assert (await node.http.get("/events", headers=headers)).status_code == 200
        match way:
            case "disabled":
                await one.http.patch(f"/clients/{client}", json={"disabled": True}, headers=admin)
            case "removed":
                await one.http.delete(f"/clients/{client}", headers=admin)
            case _:
                change = {"scopes": ["events:write"]}
                await one.http.patch(f"/clients/{client}", json=change, headers=admin)
        for node in (one, other):
            node.time.advance(seconds=1)
            for headers in callers:
                answer = await node.http.get("/events", headers=headers)
                assert answer.status_code == (403 if way == "narrowed" else 401)
                if way == "narrowed":
                    assert (
                        await node.http.post("/events", json=EVENT, headers=headers)
                    ).status_code == 201


async def test_a_client_of_a_suspended_tenant_is_out_and_comes_back_with_it(
    memory_api: Api,
) -> None:
    user = await memory_api.add("acme-admin", tenant="acme")
    client, secret = await make(memory_api, user)
    headers = await signed(memory_api, client, secret)
    tenants = memory_api.services.tenants
    await tenants.suspend("acme")
    memory_api.time.advance(seconds=1)
    refused = await memory_api.http.post("/token", data=ENTER, headers=basic(client, secret))
    assert (refused.status_code, refused.json()["error"]) == (401, "invalid_client")
    assert (await memory_api.http.get("/me", headers=headers)).status_code == 401
    await tenants.resume("acme")
    memory_api.time.advance(seconds=1)
    assert (await memory_api.http.get("/me", headers=headers)).status_code == 200
    await enter(memory_api, client, secret)


async def test_an_operator_manages_the_clients_of_any_tenant_and_nobody_else_does(
    memory_api: Api,
) -> None:
    operator = await memory_api.add("operator")
    manager = await memory_api.add("manager", Scope.USERS_MANAGE)
    await memory_api.services.tenants.add("acme")
    asked = {"name": "a", "scopes": []}
    path = "/clients?tenant=acme"
    assert (await memory_api.http.post(path, json=asked, headers=manager)).status_code == 404
    made = await memory_api.http.post(path, json=asked, headers=operator)
    assert made.json()["tenant"] == "acme"
    place = made.headers["location"]
    assert place == f"/clients/{made.json()['id']}?tenant=acme"
    for headers, expected in ((operator, 200), (manager, 404)):
        assert (await memory_api.http.get(place, headers=headers)).status_code == expected
    assert (await memory_api.http.get("/clients", headers=operator)).json() == []
