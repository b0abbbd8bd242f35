"""Who may do what: every route, every kind of caller, on both stores."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
from fastapi.routing import APIRoute
from starlette.routing import Route
from test_anchoring import A_NOTE
from test_follow import listening

from auditlogservice.access import Scope
from auditlogservice.anchors import Timestamp
from auditlogservice.web import authn
from running import EVENT, PASSWORD, two_nodes
from stub import run
from witnesses import WITNESS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.ledger.identity.credentials import OwnerKind
    from auditlogservice.runtime.settings import Settings
    from running import Api

OPERATIONS = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()

# What each route asks for. A route that is in neither table fails the test below.
PUBLIC = {
    ("GET", "/livez"), ("GET", "/readyz"), ("GET", "/metrics"), ("GET", "/limits"),
    ("GET", "/docs"), ("GET", "/style.css"), ("GET", "/problems/{code}"),
    ("GET", "/openapi.json"), ("POST", "/token"), ("POST", "/revoke"), ("POST", "/introspect"),
    ("GET", "/.well-known/oauth-authorization-server"), ("GET", "/.well-known/jwks.json"),
    ("GET", "/signin"), ("POST", "/signin"), ("GET", "/signin/oidc"), ("GET", "/signin/callback"),
    ("POST", "/signout"),
}  # fmt: skip
# Of what asks for two scopes, no caller with a single one gets anything.
SCOPED: dict[tuple[str, str], Scope | frozenset[Scope] | None] = {
    ("POST", "/events"): Scope.EVENTS_WRITE,
    ("POST", "/events/batch"): Scope.EVENTS_WRITE,
    ("GET", "/events"): Scope.EVENTS_READ,
    ("GET", "/events/count"): Scope.EVENTS_READ,
    ("GET", "/events/export"): Scope.EVENTS_EXPORT,
    ("GET", "/events/facets"): Scope.EVENTS_READ,
    ("GET", "/events/feed"): Scope.EVENTS_READ,
    ("GET", "/events/histogram"): Scope.EVENTS_READ,
    ("GET", "/events/stream"): Scope.EVENTS_READ,
    ("POST", "/events/search"): Scope.EVENTS_READ,
    ("GET", "/events/{event_id}"): Scope.EVENTS_READ,
    ("DELETE", "/events/{event_id}"): Scope.EVENTS_DELETE,
    ("GET", "/events/{event_id}/proof"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/checkpoint"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/keys"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/openings/{number}"): frozenset(
        {
            Scope.LEDGER_READ,
            Scope.EVENTS_READ,
        }
    ),
    ("GET", "/ledger/{tenant}/tile/{path:path}"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/timestamps"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/timestamps/{size}"): Scope.LEDGER_READ,
    ("GET", "/ledger/{tenant}/witnessed"): Scope.LEDGER_READ,
    ("POST", "/ledger/{tenant}/verifications"): Scope.LEDGER_READ,
    ("GET", "/erasures"): Scope.EVENTS_DELETE,
    ("POST", "/erasures"): Scope.EVENTS_DELETE,
    ("GET", "/erasures/{erasure_id}"): Scope.EVENTS_DELETE,
    ("GET", "/holds"): Scope.ADMIN,
    ("POST", "/holds"): Scope.ADMIN,
    ("GET", "/holds/{hold_id}"): Scope.ADMIN,
    ("DELETE", "/holds/{hold_id}"): Scope.ADMIN,
    ("GET", "/redaction"): Scope.ADMIN,
    ("PUT", "/redaction"): Scope.ADMIN,
    ("GET", "/retention"): Scope.ADMIN,
    ("PUT", "/retention"): Scope.ADMIN,
    ("GET", "/tenants/{tenant}/limits"): Scope.TENANTS_MANAGE,
    ("PUT", "/tenants/{tenant}/limits"): Scope.TENANTS_MANAGE,
    ("GET", "/me"): None,
    ("GET", "/me/tokens"): None,
    ("POST", "/me/tokens"): None,
    ("DELETE", "/me/tokens/{token_id}"): None,
    ("GET", "/clients"): Scope.USERS_MANAGE,
    ("POST", "/clients"): Scope.USERS_MANAGE,
    ("GET", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("PATCH", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("POST", "/clients/{client_id}/secrets"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}"): Scope.USERS_MANAGE,
    ("GET", "/clients/{client_id}/tokens"): Scope.USERS_MANAGE,
    ("POST", "/clients/{client_id}/tokens"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}/tokens/{token_id}"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("GET", "/users"): Scope.USERS_MANAGE,
    ("POST", "/users"): Scope.USERS_MANAGE,
    ("GET", "/users/{name}"): Scope.USERS_MANAGE,
    ("PATCH", "/users/{name}"): Scope.USERS_MANAGE,
    ("DELETE", "/users/{name}"): Scope.USERS_MANAGE,
    ("GET", "/tenants"): Scope.TENANTS_MANAGE,
    ("POST", "/tenants"): Scope.TENANTS_MANAGE,
    ("GET", "/tenants/{tenant}"): Scope.TENANTS_MANAGE,
    ("PATCH", "/tenants/{tenant}"): Scope.TENANTS_MANAGE,
    ("DELETE", "/tenants/{tenant}"): Scope.TENANTS_MANAGE,
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/events"): EVENT,
    ("POST", "/events/batch"): [EVENT],
    ("POST", "/events/search"): {"words": "login"},
    ("POST", "/erasures"): {"q": "name:nothing", "reason": "r"},
    ("POST", "/ledger/{tenant}/verifications"): {
        "size": 1,
        "root": "0" * 64,
        "found": 0,
        "states": {"OK": 1},
    },
    ("POST", "/holds"): {"q": "name:nothing", "reason": "r"},
    ("PUT", "/redaction"): {"rules": []},
    ("PUT", "/retention"): {"rules": []},
    ("POST", "/me/tokens"): {},
    ("POST", "/clients"): {"name": "new", "scopes": []},
    ("PATCH", "/clients/{client_id}"): {"disabled": False},
    ("POST", "/clients/{client_id}/secrets"): {},
    ("POST", "/clients/{client_id}/tokens"): {},
    ("PUT", "/tenants/{tenant}/limits"): {"events_per_day": None},
    ("POST", "/users"): {"name": "new", "password": PASSWORD, "scopes": []},
    ("PATCH", "/users/{name}"): {"disabled": False},
    ("POST", "/tenants"): {"name": "new"},
    ("PATCH", "/tenants/{tenant}"): {"suspended": True},
}
QUERIES = {
    ("GET", "/events/facets"): "field=name",
    ("DELETE", "/events/{event_id}"): "reason=r",
    ("DELETE", "/holds/{hold_id}"): "reason=r",
}

STREAM = ("GET", "/events/stream")
LOG = {"tenant": "default", "number": "0", "size": "7", "path": "entries/000.p/1"}
IDS = (
    "event_id", "hold_id", "erasure_id", "name", "client_id", "secret_id", "token_id",
    "own_token_id",
)  # fmt: skip
NOWHERE = {
    **LOG,
    **dict.fromkeys(IDS, "0" * 24),
    "spare": "nowhere",
}


def routes(api: Api) -> dict[tuple[str, str], Route]:
    app = api.app
    included = [each.original_router for each in app.routes if hasattr(each, "original_router")]
    return {
        (method, route.path): route
        for router in (app, *included)
        for route in router.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }


def needed_by(route: tuple[str, str]) -> frozenset[Scope]:
    match SCOPED[route]:
        case None:
            return frozenset()
        case Scope() as scope:
            return frozenset({scope})
        case scopes:
            return scopes


def names_something(route: tuple[str, str]) -> bool:
    return "{" in route[1]


def made_last(route: tuple[str, str]) -> bool:
    """A call after which something that an address names is gone."""
    return route[0] == "DELETE"


async def made(api: Api, owner: dict[str, str], tenant: str = "default") -> dict[str, str]:
    """Make one thing of each kind that an address may name; `owner` is of this tenant."""
    here, now = api.services, api.time()
    wish = {"q": "name:nothing", "reason": f"secret of {tenant}"}
    found = {**LOG, "tenant": tenant, "name": f"victim-of-{tenant}", "spare": f"spare-of-{tenant}"}
    found["event_id"] = (await api.record(owner, detail=f"secret of {tenant}"))["_id"]
    for kind in ("hold", "erasure"):
        answer = await api.http.post(f"/{kind}s", json=wish, headers=owner)
        found[f"{kind}_id"] = answer.json()["id"]
    await here.accounts.add(found["name"], PASSWORD, scopes=frozenset(), tenant=tenant)
    await here.tenants.add(found["spare"])
    client = await here.clients.add(f"client-of-{tenant}", scopes=frozenset(), tenant=tenant)
    secret, _ = await here.clients.add_secret(client)
    found |= {"client_id": client.id, "secret_id": secret.id}
    me = await here.callers.check(owner["Authorization"].split()[1])
    owners: dict[str, tuple[OwnerKind, str]] = {
        "token_id": ("client", client.id), "own_token_id": ("user", me.user_id),
    }  # fmt: skip
    for name, whose in owners.items():
        token, _ = await here.api_tokens.issue(*whose, scopes=frozenset(), label="there")
        found[name] = token.id
    await here.anchors.add_witnessed(tenant, WITNESS.witness, A_NOTE)
    stamp = Timestamp(size=int(found["size"]), time=now, note=b"a note", reply=b"a reply")
    await here.anchors.add_timestamp(tenant, stamp, now=now)
    return found


def address(route: tuple[str, str], names: dict[str, str]) -> str:
    path = route[1].replace(":path", "")
    if path.startswith("/tenants/"):  # not the one that everything else is in
        names = {**names, "tenant": names["spare"]}
    if path.startswith("/me/"):
        names = {**names, "token_id": names["own_token_id"]}
    return path.format_map(names)


async def call(
    api: Api, route: tuple[str, str], headers: dict[str, str], names: dict[str, str]
) -> httpx2.Response:
    if route == STREAM:  # it ends when its listener goes
        async with listening(api, headers) as listener:
            return httpx2.Response(listener.status, headers=listener.headers)
    url = f"{address(route, names)}?{QUERIES.get(route, '')}".rstrip("?")
    return await api.http.request(route[0], url, json=BODIES.get(route), headers=headers)


async def token_of(api: Api, name: str, scopes: Iterable[Scope] = Scope) -> dict[str, str]:
    """The headers of a request with a token of this user for these scopes."""
    user = await api.services.accounts.user(name)
    token = await api.services.tokens.issue(user, frozenset(scopes))
    return {"Authorization": f"Bearer {token.text}"}


# ---- every route ------------------------------------------------------------------------


async def test_every_route_is_public_or_asks_for_a_scope(memory_api: Api) -> None:
    assert routes(memory_api).keys() == PUBLIC | SCOPED.keys()


async def test_every_route_says_in_its_signature_whom_it_lets_in(memory_api: Api) -> None:
    """A check further inside could be left out of one branch; a parameter cannot."""
    told: dict[tuple[str, str], frozenset[Scope]] = {}
    for name, route in routes(memory_api).items():
        if not isinstance(route, APIRoute):
            continue
        parameters = inspect.signature(route.endpoint).parameters
        for each in route.dependant.dependencies:
            if each.call is authn._caller and each.name in parameters:
                told[name] = frozenset(map(Scope, each.own_oauth_scopes or ()))
    assert told == {route: needed_by(route) for route in SCOPED}


async def test_each_scope_opens_its_own_routes_and_no_other(api: Api) -> None:
    owner = await api.add("owner")
    names = await made(api, owner)
    single = [frozenset({scope}) for scope in Scope]
    all_but_one = [frozenset(Scope) - scope for scope in single]
    tokens = {
        scopes: await token_of(api, "owner", scopes)
        for scopes in {frozenset[Scope](), *single, *all_but_one, *map(needed_by, SCOPED)}
    }
    for route in sorted(SCOPED, key=made_last):
        needed = needed_by(route)
        for scopes, headers in tokens.items():
            if not needed <= scopes:
                answer = await call(api, route, headers, names)
                assert answer.status_code == 403, (route, scopes)
                assert answer.headers["www-authenticate"].startswith("Bearer "), route
        answer = await call(api, route, tokens[needed], names)
        assert answer.status_code < 300, (route, answer.text)


async def test_no_token_that_has_ended_opens_any_route(api: Api) -> None:
    owner = await api.add("owner")
    bad = {"none": {}, "garbage": {"Authorization": "Bearer x.y.z"}, "expired": owner}
    api.time.advance(hours=13)
    for name in ("disabled", "removed", "changed", "suspended"):
        await api.services.accounts.add(name, PASSWORD, scopes=frozenset(Scope), tenant=name)
        bad[name] = await token_of(api, name)
        assert (await api.http.get("/me", headers=bad[name])).status_code == 200
    accounts = api.services.accounts
    await accounts.change(await accounts.user("disabled"), disabled=True)
    await accounts.change(await accounts.user("changed"), password="another password")
    await accounts.remove(await accounts.user("removed"))
    await api.services.tenants.suspend("suspended")
    api.time.advance(seconds=1)
    names = await made(api, await token_of(api, "owner"))
    for route in SCOPED:
        for kind, headers in bad.items():
            answer = await call(api, route, headers, names)
            assert answer.status_code == 401, (route, kind)
            told = answer.headers["www-authenticate"]
            assert told.startswith("Bearer "), (route, kind)
            assert ("invalid_token" in told) is (kind != "none"), (route, kind)


@pytest.mark.parametrize("is_operator", [False, True], ids=["a tenant", "an operator"])
async def test_with_all_ids_swapped_nothing_of_another_tenant_is_there(
    api: Api,
    is_operator: bool,  # noqa: FBT001 - whether the other caller manages tenants too
) -> None:
    ours, theirs = await api.add("ours", tenant="ours"), await api.add("theirs", tenant="theirs")
    names = await made(api, ours, "ours")
    await made(api, theirs, "theirs")
    if not is_operator:
        theirs = await token_of(api, "theirs", set(Scope) - {Scope.TENANTS_MANAGE})
    secrets = {"secret of ours", *(names[kind] for kind in names if kind.endswith("_id"))}
    if not is_operator:
        secrets |= {names["name"], names["spare"]}
    for route in sorted(SCOPED.keys() - {STREAM}):
        answer = await call(api, route, theirs, names)
        if needed_by(route) == {Scope.TENANTS_MANAGE}:
            assert (answer.status_code == 403) is not is_operator, route
        elif names_something(route):
            assert answer.status_code == 404, (route, answer.text)
        else:
            assert answer.status_code < 300, (route, answer.text)
            assert [each for each in secrets if each in answer.text] == [], route
    # All of it is there, as it was.
    for route in sorted(SCOPED):
        if route[0] == "GET" and names_something(route) and "/tenants/" not in route[1]:
            answer = await call(api, route, ours, names)
            assert answer.status_code == 200, (route, answer.text)


async def test_a_stream_gives_nothing_of_another_tenant(api: Api) -> None:
    ours, theirs = await api.add("ours", tenant="ours"), await api.add("theirs", tenant="theirs")
    await api.record(ours, name="before")
    async with listening(api, theirs, "after=-1") as listener:
        await api.record(ours, name="meanwhile")
        mine = await api.record(theirs, name="mine")
        assert json.loads((await listener.event())[b"data"]) == mine


async def test_a_refusal_names_the_scope_that_is_missing(api: Api) -> None:
    writer = await api.add("writer", Scope.EVENTS_WRITE)
    answer = await api.http.get("/events", headers=writer)
    assert answer.status_code == 403
    assert answer.json()["scope"] == "events:read"
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


@pytest.mark.parametrize(
    "header",
    [
        "Bearer", "Bearer ", "Bearer als_" + "0" * 82, "Bearer x.y.z", "Basic YWxpY2U6eA==",
        "Token x", "bearer \x7f",
        "Bearer " + "a" * 5000, "Bearer a b",
    ],
)  # fmt: skip
async def test_anything_but_a_good_token_is_401_on_every_route(
    memory_api: Api, header: str
) -> None:
    for route in SCOPED:
        answer = await call(memory_api, route, {"Authorization": header}, NOWHERE)
        assert answer.status_code == 401, (route, header)


async def test_a_parameter_that_a_call_does_not_have_is_refused_on_every_route(
    memory_api: Api,
) -> None:
    """Where conditions are asked for, it is a condition on a field that no event has."""
    owner = await memory_api.add("owner")
    await memory_api.add("victim")
    event = (await memory_api.record(owner))["_id"]
    names = {**NOWHERE, "event_id": event, "name": "victim"}
    for route in SCOPED:
        answer = await memory_api.http.request(
            route[0],
            address(route, names),
            params={"colour": "red"},
            json=BODIES.get(route),
            headers=owner,
        )
        assert answer.status_code == 422, (route, answer.text)
        assert "colour" in [flaw["pointer"] for flaw in answer.json()["errors"]], route
    assert [record["_id"] for record in await memory_api.listed(owner)] == [event]
    assert (await memory_api.http.get("/users/victim", headers=owner)).status_code == 200


async def test_signing_in_ignores_a_parameter_as_rfc_6749_says(memory_api: Api) -> None:
    await memory_api.add("alice")
    form = {"username": "alice", "password": PASSWORD}
    answer = await memory_api.http.post("/token", params={"colour": "red"}, data=form)
    assert answer.status_code == 200


async def test_two_authorization_headers_are_refused(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    twice = [("authorization", user["Authorization"])] * 2
    answer = await memory_api.http.get("/events", headers=twice)
    assert answer.status_code == 400
    assert 'error="invalid_request"' in answer.headers["www-authenticate"]


async def test_a_tenant_sees_nothing_of_another(api: Api) -> None:
    ours = await api.add("ours", tenant="ours")
    theirs = await api.add("theirs", tenant="theirs")
    record = await api.record(ours)
    assert await api.listed(theirs) == []
    assert (await api.http.get(f"/events/{record['_id']}", headers=theirs)).status_code == 404
    assert (await api.http.delete(f"/events/{record['_id']}", headers=theirs)).status_code == 404
    assert await api.listed(theirs, f"?_id={record['_id']}") == []
    for method in ("GET", "DELETE"):
        answer = await api.http.request(method, "/users/ours", headers=theirs)
        assert answer.status_code == 404
    change = await api.http.patch("/users/ours", json={"disabled": True}, headers=theirs)
    assert change.status_code == 404
    assert [u["name"] for u in (await api.http.get("/users", headers=theirs)).json()] == ["theirs"]
    assert await api.listed(ours) == [record]


async def test_each_tenant_counts_from_zero(api: Api) -> None:
    one, two = await api.add("one", tenant="one"), await api.add("two", tenant="two")
    for user in (one, two, one):
        await api.record(user)
    assert [record["sequence"] for record in await api.listed(one)] == [0, 1]
    assert [record["sequence"] for record in await api.listed(two)] == [0]


async def until_refused(api: Api, headers: dict[str, str]) -> float:
    """How many seconds it takes until a token is refused; at most two."""
    start = time.monotonic()
    while (await api.http.get("/me", headers=headers)).status_code == 200:
        if time.monotonic() - start > 2:
            break
        await asyncio.sleep(0.05)
    return time.monotonic() - start


@pytest.mark.parametrize("way", ["disabled", "removed", "given a new password"])
async def test_a_user_who_is_shut_out_is_out_on_every_node_within_a_second(
    settings: Settings, way: str
) -> None:
    async with two_nodes(settings) as (one, other):
        admin, user = await one.add("admin"), await one.add("alice")
        for node in (one, other):  # both have just seen that she is welcome
            assert (await node.http.get("/me", headers=user)).status_code == 200
        match way:
            case "disabled":
                await one.http.patch("/users/alice", json={"disabled": True}, headers=admin)
            case "removed":
                await one.http.delete("/users/alice", headers=admin)
            case _:  # whoever has her token may have her old password too
                change = {"password": "another password"}
                await one.http.patch("/users/alice", json=change, headers=admin)
        waits = await asyncio.gather(until_refused(one, user), until_refused(other, user))
        assert max(waits) <= 2  # half a second, and what a busy machine adds


async def test_a_new_user_of_an_old_name_does_not_inherit_its_token(api: Api) -> None:
    token = await api.add("alice")
    await api.services.accounts.remove(await api.services.accounts.user("alice"))
    fresh = await api.add("alice")
    api.time.advance(seconds=1)
    assert (await api.http.get("/me", headers=token)).status_code == 401
    assert (await api.http.get("/me", headers=fresh)).status_code == 200


async def test_a_token_for_a_new_password_is_good_at_once_on_every_node(
    settings: Settings,
) -> None:
    async with two_nodes(settings) as (one, other):
        admin, old = await one.add("admin"), await one.add("alice")
        for _ in range(2):
            assert (await other.http.get("/me", headers=old)).status_code == 200
            change = await one.http.patch(
                "/users/alice", json={"password": PASSWORD}, headers=admin
            )
            assert change.status_code == 200
            old = await one.sign_in("alice")
            for node in (other, one):
                assert (await node.http.get("/me", headers=old)).status_code == 200


async def test_a_token_of_one_node_is_good_on_another(settings: Settings) -> None:
    async with two_nodes(settings) as (one, other):
        await one.add("alice")
        # Each has looked at the other's keys before it signs for the first time.
        for node, friend in [(one, other), (other, one)]:
            headers = await node.sign_in("alice")
            assert (await friend.http.get("/me", headers=headers)).status_code == 200


async def test_the_way_to_end_a_leaked_token_key_that_the_document_tells_does_so(
    settings: Settings,
) -> None:
    """Beside nodes that run, on the one whose key it is."""
    rotate, retire = re.findall(r"^auditlogservice (token [a-z-]+)", OPERATIONS, re.MULTILINE)
    folder = ("--data-dir", str(settings.data_dir))
    async with two_nodes(settings) as (one, other):
        leaked = await one.add("alice")
        unhurt = await other.sign_in("alice")
        rotated = await asyncio.to_thread(
            run, *rotate.split(), "--store", settings.store_url, *folder
        )
        for node in (one, other):  # a new key alone ends nothing
            assert (await node.http.get("/me", headers=leaked)).status_code == 200
        old = rotated.stdout.split()[-1]
        ended = await asyncio.to_thread(
            run, *retire.split(), old, "--store", settings.store_url, *folder
        )
        assert ended.exit_code == 0, ended.output
        fresh = await one.sign_in("alice")
        for node in (one, other):
            node.time.advance(seconds=1)
            statuses = [
                (await node.http.get("/me", headers=headers)).status_code
                for headers in (leaked, unhurt, fresh)
            ]
            assert statuses == [401, 200, 200]


async def test_a_scope_asked_for_narrows_the_token(api: Api) -> None:
    await api.add("alice")
    form = {"username": "alice", "password": PASSWORD, "scope": "events:read"}
    issued = (await api.http.post("/token", data=form)).json()
    assert issued["scope"] == "events:read"
    headers = {"Authorization": f"Bearer {issued['access_token']}"}
    assert (await api.http.get("/events", headers=headers)).status_code == 200
    assert (await api.http.post("/events", json=EVENT, headers=headers)).status_code == 403


# ---- users over HTTP --------------------------------------------------------------------


async def test_a_manager_adds_changes_and_removes_users(api: Api) -> None:
    admin = await api.add("admin")
    made = await api.http.post(
        "/users",
        json={"name": "bob", "password": PASSWORD, "scopes": ["events:read"]},
        headers=admin,
    )
    assert made.status_code == 201
    assert made.json()["scopes"] == ["events:read"]
    assert "password" not in made.text
    bob = await api.sign_in("bob")
    assert (await api.http.post("/events", json=EVENT, headers=bob)).status_code == 403

    changed = await api.http.patch("/users/bob", json={"scopes": ["events:write"]}, headers=admin)
    assert changed.json()["scopes"] == ["events:write"]
    assert (await api.http.get("/users/bob", headers=admin)).json() == changed.json()
    bob = await api.sign_in("bob")
    assert (await api.http.post("/events", json=EVENT, headers=bob)).status_code == 201

    assert (await api.http.delete("/users/bob", headers=admin)).status_code == 204
    assert (await api.http.get("/users/bob", headers=admin)).status_code == 404


async def test_nobody_gives_a_scope_that_is_not_their_own(api: Api) -> None:
    manager = await api.add("manager", Scope.USERS_MANAGE)
    await api.add("bob")
    asked = {"name": "eve", "password": PASSWORD, "scopes": ["events:read"]}
    made = await api.http.post("/users", json=asked, headers=manager)
    assert made.status_code == 403
    raised = await api.http.patch(
        "/users/bob", json={"scopes": ["events:delete"]}, headers=manager
    )
    assert raised.status_code == 403


@pytest.mark.parametrize(
    "change",
    [{"password": "another password"}, {"scopes": []}, {"disabled": True}, {}, None],
    ids=["password", "scopes", "disabled", "nothing", "removal"],
)
async def test_who_has_more_scopes_than_the_caller_is_out_of_reach(
    api: Api, change: dict[str, Any] | None
) -> None:
    """Else who can only manage users could set a password, sign in with it, and read."""
    manager = await api.add("manager", Scope.USERS_MANAGE)
    await api.add("bob", Scope.USERS_MANAGE, Scope.EVENTS_READ)
    await api.add("peer", Scope.USERS_MANAGE)
    before = await api.services.accounts.user("bob")
    for name, status in (("bob", 403), ("peer", 200 if change is not None else 204)):
        answer = await api.http.request(
            "DELETE" if change is None else "PATCH", f"/users/{name}", json=change, headers=manager
        )
        assert answer.status_code == status
        if status == 403:
            assert answer.json()["scope"] == "events:read"
    assert await api.services.accounts.user("bob") == before


async def test_a_token_with_fewer_scopes_than_its_user_is_no_way_to_the_others(api: Api) -> None:
    await api.add("admin")
    form = {"username": "admin", "password": PASSWORD, "scope": "users:manage"}
    narrow = (await api.http.post("/token", data=form)).json()["access_token"]
    answer = await api.http.patch(
        "/users/admin",
        json={"password": "another password"},
        headers={"Authorization": f"Bearer {narrow}"},
    )
    assert answer.status_code == 403


async def test_nobody_shuts_themselves_out(api: Api) -> None:
    admin = await api.add("admin")
    changes: list[dict[str, Any]] = [{"disabled": True}, {"scopes": []}]
    for change in changes:
        answer = await api.http.patch("/users/admin", json=change, headers=admin)
        assert answer.status_code == 409
    assert (await api.http.delete("/users/admin", headers=admin)).status_code == 409


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"name": "bob", "password": "short"}, 422, "/password"),
        ({"name": "bob", "password": "password1234"}, 422, "/password"),
        ({"name": "bob", "password": "x" * 257}, 422, "/password"),
        ({"name": "", "password": PASSWORD}, 422, "/name"),
        ({"name": "a\nb", "password": PASSWORD}, 422, "/name"),
        ({"name": "bob", "password": PASSWORD, "scopes": ["root"]}, 422, "/scopes"),
        ({"name": "bob", "password": PASSWORD, "scopes": "events:read"}, 422, "/scopes"),
        ({"name": "bob", "password": PASSWORD, "tenant": "other"}, 422, "/tenant"),
        ({"name": "bob"}, 422, "/password"),
        ([], 422, ""),
        ({"name": "admin", "password": PASSWORD}, 409, None),
    ],
)
async def test_bad_users_are_refused(
    memory_api: Api, body: Any, status: int, pointer: str | None
) -> None:
    admin = await memory_api.add("admin")
    answer = await memory_api.http.post("/users", json=body, headers=admin)
    assert answer.status_code == status, answer.text
    assert PASSWORD not in answer.text
    if pointer is not None:
        assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]
