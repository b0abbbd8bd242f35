"""Signing in processes that are killed, stopped and many: every checkpoint is of one history."""

from __future__ import annotations

import contextlib
import shutil
import signal
import threading
import time
from typing import TYPE_CHECKING

import httpx2
import pytest
from test_serve import EVENT, PASSWORD, Server

import naive_tree
from auditlogservice.checkpoints import Checkpoint, open_checkpoint
from auditlogservice.merkle import leaf_hash
from auditlogservice.notes import Note, VerifierKey
from auditlogservice.tiles import entries_path, parse_bundle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOG = "/ledger/default"
AUDITOR = (
    "add", "auditor", "--scope=events:write", "--scope=ledger:read", "--password-stdin",
)  # fmt: skip


@pytest.fixture(params=["sqlite", "mongodb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    store = request.getfixturevalue("mongodb_url") if request.param == "mongodb" else None
    made = Server(tmp_path / "data", store)
    made.start()
    made.users(*AUDITOR, entered=PASSWORD)
    yield made
    made.stop(signal.SIGKILL)


def read(client: httpx2.Client, path: str) -> bytes:
    answer = client.get(f"{LOG}/{path}")
    answer.raise_for_status()
    return answer.content


def signed(client: httpx2.Client) -> Checkpoint:
    """The newest checkpoint, which the oldest key has signed."""
    key = VerifierKey.parse(read(client, "keys").decode().splitlines()[-1])
    return open_checkpoint(Note.parse(read(client, "checkpoint")), key)[0]


def leaves(client: httpx2.Client, size: int) -> list[bytes]:
    found: list[bytes] = []
    for number, start in enumerate(range(0, size, 256)):
        path = entries_path(number, min(256, size - start))
        found += map(leaf_hash, parse_bundle(read(client, f"tile/{path}")))
    return found


def assert_one_history(client: httpx2.Client, checkpoints: list[Checkpoint]) -> None:
    hashes = leaves(client, max(one.size for one in checkpoints))
    for checkpoint in checkpoints:
        assert naive_tree.root(hashes[: checkpoint.size]) == checkpoint.root


def write(client: httpx2.Client, stop: threading.Event) -> None:
    while not stop.is_set():
        with contextlib.suppress(httpx2.TransportError):
            client.post("/events/batch", json=[EVENT] * 7)


@contextlib.contextmanager
def writing(*clients: httpx2.Client) -> Iterator[None]:
    """While this lasts, each of these records events without a pause."""
    stop = threading.Event()
    writers = [threading.Thread(target=write, args=(client, stop)) for client in clients]
    for writer in writers:
        writer.start()
    try:
        yield
    finally:
        stop.set()
        for writer in writers:
            writer.join()


def test_a_server_that_is_killed_again_and_again_signs_one_history(server: Server) -> None:
    checkpoints: list[Checkpoint] = []
    for _ in range(2):
        client = server.sign_in("auditor")
        with writing(*(server.sign_in("auditor") for _ in range(3))):
            for _ in range(10):
                checkpoints.append(signed(client))
                time.sleep(0.02)
            server.process.kill()
        server.stop()
        server.start()
    client = server.sign_in("auditor")
    checkpoints.append(signed(client))
    assert checkpoints[-1].size > 0
    assert_one_history(client, checkpoints)


def test_workers_and_a_node_that_is_paused_in_between_sign_one_history(
    mongodb_url: str, tmp_path: Path
) -> None:
    """Whatever the paused one was about to do, it does later, when others have gone on."""
    one = Server(tmp_path / "one", mongodb_url, ("--workers", "2"))
    other = Server(tmp_path / "other", mongodb_url)
    try:
        one.start()
        one.users(*AUDITOR, entered=PASSWORD)
        shutil.copytree(one.folder / "ledger-keys", other.folder / "ledger-keys")
        other.start()
        here, there = one.sign_in("auditor"), other.sign_in("auditor")
        checkpoints: list[Checkpoint] = []
        with writing(one.sign_in("auditor"), other.sign_in("auditor")):
            for _ in range(3):
                other.process.send_signal(signal.SIGSTOP)
                checkpoints += [signed(here) for _ in range(3)]
                other.process.send_signal(signal.SIGCONT)
                checkpoints += [signed(there), signed(here)]
        checkpoints += [signed(there), signed(here)]
        assert len(read(here, "keys").splitlines()) == 1
        assert_one_history(there, checkpoints)
    finally:
        for server in (one, other):
            server.stop(signal.SIGKILL)
