"""Tokens that live for months: got for oneself or for a client, and ended one by one."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.errors import StorageFull
from auditlogservice.times import format_utc, parse_rfc3339
from bearers import bearing, get, status
from running import PASSWORD, two_nodes

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api


async def test_a_token_speaks_for_its_user_and_is_shown_once(api: Api) -> None:
    user = await api.add("alice", Scope.EVENTS_WRITE, Scope.EVENTS_READ)
    token = await get(api, user, label="nightly job")
    assert (await api.record(bearing(token)))["user_id"] == "alice"
    (listed,) = (await api.http.get("/me/tokens", headers=user)).json()
    assert listed == {
        **{key: value for key, value in token.items() if key != "token"},
        "last_used_at": listed["last_used_at"],
    }
    assert listed["last_used_at"]
    assert token["token"].startswith(listed["prefix"])
    assert len(token["token"]) - len(listed["prefix"]) == 43 + 6  # 256 bits and the checksum


@pytest.mark.parametrize(
    ("asked", "days"),
    [({}, 90), ({"expires_in": 86_400}, 1), ({"expires_in": 366 * 86_400}, 366)],
)
async def test_a_token_ends_when_it_was_said_to_and_after_90_days_if_nothing_was_said(
    memory_api: Api, asked: dict[str, Any], days: int
) -> None:
    token = await get(memory_api, await memory_api.add("alice"), **asked)
    lives = parse_rfc3339(token["expires_at"]) - parse_rfc3339(token["created_at"])
    assert abs(lives - timedelta(days=days)) < timedelta(seconds=5)
    memory_api.time.advance(days=days, seconds=-60)
    assert await status(memory_api, bearing(token)) == 200
    memory_api.time.advance(seconds=61)
    assert await status(memory_api, bearing(token)) == 401


@pytest.mark.parametrize(
    ("asked", "pointer"),
    [
        ({"expires_in": 366 * 86_400 + 1}, "/expires_in"),
        ({"expires_in": 0}, "/expires_in"),
        ({"expires_in": True}, "/expires_in"),
        ({"expires_in": "1"}, "/expires_in"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "9999-01-01T00:00:00Z"}, "/expires_at"),
        ({"expires_at": "2020-01-01"}, "/expires_at"),
        ({"expires_at": 5}, "/expires_at"),
        ({"expires_in": 60, "expires_at": "2020-01-01T00:00:00Z"}, "/expires_at"),
        ({"label": "x" * 101}, "/label"),
        ({"label": "a\nb"}, "/label"),
        ({"scopes": ["root"]}, "/scopes"),
        ({"owner": "bob"}, "/owner"),
    ],
)
async def test_bad_wishes_are_refused(
    memory_api: Api, asked: dict[str, Any], pointer: str
) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.post("/me/tokens", json=asked, headers=user)
    assert answer.status_code == 422, answer.text
    assert [flaw["pointer"] for flaw in answer.json()["errors"]] == [pointer]
    assert (await memory_api.http.get("/me/tokens", headers=user)).json() == []


async def test_a_token_is_no_wider_than_what_is_shown_for_it(memory_api: Api) -> None:
    user = await memory_api.add("alice", Scope.EVENTS_READ, Scope.EVENTS_WRITE)
    narrow = bearing(await get(memory_api, user, scopes=["events:read"]))
    assert (await get(memory_api, narrow))["scopes"] == ["events:read"]
    for headers, scope in ((narrow, "events:write"), (user, "admin")):
        asked = {"scopes": [scope]}
        answer = await memory_api.http.post("/me/tokens", json=asked, headers=headers)
        assert answer.status_code == 403
        assert answer.json()["scope"] == scope


async def test_a_narrow_token_does_not_end_a_wider_one(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    wide = await get(memory_api, user)
    narrow = bearing(await get(memory_api, user, scopes=["events:write"]))
    answer = await memory_api.http.delete(f"/me/tokens/{wide['id']}", headers=narrow)
    assert answer.status_code == 403
    assert await status(memory_api, bearing(wide)) == 200


async def test_a_client_gets_no_token_that_is_wider_than_it(memory_api: Api) -> None:
    admin = await memory_api.add("admin")
    asked = {"name": "a", "scopes": ["events:write"]}
    made = await memory_api.http.post("/clients", json=asked, headers=admin)
    place = f"/clients/{made.json()['id']}/tokens"
    answer = await memory_api.http.post(place, json={"scopes": ["events:read"]}, headers=admin)
    assert answer.status_code == 403
    token = (await memory_api.http.post(place, json={}, headers=admin)).json()
    assert token["scopes"] == ["events:write"]
    own = await get(memory_api, bearing(token), label="of its own")  # clients have them too
    assert (await memory_api.record(bearing(own)))["user_id"] == "client:a"


async def test_two_tokens_of_one_label_are_good_at_once_and_a_third_has_to_wait(
    api: Api,
) -> None:
    user = await api.add("alice")
    old = await get(api, user, label="job")
    new = await get(api, user, label="job")
    third = await api.http.post("/me/tokens", json={"label": "job"}, headers=user)
    assert third.status_code == 409
    await get(api, user, label="another job")
    assert [await status(api, bearing(token)) for token in (old, new)] == [200, 200]
    gone = await api.http.delete(f"/me/tokens/{old['id']}", headers=user)
    assert gone.status_code == 204
    assert [await status(api, bearing(token)) for token in (old, new)] == [401, 200]
    assert (await api.http.delete(f"/me/tokens/{old['id']}", headers=user)).status_code == 404
    await get(api, user, label="job")


async def test_many_who_ask_at_once_get_two(api: Api) -> None:
    user = await api.add("alice")
    answers = await asyncio.gather(
        *(api.http.post("/me/tokens", json={}, headers=user) for _ in range(6))
    )
    assert sorted(each.status_code for each in answers) == [201] * 2 + [409] * 4


async def test_a_token_that_has_ended_makes_room(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    for _ in range(2):
        await get(memory_api, user, expires_in=60)
    memory_api.time.advance(seconds=61)
    assert (await memory_api.http.get("/me/tokens", headers=user)).json() == []
    await get(memory_api, user)


async def test_an_owner_has_a_hundred_tokens_at_most(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditlogservice.ledger.identity.apitokens.MAX_API_TOKENS", 3)
    user = await memory_api.add("alice")
    for label in "abc":
        await get(memory_api, user, label=label)
    answer = await memory_api.http.post("/me/tokens", json={"label": "d"}, headers=user)
    assert answer.status_code == 409


async def test_nobody_sees_or_ends_the_token_of_another(memory_api: Api) -> None:
    alice, bob = await memory_api.add("alice"), await memory_api.add("bob")
    token = await get(memory_api, alice)
    assert (await memory_api.http.get("/me/tokens", headers=bob)).json() == []
    gone = await memory_api.http.delete(f"/me/tokens/{token['id']}", headers=bob)
    assert gone.status_code == 404
    assert await status(memory_api, bearing(token)) == 200


@pytest.mark.parametrize("way", ["disabled", "removed", "given a new password", "ended"])
async def test_a_token_ends_with_what_it_was_made_under_on_every_node_within_a_second(
    settings: Settings, way: str
) -> None:
    async with two_nodes(settings) as (one, other):
        admin, user = await one.add("admin"), await one.add("alice")
        token = await get(one, user)
        for node in (one, other):  # at once, too, where nobody has heard of it
            assert await status(node, bearing(token)) == 200
        match way:
            case "disabled":
                await one.http.patch("/users/alice", json={"disabled": True}, headers=admin)
            case "removed":
                await one.http.delete("/users/alice", headers=admin)
            case "ended":
                await one.http.delete(f"/me/tokens/{token['id']}", headers=user)
            case _:
                change = {"password": PASSWORD + "!"}
                await one.http.patch("/users/alice", json=change, headers=admin)
        for node in (one, other):
            node.time.advance(seconds=1)
            assert await status(node, bearing(token)) == 401


async def test_a_scope_that_the_owner_loses_is_gone_from_the_token(api: Api) -> None:
    admin, user = await api.add("admin"), await api.add("alice")
    token = bearing(await get(api, user))
    assert (await api.http.get("/events", headers=token)).status_code == 200
    await api.http.patch("/users/alice", json={"scopes": ["events:write"]}, headers=admin)
    api.time.advance(seconds=1)
    assert (await api.http.get("/events", headers=token)).status_code == 403


async def test_the_use_of_a_token_is_written_down_once_a_minute(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    token = await get(memory_api, user)

    async def last_used() -> str | None:
        (listed,) = (await memory_api.http.get("/me/tokens", headers=user)).json()
        used: str | None = listed["last_used_at"]
        return used

    assert await last_used() is None
    assert await status(memory_api, bearing(token)) == 200
    first = await last_used()
    assert first is not None
    memory_api.time.advance(seconds=30)
    await status(memory_api, bearing(token))
    assert await last_used() == first
    memory_api.time.advance(seconds=31)
    await status(memory_api, bearing(token))
    second = await last_used()
    assert second is not None
    assert second > first
    assert second <= format_utc(memory_api.time())


async def test_a_token_works_where_its_use_cannot_be_written_down(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk refuses writes; whoever reads is not to suffer from it."""
    token = await get(memory_api, await memory_api.add("alice"))

    async def fail(*_: object) -> None:
        raise StorageFull

    monkeypatch.setattr("auditlogservice.ledger.identity.apitokens.change_credentials", fail)
    assert await status(memory_api, bearing(token)) == 200


async def test_nothing_of_a_removed_user_is_kept_about_its_tokens(api: Api) -> None:
    admin, user = await api.add("admin"), await api.add("alice")
    await get(api, user)
    documents = api.services.api_tokens._documents
    assert len(await documents.all("credentials")) == 1
    assert (await api.http.delete("/users/alice", headers=admin)).status_code == 204
    assert await documents.all("credentials") == []
