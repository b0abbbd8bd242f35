"""Redaction over HTTP: rules hold for what comes in, and who changed them is on record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.governance import SERVICE_USER
from auditlogservice.redaction import MAX_REDACTION_RULES
from running import EVENT, running
from waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from auditlogservice.runtime.settings import Settings
    from running import Api

PASSWORD = {"path": "event_data.**.password", "action": "mask"}
EMAIL = {"path": "actor.email", "action": "hash"}
SECRET = "xyzzy-plugh-7731"
TOLD = {"actor": {"id": "bob", "email": SECRET}, "event_data": {"form": {"password": SECRET}}}


async def put(api: Api, user: dict[str, str], *rules: dict[str, str]) -> dict[str, Any]:
    answer = await api.http.put("/redaction", json={"rules": list(rules)}, headers=user)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def content(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("audit.db*"))


async def test_what_a_rule_names_is_neither_kept_nor_found_and_the_record_says_so(
    api: Api, settings: Settings, tmp_path: Path
) -> None:
    user = await api.add("alice")
    await put(api, user, PASSWORD, EMAIL)
    record = await api.record(user, **TOLD)
    assert record["event_data"] == {"form": {"password": "[redacted]"}}
    assert record["actor"]["email"].startswith("hmac-sha256:")
    assert record["redacted"] == [
        {"action": "mask", "pointer": "/event_data/form/password"},
        {"action": "hash", "pointer": "/actor/email"},
    ]
    assert await api.listed(user, f"?q={SECRET}") == []
    for question in ("redacted.action=hash", "redacted.pointer=/actor/email",
                     f"actor.email={record['actor']['email']}"):  # fmt: skip
        assert await api.listed(user, f"?{question}") == [record]
    if settings.store_url.startswith("sqlite"):
        kept = content(tmp_path)
        assert record["_id"].encode() in kept or bytes.fromhex(record["_id"]) in kept
        assert SECRET.encode() not in kept


async def test_a_batch_is_redacted_too(api: Api) -> None:
    user = await api.add("alice")
    await put(api, user, PASSWORD)
    batch = [{**EVENT, **TOLD}, {**EVENT, "event_data": {"plain": 1}}]
    assert (await api.http.post("/events/batch", json=batch, headers=user)).status_code == 200
    one, other = await api.listed(user, "?event_type=auth.login")
    assert one["event_data"] == {"form": {"password": "[redacted]"}}
    assert "redacted" not in other


async def test_a_retry_of_a_redacted_event_is_a_retry(api: Api) -> None:
    user = {**await api.add("alice"), "Idempotency-Key": "k"}
    await put(api, user, PASSWORD, EMAIL)
    first = await api.http.post("/events", json={**EVENT, **TOLD}, headers=user)
    again = await api.http.post("/events", json={**EVENT, **TOLD}, headers=user)
    assert (first.status_code, again.status_code, again.json()) == (201, 200, first.json())


async def test_rules_are_a_tenants_own_and_so_is_the_key_of_its_hashes(api: Api) -> None:
    alice, eve = await api.add("alice"), await api.add("eve", tenant="other")
    await put(api, alice, EMAIL)
    assert (await api.http.get("/redaction", headers=eve)).json()["rules"] == []
    assert (await api.record(eve, **TOLD))["actor"]["email"] == SECRET
    await put(api, eve, EMAIL)
    hashes = {(await api.record(user, **TOLD))["actor"]["email"] for user in (alice, eve)}
    assert len(hashes) == 2


async def test_equal_values_hash_alike_on_every_node_and_after_a_restart(
    settings: Settings,
) -> None:
    async with running(settings) as api:
        user = await api.add("alice")
        await put(api, user, EMAIL)
        first = await api.record(user, **TOLD)
    other = settings.model_copy(update={"data_dir": settings.data_dir.with_name("other")})
    async with running(other) as api:
        second = await api.record(await api.sign_in("alice"), **TOLD)
    assert first["actor"] == second["actor"]


@pytest.mark.parametrize("settings", ["mongodb"], indirect=True)
async def test_a_change_holds_on_other_nodes_soon(settings: Settings, tmp_path: Path) -> None:
    other = settings.model_copy(update={"data_dir": tmp_path / "other"})
    async with running(settings) as here, running(other) as there:
        user = await here.add("alice")
        await put(here, user, PASSWORD)

        async def holds_there() -> bool:
            return "redacted" in await there.record(user, **TOLD)

        await until(holds_there)


async def test_each_change_is_on_record_with_what_was_before(api: Api) -> None:
    user = await api.add("alice")
    told = await put(api, user, PASSWORD)
    assert (told["rules"], told["changed_by"]) == ([PASSWORD], "alice")
    await put(api, user)
    changes = await api.listed(user, "?event_type=audit.redaction.changed")
    assert [one["event_data"] for one in changes] == [
        {"before": [], "rules": [PASSWORD]},
        {"before": [PASSWORD], "rules": []},
    ]
    assert {(one["user_id"], one["actor"]["id"]) for one in changes} == {(SERVICE_USER, "alice")}


async def test_what_the_service_records_is_left_as_it_is(api: Api) -> None:
    user = await api.add("alice")
    await put(api, user, {"path": "event_data.**._id", "action": "drop"},
              {"path": "actor.*", "action": "mask"})  # fmt: skip
    record = await api.record(user, actor={"id": "bob"})
    await api.http.delete(f"/events/{record['_id']}?reason=r", headers=user)
    (stone,) = await api.listed(user, "?event_type=audit.event.erased")
    assert stone["event_data"]["_id"] == record["_id"]
    assert stone["actor"]["id"] == "alice"


async def test_a_secret_is_kept_and_flagged_with_its_place(api: Api) -> None:
    user = await api.add("alice")
    key = "AKIA" + "IOSFODNN7EXAMPLE"
    record = await api.record(user, event_data={"env": [key]})
    assert record["event_data"] == {"env": [key]}
    assert record["flagged"] == [{"kind": "aws-access-key", "pointer": "/event_data/env/0"}]
    assert await api.listed(user, "?flagged.kind=aws-access-key") == [record]
    assert await api.listed(user, "?flagged[exists]=true") == [record]


async def test_what_is_redacted_is_not_flagged(api: Api) -> None:
    user = await api.add("alice")
    await put(api, user, {"path": "event_data.*", "action": "mask"})
    record = await api.record(user, event_data={"key": "AKIA" + "IOSFODNN7EXAMPLE"})
    assert "flagged" not in record


@pytest.mark.parametrize("field", ["redacted", "flagged"])
async def test_nobody_can_tell_what_only_the_service_says(memory_api: Api, field: str) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.post("/events", json={**EVENT, field: []}, headers=user)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, f"/{field}")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/rules"),
        ({"rules": [{"path": "name", "action": "mask"}]}, "/rules/0/path"),
        ({"rules": [{"path": "detail", "action": "drop"}]}, "/rules/0"),
        ({"rules": [{"path": "event_data.a", "action": "burn"}]}, "/rules/0/action"),
        ({"rules": [{"path": "event_data.a"}]}, "/rules/0/action"),
        ({"rules": [PASSWORD, EMAIL, PASSWORD]}, "/rules/2/path"),
        ({"rules": [PASSWORD] * (MAX_REDACTION_RULES + 1)}, "/rules"),
        ({"rules": [], "more": 1}, "/more"),
    ],
)
async def test_bad_rules_are_refused_with_a_pointer(
    memory_api: Api, body: dict[str, Any], pointer: str
) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.put("/redaction", json=body, headers=user)
    assert answer.status_code == 422, answer.text
    assert pointer in {error["pointer"] for error in answer.json()["errors"]}
    assert (await memory_api.http.get("/redaction", headers=user)).json()["rules"] == []


async def test_only_an_admin_reads_or_changes_the_rules(memory_api: Api) -> None:
    others = await memory_api.add("bob", *(scope for scope in Scope if scope != Scope.ADMIN))
    for method in ("GET", "PUT"):
        answer = await memory_api.http.request(
            method, "/redaction", json={"rules": []}, headers=others
        )
        assert answer.status_code == 403
