"""The log is shown to others in the background, and whatever they do, it goes on."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import DEFAULT_TENANT, Scope
from auditlogservice.anchors import (
    LastCosigned,
    Refused,
    Stamped,
    Timestamp,
    Unreachable,
    size_of,
)
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.client.witness import HttpWitness, WitnessAddress
from auditlogservice.errors import StoreUnreachable
from auditlogservice.ledger.proving.anchorer import Anchorer
from auditlogservice.ledger.proving.timestamping import Timestamping
from auditlogservice.ledger.proving.witnessing import Witnessing
from auditlogservice.notes import Note
from auditlogservice.store.port import Document, Published
from witnesses import OTHER_WITNESS, WITNESS, StrictWitness

if TYPE_CHECKING:
    from auditlogservice.anchors import StampAnswer, WitnessAnswer
    from auditlogservice.checkpoints import AddCheckpoint
    from auditlogservice.ledger.proving.witnessing import Witness
    from running import Api

OURS = DEFAULT_TENANT


@dataclass
class Observer:
    """The journal and the gauge of a test."""

    told: list[tuple[str, str, str]] = field(default_factory=list)  # what, by whom, of whose log
    successes: list[str] = field(default_factory=list)
    disputes_now: dict[str, int] = field(default_factory=dict)

    def fails(self, anchor: str, tenant: str, _why: str) -> None:
        self.told.append(("fails", anchor, tenant))

    def disputes(self, witness: str, tenant: str, _why: str) -> None:
        self.told.append(("disputes", witness, tenant))

    def works_again(self, anchor: str, tenant: str) -> None:
        self.told.append(("works again", anchor, tenant))

    def anchored(self, anchor: str, *, at: datetime) -> None:
        assert at.tzinfo
        self.successes.append(anchor)

    def disputed(self, witness: str, tenants: int) -> None:
        self.disputes_now[witness] = tenants

    def work_failed(self, work: str, error: Exception) -> None:
        self.told.append((type(error).__name__, work, ""))


@pytest.fixture
def observer() -> Observer:
    return Observer()


@pytest.fixture
async def witness(memory_api: Api) -> StrictWitness:
    strict = StrictWitness()
    await trust(memory_api, strict)
    return strict


async def trust(api: Api, witness: StrictWitness, *tenants: str) -> None:
    for tenant in tenants or (OURS,):
        origin = api.services.signer.origin(tenant)
        witness.trust(*(key.verifier(origin) for key in await api.services.keyring.keys()))


def over_wire(strict: StrictWitness) -> HttpWitness:
    return HttpWitness(strict.client(), WitnessAddress("http://w", strict.key.witness))


def witnessing(api: Api, observer: Observer, *witnesses: Witness) -> Witnessing:
    return Witnessing(
        api.services.signer._store,
        api.services.prover,
        api.services.anchors,
        witnesses=witnesses,
        every=0.01,
        clock=api.time,
        gauge=observer,
        journal=observer,
    )


async def grow(api: Api, events: int = 1, tenant: str = OURS) -> None:
    """Record so many events of a tenant, and sign its log."""
    names = [user.name for user in await api.services.accounts.users(tenant)]
    name = f"writer of {tenant}".replace(" ", "-")
    user = await (api.sign_in(name) if name in names else api.add(name, *Scope, tenant=tenant))
    for _ in range(events):
        await api.record(user)
    await api.services.signer.sign(tenant)


async def witnessed_size(api: Api, tenant: str = OURS) -> int:
    note = await api.services.anchors.witnessed(tenant)
    return 0 if note is None else size_of(note)


# ---- witnesses --------------------------------------------------------------------------


async def test_each_growth_of_a_log_is_cosigned_by_each_witness(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    other = StrictWitness(OTHER_WITNESS)
    await trust(memory_api, other)
    round_ = witnessing(memory_api, observer, over_wire(witness), over_wire(other))
    for size in (1, 4, 300):
        await grow(memory_api, size - await witnessed_size(memory_api))
        await round_.go()
        note = await memory_api.services.anchors.witnessed(OURS)
        assert note
        assert size_of(note) == size
        assert len(note.verified([WITNESS.witness, OTHER_WITNESS.witness])) == 2
    assert observer.told == []
    assert sorted(observer.successes) == sorted([WITNESS.name, OTHER_WITNESS.name] * 3)


async def test_a_log_that_has_not_grown_is_not_shown_again(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    round_ = witnessing(memory_api, observer, over_wire(witness))
    await grow(memory_api)
    for _ in range(3):
        await round_.go()
    assert witness.statuses == [200]


async def test_a_node_that_starts_learns_from_the_witness_what_it_has_cosigned(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    await grow(memory_api, 3)
    await witnessing(memory_api, observer, over_wire(witness)).go()
    await grow(memory_api, 4)
    await witnessing(memory_api, observer, over_wire(witness)).go()
    assert witness.statuses == [200, 409, 200]
    assert await witnessed_size(memory_api) == 7
    assert observer.told == []


async def test_nodes_that_show_one_log_at_once_do_each_other_no_harm(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    nodes = [witnessing(memory_api, observer, over_wire(witness)) for _ in range(5)]
    for _ in range(4):
        await grow(memory_api, 2)
        await asyncio.gather(*(node.go() for node in nodes))
    assert await witnessed_size(memory_api) == 8
    assert observer.told == []


async def test_a_failure_is_told_once_and_so_is_its_end(
    memory_api: Api, observer: Observer
) -> None:
    witness = StrictWitness()
    round_ = witnessing(memory_api, observer, over_wire(witness))
    await grow(memory_api)
    for _ in range(3):
        await round_.go()
    assert observer.told == [("fails", WITNESS.name, OURS)]
    await trust(memory_api, witness)
    await round_.go()
    await round_.go()
    assert observer.told[1:] == [("works again", WITNESS.name, OURS)]


async def test_one_witness_that_fails_takes_nothing_from_the_others(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    ill = StrictWitness(OTHER_WITNESS, lie=lambda _: (500, b""))
    await grow(memory_api)
    await witnessing(memory_api, observer, over_wire(ill), over_wire(witness)).go()
    note = await memory_api.services.anchors.witnessed(OURS)
    assert note
    assert list(note.verified([WITNESS.witness, OTHER_WITNESS.witness])) == [WITNESS.witness]


async def test_a_witness_that_is_gone_is_asked_once_a_round_however_many_logs_there_are(
    memory_api: Api, observer: Observer
) -> None:
    gone = StrictWitness(lie=lambda _: (503, b""))
    for tenant in ("a", "b", "c"):
        await grow(memory_api, tenant=tenant)
    await witnessing(memory_api, observer, over_wire(gone)).go()
    assert gone.statuses == [503]


@pytest.mark.parametrize("note", [b"", b"\xff", b"no checkpoint\n\n\xe2\x80\x94 a AAAAAAAA\n"])
async def test_a_checkpoint_that_rotted_takes_nothing_from_another_log(
    memory_api: Api, observer: Observer, witness: StrictWitness, note: bytes
) -> None:
    await trust(memory_api, witness, "a", "b")
    for tenant in ("a", "b"):
        await grow(memory_api, tenant=tenant)
    await memory_api.services.signer._store.publish("a", Published(9, note))
    await witnessing(memory_api, observer, over_wire(witness)).go()
    assert await witnessed_size(memory_api, "b") == 1
    assert await witnessed_size(memory_api, "a") == 0
    assert observer.told == [("fails", witness.key.name, "a")]


async def test_a_witness_that_does_not_know_one_log_cosigns_the_others(
    memory_api: Api, observer: Observer
) -> None:
    witness = StrictWitness()
    await trust(memory_api, witness, "b")
    for tenant in ("a", "b"):
        await grow(memory_api, tenant=tenant)
    await witnessing(memory_api, observer, over_wire(witness)).go()
    assert await witnessed_size(memory_api, "a") == 0
    assert await witnessed_size(memory_api, "b") == 1
    assert observer.told == [("fails", WITNESS.name, "a")]


async def test_a_witness_that_has_seen_more_than_there_is_disputes_the_log(
    memory_api: Api, observer: Observer
) -> None:
    ahead = StrictWitness(lie=lambda _: (409, b"1000\n"))
    round_ = witnessing(memory_api, observer, over_wire(ahead))
    await grow(memory_api)
    for _ in range(2):
        await round_.go()
    assert observer.told == [("disputes", WITNESS.name, OURS)]
    assert observer.disputes_now == {WITNESS.name: 1}
    assert await witnessed_size(memory_api) == 0


async def test_another_tree_than_was_cosigned_is_disputed(
    memory_api: Api, observer: Observer, witness: StrictWitness
) -> None:
    origin = memory_api.services.signer.origin(OURS)
    witness.cosigned[origin] = Checkpoint(origin, 2, b"x" * 32)
    await grow(memory_api, 3)
    round_ = witnessing(memory_api, observer, over_wire(witness))
    await round_.go()
    assert witness.statuses == [409, 422]
    assert observer.told == [("disputes", WITNESS.name, OURS)]
    del witness.cosigned[origin]  # the witness was wrong, and is mended
    await round_.go()
    assert observer.told[1:] == [("works again", WITNESS.name, OURS)]
    assert observer.disputes_now == {WITNESS.name: 0}


async def test_a_store_that_was_set_back_is_disputed(
    memory_api: Api, observer: Observer, witness: StrictWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    round_ = witnessing(memory_api, observer, over_wire(witness))
    await grow(memory_api, 3)
    before = await memory_api.services.signer._store.published(OURS)
    await grow(memory_api, 2)
    await round_.go()

    async def published(_: str) -> Published | None:
        return before

    async def sizes() -> dict[str, int]:
        return {OURS: 3}

    monkeypatch.setattr(round_._store, "published", published)
    monkeypatch.setattr(round_._store, "sizes", sizes)
    await round_.go()
    assert observer.told == [("disputes", WITNESS.name, OURS)]


async def test_a_witness_that_never_agrees_is_not_asked_without_end(
    memory_api: Api, observer: Observer
) -> None:
    @dataclass
    class Fickle:
        key = WITNESS.witness
        asked: int = 0

        async def add_checkpoint(self, _: AddCheckpoint) -> WitnessAnswer:
            self.asked += 1
            return LastCosigned(self.asked % 3)

    fickle = Fickle()
    await grow(memory_api, 5)
    await witnessing(memory_api, observer, fickle).go()
    assert 1 < fickle.asked < 10
    assert observer.told == [("fails", WITNESS.name, OURS)]


async def test_a_cosignature_that_could_not_be_kept_is_asked_for_again(
    memory_api: Api, observer: Observer, witness: StrictWitness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise StoreUnreachable

    await grow(memory_api)
    round_ = witnessing(memory_api, observer, over_wire(witness))
    with monkeypatch.context() as store_is_ill:
        store_is_ill.setattr(memory_api.services.anchors, "add_witnessed", fail)
        await round_.go()
    assert await witnessed_size(memory_api) == 0
    await round_.go()
    assert await witnessed_size(memory_api) == 1


async def test_a_late_cosignature_takes_the_place_of_no_newer_one(memory_api: Api) -> None:
    await grow(memory_api)
    older = await memory_api.services.signer.checkpoint(OURS)
    await grow(memory_api)
    newer = await memory_api.services.signer.checkpoint(OURS)
    for published in (newer, older):
        note = Note.parse(published.note)
        await memory_api.services.anchors.add_witnessed(OURS, WITNESS.witness, note)
    assert await witnessed_size(memory_api) == 2


# ---- timestamps -------------------------------------------------------------------------


@dataclass
class Clockmaker:
    """An authority that stamps by the clock of the test, or answers what it is told to."""

    api: Api
    name: str = "tsa.example"
    asked: list[bytes] = field(default_factory=list)
    answer: StampAnswer | None = None

    async def stamp(self, data: bytes) -> StampAnswer:
        self.asked.append(data)
        return self.answer or Stamped(self.api.time(), b"reply %d" % len(self.asked))


def timestamping(api: Api, observer: Observer, authority: Clockmaker) -> Timestamping:
    return Timestamping(
        api.services.signer._store,
        api.services.anchors,
        authority=authority,
        every=timedelta(hours=1),
        clock=api.time,
        gauge=observer,
        journal=observer,
    )


async def sizes_stamped(api: Api, tenant: str = OURS) -> list[int]:
    return [each.size for each in await api.services.anchors.timestamps(tenant)]


async def test_what_is_stamped_are_the_bytes_of_the_checkpoint(
    memory_api: Api, observer: Observer
) -> None:
    authority = Clockmaker(memory_api)
    await grow(memory_api, 2)
    await timestamping(memory_api, observer, authority).go()
    (kept,) = await memory_api.services.anchors.timestamps(OURS)
    assert authority.asked == [kept.note]
    assert kept.note == (await memory_api.services.signer.checkpoint(OURS)).note
    assert (kept.size, kept.reply) == (2, b"reply 1")
    assert observer.successes == ["tsa.example"]


async def test_a_log_is_stamped_once_in_the_time_between_and_only_if_it_has_grown(
    memory_api: Api, observer: Observer
) -> None:
    round_ = timestamping(memory_api, observer, Clockmaker(memory_api))
    await round_.go()  # there is no log yet
    await grow(memory_api)
    await round_.go()
    await grow(memory_api)
    await round_.go()
    assert await sizes_stamped(memory_api) == [1]
    memory_api.time.advance(hours=1)
    await round_.go()
    memory_api.time.advance(hours=1)
    await round_.go()
    assert await sizes_stamped(memory_api) == [1, 2]


async def test_what_another_node_got_is_not_asked_for_again(
    memory_api: Api, observer: Observer
) -> None:
    authority = Clockmaker(memory_api)
    await grow(memory_api)
    await timestamping(memory_api, observer, authority).go()
    await grow(memory_api)
    await timestamping(memory_api, observer, authority).go()
    assert len(authority.asked) == 1


async def test_timestamps_are_in_order_of_the_size_of_the_tree(memory_api: Api) -> None:
    for size in (9, 10, 2):
        timestamp = Timestamp(size=size, time=memory_api.time(), note=b"", reply=b"")
        await memory_api.services.anchors.add_timestamp(OURS, timestamp, now=memory_api.time())
    assert await sizes_stamped(memory_api) == [2, 9, 10]


async def test_timestamps_that_are_to_spare_are_dropped(
    memory_api: Api, observer: Observer
) -> None:
    round_ = timestamping(memory_api, observer, Clockmaker(memory_api))
    days = set()
    for _ in range(20):
        memory_api.time.advance(hours=6)
        days.add(memory_api.time().date())
        await grow(memory_api)
        await round_.go()
    kept = await memory_api.services.anchors.timestamps(OURS)
    assert {each.time.date() for each in kept} == days
    assert len(kept) <= 5 + len(days) < 20
    assert kept[0].size == 1


async def test_an_authority_that_fails_is_asked_again_and_told_of_once(
    memory_api: Api, observer: Observer
) -> None:
    authority = Clockmaker(memory_api, answer=Refused("no"))
    round_ = timestamping(memory_api, observer, authority)
    await grow(memory_api)
    await round_.go()
    await round_.go()
    authority.answer = None
    await round_.go()
    assert len(authority.asked) == 3
    assert [what for what, _, _ in observer.told] == ["fails", "works again"]
    assert await sizes_stamped(memory_api) == [1]


async def test_an_authority_that_is_gone_is_asked_once_a_round_however_many_logs_there_are(
    memory_api: Api, observer: Observer
) -> None:
    authority = Clockmaker(memory_api, answer=Unreachable("gone"))
    for tenant in ("a", "b"):
        await grow(memory_api, tenant=tenant)
    await timestamping(memory_api, observer, authority).go()
    assert len(authority.asked) == 1


async def test_timestamps_that_rotted_take_nothing_from_another_log(
    memory_api: Api, observer: Observer
) -> None:
    authority = Clockmaker(memory_api)
    for tenant in ("a", "b"):
        await grow(memory_api, tenant=tenant)
    rotten = Document(kind="timestamp", tenant="a", id="0", body=b"[]")
    await memory_api.services.anchors._documents.put(rotten)
    await timestamping(memory_api, observer, authority).go()
    assert len(await memory_api.services.anchors.timestamps("b")) == 1
    assert observer.told == [("fails", authority.name, "a")]


# ---- rounds -----------------------------------------------------------------------------


@dataclass
class Counting:
    every: float = 0.001
    gone: int = 0
    hangs: bool = False
    thrice: asyncio.Event = field(default_factory=asyncio.Event)

    async def go(self) -> None:
        self.gone += 1
        if self.gone == 3:
            self.thrice.set()
        if self.hangs:
            await asyncio.sleep(3_600)


async def test_a_round_that_fails_is_told_and_done_again(observer: Observer) -> None:
    class Failing(Counting):
        async def go(self) -> None:
            await super().go()
            raise ZeroDivisionError

    failing = Failing()
    anchorer = Anchorer([failing], gauge=observer)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(anchorer.run())
        await failing.thrice.wait()
        anchorer.close()
    assert observer.told[:2] == [("ZeroDivisionError", "anchors", "")] * 2


async def test_a_round_that_hangs_holds_up_neither_the_others_nor_the_end(
    observer: Observer,
) -> None:
    hanging, going = Counting(hangs=True), Counting()
    anchorer = Anchorer([hanging, going], gauge=observer)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(anchorer.run())
        await going.thrice.wait()
        anchorer.close()
    assert hanging.gone == 1


async def test_a_round_that_does_not_notice_that_it_is_cancelled_is_the_last(
    observer: Observer,
) -> None:
    """As in a library that catches it, or in `wait_for` of Python 3.11 at a bad moment."""

    class Deaf(Counting):
        async def go(self) -> None:
            self.gone += 1
            self.thrice.set()
            if self.gone == 1:
                with suppress(asyncio.CancelledError):
                    await asyncio.sleep(3_600)

    deaf = Deaf()
    anchorer = Anchorer([deaf], gauge=observer)
    async with asyncio.timeout(30), asyncio.TaskGroup() as tasks:
        tasks.create_task(anchorer.run())
        await deaf.thrice.wait()
        anchorer.close()
    assert deaf.gone == 1
