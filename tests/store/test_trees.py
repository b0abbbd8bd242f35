"""Trees, erasures and holds: what `store/port.py` promises of them, claimed of every adapter."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Literal

import pytest
from asking import append, burial, erase, keep, page
from trees import examined, graves

from auditlogservice.events import Erasure, EventId, Record, tombstone_id
from auditlogservice.filters import EVERYTHING, Filter, Is
from auditlogservice.governance import Hold
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.port import Document, Held, Published, Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.tiles import Tile
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from auditlogservice.runtime.stores import Store

KILLABLE = Path(__file__).with_name("killable.py")
SECOND = timedelta(seconds=1)


# ---- growing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sizes", [(1, 1), (255, 1, 1), (256, 1), (257, 255), (1_000, 24, 1), (3, 600, 2)], ids=str
)
async def test_a_tree_is_that_of_its_log_at_every_size(
    store: Store, sizes: tuple[int, ...]
) -> None:
    for size in sizes:
        # In three submissions of one call, of which one is empty now and then.
        parts = [size // 3, size // 3, size - 2 * (size // 3)]
        await store.events.append(
            [Submission(tuple(draft() for _ in range(part))) for part in parts]
        )
        await examined(store)
    assert await store.ledger.size("acme") == sum(sizes)


async def test_a_log_without_records_has_a_tree_without_leaves(store: Store) -> None:
    assert await examined(store, "nobody") == []
    assert await store.ledger.sizes() == {}


async def test_the_sizes_are_those_of_all_tenants_that_have_records(store: Store) -> None:
    await keep(store.events, draft(tenant="b"), draft(tenant="b"))
    await keep(store.events, draft(tenant="a"))
    # This one contradicts itself, so its tenant gets no record.
    both = (draft(key="k", tenant="c"), draft(told("another"), key="k", tenant="c"))
    await append(store.events, *both, atomic=True)
    await store.documents.put(hold(tenant="d"))
    assert await store.ledger.sizes() == {"a": 1, "b": 2}


async def test_what_is_refused_or_replayed_is_no_leaf(store: Store) -> None:
    await keep(store.events, draft(key="k"))
    await append(store.events, draft(key="k"), draft(told("another"), key="k"))
    await append(store.events, draft(), draft(told("another"), key="k"), atomic=True)
    assert len(await examined(store)) == 1


async def test_an_entry_tells_when_its_record_may_be_erased(store: Store) -> None:
    sent = replace(draft(at=NOON), kept_for=timedelta(days=3))
    await keep(store.events, draft(at=NOON + SECOND), sent, draft())
    expiries = [each.entry.expires_at for each in await examined(store)]
    assert expiries == [None, NOON + SECOND + timedelta(days=3), None]


async def test_openings_without_content_have_the_same_entries(store: Store) -> None:
    await keep(store.events, *(draft() for _ in range(5)))
    whole = await store.ledger.openings("acme", 1, 4, content=True)
    bare = await store.ledger.openings("acme", 1, 4, content=False)
    assert [each.entry for each in bare] == [each.entry for each in whole]
    assert [each.sequence for each in bare] == [1, 2, 3]
    assert all(each.salt is None and each.payload is None for each in bare)


async def test_the_opening_of_a_record_is_that_of_its_place(store: Store) -> None:
    records = await keep(store.events, *(draft() for _ in range(3)))
    await store.events.erase("acme", [burial(records[1].id)])
    places = await store.ledger.openings("acme", 0, 3, content=True)
    found = [await store.ledger.opening("acme", record.id) for record in records]
    assert found == places
    assert [each.record for each in places] == [records[0], None, records[2]]


async def test_what_is_not_there_or_another_tenants_has_no_opening(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    assert await store.ledger.opening("other", record.id) is None
    assert await store.ledger.opening("acme", EventId("f" * 24)) is None


async def test_entries_and_salts_are_those_of_the_openings(store: Store) -> None:
    records = await keep(store.events, *(draft() for _ in range(5)))
    await store.events.erase("acme", [burial(records[2].id)])
    whole = await store.ledger.openings("acme", 1, 4, content=True)
    entries = await store.ledger.entries("acme", 1, 4)
    salts = await store.ledger.salts("acme", 1, 4)
    assert list(entries.items()) == [(each.sequence, each.entry.to_bytes()) for each in whole]
    assert list(salts.items()) == [(each.sequence, each.salt) for each in whole]
    assert [salt is None for salt in salts.values()] == [False, True, False]
    assert await store.ledger.entries("other", 1, 4) == {}
    assert await store.ledger.salts("other", 1, 4) == {}


@pytest.mark.parametrize("seed", range(3))
async def test_any_mix_of_appends_and_erasures_leaves_each_tree_whole(
    store: Store, seed: int
) -> None:
    chance = Random(seed)
    kept: dict[str, list[Record]] = {"acme": [], "other": []}
    gone: set[EventId] = set()
    for _ in range(12):
        tenant = chance.choice(["acme", "other"])
        if kept[tenant] and chance.random() < 0.5:
            chosen = chance.sample(kept[tenant], min(len(kept[tenant]), chance.randrange(1, 9)))
            await store.events.erase(tenant, [burial(one.id, tenant=tenant) for one in chosen])
            gone |= {one.id for one in chosen}
        else:
            count = chance.choice([1, 2, 100, 255, 256, 257])
            kept[tenant] += await keep(store.events, *(draft(tenant=tenant) for _ in range(count)))
    for tenant, records in kept.items():
        openings = await examined(store, tenant)
        erased = {each.entry.id for each in openings if each.payload is None}
        assert erased == gone & {record.id for record in records}
        assert set(graves(openings)) == erased
        assert len(openings) == len(records) + len(erased)


# ---- several writers ------------------------------------------------------------------------


async def test_two_nodes_that_append_and_erase_at_once_grow_one_tree(
    nodes: tuple[Store, Store],
) -> None:
    async def write(node: Store, chance: Random) -> None:
        for _ in range(6):
            records = await keep(node.events, *(draft() for _ in range(chance.randrange(1, 60))))
            await erase(node.events, records[0].id)

    async with asyncio.TaskGroup() as tasks:
        for number, node in enumerate(nodes * 2):
            tasks.create_task(write(node, Random(number)))
    for node in nodes:
        openings = await examined(node)
        assert len(set(graves(openings))) == len(graves(openings)) == 4 * 6


async def test_two_processes_that_are_killed_while_they_append_leave_whole_trees(
    tmp_path: Path,
) -> None:
    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, KILLABLE, "append", tmp_path], stdout=subprocess.PIPE, text=True
        )

    writers = [start(), start()]
    try:
        for writer in writers:
            assert writer.stdout
            for _ in range(150):
                await asyncio.to_thread(writer.stdout.readline)
    finally:
        for writer in writers:
            writer.send_signal(signal.SIGKILL)
            writer.communicate()
    store = await open_sqlite(str(tmp_path / "audit.db"))
    sizes = [len(await examined(store, tenant)) for tenant in ("tenant0", "tenant1")]
    assert sum(sizes) >= 300
    await store.close()


# ---- erasing --------------------------------------------------------------------------------


async def test_erasing_changes_the_tree_by_one_leaf_the_tombstone(store: Store) -> None:
    records = await keep(store.events, *(draft() for _ in range(300)))
    before = await examined(store)
    tiles = await store.ledger.tiles("acme", [Tile(0, 0), Tile(0, 1), Tile(1, 0)])
    assert isinstance(await erase(store.events, records[7].id), Erasure)
    after = await examined(store)
    assert [each.entry for each in after[:-1]] == [each.entry for each in before]
    assert after[-1].entry.id == tombstone_id("acme", records[7].id)
    assert graves(after) == [records[7].id]
    for tile, hashes in (await store.ledger.tiles("acme", tiles)).items():
        assert hashes.startswith(tiles[tile])
    assert (after[7].salt, after[7].payload) == (None, None)


async def test_each_of_many_burials_has_its_fate_in_order(store: Store) -> None:
    one, other, held = await keep(store.events, draft(), draft(), draft(told(source="under suit")))
    await store.documents.put(hold(Is("source", "under suit")))
    nobody = EventId("f" * 24)
    await erase(store.events, other.id, by="alice")
    fates = await store.events.erase(
        "acme", [burial(each) for each in (nobody, one.id, held.id, other.id)]
    )
    assert fates[0] is None
    assert isinstance(fates[1], Erasure)
    assert fates[2] == Held(("h",))
    assert fates[3] == await store.events.find("acme", other.id)
    assert graves(await examined(store)) == [other.id, one.id]


async def test_a_record_that_is_named_twice_in_one_call_is_erased_once(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    first, second = await store.events.erase(
        "acme", [burial(record.id, by="alice"), burial(record.id, by="bob")]
    )
    assert first == second == await store.events.find("acme", record.id)
    assert graves(await examined(store)) == [record.id]


async def test_what_was_erased_before_leaves_no_second_tombstone(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    for _ in range(3):
        await erase(store.events, record.id)
    assert graves(await examined(store)) == [record.id]


async def test_a_tombstone_that_is_there_before_does_not_save_the_record(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    await append(store.events, burial(record.id).tombstone)
    assert isinstance(await erase(store.events, record.id), Erasure)
    assert graves(openings := await examined(store)) == [record.id]
    assert openings[0].payload is None


async def test_sixteen_who_erase_one_record_at_once_tell_one_story(
    nodes: tuple[Store, Store],
) -> None:
    (record,) = await keep(nodes[0].events, draft())
    fates = await asyncio.gather(
        *(erase(node.events, record.id, by=str(n)) for n, node in enumerate(nodes * 8))
    )
    assert len({fate.erased_by for fate in fates if isinstance(fate, Erasure)}) == 1
    assert len(fates) == fates.count(fates[0]) == 16
    assert graves(await examined(nodes[1])) == [record.id]


@pytest.fixture(params=["sqlite", "mongodb"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is that several processes open."""
    if request.param == "mongodb":
        return str(request.getfixturevalue("mongodb_url"))
    return str(tmp_path / "audit.db")


def _die_erasing(place: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, KILLABLE, "erase", place],
        capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


async def test_a_process_killed_at_any_step_of_erasing_leaves_both_or_neither(place: str) -> None:
    """Killed before each statement, or each command to the server, that one erasure takes."""
    rounds = [line.split() for line in await asyncio.to_thread(_die_erasing, place)]
    store = await (open_mongodb(place) if "://" in place else open_sqlite(place))
    for tenant, event_id in rounds:
        record = EventId(event_id)
        openings = await examined(store, tenant)
        was_erased = openings[0].payload is None
        assert graves(openings) == ([record] if was_erased else []), tenant
        assert isinstance(await erase(store.events, record, tenant=tenant), Erasure)
        assert graves(await examined(store, tenant)) == [record]
    assert len(rounds) > 5  # before each of them a process was killed, but for the last
    await store.close()


# ---- holds ----------------------------------------------------------------------------------


def hold(where: Filter = EVERYTHING, *, hold_id: str = "h", tenant: str = "acme") -> Document:
    value = Hold(id=hold_id, where=where, reason="suit", placed_by="bob", placed_at=NOON)
    return Document(kind="hold", tenant=tenant, id=hold_id, body=value.to_body())


async def test_what_a_hold_covers_is_not_erased_and_nothing_changes(store: Store) -> None:
    await store.documents.put(hold(Is("source", "s")))
    await store.documents.put(hold(Is("source", "t"), hold_id="other"))
    await store.documents.put(hold(tenant="other"))
    (record,) = await keep(store.events, draft(told(source="s")))
    before = await examined(store)
    assert await erase(store.events, record.id) == Held(("h",))
    assert await examined(store) == before
    assert await store.events.find("acme", record.id) == record
    assert await page(store.events, Is("source", "s")) == [record]


async def test_all_holds_that_cover_a_record_are_named(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    for name in ("b", "a"):
        await store.documents.put(hold(hold_id=name))
    assert await erase(store.events, record.id) == Held(("a", "b"))


async def test_a_record_can_be_erased_when_the_last_hold_is_gone(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    for name in ("a", "b"):
        await store.documents.put(hold(hold_id=name))
    await store.documents.remove("hold", "acme", "a")
    assert await erase(store.events, record.id) == Held(("b",))
    await store.documents.remove("hold", "acme", "b")
    assert isinstance(await erase(store.events, record.id), Erasure)


async def test_a_hold_that_the_caller_has_passed_is_not_looked_at_and_any_other_is(
    store: Store,
) -> None:
    """Only the caller has seen what was there; what was placed since, the transaction sees."""
    one, other = await keep(store.events, draft(), draft())
    await store.documents.put(hold(hold_id="old"))
    passed = {"old", "lifted"}
    (fate,) = await store.events.erase("acme", [burial(one.id)], passed={"lifted"})
    assert fate == Held(("old",))
    (fate,) = await store.events.erase("acme", [burial(one.id)], passed=passed)
    assert isinstance(fate, Erasure)
    await store.documents.put(hold(hold_id="new"))
    (fate,) = await store.events.erase("acme", [burial(other.id)], passed=passed)
    assert fate == Held(("new",))


async def test_a_hold_on_a_log_without_records_is_no_obstacle_to_its_first(store: Store) -> None:
    await store.documents.put(hold())
    assert await examined(store) == []
    await keep(store.events, draft(at=NOON), draft())
    assert len(await examined(store)) == 2


async def test_holds_that_are_placed_at_once_are_all_placed(nodes: tuple[Store, Store]) -> None:
    """Also the first ones of a log that has no records, whose first record comes meanwhile."""
    placing = [
        node.documents.put(hold(hold_id=f"{number:02}")) for number, node in enumerate(nodes * 8)
    ]
    placed, records = await asyncio.gather(
        asyncio.gather(*placing), keep(nodes[0].events, draft())
    )
    assert placed == [True] * 16
    fate = await erase(nodes[1].events, records[0].id)
    assert fate == Held(tuple(f"{number:02}" for number in range(16)))


async def test_what_is_there_when_a_hold_was_placed_stays_whoever_erases_meanwhile(
    nodes: tuple[Store, Store],
) -> None:
    one, other = nodes
    chance = Random(1)

    async def place_hold(tenant: str, record: Record) -> object:
        await asyncio.sleep(chance.uniform(0, 0.01))
        assert await one.documents.put(hold(tenant=tenant))
        return await one.events.find(tenant, record.id)

    for tenant in map(str, range(25)):
        (record,) = await keep(other.events, draft(tenant=tenant))
        seen, fate = await asyncio.gather(
            place_hold(tenant, record), erase(other.events, record.id, tenant=tenant)
        )
        if isinstance(seen, Erasure):  # it was erased first
            assert fate == seen
        else:
            assert fate == Held(("h",))
            assert await other.events.find(tenant, record.id) == record


# ---- documents ------------------------------------------------------------------------------


def rules(body: bytes = b"{}", *, version: int = 1, tenant: str = "acme") -> Document:
    return Document(kind="retention", tenant=tenant, id="rules", body=body, version=version)


async def test_a_document_is_changed_only_from_the_version_before(store: Store) -> None:
    put = store.documents.put
    assert not await put(rules(b"2", version=2))
    assert await put(rules(b"1"))
    assert not await put(rules(b"1 again"))
    assert not await put(rules(b"3", version=3))
    assert await store.documents.get("retention", "acme", "rules") == rules(b"1")
    assert await put(rules(b"2", version=2))
    assert not await put(rules(b"2 again", version=2))
    assert await store.documents.get("retention", "acme", "rules") == rules(b"2", version=2)


@pytest.mark.parametrize("kind", ["hold", "retention"])
@pytest.mark.parametrize("version", [1, 2])
async def test_of_sixteen_who_change_a_document_at_once_one_does(
    nodes: tuple[Store, Store], kind: Literal["hold", "retention"], version: int
) -> None:
    def change(number: int, version: int) -> Document:
        body = b"%d" % number
        return Document(kind=kind, tenant="acme", id="x", body=body, version=version)

    if version > 1:
        assert await nodes[0].documents.put(change(99, version - 1))
    done = await asyncio.gather(
        *(node.documents.put(change(n, version)) for n, node in enumerate(nodes * 8))
    )
    assert Counter(done) == {True: 1, False: 15}
    for node in nodes:
        found = await node.documents.get(kind, "acme", "x")
        assert found == change(done.index(True), version)


async def test_documents_are_listed_by_kind_and_tenant_in_order(store: Store) -> None:
    names = ["c", "a", "b"]
    for name in names:
        await store.documents.put(hold(hold_id=name))
    await store.documents.put(rules())
    await store.documents.put(hold(hold_id="a", tenant="other"))
    mine = [hold(hold_id=name) for name in sorted(names)]
    assert await store.documents.all("hold", "acme") == mine
    everyones = await store.documents.all("hold")
    assert everyones == [*mine, hold(hold_id="a", tenant="other")]
    assert await store.documents.all("retention", "other") == []
    assert await store.documents.get("hold", "other", "b") is None


async def test_a_document_is_removed_once_and_may_begin_anew(store: Store) -> None:
    await store.documents.put(rules())
    assert await store.documents.remove("retention", "acme", "rules")
    assert not await store.documents.remove("retention", "acme", "rules")
    assert await store.documents.get("retention", "acme", "rules") is None
    assert await store.documents.put(rules(b"anew"))


# ---- checkpoints ----------------------------------------------------------------------------


async def test_a_checkpoint_never_goes_back_to_a_smaller_tree(store: Store) -> None:
    assert await store.ledger.published("acme") is None
    for size, left in ((5, 5), (3, 5), (7, 7), (6, 7), (7, 7)):
        await store.ledger.publish("acme", Published(size, b"of %d" % size))
        assert await store.ledger.published("acme") == Published(left, b"of %d" % left)
    assert await store.ledger.published("other") is None


async def test_of_checkpoints_that_are_published_at_once_the_largest_stays(
    nodes: tuple[Store, Store],
) -> None:
    """The first ones of a log too."""
    for tenant in map(str, range(10)):
        sizes = Random(tenant).sample(range(100), 8)
        for _ in range(2):
            await asyncio.gather(
                *(
                    nodes[number % 2].ledger.publish(tenant, Published(size, b"%d" % size))
                    for number, size in enumerate(sizes)
                )
            )
            largest = max(sizes)
            assert await nodes[0].ledger.published(tenant) == Published(largest, b"%d" % largest)
            sizes = [size + 100 for size in sizes[::-1]]
