"""Who may do what: every route, every kind of caller, on both stores."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.routing import Route

from auditlogservice.access import Scope
from running import EVENT, PASSWORD, running
from stub import run

if TYPE_CHECKING:
    from auditlogservice.ledger.credentials import OwnerKind
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
    ("GET", "/me"): None,
    ("GET", "/me/tokens"): None,
    ("POST", "/me/tokens"): None,
    ("DELETE", "/me/tokens/{token_id}"): None,
    ("GET", "/clients"): Scope.USERS_MANAGE,
    ("POST", "/clients"): Scope.USERS_MANAGE,
    ("GET", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("PATCH", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}"): Scope.USERS_MANAGE,
    ("POST", "/clients/{client_id}/secrets"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}/secrets/{secret_id}"): Scope.USERS_MANAGE,
    ("GET", "/clients/{client_id}/tokens"): Scope.USERS_MANAGE,
    ("POST", "/clients/{client_id}/tokens"): Scope.USERS_MANAGE,
    ("DELETE", "/clients/{client_id}/tokens/{token_id}"): Scope.USERS_MANAGE,
    ("GET", "/users"): Scope.USERS_MANAGE,
    ("POST", "/users"): Scope.USERS_MANAGE,
    ("GET", "/users/{name}"): Scope.USERS_MANAGE,
    ("PATCH", "/users/{name}"): Scope.USERS_MANAGE,
    ("DELETE", "/users/{name}"): Scope.USERS_MANAGE,
}
BODIES: dict[tuple[str, str], Any] = {
    ("POST", "/events"): EVENT,
    ("POST", "/events/batch"): [EVENT],
    ("POST", "/events/search"): {"words": "login"},
    ("POST", "/erasures"): {"q": "name:nothing", "reason": "r"},
    ("POST", "/holds"): {"q": "name:nothing", "reason": "r"},
    ("PUT", "/redaction"): {"rules": []},
    ("PUT", "/retention"): {"rules": []},
    ("POST", "/me/tokens"): {},
    ("POST", "/clients"): {"name": "new", "scopes": []},
    ("PATCH", "/clients/{client_id}"): {"disabled": False},
    ("POST", "/clients/{client_id}/secrets"): {},
    ("POST", "/clients/{client_id}/tokens"): {},
    ("POST", "/users"): {"name": "new", "password": PASSWORD, "scopes": []},
    ("PATCH", "/users/{name}"): {"disabled": False},
}


# What is empty until somebody outside has seen the log: tests/web/test_anchoring.py.
EMPTY = {("GET", "/ledger/{tenant}/timestamps/{size}"), ("GET", "/ledger/{tenant}/witnessed")}
LOG = {"tenant": "default", "number": "0", "size": "0", "path": "entries/000.p/1"}
THINGS = ("event_id", "hold_id", "erasure_id", "name", "client_id", "secret_id", "token_id")
NOWHERE = {**LOG, **dict.fromkeys(THINGS, "0" * 24)}


def routes(api: Api) -> set[tuple[str, str]]:
    app = api.app
    included = [each.original_router for each in app.routes if hasattr(each, "original_router")]
    return {
        (method, route.path)
        for router in (app, *included)
        for route in router.routes
        if isinstance(route, Route)
        for method in (route.methods or ())
        if method != "HEAD"
    }


async def made(api: Api, owner: dict[str, str]) -> dict[str, str]:
    """Make one thing of each kind that an address may name."""
    wish = {"q": "name:nothing", "reason": "r"}
    found = {**LOG, "event_id": (await api.record(owner))["_id"], "name": "victim"}
    for kind in ("hold", "erasure"):
        answer = await api.http.post(f"/{kind}s", json=wish, headers=owner)
        found[f"{kind}_id"] = answer.json()["id"]
    clients = api.services.clients
    client = await clients.add(secrets.token_hex(8), scopes=frozenset())
    secret, _ = await clients.add_secret(client)
    return {**found, "client_id": client.id, "secret_id": secret.id}


async def with_token(
    api: Api, route: tuple[str, str], headers: dict[str, str], names: dict[str, str]
) -> dict[str, str]:
    """Make the token that an address names: of the caller, or of the client."""
    if "{token_id}" not in route[1]:
        return names
    kind: OwnerKind = "user" if route[1].startswith("/me") else "client"
    caller = await api.services.callers.check(headers["Authorization"].split()[1])
    owner = caller.user_id if kind == "user" else names["client_id"]
    token, _ = await api.services.api_tokens.issue(
        kind, owner, scopes=frozenset(), label="of an address"
    )
    return {**names, "token_id": token.id}


async def call(
    api: Api, route: tuple[str, str], headers: dict[str, str], names: dict[str, str]
) -> int:
    method, path = route
    path = path.replace(":path", "").format_map(names)
    path += "?field=name" if path.endswith("facets") else ""
    reasoned = method == "DELETE" and path.startswith(("/events/", "/holds/"))
    path += "?reason=r" if reasoned else ""
    answer = await api.http.request(method, path, json=BODIES.get(route), headers=headers)
    return answer.status_code


async def test_every_route_is_public_or_asks_for_a_scope(memory_api: Api) -> None:
    assert routes(memory_api) == PUBLIC | SCOPED.keys()


async def test_each_scope_opens_its_own_routes_and_no_other(api: Api) -> None:
    owner = await api.add("owner")
    callers = {scope: await api.add(scope.replace(":", "-"), scope) for scope in Scope}
    for route, needed in SCOPED.items():
        for scope, headers in callers.items():
            if route[1] == "/events/stream" and needed == scope:
                continue  # it would not end; tests/web/test_follow.py listens to it
            await api.services.accounts.add("victim", PASSWORD, scopes=frozenset())
            for client in await api.services.clients.all(None):
                await api.services.clients.remove(client)
            names = await with_token(api, route, headers, await made(api, owner))
            status = await call(api, route, headers, names)
            allowed = needed in {None, scope}
            good = status < 300 or (route in EMPTY and status == 404)
            assert good if allowed else status == 403, (route, scope, status)
            for name in ("victim", "new"):
                for user in await api.services.accounts.users(None):
                    if user.name == name:
                        await api.services.accounts.remove(user)


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
        status = await call(memory_api, route, {"Authorization": header}, NOWHERE)
        assert status == 401, (route, header)


async def test_a_parameter_that_a_call_does_not_have_is_refused_on_every_route(
    memory_api: Api,
) -> None:
    """Where conditions are asked for, it is a condition on a field that no event has."""
    owner = await memory_api.add("owner")
    await memory_api.add("victim")
    event = (await memory_api.record(owner))["_id"]
    names = {**NOWHERE, "event_id": event, "name": "victim"}
    for route in SCOPED:
        method, path = route
        path = path.replace(":path", "").format_map(names)
        answer = await memory_api.http.request(
            method, path, params={"colour": "red"}, json=BODIES.get(route), headers=owner
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
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    async with running(settings) as one, running(elsewhere) as other:
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
        assert max(waits) <= 1


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
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    async with running(settings) as one, running(elsewhere) as other:
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
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    async with running(settings) as one, running(elsewhere) as other:
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
    elsewhere = settings.model_copy(update={"data_dir": settings.data_dir / "other"})
    async with running(settings) as one, running(elsewhere) as other:
        leaked = await one.add("alice")
        unhurt = await other.sign_in("alice")
        rotated = await asyncio.to_thread(run, *rotate.split(), *folder)
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
