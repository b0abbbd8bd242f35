"""Erasing by filter: seen beforehand, done to its end, once for each event, and on record."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from time import sleep
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.events import EventId, Sequence
from auditlogservice.filters import Is
from auditlogservice.governance import SERVICE_USER, ErasureJob, read_erasure
from auditlogservice.ledger.governing import clearing, erasures
from auditlogservice.store.port import Document
from auditlogservice.times import parse_rfc3339
from running import EVENT
from waiting import ended, until

if TYPE_CHECKING:
    from running import Api

BOB = {"field": "actor.id", "op": "eq", "value": "bob"}
EVERYTHING: dict[str, Any] = {"all": []}


async def fill(api: Api, user: dict[str, str], count: int, **told: Any) -> list[str]:
    """Record so many events; return their ids."""
    made: list[str] = []
    for start in range(0, count, 1_000):
        batch = [{**EVENT, **told}] * min(1_000, count - start)
        answer = await api.http.post("/events/batch", json=batch, headers=user)
        assert answer.json()["failed"] == []
        made += [each["_id"] for each in answer.json()["successful"]]
    return made


async def start(api: Api, user: dict[str, str], where: Any, reason: str = "asked for") -> str:
    body = {"where": where, "reason": reason}
    answer = await api.http.post("/erasures", json=body, headers=user)
    assert answer.status_code == 202, answer.text
    location: str = answer.headers["location"]
    assert location == f"/erasures/{answer.json()['id']}"
    return location


async def everything(api: Api, user: dict[str, str], query: str = "") -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path: str | None = f"/events?limit=1000{query}"
    while path:
        answer = await api.http.get(path, headers=user)
        found += answer.json()
        path = answer.links["next"]["url"] if "next" in answer.links else None
    return found


async def tombstones(api: Api, user: dict[str, str]) -> list[dict[str, Any]]:
    return await everything(api, user, "&event_type=audit.event.erased")


async def test_all_that_matches_is_erased_and_says_who_when_and_why(api: Api) -> None:
    user = await api.add("alice")
    bobs = [(await api.record(user, actor={"id": "bob"}))["_id"] for _ in range(3)]
    other = await api.record(user)
    job = await ended(api, user, await start(api, user, BOB))
    assert (job["state"], job["erased"], job["held"], job["failure"]) == ("done", 3, 0, None)
    assert (job["end"], job["last_sequence"]) == (4, 3)
    assert (job["where"], job["reason"], job["asked_by"]) == (BOB, "asked for", "alice")
    assert other in await everything(api, user)
    for event_id in bobs:
        gone = await api.http.get(f"/events/{event_id}", headers=user)
        problem = gone.json()
        assert (gone.status_code, problem["code"]) == (410, "event-erased")
        assert (problem["erased_by"], problem["reason"]) == ("alice", "asked for")
        assert parse_rfc3339(problem["erased_at"]) >= parse_rfc3339(job["asked_at"])
        stone = (await api.http.get(f"/events/{problem['tombstone']}", headers=user)).json()
        assert (stone["event_type"], stone["user_id"]) == ("audit.event.erased", SERVICE_USER)
        assert stone["event_data"]["_id"] == event_id
        assert stone["event_data"]["erasure"] == job["id"]


async def test_the_wish_and_its_end_are_on_record(api: Api) -> None:
    user = await api.add("alice")
    await api.record(user, actor={"id": "bob"})
    job = await ended(api, user, await start(api, user, BOB))
    (requested,) = await api.listed(user, "?event_type=audit.erasure.requested")
    (done,) = await api.listed(user, "?event_type=audit.erasure.done")
    for record in (requested, done):
        assert (record["user_id"], record["actor"]["id"]) == (SERVICE_USER, "alice")
        assert record["targets"] == [{"id": job["id"], "type": "erasure"}]
    assert requested["event_data"] == {"where": BOB, "reason": "asked for", "end": 1}
    assert (done["event_data"]["erased"], done["event_data"]["held"]) == (1, 0)
    (stone,) = await tombstones(api, user)
    assert requested["sequence"] < stone["sequence"] < done["sequence"]


async def test_a_preview_counts_and_shows_some_and_erases_nothing(api: Api) -> None:
    user = await api.add("alice")
    bobs = await fill(api, user, 30, actor={"id": "bob"})
    await api.record(user)
    hold = {"where": {"field": "_id", "value": bobs[0]}, "reason": "r"}
    await api.http.post("/holds", json=hold, headers=user)
    before = await everything(api, user)
    body = {"where": BOB, "reason": "r", "preview": True}
    answer = await api.http.post("/erasures", json=body, headers=user)
    assert answer.status_code == 200
    assert answer.json() == {
        "matching": {"value": 30, "relation": "eq"},
        "held": {"value": 1, "relation": "eq"},
        "sample": bobs[1:11],
    }
    assert (await api.http.get("/erasures", headers=user)).json() == []
    assert await everything(api, user) == before


async def test_a_preview_of_too_much_says_at_least(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "COUNT_CAP", 10)
    user = await memory_api.add("alice")
    await fill(memory_api, user, 1_200)
    body = {"where": EVERYTHING, "reason": "r", "preview": True}
    found = (await memory_api.http.post("/erasures", json=body, headers=user)).json()
    assert found["matching"]["relation"] == found["held"]["relation"] == "gte"
    assert 10 <= found["matching"]["value"] < 1_200


async def test_a_preview_ends_when_its_time_is_up_however_many_holds_there_are(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To look holds through takes a thread, which nobody can stop but itself."""
    looked = 0

    def slowly(*_: object) -> tuple[str, ...]:
        nonlocal looked
        looked += 1
        sleep(0.01)
        return ()

    monkeypatch.setattr(erasures, "holds_on", slowly)
    monkeypatch.setattr(erasures, "SECONDS", 0.2)
    user = await memory_api.add("alice")
    await fill(memory_api, user, 500)
    body = {"where": EVERYTHING, "reason": "r", "preview": True}
    found = (await memory_api.http.post("/erasures", json=body, headers=user)).json()
    assert 0 < looked < 500
    assert found["matching"] == {"value": looked, "relation": "gte"}
    assert found["held"] == {"value": 0, "relation": "gte"}


async def test_nothing_that_is_recorded_later_is_touched(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BURIALS", 5)
    user = await api.add("alice")
    await fill(api, user, 50)
    location = await start(api, user, EVERYTHING)
    later = await api.record(user)
    job = await ended(api, user, location)
    assert (job["state"], job["erased"], job["end"]) == ("done", 50, 50)
    assert later in await everything(api, user)


async def test_what_is_held_is_left_and_counted(api: Api) -> None:
    user = await api.add("alice")
    bobs = await fill(api, user, 7, actor={"id": "bob"})
    others = await fill(api, user, 5)
    hold = {"where": BOB, "reason": "case 7"}
    await api.http.post("/holds", json=hold, headers=user)
    job = await ended(api, user, await start(api, user, EVERYTHING))
    assert (job["state"], job["erased"], job["held"]) == ("done", 5, 7)
    left = {record["_id"] for record in await everything(api, user)}
    assert left >= set(bobs)
    assert not left & set(others)


async def test_a_hold_that_is_placed_while_an_erasure_runs_keeps_the_rest(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BURIALS", 1)
    user = await api.add("alice")
    events = await fill(api, user, 300)
    location = await start(api, user, EVERYTHING)

    async def has_begun() -> bool:
        return bool((await api.http.get(location, headers=user)).json()["erased"])

    await until(has_begun)
    held = await api.http.post("/holds", json={"where": EVERYTHING, "reason": "r"}, headers=user)
    assert held.status_code == 201
    left = {record["_id"] for record in await everything(api, user)} & set(events)
    assert left, "all were erased before the hold stood: nothing was shown"
    job = await ended(api, user, location)
    assert (job["state"], job["held"]) == ("done", len(left))
    assert job["erased"] == len(events) - len(left)
    assert left <= {record["_id"] for record in await everything(api, user)}


async def test_what_the_service_has_recorded_is_never_erased_by_a_filter(api: Api) -> None:
    user = await api.add("alice")
    await api.record(user, event_type="audit.event.erased")  # a user's, so it is no tombstone
    first = await ended(api, user, await start(api, user, EVERYTHING))
    own = await everything(api, user)
    assert {record["user_id"] for record in own} == {SERVICE_USER}
    second = await ended(api, user, await start(api, user, EVERYTHING))
    third = await ended(
        api, user, await start(api, user, {"field": "event_type", "value": "audit.event.erased"})
    )
    assert [job["erased"] for job in (first, second, third)] == [1, 0, 0]
    assert (await everything(api, user))[: len(own)] == own


@pytest.mark.timeout(300)
async def test_thousands_are_erased_once_each_while_others_write(api: Api) -> None:
    user = await api.add("alice")
    events = await fill(api, user, 5_000, actor={"id": "bob"})
    location = await start(api, user, BOB)
    job: dict[str, Any] = {}
    written: list[str] = []

    async def write() -> None:
        while not job:
            written.append((await api.record(user))["_id"])

    async def watch() -> None:
        job.update(await ended(api, user, location, seconds=270))

    async with asyncio.timeout(280), asyncio.TaskGroup() as tasks:
        for work in (write(), write(), write(), write(), watch()):
            tasks.create_task(work)
    assert (job["state"], job["erased"], job["held"]) == ("done", 5_000, 0)
    assert len(written) >= 20, "the writers were starved"
    records = await everything(api, user)
    stones = [one for one in records if one["event_type"] == "audit.event.erased"]
    assert sorted(stone["event_data"]["_id"] for stone in stones) == sorted(events)
    left = {record["_id"] for record in records}
    assert left >= set(written)
    assert not left & set(events)


async def test_erasures_of_another_tenant_look_as_if_they_did_not_exist(api: Api) -> None:
    ours, theirs = await api.add("ours", tenant="ours"), await api.add("theirs", tenant="theirs")
    kept = await api.record(theirs)
    await api.record(ours)
    location = await start(api, ours, EVERYTHING)
    assert (await ended(api, ours, location))["erased"] == 1
    assert (await api.http.get(location, headers=theirs)).status_code == 404
    assert (await api.http.get("/erasures", headers=theirs)).json() == []
    assert await everything(api, theirs) == [kept]


async def test_erasures_are_listed_in_their_order_and_the_oldest_that_ended_forgotten(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "MAX_ERASURES", 2)
    user = await api.add("alice")
    asked: list[str] = []
    for number in range(3):
        location = await start(api, user, BOB, f"reason {number}")
        await ended(api, user, location)
        asked.append(location)
    listed = (await api.http.get("/erasures", headers=user)).json()
    assert [job["reason"] for job in listed] == ["reason 1", "reason 2"]
    assert (await api.http.get(asked[0], headers=user)).status_code == 404
    assert len(await api.listed(user, "?event_type=audit.erasure.done")) == 3


async def test_a_defect_ends_the_erasure_as_failed_and_not_the_service(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM inside")

    monkeypatch.setattr(type(api.services.eraser), "bury", broken)
    user = await api.add("alice")
    record = await api.record(user)
    job = await ended(api, user, await start(api, user, EVERYTHING))
    assert (job["state"], job["failure"]) == ("failed", "a defect in the service")
    (failed,) = await api.listed(user, "?event_type=audit.erasure.failed")
    assert failed["outcome"] == "failure"
    monkeypatch.undo()
    assert (await api.http.get(f"/events/{record['_id']}", headers=user)).status_code == 200
    assert (await ended(api, user, await start(api, user, EVERYTHING)))["erased"] == 1


# ---- of a node that died --------------------------------------------------------------


async def left_behind(api: Api, user: dict[str, str], *, count: int, buried: int) -> str:
    """Leave an erasure as a killed node would: some erased, not counted yet; its claim fresh."""
    events = await fill(api, user, count)
    job = ErasureJob(
        id="a" * 24,
        where=Is("name", EVENT["name"]),
        reason="asked for",
        asked_by="alice",
        asked_at=api.time(),
        end=Sequence(count),
        claimed_by="another node",
        claimed_until=api.time() + timedelta(hours=1),
    )
    eraser = api.services.eraser
    records = [await eraser._store.find("default", EventId(one)) for one in events[:buried]]
    await eraser.bury("default", records, by="alice", reason="asked for", erasure=job.id)  # type: ignore[arg-type] # none is gone yet
    document = Document(kind="erasure", tenant="default", id=job.id, body=job.to_body())
    assert await api.services.erasures._documents.put(document)
    return f"/erasures/{job.id}"


async def test_what_a_dead_node_left_is_done_by_another_and_counted_right(api: Api) -> None:
    user = await api.add("alice")
    location = await left_behind(api, user, count=12, buried=5)
    api.time.advance(hours=2)  # the claim is old now
    user = await api.sign_in("alice")
    job = await ended(api, user, location)
    assert (job["state"], job["erased"]) == ("done", 12)
    stones = await tombstones(api, user)
    assert sorted(stone["event_data"]["sequence"] for stone in stones) == list(range(12))
    assert len(await api.listed(user, "?event_type=audit.erasure.requested")) == 1


async def test_what_another_node_is_doing_is_left_to_it(api: Api) -> None:
    user = await api.add("alice")
    location = await left_behind(api, user, count=12, buried=5)
    for _ in range(2):  # when the second has ended, all that is there has been looked at
        await ended(api, user, await start(api, user, {"field": "name", "value": "another"}))
    job = (await api.http.get(location, headers=user)).json()
    assert (job["state"], job["erased"], job["last_sequence"]) == ("running", 0, -1)


def test_an_erasure_that_is_written_can_be_read() -> None:
    moment = parse_rfc3339("2026-01-31T12:00:00.000001Z")
    job = ErasureJob(
        id="a" * 24,
        where=Is("name", "x"),
        reason="r",
        asked_by="alice",
        asked_at=moment,
        end=Sequence(7),
    )
    claimed = replace(job, claimed_by="node", claimed_until=moment, last=Sequence(3), erased=2)
    for each in (job, claimed, replace(claimed, state="failed", failure="why")):
        assert read_erasure(each.id, each.to_body()) == each
