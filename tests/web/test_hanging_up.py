"""A caller who closes the connection frees what works for them, down to the store."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import uvicorn
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from pymongo.uri_parser import parse_uri

from auditlogservice.runtime.settings import Settings
from auditlogservice.store import filling
from mongod import pausing, queries
from running import EVENT, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import pytest
    from pymongo import MongoClient

    from running import Api

SOON = 8.0  # less than a question may take, and some times what hanging up takes


@asynccontextmanager
async def served(api: Api) -> AsyncIterator[int]:
    """The application behind a real socket; gives the port."""
    app = api.app
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(app, lifespan="off", ws="none", log_config=None)
        server = uvicorn.Server(config)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve([listener]))
            try:
                yield listener.getsockname()[1]
            finally:
                server.should_exit = True


async def ask(port: int, user: dict[str, str]) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"Host: test\r\nAuthorization: {user['Authorization']}\r\n"
    writer.write(f"GET /events?detail[contains]=timestamp HTTP/1.1\r\n{head}\r\n".encode())
    return writer


async def hang_up(writers: list[asyncio.StreamWriter]) -> None:
    for writer in writers:
        writer.close()
        await writer.wait_closed()


async def fill(api: Api) -> dict[str, str]:
    user = await api.add("alice")
    answer = await api.http.post("/events/batch", json=[EVENT] * 400, headers=user)
    assert answer.json()["failed"] == []
    return user


async def test_sqlite_has_its_readers_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There are four of them, and a question looks at a record for so long that it takes 20 s."""
    looking: set[int] = set()

    def slow(*_: Any) -> bool:
        looking.add(threading.get_ident())
        time.sleep(0.05)
        return False

    settings = Settings(
        store=f"sqlite:///{tmp_path / 'audit.db'}", data_dir=tmp_path, min_free_bytes=0
    )
    async with running(settings) as api, served(api) as port:
        user = await fill(api)
        monkeypatch.setattr(filling, "matcher", lambda _: slow)
        callers = [await ask(port, user) for _ in range(4)]
        async with asyncio.timeout(SOON):
            while len(looking) < 4:  # noqa: ASYNC110 - it is another thread that is waited for
                await asyncio.sleep(0.01)
        await hang_up(callers)
        async with asyncio.timeout(SOON):
            assert len(await api.listed(user, "?limit=3")) == 3


async def test_mongodb_stops_looking(
    mongodb_url: str, tmp_path: Path, mongo: MongoClient[dict[str, Any]]
) -> None:
    # The signer's own questions would be stopped in the middle too.
    settings = Settings(store=mongodb_url, data_dir=tmp_path, checkpoint_every=timedelta(hours=1))
    events = f"{parse_uri(mongodb_url)['database']}.events"
    async with running(settings) as api, served(api) as port:
        user = await fill(api)
        with pausing(mongo, events):
            caller = await ask(port, user)
            async with asyncio.timeout(2 * SOON):
                while not queries(mongo):  # noqa: ASYNC110 - it is the server that is waited for
                    await asyncio.sleep(0.01)
            await asyncio.sleep(0.2)
            assert queries(mongo)  # it would go on
            await hang_up([caller])
            async with asyncio.timeout(SOON):
                while queries(mongo):  # noqa: ASYNC110 - as above
                    await asyncio.sleep(0.01)


async def test_a_flood_of_logins_that_hangs_up_is_not_hashed(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await memory_api.add("alice")
    gate = threading.Event()
    hashed: list[str] = []

    def verify(_: PasswordHasher, __: str, password: str) -> bool:
        hashed.append(password)
        gate.wait(SOON)
        raise VerifyMismatchError

    monkeypatch.setattr(PasswordHasher, "verify", verify)
    turns = memory_api.services.accounts._passwords._turns
    async with served(memory_api) as port, asyncio.timeout(SOON):
        writers = []
        for _ in range(10):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            form = b"username=alice&password=guess"
            kind = "Content-Type: application/x-www-form-urlencoded"
            head = f"Host: test\r\n{kind}\r\nContent-Length: {len(form)}\r\n"
            writer.write(f"POST /token HTTP/1.1\r\n{head}\r\n".encode() + form)
            writers.append(writer)
        while turns._queue.pieces < 8:  # noqa: ASYNC110 - requests come in by themselves
            await asyncio.sleep(0.001)
        await hang_up(writers)
        while turns._queue:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.001)
        gate.set()
        form_of_last = {"username": "alice", "password": "last"}
        assert (await memory_api.http.post("/token", data=form_of_last)).status_code == 400
    # Two were under way.
    assert set(hashed[:-1]) == {"guess"}
    assert len(hashed) <= 3
    assert hashed[-1] == "last"
