"""One key of one user stands for one event: whoever retries, and however often."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from running import EVENT, two_nodes

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings
    from running import Api

KEY = {"Idempotency-Key": "4c1b2e9c-order-1"}


async def test_fifty_parallel_posts_of_one_key_leave_one_record(api: Api) -> None:
    user = await api.add("alice")
    answers = await asyncio.gather(
        *(api.http.post("/events", json=EVENT, headers={**user, **KEY}) for _ in range(50))
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
    assert len({answer.text for answer in answers}) == 1
    assert len(await api.listed(user)) == 1


async def test_a_replay_says_so_and_answers_the_first_record(api: Api) -> None:
    user = await api.add("alice")
    first = await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    again = await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    assert "idempotent-replayed" not in first.headers
    assert again.status_code == 200
    assert again.headers["idempotent-replayed"] == "true"
    assert again.content == first.content


async def test_the_same_event_in_another_spelling_is_a_replay(api: Api) -> None:
    user = await api.add("alice")
    await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    spelled = b'{ "detail":"by web", "event_type":"auth.login", "name":"User\\u0020Logged In" }'
    again = await api.http.post(
        "/events", content=spelled, headers={**user, **KEY, "content-type": "application/json"}
    )
    assert again.status_code == 200


async def test_another_event_under_the_key_is_refused(api: Api) -> None:
    user = await api.add("alice")
    await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    other = await api.http.post(
        "/events", json={**EVENT, "detail": "another"}, headers={**user, **KEY}
    )
    assert (other.status_code, other.json()["code"]) == (422, "idempotency-key-reused")
    assert len(await api.listed(user)) == 1


async def test_keys_of_different_users_and_tenants_do_not_meet(api: Api) -> None:
    users = [await api.add("a"), await api.add("b"), await api.add("c", tenant="other")]
    answers = [
        await api.http.post("/events", json=EVENT, headers={**user, **KEY}) for user in users
    ]
    assert [answer.status_code for answer in answers] == [201, 201, 201]


async def test_after_erasure_a_retry_is_told_so(api: Api) -> None:
    user = await api.add("alice")
    first = await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    await api.http.delete(f"/events/{first.json()['_id']}", headers=user)
    again = await api.http.post("/events", json=EVENT, headers={**user, **KEY})
    assert (again.status_code, again.json()["code"]) == (410, "event-erased")


async def test_two_nodes_share_the_keys(settings: Settings) -> None:
    async with two_nodes(settings) as (one, other):
        user = await one.add("alice")
        answers = await asyncio.gather(
            *(
                node.http.post("/events", json=EVENT, headers={**user, **KEY})
                for node in [one, other] * 25
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200] * 49 + [201]
        assert len(await other.listed(user)) == 1
