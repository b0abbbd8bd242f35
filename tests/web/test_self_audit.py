"""The service's own acts are records in the tenant's log: who did what, and who looked at whom."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from browsing import Browser
from test_follow import listening

from auditlogservice.access import Scope
from auditlogservice.errors import StorageFull, StoreBroken, StoreUnreachable
from auditlogservice.governance import SERVICE_USER
from auditlogservice.ledger.identity import logins
from auditlogservice.ledger.selfaudit.acts import ACTS
from auditlogservice.ledger.selfaudit.diary import Origin
from auditlogservice.ledger.selfaudit.reads import MAX_QUESTION
from auditlogservice.runtime.settings import Settings
from auditlogservice.web.routes import follow
from running import EVENT, PASSWORD, running, two_nodes
from waiting import until
from watching import begin_window, own_records

if TYPE_CHECKING:
    from auditlogservice.store.port import Outcome, Submission
    from running import Api

DOCS = Path(__file__).parents[2] / "docs"
ALICE = {"actor": {"id": "alice", "type": "user"}}


async def until_recorded(api: Api, event_type: str) -> list[dict[str, Any]]:
    async def is_there() -> bool:
        return bool(await own_records(api, event_type))

    await until(is_there)
    return await own_records(api, event_type)


def kinds(records: list[dict[str, Any]]) -> list[str]:
    return [record["event_data"]["kind"] for record in records]


# ---- reads --------------------------------------------------------------------------------


async def test_who_looked_up_alice_is_asked_as_the_document_says(watched: Api) -> None:
    source, bob = await watched.add("source"), await watched.add("bob", Scope.EVENTS_READ)
    carol = await watched.add("carol", Scope.EVENTS_READ)
    event = await watched.record(source, **ALICE)
    await watched.record(source, actor={"id": "mallory"})
    for path in (
        "/events?actor.id=alice", "/events?q=alice -outcome:success", "/events/count?q=ali*",
        "/events/histogram?actor.id[in]=alice,dora", f"/events/{event['_id']}",
    ):  # fmt: skip
        assert (await watched.http.get(path, headers=bob)).status_code == 200
    asked = {"element": {"path": "actor", "where": {"field": "id", "value": "alice"}}}
    await watched.http.post("/events/search", json=asked, headers=bob)
    await watched.listed(carol, "?actor.id=mallory")

    text = (DOCS / "self-audit.md").read_text()
    (recipe,) = re.findall(r"^GET (/events\?q=.*alice.*)$", text, re.MULTILINE)
    answer = await watched.http.get(recipe, headers=source)
    found = answer.json()
    assert {one["actor"]["id"] for one in found} == {"bob"}
    assert sorted(kinds(found)) == ["get", "histogram", "list", "list", "search"]
    by_id = next(one for one in found if one["event_data"]["kind"] == "get")
    assert by_id["targets"] == [{"type": "event", "id": event["_id"]}]
    assert by_id["event_data"]["records"] == 1


async def test_a_read_is_told_with_who_where_and_the_question(watched_memory: Api) -> None:
    source = await watched_memory.add("source")
    bob = await watched_memory.add("bob", Scope.EVENTS_READ)
    await watched_memory.record(source, **ALICE)
    headers = bob | {"User-Agent": "curl/8 " + "x" * 1_000, "X-Request-ID": "r-1"}
    await watched_memory.listed(headers, "?actor.id=alice&q=a%26b&limit=7&sort=-timestamp")
    (read,) = await own_records(watched_memory, "audit.events.read")
    assert read["actor"] == {"id": "bob", "name": "bob", "type": "user"}
    assert read["user_id"] == SERVICE_USER
    assert read["outcome"] == "success"
    assert read["targets"] == [{"type": "log", "id": "default"}]
    assert read["context"]["request_id"] == "r-1"
    assert read["context"]["ip"] == "127.0.0.1"
    assert read["context"]["user_agent"] == ("curl/8 " + "x" * 1_000)[:256]
    assert read["event_data"] == {
        "kind": "list",
        "question": "actor.id=alice&q=a%26b",
        "values": ["a b", "alice"],
        "records": 0,
    }


async def test_what_one_has_recorded_oneself_is_read_without_a_record(watched: Api) -> None:
    bob, carol = await watched.add("bob"), await watched.add("carol")
    event = await watched.record(bob)
    for path in (
        "/events?name=User Logged In", f"/events/{event['_id']}", "/events/feed?user_id=bob",
        "/events/count?user_id=bob", "/events?user_id=bob&name=nothing",
        f"/events/{event['_id']}/proof",
    ):  # fmt: skip
        assert (await watched.http.get(path, headers=bob)).status_code == 200
    assert await own_records(watched, "audit.events.read") == []
    # The figures of a question that others' events could answer tell of those.
    await watched.http.get("/events/count?name=User Logged In", headers=bob)
    await watched.http.get("/events?name=User Logged In&count=true", headers=bob)
    await watched.http.get("/events?name=nothing", headers=bob)
    await watched.http.get(f"/events/{event['_id']}/proof", headers=carol)
    found = await own_records(watched, "audit.events.read")
    assert kinds(found) == ["count", "list", "list", "proof"]


async def test_a_page_of_ones_own_that_says_that_others_have_more_is_on_record(
    watched: Api,
) -> None:
    """Else who puts an event of their own before those of others asks about those unseen."""
    alice, bob = await watched.add("alice"), await watched.add("bob")
    await watched.record(alice, name="salary", event_data={"n": 100})
    await watched.record(bob, name="mine")
    question = "q=name:mine OR event_data.n:>=50&limit=1&sort=-timestamp"
    listed = await watched.http.get(f"/events?{question}", headers=bob)
    asked = {"any": [
        {"field": "name", "op": "eq", "value": "mine"},
        {"field": "event_data.n", "op": "gte", "value": 50},
    ]}  # fmt: skip
    page = "/events/search?limit=1&sort=-timestamp"
    searched = await watched.http.post(page, json=asked, headers=bob)
    for answer in listed, searched:
        assert [record["name"] for record in answer.json()] == ["mine"]
        assert "next" in answer.links
    assert kinds(await own_records(watched, "audit.events.read")) == ["list", "search"]


async def test_the_pages_of_a_question_are_one_record_in_each_window(watched: Api) -> None:
    source, bob = await watched.add("source"), await watched.add("bob", Scope.EVENTS_READ)
    for _ in range(3):
        await watched.record(source)
    begin_window(watched)
    for _ in range(2):
        path = "/events?user_id=source&limit=1"
        while path:
            answer = await watched.http.get(path, headers=bob)
            path = answer.links.get("next", {}).get("url", "")
        for after in (-1, 0, 1):
            await watched.http.get(f"/events/feed?after={after}&user_id=source", headers=bob)
    assert kinds(await own_records(watched, "audit.events.read")) == ["list", "feed"]
    watched.time.advance(minutes=5)
    await watched.listed(bob, "?user_id=source")
    assert kinds(await own_records(watched, "audit.events.read")) == ["list", "feed", "list"]


async def test_several_nodes_make_one_record_of_one_question(full: Settings) -> None:
    async with two_nodes(full) as (one, other):
        bob = await one.add("bob")
        begin_window(one)
        await one.listed(bob, "?actor.id=alice")
        other.time.ahead = one.time.ahead
        await other.listed(bob, "?actor.id=alice")
        assert len(await own_records(one, "audit.events.read")) == 1


async def test_a_long_question_is_cut_short_and_told_apart_all_the_same(
    watched_memory: Api,
) -> None:
    bob = await watched_memory.add("bob")
    for last in "ab":
        asked = {"any": [{"field": "name", "value": "x" * 300 + str(n)} for n in range(50)]}
        asked["any"].append({"field": "name", "value": last})
        await watched_memory.http.post("/events/search", json=asked, headers=bob)
    found = await own_records(watched_memory, "audit.events.read")
    assert [len(one["event_data"]["question"]) for one in found] == [MAX_QUESTION] * 2
    assert max(map(len, found[0]["event_data"]["values"])) == 256


async def test_a_stream_is_on_record_at_its_start_and_every_hour(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "RECORD_AGAIN", 0.0)
    monkeypatch.setattr(follow, "HEARTBEAT", 0.05)
    bob = await watched_memory.add("bob")
    async with listening(watched_memory, bob, "actor.id=alice"):
        assert kinds(await own_records(watched_memory, "audit.events.read")) == ["stream"]
        watched_memory.time.advance(hours=1)

        async def is_there_again() -> bool:
            return len(await own_records(watched_memory, "audit.events.read")) > 1

        await until(is_there_again)


# ---- acts ---------------------------------------------------------------------------------


async def test_logins_are_on_record_and_so_is_who_failed(
    watched: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOOK_EVERY", 0.01)
    await watched.add("alice", Scope.EVENTS_READ, tenant="acme")
    (done,) = await own_records(watched, "audit.login.succeeded", tenant="acme")
    assert done["actor"]["id"] == "alice"
    assert done["event_data"]["scopes"] == ["events:read"]
    for name in ("alice", "hunter2-typed-into-the-wrong-field"):
        form = {"username": name, "password": "not the password"}
        assert (await watched.http.post("/token", data=form)).status_code == 400
    (unknown,) = await until_recorded(watched, "audit.login.failed")
    assert unknown["actor"] == {"type": "user"}
    assert unknown["context"]["ip"] == "127.0.0.1"
    (known,) = await own_records(watched, "audit.login.failed", tenant="acme")
    assert known["actor"]["id"] == "alice"
    assert known["outcome"] == "failure"
    assert known["event_data"] == {"attempts": 1, "known": True}
    told = json.dumps(await own_records(watched) + await own_records(watched, tenant="acme"))
    assert "hunter2" not in told


async def test_a_sign_in_with_a_browser_is_on_record_and_so_is_who_failed(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOOK_EVERY", 0.01)
    await watched_memory.services.accounts.add("alice", PASSWORD, scopes=frozenset())
    browser = Browser(watched_memory)
    await browser.post("/signin", username="alice", password=PASSWORD)
    (done,) = await own_records(watched_memory, "audit.login.succeeded")
    assert done["actor"]["id"] == "alice"
    assert done["event_data"]["expires_in"] == 3600
    await browser.post("/signin", username="alice", password="not the password")
    (failed,) = await until_recorded(watched_memory, "audit.login.failed")
    assert failed["actor"]["id"] == "alice"


async def test_a_password_that_is_tried_without_a_token_to_be_had_is_on_record(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOOK_EVERY", 0.01)
    await watched_memory.services.accounts.add("alice", PASSWORD, scopes=frozenset())
    form = {"username": "alice", "password": PASSWORD, "scope": "admin"}
    answer = await watched_memory.http.post("/token", data=form)
    assert answer.json()["code"] == "invalid_scope"
    (tried,) = await until_recorded(watched_memory, "audit.login.failed")
    assert tried["actor"]["id"] == "alice"


async def test_a_flood_of_failed_logins_is_no_flood_of_records(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOOK_EVERY", 0.01)
    await watched_memory.services.accounts.add("alice", PASSWORD, scopes=frozenset())
    for address in range(1_000):
        for name in ("alice", f"guess{address}"):
            watched_memory.services.failed_logins.tell(name, Origin(ip=f"10.0.{address}.1"))
    await watched_memory.services.failed_logins.close()
    found = await own_records(watched_memory, "audit.login.failed")
    assert len(found) <= logins.MAX_APART + 1
    assert sum(one["event_data"]["attempts"] for one in found) == 2_000


async def test_failures_that_cannot_be_recorded_wait_and_are_counted(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logins, "LOOK_EVERY", 0.01)
    failed = watched_memory.services.failed_logins
    with pytest.MonkeyPatch.context() as patch:
        refuse_own_records(patch, watched_memory, StorageFull())
        failed.tell("nobody", Origin(ip="10.0.0.1"))

        async def has_tried() -> bool:
            return bool(failed._waiting)

        await until(has_tried)
        failed.tell("nobody", Origin(ip="10.0.0.1"))
    await failed.close()
    found = await own_records(watched_memory, "audit.login.failed")
    assert sum(one["event_data"]["attempts"] for one in found) == 2


async def test_whoever_lacks_a_scope_is_on_record(watched: Api) -> None:
    writer = await watched.add("writer", Scope.EVENTS_WRITE)
    begin_window(watched)
    for _ in range(2):
        assert (await watched.http.get("/events", headers=writer)).status_code == 403
    assert (await watched.http.post("/users", headers=writer)).status_code == 403
    found = await own_records(watched, "audit.access.denied")
    assert [one["targets"][0]["id"] for one in found] == ["GET /events", "POST /users"]
    assert found[0]["actor"]["id"] == "writer"
    assert found[0]["event_data"] == {"scope": "events:read", "has": ["events:write"]}
    assert found[0]["outcome"] == "failure"


async def test_a_token_that_was_ended_is_on_record_when_it_is_tried(
    watched_memory: Api,
) -> None:
    bob = await watched_memory.add("bob", tenant="acme")
    user = await watched_memory.services.accounts.user("bob")
    await watched_memory.services.accounts.change(user, disabled=True)
    watched_memory.time.advance(seconds=1)
    assert (await watched_memory.http.get("/me", headers=bob)).status_code == 401
    forged = {"Authorization": bob["Authorization"][:-8] + "AAAAAAAA"}
    assert (await watched_memory.http.get("/me", headers=forged)).status_code == 401
    (denied,) = await own_records(watched_memory, "audit.access.denied", tenant="acme")
    assert denied["actor"]["id"] == "bob"
    assert denied["event_data"] == {"token": "ended"}


async def test_changes_of_users_are_on_record_with_what_was_before(api: Api) -> None:
    admin = await api.add("admin")
    new = {"name": "bob", "password": PASSWORD, "scopes": ["events:read"]}
    await api.http.post("/users", json=new, headers=admin)
    change = {"scopes": ["events:write"], "disabled": True, "password": "another long one"}
    await api.http.patch("/users/bob", json=change, headers=admin)
    await api.http.delete("/users/bob", headers=admin)
    added, changed, removed = await own_records(api)
    assert added["event_type"] == "audit.user.added"
    assert added["event_data"] == {"scopes": ["events:read"]}
    assert changed["event_type"] == "audit.user.changed"
    assert changed["event_data"] == {
        "before": {"scopes": ["events:read"], "disabled": False},
        "after": {"scopes": ["events:write"], "disabled": True},
        "new_password": True,
    }
    assert removed["event_type"] == "audit.user.removed"
    for record in (added, changed, removed):
        assert record["actor"]["id"] == "admin"
        assert record["targets"] == [{"type": "user", "id": "bob"}]
        assert PASSWORD not in json.dumps(record)


async def test_a_change_that_is_refused_beforehand_leaves_no_record(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    await memory_api.add("bob")
    for body in ({"name": "bob", "password": PASSWORD}, {"name": "eve", "password": "short"}):
        answer = await memory_api.http.post("/users", json=body, headers=admin)
        assert answer.status_code in {409, 422}
    short = await memory_api.http.patch("/users/bob", json={"password": "x"}, headers=admin)
    assert short.status_code == 422
    assert await own_records(memory_api) == []


async def test_a_change_that_fails_after_its_record_has_a_second_one_that_says_so(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    admin = await memory_api.add("admin")

    async def fail(*_: Any, **__: Any) -> None:
        raise StoreUnreachable

    monkeypatch.setattr(memory_api.services.accounts, "add", fail)
    new = {"name": "bob", "password": PASSWORD}
    answer = await memory_api.http.post("/users", json=new, headers=admin)
    assert answer.status_code == 503
    told = await own_records(memory_api, "audit.user.added")
    assert [one["outcome"] for one in told] == ["success", "failure"]
    assert told[1]["event_data"]["error"] == "the database does not answer"


async def test_an_export_is_on_record_with_what_was_asked(api: Api) -> None:
    bob = await api.add("bob")
    await api.record(bob, **ALICE)
    path = "/events/export?format=csv&actor.id=alice&after=-1"
    assert (await api.http.get(path, headers=bob)).status_code == 200
    (exported,) = await own_records(api, "audit.events.exported")
    assert exported["event_data"] == {
        "format": "csv",
        "question": "format=csv&actor.id=alice",
        "values": ["alice"],
        "after": -1,
        "end": 1,
    }


async def test_a_verifier_is_on_record_and_so_is_what_it_found(watched: Api) -> None:
    bob = await watched.add("bob")
    begin_window(watched)
    for path in ("tile/entries/000.p/1", "openings/0", "tile/0/000.p/1"):
        answer = await watched.http.get(f"/ledger/default/{path}", headers=bob)
        assert answer.status_code == 200
    (read,) = await own_records(watched, "audit.ledger.read")
    assert read["actor"]["id"] == "bob"
    told = {"size": 1, "root": "0" * 64, "found": 1, "states": {"OK": 0, "ALTERED": 1}}
    where = "/ledger/default/verifications"
    assert (await watched.http.post(where, json=told, headers=bob)).status_code == 204
    (verified,) = await own_records(watched, "audit.ledger.verified")
    assert verified["event_data"] == told
    assert verified["outcome"] == "failure"
    elsewhere = await watched.http.post("/ledger/acme/verifications", json=told, headers=bob)
    assert elsewhere.status_code == 404


@pytest.mark.parametrize(
    "wrong",
    [
        {"size": -1}, {"root": "x"}, {"states": {"FINE": 1}}, {"states": {"OK": "1"}},
        {"found": None}, {"more": 1},
    ],
    ids=str,
)  # fmt: skip
async def test_a_report_that_is_none_is_refused(memory_api: Api, wrong: dict[str, Any]) -> None:
    bob = await memory_api.add("bob")
    told = {"size": 1, "root": "0" * 64, "found": 0, "states": {"OK": 1}, **wrong}
    answer = await memory_api.http.post("/ledger/default/verifications", json=told, headers=bob)
    assert answer.status_code == 422
    assert await own_records(memory_api) == []


async def test_no_secret_is_in_any_record(watched: Api) -> None:
    admin = await watched.add("admin")
    await watched.http.post("/users", json={"name": "bob", "password": PASSWORD}, headers=admin)
    await watched.http.patch("/users/bob", json={"password": "other long one"}, headers=admin)
    await watched.listed(admin, "?actor.id=alice")
    told = json.dumps(await own_records(watched))
    token = admin["Authorization"].split()[1]
    for secret in (PASSWORD, "other long one", token, token.rsplit(".", 1)[1]):
        assert secret not in told


# ---- fail closed --------------------------------------------------------------------------


def refuse_own_records(monkeypatch: pytest.MonkeyPatch, api: Api, error: Exception) -> None:
    """Make the store refuse what the service says of itself, and nothing else."""
    record = api.services.recorder.record

    async def refusing(submission: Submission) -> tuple[Outcome, ...]:
        if any(draft.user_id == SERVICE_USER for draft in submission.drafts):
            raise error
        return await record(submission)

    monkeypatch.setattr(api.services.recorder, "record", refusing)


@pytest.mark.parametrize("error", [StorageFull(), StoreBroken(), StoreUnreachable()], ids=repr)
async def test_what_cannot_be_recorded_is_not_answered_and_not_done(
    watched_memory: Api, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    api = watched_memory
    admin = await api.add("admin")
    source, writer = await api.add("source"), await api.add("writer", Scope.EVENTS_WRITE)
    event = await api.record(source, name="the secret of alice")
    refuse_own_records(monkeypatch, api, error)
    body = {"size": 1, "root": "0" * 64, "found": 0, "states": {}}
    for method, path, sent in (
        ("GET", "/events", None), ("GET", "/events/count", None), ("GET", "/events/feed", None),
        ("GET", "/events/histogram", None), ("GET", "/events/facets?field=name", None),
        ("GET", "/events/stream?after=-1", None), ("GET", f"/events/{event['_id']}", None),
        ("GET", "/events/export", None), ("GET", f"/events/{event['_id']}/proof", None),
        ("POST", "/events/search", {"all": []}), ("GET", "/ledger/default/openings/0", None),
        ("GET", "/ledger/default/tile/entries/000.p/1", None),
        ("POST", "/ledger/default/verifications", body),
        ("POST", "/erasures", {"q": "name:x", "reason": "r", "preview": True}),
        ("POST", "/users", {"name": "eve", "password": PASSWORD}),
        ("PATCH", "/users/writer", {"scopes": []}), ("DELETE", "/users/writer", None),
    ):  # fmt: skip
        answer = await api.http.request(method, path, json=sent, headers=admin)
        assert answer.status_code == 503, (method, path, answer.text)
        assert "secret of alice" not in answer.text
    form = {"username": "source", "password": PASSWORD}
    assert (await api.http.post("/token", data=form)).status_code == 503
    assert (await api.http.get("/events", headers=writer)).status_code == 503
    names = [user.name for user in await api.services.accounts.users(None)]
    assert names == ["admin", "source", "writer"]
    assert (await api.services.accounts.user("writer")).scopes == {Scope.EVENTS_WRITE}
    # What nobody has to know of goes on.
    assert (await api.http.get(f"/events/{event['_id']}", headers=source)).status_code == 200
    await api.record(source)


async def test_on_a_full_disk_one_can_sign_in_and_make_room_and_read_nothing_of_others(
    tmp_path: Path,
) -> None:
    roomy = Settings(
        store=f"sqlite:///{tmp_path / 'audit.db'}", data_dir=tmp_path / "node", min_free_bytes=0
    )
    async with running(roomy) as api:
        admin = await api.add("admin")
        source = await api.add("source")
        event = await api.record(source)
    async with running(roomy.model_copy(update={"min_free_bytes": 2**62})) as api:
        admin = await api.sign_in("admin")
        assert (await api.http.post("/events", json=EVENT, headers=admin)).status_code == 503
        assert (await api.http.get("/events", headers=admin)).status_code == 503
        new = {"name": "bob", "password": PASSWORD}
        assert (await api.http.post("/users", json=new, headers=admin)).status_code == 201
        hold = {"q": "name:x", "reason": "r"}
        assert (await api.http.post("/holds", json=hold, headers=admin)).status_code == 201
        erased = await api.http.delete(f"/events/{event['_id']}", headers=admin)
        assert erased.status_code == 204
        types = [one["event_type"] for one in await own_records(api)]
        assert types[-4:] == [
            "audit.login.succeeded", "audit.user.added", "audit.hold.placed",
            "audit.event.erased",
        ]  # fmt: skip


# ---- the setting --------------------------------------------------------------------------


async def test_essential_leaves_out_who_comes_in_and_reads_and_nothing_else(api: Api) -> None:
    admin, writer = await api.add("admin"), await api.add("writer", Scope.EVENTS_WRITE)
    event = await api.record(writer)
    await api.http.get("/events", headers=writer)
    await api.listed(admin)
    await api.http.get("/ledger/default/openings/0", headers=admin)
    assert await own_records(api) == []
    await api.http.get("/events/export", headers=admin)
    await api.http.delete(f"/events/{event['_id']}", headers=admin)
    types = [one["event_type"] for one in await own_records(api)]
    assert types == ["audit.events.exported", "audit.event.erased"]


def test_only_who_comes_in_and_reads_can_be_left_out() -> None:
    left_out = {act.event_type for act in ACTS if not act.essential}
    assert left_out == {
        "audit.login.succeeded", "audit.login.failed", "audit.token.issued",
        "audit.token.revoked", "audit.access.denied", "audit.events.read", "audit.ledger.read",
    }  # fmt: skip


async def test_each_log_says_when_it_was_kept_otherwise(
    settings: Settings, full: Settings
) -> None:
    async with running(full) as api:
        await api.record(await api.add("alice", tenant="acme"))
    for mode in (settings, settings, full):
        async with running(mode) as api:

            async def is_said(api: Api = api, mode: Settings = mode) -> bool:
                told = await own_records(api, "audit.settings.changed", tenant="acme")
                return bool(told) and told[-1]["event_data"]["after"] == mode.self_audit

            await until(is_said)
    async with running(full) as api:
        told = await own_records(api, "audit.settings.changed", tenant="acme")
        assert [one["event_data"] for one in told] == [
            {"before": "full", "after": "essential"},
            {"before": "essential", "after": "full"},
        ]
        assert await own_records(api, "audit.settings.changed") == []  # it has no log


# ---- what is written about it -------------------------------------------------------------


def test_the_document_has_the_table_of_all_acts() -> None:
    rows = re.findall(
        r"^\| `(audit\.[\w.]+)` \| (.*?) \| (yes|no) \| (yes|no) \|$",
        (DOCS / "self-audit.md").read_text(),
        re.MULTILINE,
    )
    said = {True: "yes", False: "no"}
    assert rows == [
        (act.event_type, act.meaning, said[act.essential], said[act.urgent]) for act in ACTS
    ]


async def test_the_old_way_to_list_leaves_them_out_as_the_document_says(
    watched_memory: Api,
) -> None:
    alice = await watched_memory.add("alice")
    event = await watched_memory.record(alice)
    (recipe,) = re.findall(
        r"^GET (/events\?user_id\[ne\]=\S+)$", (DOCS / "self-audit.md").read_text(), re.MULTILINE
    )
    listed = (await watched_memory.http.get(recipe, headers=alice)).json()
    assert [one["_id"] for one in listed] == [event["_id"]]


async def test_own_records_are_counted(watched_memory: Api) -> None:
    await watched_memory.add("alice")
    page = (await watched_memory.http.get("/metrics")).text
    assert 'auditlog_own_records_total{event_type="audit.login.succeeded"} 1.0' in page
