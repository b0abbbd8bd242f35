"""A verifier that shares no code with this project accepts its logs, and nothing else."""

from __future__ import annotations

import asyncio
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.runtime.settings import Settings
from goverifier import Verifier
from running import EVENT, running, said_already

if TYPE_CHECKING:
    from pathlib import Path

    from running import Api

pytestmark = pytest.mark.timeout(600)  # the first of them compiles the verifier

LOG = f"/ledger/{DEFAULT_TENANT}"
BATCH = 500


@dataclass
class Log:
    """The log of a running service, as the verifier's requests reach it."""

    api: Api
    user: dict[str, str]
    loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    seen: dict[str, bytes] = field(default_factory=dict)
    size: int = 0

    @classmethod
    async def of(cls, api: Api) -> Log:
        return cls(api, await api.add("auditor"))

    def __call__(self, path: str) -> bytes | None:
        """Pass the verifier's question on, and keep the answer."""
        asked = self.api.http.get(f"{LOG}/{path}", headers=self.user)
        answer = asyncio.run_coroutine_threadsafe(asked, self.loop).result(60)
        if answer.status_code == 200:
            self.seen[path] = answer.content
        return answer.content if answer.status_code == 200 else None

    async def read(self, path: str) -> bytes:
        answer = await self.api.http.get(f"{LOG}/{path}", headers=self.user)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def grow_to(self, size: int) -> None:
        while self.size < size:
            events = [EVENT] * min(BATCH, size - self.size)
            answer = await self.api.http.post("/events/batch", json=events, headers=self.user)
            assert answer.status_code == 200, answer.text
            self.size += len(events)

    async def erase_one(self) -> None:
        """Erase the first record that is still there; its tombstone is one more leaf."""
        query = "?sort=timestamp&limit=1&event_type=auth.login"
        (record,) = await self.api.listed(self.user, query)
        path = f"/events/{record['_id']}"
        assert (await self.api.http.delete(path, headers=self.user)).status_code == 204
        self.size += 1

    async def verifier(self, binary: Path) -> Verifier:
        (key,) = (await self.read("keys")).decode().split()
        return Verifier(binary, key)


async def accepts(log: Log, verifier: Verifier, folder: Path) -> None:
    """The log as it is, and as a continuation of all that was signed of it before."""
    assert await verifier.size_of(log) == log.size
    saved = folder / f"{log.size}.checkpoint"
    saved.write_bytes(log.seen["checkpoint"])
    verifier.saved.append(saved)


@pytest.mark.parametrize(
    "sizes",
    [
        [0, 1, 255, 256, 257, 1_000],
        pytest.param([65_537, 100_000], marks=[pytest.mark.deep, pytest.mark.timeout(3_600)]),
    ],
    ids=["small", "large"],
)
async def test_logs_of_all_sizes_are_accepted_before_and_after_erasures(
    api: Api, settings: Settings, verifier_binary: Path, tmp_path: Path, sizes: list[int]
) -> None:
    await said_already(settings)  # else that is recorded too, a minute after the start
    log = await Log.of(api)
    verifier = await log.verifier(verifier_binary)
    for size in sizes:
        await log.grow_to(size)
        await accepts(log, verifier, tmp_path)
        if size:
            await log.erase_one()
            await accepts(log, verifier, tmp_path)


# ---- what is refused ------------------------------------------------------------------------


@pytest.fixture
async def copy(memory_api: Api, verifier_binary: Path) -> tuple[Verifier, dict[str, bytes]]:
    """A log as it was served, with a tile of each kind: full and partial, on two levels."""
    log = await Log.of(memory_api)
    await log.grow_to(257)
    verifier = await log.verifier(verifier_binary)
    assert await verifier.size_of(log) == 257
    assert await verifier.size_of(log.seen.get) == 257
    return verifier, log.seen


def flipped(raw: bytes, bit: int) -> bytes:
    place, mask = bit // 8, 1 << bit % 8
    return raw[:place] + bytes([raw[place] ^ mask]) + raw[place + 1 :]


def refused(verifier: Verifier, files: dict[str, bytes], path: str, content: bytes) -> bool:
    return verifier.run({**files, path: content}.get).returncode == 1


async def test_one_changed_bit_in_any_tile_or_bundle_is_refused(
    copy: tuple[Verifier, dict[str, bytes]],
) -> None:
    verifier, files = copy
    assert sorted(files) == [
        "checkpoint",
        "tile/0/000",
        "tile/0/001.p/1",
        "tile/1/000.p/1",
        "tile/entries/000",
        "tile/entries/001.p/1",
    ]
    for path in files.keys() - {"checkpoint"}:
        last = len(files[path]) * 8 - 1
        for bit in (0, last // 3, last):
            content = flipped(files[path], bit)
            assert await asyncio.to_thread(refused, verifier, files, path, content), (path, bit)


async def test_one_changed_bit_anywhere_in_the_checkpoint_is_refused(
    copy: tuple[Verifier, dict[str, bytes]],
) -> None:
    verifier, files = copy
    note = files["checkpoint"]
    for place in range(len(note)):
        content = flipped(note, place * 8 + place % 8)
        assert await asyncio.to_thread(refused, verifier, files, "checkpoint", content), place


async def test_a_tile_that_is_withheld_or_cut_is_refused(
    copy: tuple[Verifier, dict[str, bytes]],
) -> None:
    verifier, files = copy
    for path in files:
        for content in (b"", files[path][:-1], files[path] + b"\0"):
            assert await asyncio.to_thread(refused, verifier, files, path, content), path
        without = {name: raw for name, raw in files.items() if name != path}
        assert (await asyncio.to_thread(verifier.run, without.get)).returncode == 1


async def test_a_history_that_was_rewritten_and_signed_again_is_refused(
    verifier_binary: Path, tmp_path: Path
) -> None:
    """Whoever holds the key can do it: what finds it is a checkpoint that somebody has kept."""
    one, other = (
        Settings(store="sqlite:///:memory:", data_dir=tmp_path / name, self_audit="essential")
        for name in ("one", "other")
    )
    async with running(one) as api:
        log = await Log.of(api)
        await log.grow_to(5)
        saved = tmp_path / "checkpoint"
        saved.write_bytes(await log.read("checkpoint"))
        shutil.copytree(one.data_dir / "ledger-keys", other.data_dir / "ledger-keys")
    for size in (4, 5, 9):
        async with running(other) as api:
            log = await Log.of(api)
            await log.grow_to(size)
            verifier = await log.verifier(verifier_binary)
            assert await verifier.size_of(log) == size
            verifier.saved.append(saved)
            done = await asyncio.to_thread(verifier.run, log)
            assert (done.returncode, done.stderr) == (
                1, "the log does not continue what was signed at size 5\n",
            )  # fmt: skip
        shutil.rmtree(other.data_dir / "checkpoints")
