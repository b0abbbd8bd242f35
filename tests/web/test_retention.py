"""How long events are kept: rules that hold at once, on every node, for what is there already."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.filters import matches
from auditlogservice.governance import MAX_RULES, SERVICE_USER, RetentionRule, rule_for
from auditlogservice.ledger.governing import clearing
from auditlogservice.ledger.governing.sweeper import candidates
from auditlogservice.times import parse_rfc3339
from running import EVENT, Time, running, two_nodes
from waiting import until

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import Document
    from running import Api

AUTH = {"event_type": "auth.*", "days": 30}


async def put(
    api: Api, user: dict[str, str], *rules: dict[str, Any], **headers: str
) -> dict[str, Any]:
    answer = await api.http.put(
        "/retention", json={"rules": list(rules)}, headers={**user, **headers}
    )
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


async def until_gone(api: Api, user: dict[str, str], *records: dict[str, Any]) -> None:
    async def are_gone() -> bool:
        answers = [
            await api.http.get(f"/events/{record['_id']}", headers=user) for record in records
        ]
        return all(answer.status_code == 410 for answer in answers)

    await until(are_gone)


async def expiry(api: Api, record: dict[str, Any]) -> timedelta | None:
    """How long the log entry of a record says that it is kept."""
    place = record["sequence"]
    (opening,) = await api.services.eraser._ledger.openings(
        "default", place, place + 1, content=False
    )
    expires_at = opening.entry.expires_at
    return None if expires_at is None else expires_at - parse_rfc3339(record["timestamp"])


async def test_the_rules_are_replaced_as_a_whole_and_told_with_who_and_when(api: Api) -> None:
    user = await api.add("alice")
    first = await api.http.get("/retention", headers=user)
    assert first.json() == {"rules": [], "changed_by": None, "changed_at": None}
    told = await put(api, user, AUTH)
    assert (told["rules"], told["changed_by"]) == ([AUTH], "alice")
    assert (await api.http.get("/retention", headers=user)).json() == told
    shop = {"event_type": "shop", "days": 1}
    assert (await put(api, user, shop))["rules"] == [shop]
    changes = await api.listed(user, "?event_type=audit.retention.changed")
    assert [one["event_data"] for one in changes] == [
        {"before": [], "rules": [AUTH]},
        {"before": [AUTH], "rules": [shop]},
    ]
    assert {(one["user_id"], one["actor"]["id"]) for one in changes} == {(SERVICE_USER, "alice")}


async def test_a_change_that_others_overtake_is_made_all_the_same(memory_api: Api) -> None:
    """Nobody who names no ETag hears of a conflict, however often others are faster."""
    user = await memory_api.add("alice")
    documents = memory_api.services.retention._documents
    overtaken, put_on = [0], documents.put

    async def put_late(document: Document) -> bool:
        if document.kind == "retention" and document.id == "rules" and overtaken[0] < 20:
            overtaken[0] += 1
            await put_on(document)
            return False
        return await put_on(document)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(documents, "put", put_late)
        told = await put(memory_api, user, AUTH)
    assert (told["rules"], overtaken) == ([AUTH], [20])


async def test_a_change_of_rules_that_were_changed_meanwhile_is_refused_if_asked(api: Api) -> None:
    user = await api.add("alice")
    tag = (await api.http.get("/retention", headers=user)).headers["etag"]
    await put(api, user, AUTH, **{"If-Match": tag})
    for stale in (tag, '"x"', 'W/"1"'):
        late = await api.http.put(
            "/retention", json={"rules": []}, headers={**user, "If-Match": stale}
        )
        assert (late.status_code, late.json()["code"]) == (412, "outdated")
    assert (await api.http.get("/retention", headers=user)).json()["rules"] == [AUTH]
    await put(api, user, **{"If-Match": "*"})


async def test_what_has_expired_is_erased_and_says_by_which_rule(api: Api) -> None:
    user = await api.add("alice")
    old = [await api.record(user, event_type=f"auth.{n}") for n in range(3)]
    shop = await api.record(user, event_type="shop")
    api.time.advance(days=31)
    user = await api.sign_in("alice")
    young = await api.record(user, event_type="auth.login")
    await put(api, user, AUTH)
    await until_gone(api, user, *old)
    problem = (await api.http.get(f"/events/{old[0]['_id']}", headers=user)).json()
    assert (problem["erased_by"], problem["reason"]) == (
        SERVICE_USER, "retention: 30 days for auth.*",
    )  # fmt: skip
    left = await api.listed(user)
    assert {shop["_id"], young["_id"]} <= {record["_id"] for record in left}


async def test_the_most_exact_rule_counts(api: Api) -> None:
    user = await api.add("alice")
    kinds = ("auth.login", "auth.keep", "AUTH.login", "auth", "shop")
    records = {kind: await api.record(user, event_type=kind) for kind in kinds}
    api.time.advance(days=20)
    user = await api.sign_in("alice")
    rules = [("*", 10), ("auth.*", 15), ("auth.keep", 400), ("AUTH.*", 400)]
    await put(api, user, *({"event_type": kind, "days": days} for kind, days in rules))
    await until_gone(api, user, records["auth.login"], records["auth"], records["shop"])
    left = {record["event_type"] for record in await api.listed(user)}
    assert {"auth.keep", "AUTH.login"} <= left


async def test_what_is_held_and_what_the_service_recorded_outlives_every_rule(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BURIALS", 2)
    user = await api.add("alice")
    held = [await api.record(user, actor={"id": "bob"}) for _ in range(5)]
    free = [await api.record(user) for _ in range(5)]
    hold = {"q": "actor.id:bob", "reason": "case 7"}
    await api.http.post("/holds", json=hold, headers=user)
    erased = await api.record(user)
    await api.http.delete(f"/events/{erased['_id']}?reason=r", headers=user)
    own = await api.listed(user, f"?user_id={SERVICE_USER}")
    api.time.advance(days=2)
    user = await api.sign_in("alice")
    await put(api, user, {"event_type": "*", "days": 1})
    await until_gone(api, user, *free)
    before = [one for one in await api.listed(user) if one["sequence"] <= own[-1]["sequence"]]
    assert before == [*held, *own]


async def test_a_node_that_starts_erases_what_has_expired_meanwhile(settings: Settings) -> None:
    time = Time()
    async with running(settings, time) as api:
        user = await api.add("alice")
        record = await api.record(user, event_type="auth.login")
        await put(api, user, AUTH)
    time.advance(days=31)
    async with running(settings, time) as api:
        user = await api.sign_in("alice")
        await until_gone(api, user, record)


@pytest.fixture
def begun(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where sweeps have begun: the last place that they did not look at again."""
    places: list[int] = []
    portions = clearing.Clearing.portions

    def noted(self: clearing.Clearing, wish: clearing.Wish) -> Any:
        places.append(wish.after)
        return portions(self, wish)

    monkeypatch.setattr(clearing.Clearing, "portions", noted)
    return places


async def test_a_sweep_begins_where_the_last_one_under_the_same_rules_came_to(
    settings: Settings, begun: list[int]
) -> None:
    time = Time()
    rule = {"event_type": "auth.login", "days": 1}
    async with running(settings, time) as api:
        user = await api.add("alice")
        first = [await api.record(user) for _ in range(3)]
        time.advance(days=2)
        user = await api.sign_in("alice")
        await put(api, user, rule)
        await until_gone(api, user, *first)
        second = await api.record(user)
    time.advance(days=2)
    async with running(settings, time) as api:
        user = await api.sign_in("alice")
        await until_gone(api, user, second)
        assert begun == [-1, first[-1]["sequence"]]

        async def has_begun_again() -> bool:
            return len(begun) > 2

        await put(api, user, {**rule, "event_type": "*"})
        await until(has_begun_again)
    assert begun[2] == -1  # other rules may want what these left


async def test_what_a_hold_covered_is_erased_once_it_is_lifted(
    settings: Settings, begun: list[int]
) -> None:
    time = Time()
    async with running(settings, time) as api:
        user = await api.add("alice")
        free = await api.record(user)
        held = await api.record(user, actor={"id": "bob"})
        also_free = await api.record(user)
        asked = {"q": "actor.id:bob", "reason": "case 7"}
        hold = (await api.http.post("/holds", json=asked, headers=user)).headers["location"]
        time.advance(days=2)
        user = await api.sign_in("alice")
        await put(api, user, {"event_type": "auth.login", "days": 1})
        await until_gone(api, user, free, also_free)
        assert (await api.http.get(f"/events/{held['_id']}", headers=user)).status_code == 200
        lifted = await api.http.delete(f"{hold}?reason=closed", headers=user)
        assert lifted.status_code == 204, lifted.text
    time.advance(minutes=1)  # the claim on the log ends
    async with running(settings, time) as api:
        user = await api.sign_in("alice")
        await until_gone(api, user, held)
    assert begun == [-1, -1]


async def test_a_new_record_is_made_under_the_rules_on_every_node(settings: Settings) -> None:
    async with two_nodes(settings) as (one, other):
        user = await one.add("alice")
        assert await expiry(one, await one.record(user, event_type="auth.login")) is None
        await put(one, user, AUTH)
        assert await expiry(one, await one.record(user, event_type="auth.login")) == timedelta(30)
        assert await expiry(one, await one.record(user, event_type="shop")) is None

        async def knows() -> bool:
            record = await other.record(user, event_type="auth.login")
            return await expiry(other, record) == timedelta(30)

        await until(knows)


async def test_several_nodes_erase_each_record_once(settings: Settings) -> None:
    time = Time()
    async with running(settings, time) as api:
        user = await api.add("alice")
        records = [await api.record(user) for _ in range(40)]
    time.advance(days=2)
    async with two_nodes(settings, time) as (one, other):
        user = await one.sign_in("alice")
        for node in (one, other):
            await put(node, user, {"event_type": "*", "days": 1})
        await until_gone(one, user, *records)
        stones = await one.listed(user, "?event_type=audit.event.erased")
        assert [stone["event_data"]["_id"] for stone in stones] == [
            record["_id"] for record in records
        ]


async def test_a_sweep_ends_when_the_rules_are_changed(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clearing, "MAX_BURIALS", 1)
    user = await api.add("alice")
    await api.http.post("/events/batch", json=[EVENT] * 300, headers=user)
    api.time.advance(days=2)
    user = await api.sign_in("alice")
    await put(api, user, {"event_type": "*", "days": 1})

    async def has_begun() -> bool:
        return bool(await api.listed(user, "?event_type=audit.event.erased&limit=1"))

    await until(has_begun)
    await put(api, user)
    # The portion that was on its way may still end; then the next rules are swept by: none.
    change = await api.record(user, name="after")
    stones = await api.listed(user, "?event_type=audit.event.erased&limit=1000")
    assert len([one for one in stones if one["sequence"] > change["sequence"]]) <= 1
    assert len(await api.listed(user, "?event_type=auth.login&limit=1000")) > 1


async def test_rules_reach_their_own_tenant_only(api: Api) -> None:
    ours, theirs = await api.add("ours", tenant="ours"), await api.add("theirs", tenant="theirs")
    mine, kept = await api.record(ours), await api.record(theirs)
    api.time.advance(days=2)
    ours, theirs = await api.sign_in("ours"), await api.sign_in("theirs")
    await put(api, ours, {"event_type": "*", "days": 1})
    await until_gone(api, ours, mine)
    assert await api.listed(theirs) == [kept]
    assert (await api.http.get("/retention", headers=theirs)).json()["rules"] == []


@pytest.mark.parametrize(
    ("body", "pointers"),
    [
        ({}, ["/rules"]),
        ([], [""]),
        ({"rules": {}}, ["/rules"]),
        ({"rules": [AUTH], "colour": "red"}, ["/colour"]),
        ({"rules": [{"event_type": "a"}]}, ["/rules/0/days"]),
        ({"rules": [AUTH, {"days": 1}]}, ["/rules/1/event_type"]),
        ({"rules": [{**AUTH, "days": 0}]}, ["/rules/0/days"]),
        ({"rules": [{**AUTH, "days": 36_501}]}, ["/rules/0/days"]),
        ({"rules": [{**AUTH, "days": 1.5}]}, ["/rules/0/days"]),
        ({"rules": [{**AUTH, "days": "30"}]}, ["/rules/0/days"]),
        ({"rules": [{**AUTH, "event_type": ""}]}, ["/rules/0/event_type"]),
        ({"rules": [{**AUTH, "event_type": "a*b"}]}, ["/rules/0/event_type"]),
        ({"rules": [{**AUTH, "event_type": "**"}]}, ["/rules/0/event_type"]),
        ({"rules": [{**AUTH, "colour": 1}]}, ["/rules/0/colour"]),
        ({"rules": [AUTH, AUTH]}, ["/rules/1/event_type"]),
        ({"rules": [{"event_type": str(n), "days": 1} for n in range(MAX_RULES + 1)]}, ["/rules"]),
    ],
    ids=lambda value: str(value)[:60],
)
async def test_rules_that_are_none_are_refused(
    memory_api: Api, body: Any, pointers: list[str]
) -> None:
    user = await memory_api.add("alice", Scope.ADMIN)
    answer = await memory_api.http.put("/retention", json=body, headers=user)
    assert answer.status_code == 422, answer.text
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == pointers
    assert (await memory_api.http.get("/retention", headers=user)).json()["rules"] == []


async def test_as_many_rules_as_there_may_be_are_taken(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    rules = [{"event_type": f"{n:04}.{'x' * 40}.*", "days": 30} for n in range(MAX_RULES)]
    for _ in range(2):  # the record of the second change has them twice
        assert (await put(memory_api, user, *rules))["rules"] == rules


TYPES = ["a", "A", "ab", "abc", "a.b", "a?b", "a\\b", "42", "427", "4", "*", "é", "a\U0010ffff"]


@pytest.mark.parametrize("event_type", TYPES, ids=repr)
def test_no_record_that_a_rule_counts_for_is_overlooked(event_type: str) -> None:
    names = ["*", "a*", "a", "ab*", "a?*", "a\\*", "42*", "4*", "42", "A*"]
    rules = [RetentionRule(event_type=name, days=1) for name in names]
    fields: dict[str, Any] = {"event_type": event_type, "user_id": "alice"}
    counting = rule_for(rules, event_type)
    assert counting is not None
    assert matches(candidates(counting, rules), fields)
    service: dict[str, Any] = {"event_type": "audit.x", "user_id": SERVICE_USER}
    assert not any(matches(candidates(rule, rules), service) for rule in rules)
