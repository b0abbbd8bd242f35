"""What clients of the first service did on a day, unchanged, on both stores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from running import Api

from running import PASSWORD

EVENT = {"name": "Some Event Name", "event_type": "some.type", "detail": "Some detail."}
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def form(**fields: str) -> dict[str, tuple[None, str]]:
    """A multipart form, as `curl --form` sends it."""
    return {name: (None, value) for name, value in fields.items()}


@pytest.mark.parametrize("slash", ["", "/"])
async def test_a_day_of_the_old_client_works_unchanged(api: Api, slash: str) -> None:
    await api.add("alice")

    signed_in = await api.http.post(
        f"/token{slash}", files=form(username="alice", password=PASSWORD)
    )
    assert signed_in.status_code == 200
    assert signed_in.json()["token_type"] == "bearer"
    assert signed_in.json()["expires_in"] == 12 * 60 * 60
    user = {"Authorization": f"Bearer {signed_in.json()['access_token']}"}

    made = await api.http.post(f"/events{slash}", json=EVENT, headers=user)
    assert made.status_code == 201
    record = made.json()
    assert re.fullmatch("[0-9a-f]{24}", record["_id"])
    assert TIMESTAMP.fullmatch(record["timestamp"])
    assert record["event_data"] is None
    assert {name: record[name] for name in EVENT} == EVENT
    assert made.headers["location"] == f"/events/{record['_id']}"

    nested = {**EVENT, "name": "Other Name", "event_data": {"a": {"b": [1, {"c": None}]}}}
    other = (await api.http.post(f"/events{slash}", json=nested, headers=user)).json()
    third = {**EVENT, "name": "Third Name"}
    await api.http.post(f"/events{slash}", json=third, headers=user)

    everything = await api.http.get(f"/events{slash}", headers=user)
    assert [each["name"] for each in everything.json()] == [
        "Some Event Name", "Other Name", "Third Name",
    ]  # fmt: skip
    one = await api.http.get(f"/events/{record['_id']}{slash}", headers=user)
    assert one.json() == record
    named = await api.http.get(f"/events{slash}?name=Some%20Event%20Name", headers=user)
    assert named.json() == [record]
    either = await api.http.get(
        f"/events{slash}?name=Some%20Event%20Name&name=Other%20Name", headers=user
    )
    assert either.json() == [record, other]

    gone = await api.http.delete(f"/events/{record['_id']}{slash}", headers=user)
    assert (gone.status_code, gone.content) == (204, b"")
    again = await api.http.get(f"/events/{record['_id']}{slash}", headers=user)
    assert again.status_code == 410
    assert await api.listed(user, "?name=Some%20Event%20Name") == []


async def test_the_form_may_be_urlencoded_too(api: Api) -> None:
    await api.add("alice")
    answer = await api.http.post("/token", data={"username": "alice", "password": PASSWORD})
    assert answer.status_code == 200


async def test_a_wrong_password_is_400_invalid_grant_for_everyone_alike(api: Api) -> None:
    await api.add("alice")
    await api.add("dora")
    dora = await api.services.accounts.user("dora")
    await api.services.accounts.change(dora, disabled=True)
    answers = [
        await api.http.post("/token", files=form(username=name, password=password))
        for name, password in [("alice", "wrong"), ("nobody", PASSWORD), ("dora", PASSWORD)]
    ]
    bodies = [{**answer.json(), "request_id": None} for answer in answers]
    assert [answer.status_code for answer in answers] == [400, 400, 400]
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["error"] == "invalid_grant"


async def test_without_a_token_the_answer_is_401_and_says_how(api: Api) -> None:
    for method, path in [("GET", "/events"), ("POST", "/events"), ("DELETE", "/events/x")]:
        answer = await api.http.request(method, path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == 'Bearer realm="auditlogservice"'


async def test_a_malformed_id_is_404_and_a_missing_field_422(api: Api) -> None:
    user = await api.add("alice")
    assert (await api.http.get("/events/not-an-id", headers=user)).status_code == 404
    assert (await api.http.delete("/events/not-an-id", headers=user)).status_code == 404
    for missing in EVENT:
        told = {name: value for name, value in EVENT.items() if name != missing}
        answer = await api.http.post("/events", json=told, headers=user)
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == f"/{missing}"


async def test_a_token_ends_after_twelve_hours(api: Api) -> None:
    user = await api.add("alice")
    api.time.advance(hours=11, minutes=59)
    assert (await api.http.get("/events", headers=user)).status_code == 200
    api.time.advance(minutes=2)
    assert (await api.http.get("/events", headers=user)).status_code == 401
