"""What is signed of a log is for ever one history, whoever signs, whenever, after whatever."""

from __future__ import annotations

import asyncio
import errno
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

import naive_tree
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.errors import NotSigned, StoreUnreachable
from auditlogservice.ledger.proving import signer as signing
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.ledger.proving.signer import Signer
from auditlogservice.merkle import leaf_hash
from auditlogservice.notes import Note, SigningKey
from auditlogservice.runtime.memory import CheckpointFiles
from auditlogservice.store.port import Published, Submission
from strategies import NOON, draft
from vandal import vandal_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from auditlogservice.ledger.proving.signer import Memory
    from auditlogservice.runtime.stores import Store
    from auditlogservice.store.port import LedgerStore
    from vandal import Vandal

HOST = "log.example"
ORIGIN = "log.example/ledger/acme"
OLD, NEW = (SigningKey(ORIGIN, bytes([number]) * 32) for number in (1, 2))


@dataclass
class Heard:
    """What the signer has told its operators."""

    lines: list[str] = field(default_factory=list)
    unsigned: int = 0
    lags: list[float] = field(default_factory=list)
    first: asyncio.Event = field(default_factory=asyncio.Event)

    def refuses(self, tenant: str, why: str) -> None:
        self.lines.append(f"{tenant}: {why}")

    def signs_again(self, tenant: str) -> None:
        self.lines.append(f"{tenant} again")

    def signed(self, *, records: int, lag: float, seconds: float) -> None:
        assert records >= 0
        assert seconds >= 0
        self.lags.append(lag)
        self.first.set()

    def refused(self, tenants: int) -> None:
        self.unsigned = tenants


@dataclass
class Node:
    """One process that signs, or only tells what others sign."""

    store: Store
    signer: Signer
    heard: Heard
    memory: Memory

    async def append(self, number: int, tenant: str = "acme") -> None:
        for start in range(0, number, 500):
            drafts = tuple(draft(tenant=tenant) for _ in range(min(500, number - start)))
            await self.store.events.append([Submission(drafts)])

    async def signed(self, tenant: str = "acme") -> Checkpoint:
        """Sign, and return what is published then."""
        await self.signer.sign(tenant)
        return await self.published(tenant)

    async def published(self, tenant: str = "acme") -> Checkpoint:
        published = await self.store.ledger.published(tenant)
        assert published is not None
        checkpoint = read(published.note)
        assert checkpoint.size == published.size
        return checkpoint

    async def refuses(self, why: str) -> None:
        """The signer signs nothing, and tells why."""
        before = await self.store.ledger.published("acme")
        with pytest.raises(NotSigned):
            await self.signer.sign("acme")
        assert await self.store.ledger.published("acme") == before
        assert why in self.heard.lines[-1]
        assert self.heard.unsigned == 1


def read(note: bytes) -> Checkpoint:
    return Checkpoint.parse(Note.parse(note).text)


async def node_over(
    store: Store,
    folder: Path,
    *keys: SigningKey,
    memory: Memory | None = None,
    ledger: LedgerStore | None = None,
) -> Node:
    keyring = Keyring(store.documents, clock=lambda: NOON)
    for key in keys:
        await keyring.add(key.verifier.public)
    heard = Heard()
    memory = memory or CheckpointFiles(folder / "checkpoints")
    signer = Signer(
        ledger or store.ledger,
        host=HOST,
        seeds=[key.seed for key in keys],
        keyring=keyring,
        memory=memory,
        clock=lambda: NOON,
        gauge=heard,
        journal=heard,
        every=0.01,
    )
    return Node(store, signer, heard, memory)


@pytest.fixture
async def node(nodes: tuple[Store, Store], tmp_path: Path) -> Node:
    return await node_over(nodes[0], tmp_path, OLD)


async def root_of(store: Store, size: int, tenant: str = "acme") -> bytes:
    """The root as RFC 6962 defines it, of the entries that are there."""
    openings = await store.ledger.openings(tenant, 0, size, content=False)
    return naive_tree.root([leaf_hash(one.entry.to_bytes()) for one in openings])


# ---- what is signed -------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [(0,), (1,), (2, 3), (255, 256, 257), (300, 1_000)])
async def test_a_checkpoint_has_the_root_of_all_records(
    node: Node, sizes: tuple[int, ...]
) -> None:
    size = 0
    for wanted in sizes:
        await node.append(wanted - size)
        size = wanted
        expected = Checkpoint(ORIGIN, size, await root_of(node.store, size))
        assert await node.signed() == expected
    assert node.heard.lines == []


async def test_a_log_is_signed_in_portions(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "PORTION", 7)
    await node.append(50)
    assert (await node.signed()).root == await root_of(node.store, 50)


async def test_each_key_of_the_node_signs(nodes: tuple[Store, Store], tmp_path: Path) -> None:
    node = await node_over(nodes[0], tmp_path, NEW, OLD)
    await node.append(1)
    await node.signer.sign("acme")
    published = await node.store.ledger.published("acme")
    assert published is not None
    keys = [OLD.verifier, NEW.verifier]
    assert list(Note.parse(published.note).verified(keys)) == [NEW.verifier, OLD.verifier]


async def test_nothing_is_done_twice(node: Node) -> None:
    await node.append(1)
    for _ in range(3):
        await node.signer.sign_all()
    assert len(node.heard.lags) == 1


async def test_a_clock_that_went_back_makes_no_negative_lag(node: Node) -> None:
    late = draft(at=NOON + timedelta(hours=1))
    await node.store.events.append([Submission((late,))])
    await node.signer.sign("acme")
    assert node.heard.lags == [0]


async def test_a_thousand_logs_are_signed_each_on_its_own(node: Node) -> None:
    tenants = [f"t{number}" for number in range(1_000)]
    for first in range(0, len(tenants), 50):
        logs = tenants[first : first + 50]
        await node.store.events.append([Submission((draft(tenant=one),)) for one in logs])
    await node.signer.sign_all()
    for tenant in tenants[::97]:
        checkpoint = await node.published(tenant)
        assert checkpoint == Checkpoint(
            f"{HOST}/ledger/{tenant}", 1, await root_of(node.store, 1, tenant)
        )
    assert len(node.heard.lags) == len(tenants)


# ---- many nodes -----------------------------------------------------------------------


async def test_nodes_that_sign_at_once_sign_one_history(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    """Two processes of one node and another node write and sign; every note ever seen holds."""
    here, there = tmp_path / "here", tmp_path / "there"
    signers = [
        await node_over(nodes[0], here, OLD),
        await node_over(nodes[1], here, OLD),
        await node_over(nodes[1], there, OLD),
    ]
    seen: set[bytes] = set()

    async def work(node: Node) -> None:
        for _ in range(10):
            await node.append(7)
            await node.signer.sign("acme")
            published = await node.store.ledger.published("acme")
            remembered = node.memory.recall("acme")
            assert published is not None
            assert remembered is not None
            seen.update({published.note, remembered})

    async with asyncio.TaskGroup() as tasks:
        for each in signers:
            tasks.create_task(work(each))
    size = 3 * 10 * 7
    openings = await nodes[0].ledger.openings("acme", 0, size, content=False)
    hashes = [leaf_hash(one.entry.to_bytes()) for one in openings]
    for note in seen:
        checkpoint = read(note)
        assert checkpoint.root == naive_tree.root(hashes[: checkpoint.size])
    assert (await signers[0].published()).size == size
    assert [each.heard.lines for each in signers] == [[], [], []]


async def test_a_node_without_keys_tells_what_others_sign(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    silent = await node_over(nodes[0], tmp_path / "silent")
    signer = await node_over(nodes[1], tmp_path / "signer", OLD)
    await silent.append(1)
    await silent.signer.sign_all()
    assert await silent.store.ledger.published("acme") is None
    async with asyncio.TaskGroup() as tasks:
        covering = tasks.create_task(silent.signer.covering("acme", 0))
        tasks.create_task(signer.signer.sign("acme"))
    assert covering.result() == await silent.signer.checkpoint("acme")


async def test_a_node_without_keys_does_not_wait_for_ever(
    nodes: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "PATIENCE", 0.2)
    silent = await node_over(nodes[0], tmp_path)
    await silent.append(1)
    with pytest.raises(NotSigned):
        await silent.signer.covering("acme", 0)
    with pytest.raises(NotSigned):
        await silent.signer.checkpoint("acme")


async def test_a_log_is_taken_up_where_another_node_left_it(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    one = await node_over(nodes[0], tmp_path / "one", OLD)
    await one.append(300)
    await one.signer.sign("acme")
    other = await node_over(nodes[1], tmp_path / "other", OLD)
    await other.append(300)
    assert (await other.signed()).root == await root_of(other.store, 600)
    assert (await one.signed()).size == 600


async def test_what_another_process_remembers_meanwhile_is_looked_at_first(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    """Between the look into the memory and the writing, a process may be stopped for long."""
    one = await node_over(nodes[0], tmp_path, OLD)
    other = await node_over(nodes[1], tmp_path, OLD)
    await one.append(3)

    @dataclass
    class Interrupted:
        files: Memory
        interruptions: int = 1

        def recall(self, tenant: str) -> bytes | None:
            return self.files.recall(tenant)

        def remember(self, tenant: str, note: bytes) -> bool:
            if self.interruptions:
                self.interruptions -= 1
                asyncio.run_coroutine_threadsafe(overtake(), loop).result(30)
            return self.files.remember(tenant, note)

    async def overtake() -> None:
        await other.append(2)
        await other.signer.sign("acme")

    loop = asyncio.get_running_loop()
    one.signer._memory = Interrupted(one.memory)
    assert (await one.signed()).size == 5
    assert one.heard.lines == other.heard.lines == []


# ---- what was signed before -------------------------------------------------------------


def forged(size: int, key: SigningKey = OLD, root: bytes = bytes(32)) -> bytes:
    """What the key would have signed of another history."""
    text = Checkpoint(key.name, size, root).text
    return Note(text, (key.sign(text),)).to_bytes()


@pytest.mark.parametrize("size", [1, 3, 5])
async def test_a_tree_that_does_not_extend_what_this_node_signed_is_refused(
    nodes: tuple[Store, Store], tmp_path: Path, size: int
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    node.memory.remember("acme", forged(size))
    await node.append(5)
    await node.refuses(f"another one than was signed at size {size}")
    assert node.memory.recall("acme") == forged(size)


@pytest.mark.parametrize("size", [1, 3, 5])
async def test_a_tree_that_does_not_extend_what_any_node_published_is_refused(
    node: Node, size: int
) -> None:
    await node.append(5)
    await vandal_of(node.store).set_checkpoint("acme", size, forged(size))
    await node.refuses(f"another one than was signed at size {size}")


async def test_a_running_node_looks_at_what_others_signed_too(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(2)
    await node.signer.sign("acme")
    await node.append(3)
    node.memory.remember("acme", forged(4))
    await node.refuses("another one than was signed at size 4")


async def test_a_log_that_is_shorter_than_what_was_signed_is_refused(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(5)
    node.memory.remember("acme", forged(6))
    await node.refuses("an older backup is in the place of the database")


async def test_a_published_checkpoint_of_more_records_than_there_are_is_refused(
    node: Node,
) -> None:
    await node.append(5)
    await vandal_of(node.store).set_checkpoint("acme", 6, forged(6))
    await node.refuses("records are missing")


async def test_a_checkpoint_that_is_kept_as_a_larger_one_does_not_end_the_signing_unseen(
    node: Node,
) -> None:
    """Kept so, no later one would ever be published in its place."""
    await node.append(5)
    await node.signer.sign("acme")
    published = await node.store.ledger.published("acme")
    assert published is not None
    await vandal_of(node.store).set_checkpoint("acme", 2**62, published.note)
    await node.append(1)
    await node.refuses("kept as one of another size")
    await vandal_of(node.store).set_checkpoint("acme", published.size, published.note)
    assert (await node.signed()).size == 6


@pytest.mark.parametrize("cut", [0, 1, 60, -1])
async def test_a_damaged_memory_is_refused_and_kept(
    nodes: tuple[Store, Store], tmp_path: Path, cut: int
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(5)
    await node.signer.sign("acme")
    file = tmp_path / "checkpoints" / "acme.checkpoint"
    file.write_bytes(file.read_bytes()[:cut])
    await node.append(1)
    again = await node_over(nodes[0], tmp_path, OLD)
    for each in (node, again):
        await each.refuses("the last checkpoint is damaged")


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (replace(OLD, name="log.example/ledger/other"), "this log is log.example/ledger/acme"),
        (replace(OLD, name="old.example/ledger/acme"), "is one of old.example/ledger/acme"),
        (NEW, "no key of this log has signed"),
    ],
    ids=["other tenant", "other host", "other key"],
)
async def test_a_foreign_memory_is_refused(
    nodes: tuple[Store, Store], tmp_path: Path, key: SigningKey, why: str
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(5)
    node.memory.remember("acme", forged(2, key))
    await node.refuses(why)


async def test_without_its_memory_a_node_goes_on_from_what_is_published(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    await (await node_over(nodes[0], tmp_path / "lost", OLD)).append(4)
    await (await node_over(nodes[0], tmp_path / "lost", OLD)).signer.sign("acme")
    node = await node_over(nodes[1], tmp_path / "new", OLD)
    await node.signer.sign("acme")
    remembered = node.memory.recall("acme")
    assert remembered is not None
    assert read(remembered) == await node.published()


async def test_a_node_that_died_before_it_published_does_so_when_it_is_back(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD, ledger=Unpublishing(nodes[0].ledger))
    await node.append(5)
    with pytest.raises(StoreUnreachable):
        await node.signer.sign("acme")
    assert await nodes[0].ledger.published("acme") is None
    again = await node_over(nodes[0], tmp_path, OLD)
    await again.append(1)
    assert (await again.signed()).size == 6


@dataclass
class Unpublishing:
    """A store that breaks off before it publishes."""

    store: LedgerStore

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def publish(self, tenant: str, checkpoint: Published) -> None:
        del tenant, checkpoint
        raise StoreUnreachable


# ---- keys that change -------------------------------------------------------------------


async def test_a_key_that_was_added_signs_logs_that_stand_still(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(5)
    await node.signer.sign("acme")
    rotated = await node_over(nodes[0], tmp_path, NEW, OLD)
    await rotated.signer.sign_all()
    for note in (await published_note(rotated), rotated.memory.recall("acme") or b""):
        assert set(Note.parse(note).verified([OLD.verifier, NEW.verifier])) == {
            OLD.verifier,
            NEW.verifier,
        }


async def published_note(node: Node) -> bytes:
    published = await node.store.ledger.published("acme")
    assert published is not None
    return published.note


async def test_what_a_retired_key_has_signed_is_still_gone_on_from(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    node = await node_over(nodes[0], tmp_path, OLD)
    await node.append(5)
    await node.signer.sign("acme")
    after = await node_over(nodes[0], tmp_path, NEW)
    await Keyring(nodes[0].documents, clock=lambda: NOON).retire(OLD.verifier.public)
    await after.append(1)
    assert (await after.signed()).size == 6
    assert list(Note.parse(await published_note(after)).verified([NEW.verifier])) == [NEW.verifier]


async def test_a_running_node_learns_of_a_key_that_another_one_signs_with(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    one = await node_over(nodes[0], tmp_path / "one", OLD)
    await one.append(1)
    await one.signer.sign("acme")
    other = await node_over(nodes[1], tmp_path / "other", NEW)
    await other.append(1)
    await other.signer.sign("acme")
    await one.append(1)
    assert (await one.signed()).size == 3


async def test_nodes_with_different_keys_do_not_sign_over_each_other_for_ever(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    one = await node_over(nodes[0], tmp_path / "one", OLD)
    other = await node_over(nodes[1], tmp_path / "other", NEW)
    await one.append(1)
    for _ in range(3):
        await one.signer.sign("acme")
        await other.signer.sign("acme")
    assert (len(one.heard.lags), len(other.heard.lags)) == (1, 1)


# ---- what somebody did to the database ------------------------------------------------------

MISDEEDS: dict[str, tuple[Callable[[Vandal], Awaitable[None]], str]] = {
    "deleted": (lambda vandal: vandal.delete("acme", 6), "are missing"),
    "altered": (lambda vandal: vandal.recommit("acme", 6), "not the one that its entries make"),
    "garbled": (lambda vandal: vandal.garble("acme", 6), "cannot be read"),
    "tile": (lambda vandal: vandal.flip_tile("acme"), "not the one that its entries make"),
    "note": (lambda vandal: vandal.set_checkpoint("acme", 5, b"note"), "is damaged"),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_a_log_that_was_tampered_with_before_it_was_signed_is_refused(
    node: Node, misdeed: str
) -> None:
    await node.append(5)
    before = await node.signed()
    await node.append(5)
    commit, why = MISDEEDS[misdeed]
    await commit(vandal_of(node.store))
    await node.refuses(why)
    assert read(node.memory.recall("acme") or b"") == before


async def test_other_logs_are_signed_when_one_is_refused(node: Node) -> None:
    for tenant in ("acme", "other"):
        await node.append(3, tenant)
    await vandal_of(node.store).flip_tile("acme")
    await node.signer.sign_all()
    assert (await node.published("other")).size == 3
    assert await node.store.ledger.published("acme") is None
    assert list(node.signer.refusals) == ["acme"]


async def test_a_log_that_was_mended_is_signed_again_without_a_new_record(node: Node) -> None:
    vandal = vandal_of(node.store)
    await node.append(3)
    await vandal.flip_tile("acme")
    await node.signer.sign_all()
    await node.signer.sign_all()
    await vandal.flip_tile("acme")
    await node.signer.sign_all()
    assert (await node.published()).size == 3
    assert [line.partition(":")[0] for line in node.heard.lines] == ["acme", "acme again"]
    assert node.heard.unsigned == 0


# ---- a disk and a store that fail ---------------------------------------------------------


@dataclass
class FullDisk:
    """A memory on a disk that has no room, as long as it is `full`."""

    files: Memory
    full: bool = True

    def recall(self, tenant: str) -> bytes | None:
        return self.files.recall(tenant)

    def remember(self, tenant: str, note: bytes) -> bool:
        if self.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return self.files.remember(tenant, note)


async def test_a_full_disk_stops_the_signing_and_nothing_else(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    disk = FullDisk(CheckpointFiles(tmp_path / "checkpoints"))
    node = await node_over(nodes[0], tmp_path, OLD, memory=disk)
    await node.append(1)
    await node.refuses("No space left on device")
    await node.signer.sign_all()
    disk.full = False
    await node.signer.sign_all()
    assert (await node.published()).size == 1
    assert node.heard.lines[-1] == "acme again"


@dataclass
class Unreachable:
    """A store of which nothing can be read, except how long the logs are."""

    store: LedgerStore
    asked: int = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def published(self, tenant: str) -> Published | None:
        del tenant
        self.asked += 1
        raise StoreUnreachable


async def test_a_store_that_is_away_is_not_asked_for_each_log(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    """Each question takes as long as the store's time limit; a stop would wait for all of them."""
    away = Unreachable(nodes[0].ledger)
    node = await node_over(nodes[0], tmp_path, OLD, ledger=away)
    for number in range(50):
        await node.append(1, f"t{number}")
    await node.signer.sign_all()
    assert 0 < away.asked < 50
    assert node.heard.lines == []


@dataclass
class Hanging:
    """A store that does not answer how long a log is, until it is let go."""

    store: LedgerStore
    free: asyncio.Event = field(default_factory=asyncio.Event)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    async def size(self, tenant: str) -> int:
        await self.free.wait()
        return await self.store.size(tenant)


async def test_who_asks_does_not_wait_for_a_signer_that_hangs(
    nodes: tuple[Store, Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging = Hanging(nodes[0].ledger)
    hanging.free.set()
    node = await node_over(nodes[0], tmp_path, OLD, ledger=hanging)
    await node.append(1)
    before = await node.signer.checkpoint("acme")
    await node.append(1)
    hanging.free.clear()
    monkeypatch.setattr(signing, "PATIENCE", 0.2)
    with pytest.raises(NotSigned):
        await node.signer.covering("acme", 1)
    assert await node.signer.checkpoint("acme") == before
    hanging.free.set()
    assert (await node.signed()).size == 2


async def test_the_signer_signs_by_itself_until_it_is_closed(node: Node) -> None:
    await node.append(3)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(node.signer.run())
        async with asyncio.timeout(30):
            await node.heard.first.wait()
        node.signer.close()
    assert (await node.published()).size == 3
