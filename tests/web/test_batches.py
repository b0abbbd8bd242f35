"""Batches: each event judged on its own, or all together; retries make no second record."""

from __future__ import annotations

import asyncio
import gzip
import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
import zstandard

from auditlogservice.errors import OutcomeUnknown, StoreUnreachable
from auditlogservice.governance import TOMBSTONE_TYPE
from running import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import httpx2

    from auditlogservice.errors import Unavailable
    from auditlogservice.store.port import Answer, Submission
    from running import Api

BAD = {**EVENT, "name": ""}


async def post(
    api: Api, user: dict[str, str], content: bytes, query: str = "", **headers: str
) -> httpx2.Response:
    sent = {"content-type": "application/json", **user}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.post(f"/events/batch{query}", content=content, headers=sent)


def array(events: list[dict[str, Any]]) -> bytes:
    return json.dumps(events).encode()


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"\r\n\n".join(json.dumps(each).encode() for each in events) + b"\n"


@pytest.mark.parametrize(
    ("write", "media"), [(array, "application/json"), (lines, "application/x-ndjson")]
)
@pytest.mark.parametrize(
    ("pack", "encoding"),
    [(bytes, "identity"), (gzip.compress, "gzip"), (zstandard.compress, "zstd")],
)
async def test_arrays_and_lines_are_read_plain_gzip_and_zstd(
    api: Api,
    write: Callable[[list[dict[str, Any]]], bytes],
    media: str,
    pack: Callable[[bytes], bytes],
    encoding: str,
) -> None:
    user = await api.add("alice")
    events = [{**EVENT, "name": f"event {n}"} for n in range(25)]
    answer = await post(
        api, user, pack(write(events)), content_type=media, content_encoding=encoding
    )
    assert answer.status_code == 200
    result = answer.json()
    assert result["failed"] == []
    assert [each["index"] for each in result["successful"]] == list(range(25))
    assert [each["sequence"] for each in result["successful"]] == list(range(25))
    listed = await api.listed(user)
    assert [each["name"] for each in listed] == [each["name"] for each in events]
    assert [each["_id"] for each in listed] == [each["_id"] for each in result["successful"]]


async def test_a_bad_event_fails_alone_with_its_index_and_pointer(api: Api) -> None:
    user = await api.add("alice")
    body = (
        json.dumps(EVENT).encode() + b"\n{broken\n" + json.dumps(BAD).encode() + b"\n7\n"
        + b'{"name":"n","event_type":"t","detail":"d","event_data":{"n":99999999999999999999}}\n'
        + json.dumps({**EVENT, "detail": "x" * 270_000}).encode() + b"\n"
        + json.dumps({**EVENT, "idempotency_key": "a b"}).encode() + b"\n"
        + json.dumps(EVENT).encode()
    )  # fmt: skip
    result = (await post(api, user, body, content_type="application/x-ndjson")).json()
    assert [each["index"] for each in result["successful"]] == [0, 7]
    assert [(each["index"], each["code"], each["pointer"]) for each in result["failed"]] == [
        (1, "malformed", ""),
        (2, "invalid", "/name"),
        (3, "invalid", ""),
        (4, "invalid", "/event_data/n"),
        (5, "too-large", ""),
        (6, "invalid", "/idempotency_key"),
    ]
    assert len(await api.listed(user)) == 2


async def test_an_integer_too_large_in_an_array_fails_alone(api: Api) -> None:
    user = await api.add("alice")
    good, odd = json.dumps(EVENT), json.dumps({**EVENT, "event_data": {"n": 2**64}})
    result = (await post(api, user, f"[{good},{odd},{good}]".encode())).json()
    assert [each["index"] for each in result["successful"]] == [0, 2]
    assert [each["pointer"] for each in result["failed"]] == ["/event_data/n"]


async def test_an_atomic_batch_with_a_bad_event_keeps_nothing(api: Api) -> None:
    user = await api.add("alice")
    answer = await post(api, user, array([EVENT, BAD, EVENT]), "?atomic=true")
    assert answer.status_code == 422
    problem = answer.json()
    assert problem["successful"] == []
    assert [each["index"] for each in problem["failed"]] == [1]
    assert problem["errors"][0]["pointer"] == "/1/name"
    assert await api.listed(user) == []


async def test_an_atomic_batch_with_a_key_of_another_event_keeps_nothing(api: Api) -> None:
    user = await api.add("alice")
    first = {**EVENT, "idempotency_key": "one"}
    assert (await post(api, user, array([first]), "?atomic=true")).status_code == 200
    other = {**first, "name": "another"}
    answer = await post(api, user, array([EVENT, other]), "?atomic=true")
    assert answer.status_code == 422
    assert [(each["index"], each["code"]) for each in answer.json()["failed"]] == [
        (1, "idempotency-key-reused")
    ]
    assert len(await api.listed(user)) == 1


async def test_events_keep_their_own_keys_over_retries(api: Api) -> None:
    user = await api.add("alice")
    events = [{**EVENT, "name": f"e{n}", "idempotency_key": f"k{n}"} for n in range(5)]
    first = (await post(api, user, array(events))).json()["successful"]
    again = (await post(api, user, array(events[::-1]))).json()["successful"]
    assert [each["_id"] for each in again] == [each["_id"] for each in first][::-1]
    assert all(each["replayed"] for each in again)
    assert len(await api.listed(user)) == 5


async def test_the_key_of_a_batch_covers_events_without_one(api: Api) -> None:
    user = await api.add("alice")
    events = [{**EVENT, "name": f"e{n}"} for n in range(5)]
    first = (await post(api, user, array(events), idempotency_key="batch-1")).json()
    again = (await post(api, user, array(events), idempotency_key="batch-1")).json()
    assert [each["_id"] for each in again["successful"]] == [
        each["_id"] for each in first["successful"]
    ]
    assert len(await api.listed(user)) == 5


async def test_an_erased_event_is_not_recorded_again_by_a_retry(api: Api) -> None:
    user = await api.add("alice")
    event = {**EVENT, "idempotency_key": "once"}
    (made,) = (await post(api, user, array([event]))).json()["successful"]
    await api.http.delete(f"/events/{made['_id']}", headers=user)
    (failed,) = (await post(api, user, array([event]))).json()["failed"]
    assert failed["code"] == "event-erased"
    (left,) = await api.listed(user)
    assert left["event_type"] == TOMBSTONE_TYPE


@pytest.mark.parametrize(
    ("content", "media", "query", "status"),
    [
        (b"[]", "application/json", "", 200),
        (b"", "application/json", "", 400),
        (b"", "application/x-ndjson", "", 400),
        (b" \n\n", "application/x-ndjson", "", 400),
        (b"{}", "application/json", "", 422),
        (b"[{}", "application/json", "", 400),
        (b'[{"a":1,"a":2}]', "application/json", "", 400),
        (b"[]", "text/csv", "", 415),
        (b"[]", "application/json", "?atomic=perhaps", 422),
        (b"[]", "application/json", "?atomic=", 422),
        (b"[]", "application/json", "?atomic=true&atomic=false", 422),
        (b"[" + b"1," * 10_000 + b"1]", "application/json", "", 413),
        (b"7\n" * 10_001, "application/x-ndjson", "", 413),
        (b" " * (16 * 1024 * 1024 + 1), "application/json", "", 413),
    ],
)
async def test_bad_batches_are_refused_whole(
    memory_api: Api, content: bytes, media: str, query: str, status: int
) -> None:
    user = await memory_api.add("alice")
    answer = await post(memory_api, user, content, query, content_type=media)
    assert answer.status_code == status, answer.text
    if status == 200:
        assert answer.json() == {"successful": [], "failed": []}


async def test_ten_thousand_events_fit_one_batch(api: Api) -> None:
    user = await api.add("alice")
    answer = await post(api, user, array([EVENT] * 10_000))
    assert len(answer.json()["successful"]) == 10_000
    newest = await api.listed(user, "?sort=-timestamp&limit=1")
    assert newest[0]["sequence"] == 9_999


async def test_an_erased_event_refuses_the_whole_of_an_atomic_batch(api: Api) -> None:
    user = await api.add("alice")
    erased = {**EVENT, "idempotency_key": "erased"}
    (made,) = (await post(api, user, array([erased]))).json()["successful"]
    await api.http.delete(f"/events/{made['_id']}", headers=user)
    for _ in range(2):
        answer = await post(api, user, array([erased, EVENT]), "?atomic=true")
        assert answer.status_code == 422
        assert [each["code"] for each in answer.json()["failed"]] == ["event-erased"]
    (left,) = await api.listed(user)
    assert left["event_type"] == TOMBSTONE_TYPE


async def test_a_batch_with_more_values_than_a_transaction_can_index_is_kept(api: Api) -> None:
    user = await api.add("alice")
    wide = {**EVENT, "event_data": {f"key number {n}": n for n in range(300)}}
    events = [{**wide, "name": f"e{n}"} for n in range(100)]
    answer = await post(api, user, array(events))
    assert [each["sequence"] for each in answer.json()["successful"]] == list(range(100))
    together = await post(api, user, array(events * 2), "?atomic=true")
    assert (together.status_code, together.json()["code"]) == (413, "too-large")


class Refusing:
    """A store that answers the nth submission, from 0, with an error, and keeps the others."""

    def __init__(self, api: Api, errors: Mapping[int, Unavailable]) -> None:
        self._store = api.services.recorder._store
        self._errors = errors
        self._numbers = count()
        api.services.recorder._store = self  # type: ignore[assignment] # all a recorder uses

    async def append(self, submissions: Sequence[Submission]) -> list[Answer]:
        errors = [self._errors.get(next(self._numbers)) for _ in submissions]
        good = [each for each, error in zip(submissions, errors, strict=True) if not error]
        answers = iter(await self._store.append(good))
        return [error or next(answers) for error in errors]


async def test_an_event_that_the_store_cannot_take_now_fails_with_its_reason(
    memory_api: Api,
) -> None:
    user = await memory_api.add("alice")
    Refusing(memory_api, {1: StoreUnreachable(), 3: StoreUnreachable()})
    result = (await post(memory_api, user, array([EVENT] * 1_200))).json()
    assert {each["code"] for each in result["failed"]} == {"store-unreachable"}
    assert [each["index"] for each in result["failed"]] == list(range(500, 1_000))
    assert len(result["successful"]) == 700
    answer = await post(memory_api, user, array([EVENT]))
    assert (answer.status_code, answer.json()["code"]) == (503, "store-unreachable")


async def test_a_large_batch_does_not_keep_others_waiting(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    events = [{**EVENT, "event_data": {"a": list(range(30_000))}}] * 30
    loop = asyncio.get_running_loop()
    async with asyncio.TaskGroup() as tasks:
        batch = tasks.create_task(post(memory_api, user, array(events)))
        turns, longest = 0, 0.0
        while not batch.done():
            start = loop.time()
            await asyncio.sleep(0.001)
            longest, turns = max(longest, loop.time() - start), turns + 1
    assert len(batch.result().json()["successful"]) == 30
    assert turns > 20  # not one turn before and one after
    assert longest < 2.0


async def test_a_batch_of_which_a_part_has_an_unknown_fate_says_so(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    Refusing(memory_api, {0: StoreUnreachable(), 1: OutcomeUnknown(), 2: StoreUnreachable()})
    answer = await post(memory_api, user, array([EVENT] * 1_200))
    assert (answer.status_code, answer.json()["code"]) == (503, "outcome-unknown")
