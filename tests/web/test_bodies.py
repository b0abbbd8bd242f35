"""Bodies have limits in time and number, too: who sends slowly is not waited for."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
import zstandard

from auditlogservice.errors import Overloaded
from auditlogservice.web import bodies
from auditlogservice.web.bodies import MAX_BATCHES, BatchRoom
from running import EVENT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from running import Api

JSON = {"content-type": "application/json"}


async def slowly(parts: list[bytes], pause: float) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
        await asyncio.sleep(pause)


async def test_a_body_that_stops_coming_is_given_up(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    monkeypatch.setattr(bodies, "MAX_PAUSE", 0.05)
    for path in ("/events", "/events/batch", "/events/search"):
        answer = await memory_api.http.post(
            path, content=slowly([b"[", b"]"], 5), headers=user | JSON
        )
        assert (answer.status_code, answer.json()["code"]) == (408, "request-timeout")
        assert answer.headers["connection"] == "close"


async def test_a_body_that_trickles_is_given_up_and_one_that_flows_is_read(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.add("alice")
    monkeypatch.setattr(bodies, "MAX_PAUSE", 0.2)
    monkeypatch.setattr(bodies, "MIN_RATE", 1_000)
    trickle = slowly([b" "] * 1_000, 0.01)
    answer = await memory_api.http.post("/events", content=trickle, headers=user | JSON)
    assert answer.status_code == 408
    event = b'{"name":"n","event_type":"t","detail":"d"}'
    flow = slowly([b" " * 100] * 40 + [event], 0.01)  # twice as long as a pause may be
    answer = await memory_api.http.post("/events", content=flow, headers=user | JSON)
    assert answer.status_code == 201


async def test_so_many_batches_are_in_the_house_at_once_and_no_more(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    room = memory_api.services.batches
    with ExitStack() as places:
        for number in range(MAX_BATCHES - 1):
            places.enter_context(room.place(number))
        answer = await memory_api.http.post("/events/batch", json=[EVENT], headers=user)
        assert answer.status_code == 200
        places.enter_context(room.place("the last"))
        answer = await memory_api.http.post("/events/batch", json=[EVENT], headers=user)
        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
    answer = await memory_api.http.post("/events/batch", json=[EVENT], headers=user)
    assert answer.status_code == 200


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
async def test_what_may_be_large_is_unpacked_beside_the_loop(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    user = await memory_api.add("alice")
    name = {"gzip": "_gunzip", "zstd": "_unzstd"}[encoding]
    pack: Callable[[bytes], bytes] = gzip.compress if encoding == "gzip" else zstandard.compress
    real = getattr(bodies, name)
    on_loop: list[bool] = []

    def overhear(packed: bytes, limit: int) -> bytes:
        on_loop.append(threading.current_thread() is threading.main_thread())
        unpacked: bytes = real(packed, limit)
        return unpacked

    monkeypatch.setattr(bodies, name, overhear)
    sent = user | JSON | {"content-encoding": encoding}
    for path, event in (("/events", EVENT), ("/events/batch", [EVENT])):
        body = pack(json.dumps(event).encode())
        answer = await memory_api.http.post(path, content=body, headers=sent)
        assert answer.status_code in {200, 201}, answer.text
    assert on_loop == [True, False]


def test_a_place_is_given_back_whatever_happens() -> None:
    room = BatchRoom(places=1)
    for _ in range(2):
        with pytest.raises(Overloaded), room.place(1), room.place(2):
            pass
    with room.place(3):
        pass
