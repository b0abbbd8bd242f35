"""Who asks for much does not keep others out, and nobody is refused while there is room."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.errors import Overloaded
from auditlogservice.ledger import recorder as recording
from auditlogservice.ledger.sharing.fairness import Load
from auditlogservice.web.bodies import MAX_BATCHES
from auditlogservice.web.places import Places
from running import EVENT, running

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    import httpx2

    from auditlogservice.runtime.settings import Settings
    from running import Api

SOON = 20  # seconds: a limit on what should take none


class Held:
    """A store whose first append waits at a gate, so that a queue can be filled behind it."""

    def __init__(self, api: Api) -> None:
        self._recorder = api.services.recorder
        self._store = self._recorder._store
        self.gate = asyncio.Event()
        self._recorder._store = self  # type: ignore[assignment] # all that a recorder uses

    async def append(self, submissions: Any) -> Any:
        await self.gate.wait()
        return await self._store.append(submissions)

    async def has(self, pieces: int) -> None:
        """Wait until so many events are queued or being written."""
        await until(lambda: self._recorder._queue.pieces == pieces)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - requests come in by themselves
            await asyncio.sleep(0.001)


async def record(api: Api, user: dict[str, str]) -> httpx2.Response:
    return await api.http.post("/events", json=EVENT, headers=user)


# ---- writing --------------------------------------------------------------------------------


async def test_a_quiet_source_is_acknowledged_while_two_noisy_ones_queue(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "_GROUP", Load(10, recording.MAX_GROUP_BYTES))
    noisy, quiet = await api.add("noisy"), await api.add("quiet")
    loud = await api.add("loud", tenant="other")
    held = Held(api)
    acknowledged: list[str] = []

    async def send(name: str, user: dict[str, str]) -> None:
        await api.record(user)
        acknowledged.append(name)

    async with asyncio.TaskGroup() as senders:
        senders.create_task(send("first", noisy))
        await held.has(1)
        for _ in range(30):
            senders.create_task(send("noisy", noisy))
            senders.create_task(send("loud", loud))
        await held.has(61)
        senders.create_task(send("quiet", quiet))
        await held.has(62)
        held.gate.set()
    assert acknowledged.index("quiet") <= 10  # the first event, and the group after it
    assert len(acknowledged) == 62
    # Whoever is noisy has the same part as the other one, as long as both have something.
    assert 4 <= acknowledged[:11].count("noisy") <= 6


async def test_a_queue_that_one_source_fills_takes_in_another_and_refuses_the_first(
    settings: Settings,
) -> None:
    async with running(settings.model_copy(update={"queue_events": 20})) as api:
        noisy, quiet = await api.add("noisy"), await api.add("quiet")
        held = Held(api)
        async with asyncio.TaskGroup() as senders:
            flood = [senders.create_task(record(api, noisy)) for _ in range(20)]
            await held.has(20)
            refused = await record(api, noisy)
            assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
            assert refused.headers["retry-after"] == "1"
            accepted = senders.create_task(record(api, quiet))
            await until(lambda: any(task.done() for task in flood))
            held.gate.set()
        statuses = sorted(task.result().status_code for task in flood)
        assert statuses == [201] * 19 + [503]
        assert accepted.result().status_code == 201
        assert len(await api.listed(quiet)) == 20


# ---- asking ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["", "?count=true", "/count", "/histogram", "/facets?field=name", "/feed", "/export"],
)
async def test_a_question_waits_for_its_turn(memory_api: Api, path: str) -> None:
    user = await memory_api.add("alice")
    await memory_api.record(user)
    questions = memory_api.services.questions
    async with asyncio.TaskGroup() as callers, AsyncExitStack() as noisy:
        while questions._free:
            await noisy.enter_async_context(questions.take("noisy"))
        asking = callers.create_task(memory_api.http.get(f"/events{path}", headers=user))
        await until(lambda: bool(questions._queue))
        assert not asking.done()
    assert asking.result().status_code == 200
    assert not questions._queue


async def test_a_long_poll_holds_no_turn_while_it_waits(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    free = memory_api.services.questions._free
    path = "/events/feed?wait=20"
    follower = memory_api.services.follower
    async with asyncio.TaskGroup() as callers:
        asking = callers.create_task(memory_api.http.get(path, headers=user))
        await until(lambda: any(log.waiting for log in follower._logs.values()))
        assert memory_api.services.questions._free == free
        await memory_api.record(user)
    assert len(asking.result().json()) == 1


# ---- places ---------------------------------------------------------------------------------


def places_of(places: Places, source: Hashable, stack: ExitStack) -> int:
    """How many places a source gets when it wants all that there are."""
    count = 0
    while True:
        try:
            stack.enter_context(places.take(source))
        except Overloaded:
            return count
        count += 1


def test_who_comes_first_leaves_places_for_who_comes_later() -> None:
    places = Places(8, share=1)
    with ExitStack() as stack:
        taken = [places_of(places, source, stack) for source in ("a", "b", "c", "d")]
    assert taken == [4, 2, 1, 1]
    with ExitStack() as stack:
        assert places_of(places, "e", stack) == 4


def test_one_client_alone_may_send_sixteen_batches_at_once(memory_api: Api) -> None:
    with ExitStack() as stack:
        taken = places_of(memory_api.services.batches._places, "alone", stack)
    assert (taken, MAX_BATCHES) == (16, 24)


async def test_one_client_cannot_take_all_places_for_exports(memory_api: Api) -> None:
    noisy, quiet = await memory_api.add("noisy"), await memory_api.add("quiet")
    for _ in range(2):
        await memory_api.record(noisy)
    source = ("default", (await memory_api.services.accounts.user("noisy")).id)
    with ExitStack() as stack:
        assert places_of(memory_api.services.exports, source, stack) == 4
        refused = await memory_api.http.get("/events/export", headers=noisy)
        assert (refused.status_code, refused.json()["code"]) == (503, "overloaded")
        answer = await memory_api.http.get("/events/export", headers=quiet)
        assert len(answer.text.splitlines()) == 2
