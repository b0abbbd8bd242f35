"""More batches than can be written: refused before anything is done for them, and none is lost."""

from __future__ import annotations

import asyncio
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.client.calls import Client
from auditlogservice.client.failures import ClientError, TooBusy
from auditlogservice.client.retries import Patience
from auditlogservice.ledger.batches import expected_load, guess_events
from auditlogservice.web.routes import batches
from faulty import Faulty
from running import EVENT, running
from served import served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from collections.abc import Sequence as Seq

    import httpx2

    from auditlogservice.runtime.settings import Settings
    from auditlogservice.store.port import Answer, Submission
    from faulty import Fault
    from running import Api

SOON = 20  # seconds: a limit on what should take none
EACH = 10  # events of a batch here


class Held:
    """A store that writes nothing before the gate is open, and then does as the real one."""

    def __init__(self, api: Api) -> None:
        self._store = api.services.recorder._store
        self.gate = asyncio.Event()
        api.services.recorder._store = self  # type: ignore[assignment] # all a recorder uses

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        await self.gate.wait()
        return await self._store.append(submissions)


def batch(name: str, events: int = EACH, **more: Any) -> bytes:
    """A batch whose events tell which one it is, and can be told apart in retries."""
    told = [
        {**EVENT, "name": f"{name} {n}", "idempotency_key": f"{name}.{n}", **more}
        for n in range(events)
    ]
    return json.dumps(told).encode()


async def post(
    api: Api, user: dict[str, str], content: bytes | AsyncIterator[bytes], **headers: str
) -> httpx2.Response:
    sent = {"content-type": "application/json", **user}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    return await api.http.post("/events/batch", content=content, headers=sent)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON):
        while not condition():  # noqa: ASYNC110 - requests come in by themselves
            await asyncio.sleep(0.001)


def nothing_is_reserved(api: Api) -> bool:
    queue = api.services.recorder._queue
    return not queue._reserved and queue._reserved_in_all == (0, 0)


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The bodies that were parsed and prepared."""
    real, bodies = batches._prepare, list[bytes]()

    def overhear(recorder: Any, told: Any, raw: bytes, media: str) -> Any:
        bodies.append(raw)
        return real(recorder, told, raw, media)

    monkeypatch.setattr(batches, "_prepare", overhear)
    return bodies


# ---- who is refused -------------------------------------------------------------------------


async def test_a_burst_beyond_the_room_is_refused_unprepared_and_the_rest_is_kept(
    settings: Settings, prepared: list[bytes]
) -> None:
    """Of room for six, one user has four reserved: twice as much as stays free."""
    async with running(settings.model_copy(update={"queue_events": 6 * EACH})) as api:
        user = await api.add("alice")
        turns = api.services.batches.turns
        async with asyncio.TaskGroup() as senders, turns.take("another"):
            sent = [senders.create_task(post(api, user, batch(f"b{n}"))) for n in range(12)]
            await until(lambda: sum(task.done() for task in sent) == 12 - 4)
            refused = [task.result() for task in sent if task.done()]
            assert prepared == []
        for answer in refused:
            assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
            assert answer.headers["retry-after"] == "1"
        kept = [task.result() for task in sent if task.result() not in refused]
        sequences = [each["sequence"] for a in kept for each in a.json()["successful"]]
        assert sorted(sequences) == list(range(4 * EACH))
        assert len(prepared) == 4
        assert nothing_is_reserved(api)


async def test_a_batch_without_room_is_refused_before_its_body_is_read(
    memory_api: Api,
) -> None:
    user = await memory_api.add("alice")
    read: list[bytes] = []

    async def body() -> AsyncIterator[bytes]:
        read.append(b"")
        yield batch("b")

    recorder = memory_api.services.recorder
    recorder._queue._room = recorder._queue._room._replace(bytes=1)
    held = Held(memory_api)
    async with asyncio.TaskGroup() as senders:
        first = senders.create_task(post(memory_api, user, batch("first")))
        await until(lambda: recorder._queue.pieces == EACH)
        length = str(len(batch("b")))
        answer = await post(memory_api, user, body(), content_length=length)
        assert (answer.status_code, answer.headers["retry-after"], read) == (503, "1", [])
        held.gate.set()
    assert first.result().status_code == 200
    assert (await post(memory_api, user, body(), content_length=length)).status_code == 200
    assert len(read) == 1


async def test_our_client_hears_of_a_refusal_while_it_is_still_sending(
    settings: Settings,
) -> None:
    async with running(settings) as api, served(api, settings) as port:
        user = await api.add("alice")
        token = user["Authorization"].removeprefix("Bearer ")
        queue = api.services.recorder._queue
        queue._room = queue._room._replace(bytes=1)
        held = Held(api)
        told: list[ClientError] = []
        # So large that no buffer between the two takes it: it is refused before it was sent.
        lines = [
            json.dumps({**EVENT, "detail": os.urandom(40_000).hex()}).encode() for _ in range(150)
        ]

        def send() -> None:
            with Client(
                f"http://127.0.0.1:{port}",
                token,
                patience=Patience(attempts=2, first_wait=0, longest_wait=0),
                on_wait=lambda why, _: told.append(why),
            ) as client:
                client.send_lines(lines)

        async with asyncio.TaskGroup() as senders:
            senders.create_task(post(api, user, batch("first")))
            await until(lambda: queue.pieces == EACH)
            with pytest.raises(TooBusy):
                await asyncio.to_thread(send)
            held.gate.set()
    assert [type(each) for each in told] == [TooBusy]  # by an answer, not a lost connection


async def test_a_user_who_fills_the_queue_with_batches_keeps_no_other_one_out(
    settings: Settings,
) -> None:
    async with running(settings.model_copy(update={"queue_events": 4 * EACH})) as api:
        noisy, quiet = await api.add("noisy"), await api.add("quiet")
        held = Held(api)
        recorder = api.services.recorder
        async with asyncio.TaskGroup() as senders:
            flood = []
            for number in range(1, 5):
                flood.append(senders.create_task(post(api, noisy, batch(f"b{number}"))))
                await until(lambda: recorder._queue.pieces == len(flood) * EACH)
            assert (await post(api, noisy, batch("too many"))).status_code == 503
            own = senders.create_task(post(api, quiet, batch("own", 5)))
            single = senders.create_task(api.http.post("/events", json=EVENT, headers=quiet))
            await until(lambda: recorder._queue.pieces == 3 * EACH + 5 + 1)
            held.gate.set()
        assert [each["index"] for each in own.result().json()["successful"]] == list(range(5))
        assert single.result().status_code == 201
        assert [task.result().status_code for task in flood] == [200, 200, 200, 503]


# ---- room comes back ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"[{", 400),
        (b"{}", 422),
        (b"[" + b"1," * 10_000 + b"1]", 413),
        (batch("fine"), 200),
        (batch("flawed", detail=7), 200),
    ],
    ids=["malformed", "no array", "too many", "fine", "each event flawed"],
)
async def test_room_is_given_back_however_a_batch_ends(
    memory_api: Api, content: bytes, status: int
) -> None:
    user = await memory_api.add("alice")
    assert (await post(memory_api, user, content)).status_code == status
    assert nothing_is_reserved(memory_api)
    assert memory_api.services.recorder._queue.pieces == 0


async def test_room_is_given_back_when_the_store_fails(settings: Settings) -> None:
    async with running(settings) as api:
        user = await api.add("alice")
        recorder = api.services.recorder
        recorder._store = Faulty(recorder._store, {0: "lost"})
        answer = await post(api, user, batch("b"))
        assert (answer.status_code, answer.json()["code"]) == (503, "store-unreachable")
        assert nothing_is_reserved(api)
        assert recorder._queue.pieces == 0
        assert (await post(api, user, batch("b"))).status_code == 200


async def test_room_is_given_back_by_who_is_gone_before_its_turn(
    memory_api: Api, prepared: list[bytes]
) -> None:
    user = await memory_api.add("alice")
    turns = memory_api.services.batches.turns
    async with turns.take("another"):
        gone = asyncio.ensure_future(post(memory_api, user, batch("gone")))
        await until(lambda: bool(turns._queue))
        assert not nothing_is_reserved(memory_api)
        gone.cancel()
        await asyncio.wait([gone])
        assert nothing_is_reserved(memory_api)
    assert prepared == []
    assert (await post(memory_api, user, batch("later"))).status_code == 200


# ---- nothing is lost ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["lost", "persisted"])
async def test_under_pressure_and_faults_what_was_accepted_is_there_once(
    settings: Settings, fault: Fault
) -> None:
    async with running(settings.model_copy(update={"queue_events": 4 * EACH})) as api:
        user = await api.add("alice")
        recorder = api.services.recorder
        recorder._store = Faulty(recorder._store, dict.fromkeys((0, 2, 3), fault))

        async def until_kept(name: str) -> list[str]:
            while True:
                answer = await post(api, user, batch(name))
                if answer.status_code == 200 and not answer.json()["failed"]:
                    return [each["_id"] for each in answer.json()["successful"]]
                assert answer.status_code in {200, 503}
                await asyncio.sleep(0.001)

        async with asyncio.TaskGroup() as senders:
            sent = [senders.create_task(until_kept(f"b{n}")) for n in range(10)]
        told = [event for task in sent for event in task.result()]
        kept = [each["_id"] for each in await api.listed(user, "?limit=1000")]
        assert sorted(told) == sorted(kept)
        assert nothing_is_reserved(api)


# ---- how much is expected -------------------------------------------------------------------


def test_a_batch_is_expected_to_have_the_events_that_it_has() -> None:
    for number in (1, 7, 300):
        body = batch("b", number)
        assert guess_events(body) == number


def test_a_batch_is_expected_to_be_one_event_at_least_and_larger_than_its_bytes() -> None:
    assert expected_load(700, events=3).pieces == 3
    assert expected_load(0, events=0).pieces == 1  # so that it counts at all
    assert expected_load(700).bytes > 700
