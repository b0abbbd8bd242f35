"""Lines in turn: nobody is hidden by who asks for more, and nobody who is alone is held back."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.errors import Overloaded
from auditlogservice.ledger.sharing.fairness import FairQueue, Load, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

ROOM = Load(100, 10_000)
SOON = 5  # seconds: a limit on what should take none


def filled(*lines: tuple[str, int], room: Load = ROOM) -> FairQueue[tuple[str, int]]:
    """A queue in which each source has so many items of one piece."""
    queue: FairQueue[tuple[str, int]] = FairQueue(room)
    for source, number in lines:
        for place in range(number):
            assert queue.put(source, (source, place), Load(1)) == []
    return queue


# ---- in turn --------------------------------------------------------------------------------


def test_who_is_alone_gets_the_whole_group() -> None:
    queue = filled(("noisy", 50))
    assert queue.take(Load(30)) == [("noisy", place) for place in range(30)]


def test_a_quiet_source_is_in_the_next_group_however_long_the_lines_of_others_are() -> None:
    queue = filled(("noisy", 40), ("loud", 40), ("quiet", 1))
    group = queue.take(Load(10))
    assert ("quiet", 0) in group
    assert len(group) == 10


def test_each_source_has_an_equal_part_of_a_group() -> None:
    queue = filled(("a", 40), ("b", 40), ("c", 20))
    sources = [source for source, _ in queue.take(Load(30))]
    assert sources == ["a"] * 10 + ["b"] * 10 + ["c"] * 10


def test_a_part_is_equal_in_bytes_too() -> None:
    queue: FairQueue[str] = FairQueue(ROOM)
    for _ in range(10):
        queue.put("large", "large", Load(1, 900))
    for _ in range(10):
        queue.put("small", "small", Load(1, 90))
    assert queue.take(Load(100, 1_800)) == ["large", *["small"] * 10]


def test_who_had_no_turn_is_first_the_next_time() -> None:
    queue = filled(*((f"source {number}", 5) for number in range(6)))
    first, then = queue.take(Load(4)), queue.take(Load(4))
    assert [source for source, _ in first] == [f"source {number}" for number in range(4)]
    assert [source for source, _ in then] == [f"source {number}" for number in (4, 5, 0, 1)]


def test_an_item_larger_than_a_group_is_taken_alone() -> None:
    queue: FairQueue[str] = FairQueue(ROOM)
    queue.put("a", "large", Load(50))
    queue.put("a", "next", Load(1))
    assert queue.take(Load(10)) == ["large"]
    assert queue.take(Load(10)) == ["next"]


# ---- room -----------------------------------------------------------------------------------


def test_who_is_alone_may_fill_all_the_room_and_is_then_refused() -> None:
    queue = filled(("noisy", 100))
    with pytest.raises(Overloaded):
        queue.put("noisy", ("noisy", 100), Load(1))


def test_who_holds_most_makes_room_with_its_newest() -> None:
    queue = filled(("noisy", 90), ("loud", 10))
    assert queue.put("quiet", ("quiet", 0), Load(3)) == [
        ("noisy", place) for place in (89, 88, 87)
    ]
    assert queue.pieces == 100


def test_nobody_makes_room_for_who_would_then_hold_more() -> None:
    queue = filled(("a", 50), ("b", 50))
    for source in "ab":
        with pytest.raises(Overloaded):
            queue.put(source, (source, 50), Load(1))
    with pytest.raises(Overloaded):
        queue.put("greedy", ("greedy", 0), Load(30))
    assert len(queue.take(Load(200))) == 100


def test_two_who_fill_the_room_end_with_half_of_it_each() -> None:
    queue = filled(("first", 100))
    for place in range(100):
        with suppress(Overloaded):
            queue.put("second", ("second", place), Load(1))
    held = [source for source, _ in queue.take(Load(200))]
    assert held.count("first") == held.count("second") == 50


def test_bytes_are_made_room_for_as_well() -> None:
    queue: FairQueue[str] = FairQueue(ROOM)
    queue.put("noisy", "first", Load(1, 5_000))
    queue.put("noisy", "second", Load(1, 5_000))
    assert queue.put("quiet", "own", Load(1, 100)) == ["second"]


def test_what_was_taken_takes_room_until_it_is_done_and_cannot_be_sent_away() -> None:
    queue = filled(("noisy", 100))
    assert len(queue.take(Load(100))) == 100
    with pytest.raises(Overloaded):
        queue.put("quiet", ("quiet", 0), Load(1))
    queue.done(Load(100))
    assert queue.put("quiet", ("quiet", 0), Load(1)) == []


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 40), st.integers(0, 4_000))),
    st.integers(1, 60),
)
def test_what_was_let_in_comes_out_once_and_in_the_order_of_its_source(
    asked: list[tuple[str, int, int]], group: int
) -> None:
    queue: FairQueue[int] = FairQueue(ROOM)
    let_in: dict[str, list[int]] = defaultdict(list)
    for number, (source, pieces, size) in enumerate(asked):
        with suppress(Overloaded):
            sent_away = queue.put(source, number, Load(pieces, size))
            let_in[source].append(number)
            for line in let_in.values():
                line[:] = [each for each in line if each not in sent_away]
        held = [asked[each] for line in let_in.values() for each in line]
        assert queue.pieces == sum(pieces for _, pieces, _ in held)
        assert len(held) == 1 or queue.pieces <= ROOM.pieces
        assert len(held) == 1 or sum(size for _, _, size in held) <= ROOM.bytes
    came_out: dict[str, list[int]] = defaultdict(list)
    while queue:
        taken = queue.take(Load(group, 5_000))
        assert taken
        for number in taken:
            came_out[asked[number][0]].append(number)
    assert came_out == {source: line for source, line in let_in.items() if line}


# ---- room that is reserved ------------------------------------------------------------------


def test_a_source_reserves_twice_what_stays_free_and_others_find_some_too() -> None:
    queue = filled(room=Load(90, 9_000))
    reserved = dict.fromkeys("abc", 0)
    for source in reserved:
        with suppress(Overloaded):
            for _ in range(90):
                queue.reserve(source, Load(1, 1))
                reserved[source] += 1
    assert reserved == {"a": 60, "b": 20, "c": 6}
    assert queue.put("d", ("d", 0), Load(4)) == []  # what is left of 90
    with pytest.raises(Overloaded):
        queue.put("a", ("a", 0), Load(1))


def test_shares_of_reservations_are_of_bytes_too() -> None:
    queue = filled()
    queue.reserve("noisy", Load(1, 5_000))
    with pytest.raises(Overloaded):
        queue.reserve("noisy", Load(1, 2_000))
    queue.reserve("quiet", Load(1, 2_000))


def test_what_is_larger_than_the_room_reserves_half_of_it() -> None:
    queue = filled()
    reserved, _ = queue.reserve("large", Load(300, 70_000))
    assert reserved == Load(50, 5_000)
    queue.release("large", reserved)
    assert queue.put("other", ("other", 0), Load(100, 10_000)) == []


def test_a_reservation_sends_away_the_newest_of_who_holds_most() -> None:
    queue = filled(("noisy", 100))
    assert queue.reserve("quiet", Load(2))[1] == [("noisy", 99), ("noisy", 98)]
    assert len(queue.take(Load(200))) == 98


def test_who_reserved_much_sends_nobody_away_and_is_not_sent_away() -> None:
    queue = filled(("waiting", 40))
    queue.reserve("noisy", Load(50))
    with pytest.raises(Overloaded):
        queue.put("noisy", ("noisy", 0), Load(11))
    assert queue.put("quiet", ("quiet", 0), Load(11)) == [("waiting", 39)]


def test_another_makes_room_where_who_holds_most_has_little_waiting() -> None:
    queue = filled(("reserving", 1), ("noisy", 49))
    queue.reserve("reserving", Load(50))
    assert queue.put("quiet", ("quiet", 0), Load(2)) == [("noisy", 48), ("noisy", 47)]


def test_what_room_was_reserved_for_is_let_in_whole_even_if_it_is_larger() -> None:
    queue = filled(("other", 90))
    reserved, _ = queue.reserve("late", Load(5))
    queue.release("late", reserved)
    queue.admit("late", ("late", 0), Load(30))
    assert queue.pieces == 120
    assert not queue.fits(Load(1))
    assert ("late", 0) in queue.take(Load(200))


@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.booleans(), st.integers(1, 70), st.integers(0, 7_000))
    )
)
def test_a_check_says_what_reserving_would_do_and_changes_nothing(
    asked: list[tuple[str, bool, int, int]],
) -> None:
    queue: FairQueue[int] = FairQueue(ROOM)
    for number, (source, waits, pieces, size) in enumerate(asked):
        load = Load(pieces, size)
        if waits:
            with suppress(Overloaded):
                queue.put(source, number, load)
            continue
        held = queue.pieces
        try:
            queue.check(source, load)
        except Overloaded:
            with pytest.raises(Overloaded):
                queue.reserve(source, load)
            continue
        assert queue.pieces == held
        queue.reserve(source, load)


class Sources:
    """Some that use a queue, and give back what they took or reserved."""

    def __init__(self) -> None:
        self.queue: FairQueue[int] = FairQueue(ROOM)
        self.loads: list[Load] = []  # of the items, which are their places here
        self.reserved: list[tuple[str, Load]] = []

    def put(self, source: str, load: Load) -> None:
        self.loads.append(load)
        self.queue.put(source, len(self.loads) - 1, load)

    def withdraw(self, source: str, _: Load) -> None:
        self.queue.withdraw(source, len(self.loads) - 1)

    def reserve(self, source: str, load: Load) -> None:
        self.reserved.append((source, self.queue.reserve(source, load)[0]))

    def release(self, _source: str, _load: Load) -> None:
        if self.reserved:
            self.queue.release(*self.reserved.pop())

    def take(self, _source: str, _load: Load) -> None:
        if self.queue:
            for item in self.queue.take(Load(50, 5_000)):
                self.queue.done(self.loads[item])


@given(
    st.lists(
        st.tuples(
            st.sampled_from((
                Sources.put, Sources.withdraw, Sources.reserve, Sources.release, Sources.take,
            )),
            st.sampled_from("abc"),
            st.builds(Load, st.integers(1, 60), st.integers(0, 6_000)),
        )
    )
)  # fmt: skip
def test_when_all_is_given_back_the_whole_room_is_free_again(
    acts: list[tuple[Callable[[Sources, str, Load], None], str, Load]],
) -> None:
    sources = Sources()
    for act, source, load in acts:
        with suppress(Overloaded):
            act(sources, source, load)
    queue = sources.queue
    while queue or sources.reserved:
        sources.take("", ROOM)
        sources.release("", ROOM)
    assert queue.pieces == 0
    queue.put("a", 0, Load(1, 0))
    assert queue.fits(Load(ROOM.pieces - 1, ROOM.bytes))
    assert not queue.fits(Load(ROOM.pieces, 0))
    assert not queue.fits(Load(0, ROOM.bytes + 1))


# ---- turns ----------------------------------------------------------------------------------


class Work:
    """Who is at work, in which order they came to it, and a gate that holds them there."""

    def __init__(self, at_once: int, *, waiting: int = 100, seconds: float = SOON) -> None:
        self.turns = Turns(at_once, waiting=waiting, seconds=seconds)
        self.gate = asyncio.Event()
        self.begun: list[str] = []

    async def do(self, source: str) -> None:
        async with self.turns.take(source):
            self.begun.append(source)
            await self.gate.wait()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_so_many_work_at_once_and_the_others_have_their_turns_source_by_source() -> None:
    work = Work(2)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as callers:
        for source in ["noisy"] * 6 + ["loud"] * 3 + ["quiet"]:
            callers.create_task(work.do(source))
        await settle()
        assert work.begun == ["noisy", "noisy"]
        work.gate.set()
    assert work.begun[2:5] == ["noisy", "loud", "quiet"]
    assert len(work.begun) == 10


async def test_a_flood_is_refused_and_not_who_comes_after_it() -> None:
    work = Work(1, waiting=4)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as callers:
        flood = [asyncio.ensure_future(work.do("flood")) for _ in range(10)]
        await settle()
        callers.create_task(work.do("quiet"))
        await settle()
        work.gate.set()
        ends = await asyncio.gather(*flood, return_exceptions=True)
    assert [type(end) for end in ends].count(Overloaded) == 6
    assert work.begun == ["flood", "flood", "quiet", "flood", "flood"]


async def test_who_hangs_up_while_waiting_takes_no_turn() -> None:
    work = Work(1)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as callers:
        callers.create_task(work.do("first"))
        await settle()
        gone = [callers.create_task(work.do("gone")) for _ in range(3)]
        await settle()
        for task in gone:
            task.cancel()
        work.gate.set()  # at the same moment, so that a turn may come to who has just gone
        await settle()
        await work.do("last")
    assert work.begun == ["first", "last"]


async def test_who_hangs_up_with_a_turn_just_given_passes_it_on() -> None:
    work = Work(1)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as callers:
        first = callers.create_task(work.do("first"))
        await settle()
        gone = callers.create_task(work.do("gone"))
        callers.create_task(work.do("last"))
        await settle()
        first.cancel()
        await asyncio.sleep(0)  # the turn is given, and its taker has not run yet
        gone.cancel()
        await settle()
        work.gate.set()
    assert work.begun == ["first", "last"]


async def test_who_waits_too_long_is_refused_and_the_turn_goes_to_another() -> None:
    work = Work(1, seconds=0.02)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as callers:
        callers.create_task(work.do("first"))
        await settle()
        with pytest.raises(Overloaded):
            await work.do("late")
        work.gate.set()
        await settle()
        await work.do("last")
    assert work.begun == ["first", "last"]
