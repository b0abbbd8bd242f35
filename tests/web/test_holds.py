"""Legal holds win over every wish to erase, and leave a record when they come and go."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.filters import Is
from auditlogservice.governance import SERVICE_USER, Hold
from auditlogservice.ledger.governing import holds as module
from auditlogservice.store.port import Document
from running import running
from waiting import until

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

BOB = {"field": "actor.id", "op": "eq", "value": "bob"}


async def place(api: Api, user: dict[str, str], **told: Any) -> dict[str, Any]:
    answer = await api.http.post("/holds", json={"reason": "case 7", **told}, headers=user)
    assert answer.status_code == 201, answer.text
    hold: dict[str, Any] = answer.json()
    assert answer.headers["location"] == f"/holds/{hold['id']}"
    return hold


async def erase(api: Api, user: dict[str, str], record: dict[str, Any]) -> tuple[int, Any]:
    answer = await api.http.delete(f"/events/{record['_id']}?reason=r", headers=user)
    return answer.status_code, answer.json() if answer.content else None


async def test_a_hold_that_was_placed_can_be_read_and_listed(api: Api) -> None:
    user = await api.add("alice")
    first = await place(api, user, where=BOB)
    second = await place(api, user, q="actor.id:bob")
    assert first["where"] == second["where"] == BOB
    assert (first["reason"], first["placed_by"]) == ("case 7", "alice")
    assert (await api.http.get("/holds", headers=user)).json() == [first, second]
    read = await api.http.get(f"/holds/{first['id']}", headers=user)
    assert read.json() == first


async def test_what_holds_cover_is_not_erased_until_all_are_lifted(api: Api) -> None:
    user = await api.add("alice")
    bobs, other = await api.record(user, actor={"id": "bob"}), await api.record(user)
    holds = [await place(api, user, where=BOB), await place(api, user, where={"all": []})]
    for hold in holds:
        status, problem = await erase(api, user, bobs)
        assert (status, problem["code"]) == (409, "event-held")
        assert hold["id"] in problem["holds"]
        lifted = await api.http.delete(f"/holds/{hold['id']}?reason=closed", headers=user)
        assert lifted.status_code == 204
    assert bobs in await api.listed(user)
    assert (await erase(api, user, bobs))[0] == 204
    assert (await erase(api, user, other))[0] == 204


async def test_a_hold_covers_what_is_recorded_later(api: Api) -> None:
    user = await api.add("alice")
    hold = await place(api, user, where=BOB)
    status, problem = await erase(api, user, await api.record(user, actor={"id": "bob"}))
    assert (status, problem["holds"]) == (409, [hold["id"]])
    assert (await erase(api, user, await api.record(user)))[0] == 204


async def test_how_long_ago_is_counted_from_when_the_hold_is_placed(api: Api) -> None:
    user = await api.add("alice")
    record = await api.record(user)
    recent = {"field": "timestamp", "op": "gte", "value": "1h"}
    hold = await place(api, user, where=recent)
    assert hold["where"]["value"].endswith("Z")
    api.time.advance(hours=3)
    assert (await erase(api, user, record))[0] == 409
    assert (await api.http.get(f"/holds/{hold['id']}", headers=user)).json() == hold


async def test_placing_and_lifting_are_on_record_as_the_services_own(api: Api) -> None:
    user = await api.add("alice")
    hold = await place(api, user, where=BOB)
    (placed,) = await api.listed(user, "?event_type=audit.hold.placed")
    await api.http.delete(f"/holds/{hold['id']}?reason=closed", headers=user)
    (lifted,) = await api.listed(user, "?event_type=audit.hold.lifted")
    for record, reason in ((placed, "case 7"), (lifted, "closed")):
        assert record["user_id"] == SERVICE_USER
        assert record["actor"]["id"] == "alice"
        assert record["context"]["ip"] == "127.0.0.1"
        assert record["targets"] == [{"id": hold["id"], "type": "hold"}]
        assert record["event_data"] == {"where": BOB, "reason": reason}


async def test_a_hold_that_was_lifted_is_gone(api: Api) -> None:
    user = await api.add("alice")
    address = f"/holds/{(await place(api, user, where=BOB))['id']}"
    assert (await api.http.delete(f"{address}?reason=r", headers=user)).status_code == 204
    assert (await api.http.get(address, headers=user)).status_code == 404
    assert (await api.http.delete(f"{address}?reason=r", headers=user)).status_code == 404
    assert (await api.http.get("/holds", headers=user)).json() == []
    assert len(await api.listed(user, "?event_type=audit.hold.lifted")) == 1


@pytest.mark.parametrize("query", ["", "?reason=", f"?reason={'x' * 1_001}"])
async def test_lifting_needs_a_reason(memory_api: Api, query: str) -> None:
    user = await memory_api.add("alice")
    address = f"/holds/{(await place(memory_api, user, where=BOB))['id']}"
    answer = await memory_api.http.delete(f"{address}{query}", headers=user)
    assert answer.status_code == 422
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == ["reason"]
    assert (await memory_api.http.get(address, headers=user)).status_code == 200


async def test_holds_of_another_tenant_look_as_if_they_did_not_exist(api: Api) -> None:
    ours, theirs = await api.add("ours", tenant="ours"), await api.add("theirs", tenant="theirs")
    hold = await place(api, ours, where={"all": []})
    address = f"/holds/{hold['id']}"
    assert (await api.http.get("/holds", headers=theirs)).json() == []
    assert (await api.http.get(address, headers=theirs)).status_code == 404
    assert (await api.http.delete(f"{address}?reason=r", headers=theirs)).status_code == 404
    assert (await erase(api, theirs, await api.record(theirs)))[0] == 204
    assert (await erase(api, ours, await api.record(ours)))[0] == 409


async def test_a_tenant_may_have_so_many_holds(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_HOLDS", 2)
    user = await memory_api.add("alice")
    for _ in range(2):
        await place(memory_api, user, where=BOB)
    answer = await memory_api.http.post("/holds", json={"where": BOB, "reason": "r"}, headers=user)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_hold_whose_record_was_lost_to_a_kill_gets_it_at_the_next_start(
    settings: Settings,
) -> None:
    async with running(settings) as api:
        hold = Hold(
            id="f" * 24,
            where=Is("actor.id", "bob"),
            reason="case 7",
            placed_by="alice",
            placed_at=api.time(),
        )
        # As `Holds.place` leaves it if the process ends right after the hold stands.
        document = Document(kind="hold", tenant="default", id=hold.id, body=hold.to_body())
        assert await api.services.holds._documents.put(document)
    for _ in range(2):  # and it gets it once
        async with running(settings) as api:
            if not await api.services.accounts.users(None):
                await api.add("alice")
            user = await api.sign_in("alice")

            async def is_on_record(api: Api = api, user: dict[str, str] = user) -> bool:
                return bool(await api.listed(user, "?event_type=audit.hold.placed"))

            await until(is_on_record)
            (placed,) = await api.listed(user, "?event_type=audit.hold.placed")
            assert placed["targets"] == [{"id": hold.id, "type": "hold"}]


@pytest.mark.parametrize("path", ["/holds", "/erasures"])
@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({"reason": "r"}, [""]),
        ({"q": "a", "where": BOB, "reason": "r"}, [""]),
        ({"q": "", "reason": "r"}, ["/q"]),
        ({"q": "  ", "reason": "r"}, ["/q"]),
        ({"q": "(a", "reason": "r"}, ["/q"]),
        ({"q": 1, "reason": "r"}, ["/q"]),
        ({"where": {"q": ""}, "reason": "r"}, ["/where"]),
        ({"where": [], "reason": "r"}, ["/where"]),
        ({"where": {}, "reason": "r"}, ["/where"]),
        ({"where": {"any": [BOB, {"field": "x"}]}, "reason": "r"},
         ["/where/any/1/field", "/where/any/1/value"]),
        ({"where": {"any": [BOB] * 101}, "reason": "r"}, ["/where"]),
        ({"where": BOB}, ["/reason"]),
        ({"where": BOB, "reason": ""}, ["/reason"]),
        ({"where": BOB, "reason": "x" * 1_001}, ["/reason"]),
        ({"where": BOB, "reason": None}, ["/reason"]),
        ({"where": BOB, "reason": "r", "colour": "red"}, ["/colour"]),
        ([], [""]),
    ],
    ids=lambda value: str(value)[:60],
)  # fmt: skip
async def test_what_does_not_say_what_and_why_is_refused(
    memory_api: Api, path: str, body: Any, pointers: list[str]
) -> None:
    user = await memory_api.add("alice", Scope.ADMIN, Scope.EVENTS_DELETE)
    answer = await memory_api.http.post(path, json=body, headers=user)
    assert answer.status_code == 422, answer.text
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == pointers
    assert (await memory_api.http.get(path, headers=user)).json() == []
