"""Events become records: in order, in groups, within bounds, and nobody is left without answer."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, Any, NoReturn, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from auditlogservice.access import Principal, Scope
from auditlogservice.errors import (
    AuditLogError,
    InputTooLarge,
    OutcomeUnknown,
    Overloaded,
    StorageFull,
    StoreBroken,
    StoreUnreachable,
    Unavailable,
)
from auditlogservice.events import Record, Sequence, read_event
from auditlogservice.filters import EVERYTHING
from auditlogservice.ledger.recorder import MAX_GROUP_BYTES, MAX_GROUP_EVENTS, Recorder
from auditlogservice.ledger.sharing.fairness import Load
from auditlogservice.store.port import Appended, PageQuery, Replayed, Submission
from auditlogservice.store.sqlite import open_sqlite
from faulty import Fault, Faulty
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from collections.abc import Sequence as Seq

    from auditlogservice.events import Draft, Event
    from auditlogservice.store.port import Answer, EventStore, Outcome

ALICE = Principal(user_id="u1", name="alice", tenant="acme", scopes=frozenset(Scope))
SOON = 5  # seconds: a limit on what should take none


@dataclass
class FakeStore:
    """Keeps names in a list. Waits at the gate, then does what `fail` says, if anything."""

    names: list[str] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)  # how many events each append had
    fail: Callable[[list[str]], None] = lambda _: None
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        names = [_name(draft) for each in submissions for draft in each.drafts]
        self.groups.append(len(names))
        self.started.set()
        await self.gate.wait()
        self.fail(names)
        places = count(len(self.names))
        self.names += names
        return [
            tuple(
                Appended(
                    Record(
                        id=draft.id,
                        sequence=Sequence(next(places)),
                        payload=draft.payload(draft.received_at),
                    )
                )
                for draft in each.drafts
            )
            for each in submissions
        ]

    async def _unused(self, *_: Any, **__: Any) -> NoReturn:
        raise AssertionError("the recorder only appends")

    find = page = listing = end = places = erase = ping = close = _unused


@dataclass
class FakeGauge:
    depths: list[int] = field(default_factory=list)
    commits: list[int] = field(default_factory=list)
    failures: list[BaseException] = field(default_factory=list)

    def queued(self, events: int) -> None:
        self.depths.append(events)

    def committed(self, *, events: int, seconds: float) -> None:
        assert seconds >= 0
        self.commits.append(events)

    def failed(self, error: BaseException) -> None:
        self.failures.append(error)


def _name(sent: Draft) -> str:
    return str(
        Record(id=sent.id, sequence=Sequence(0), payload=sent.payload(NOON)).fields()["name"]
    )


def _recorder(
    store: EventStore, *, events: int = 1_000, size: int = 10**9, gauge: FakeGauge | None = None
) -> Recorder:
    return Recorder(
        store,
        clock=lambda: NOON,
        entropy=lambda length: b"\xab" * length,
        gauge=gauge or FakeGauge(),
        on_commit=lambda _: None,
        kept_for=lambda _tenant, _type: None,
        redact=lambda _tenant, event: event,
        max_queued_events=events,
        max_queued_bytes=size,
    )


@asynccontextmanager
async def _running(recorder: Recorder) -> AsyncIterator[asyncio.TaskGroup]:
    """Run the recorder; leave when everything that was accepted is written."""
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as writer:
        writer.create_task(recorder.run())
        try:
            async with asyncio.TaskGroup() as callers:
                yield callers
        finally:
            recorder.close()


def _one(name: str = "n", **more: Any) -> Submission:
    return Submission((draft(told(name, **more)),))


def _event(name: str, steps: list[str] | None = None) -> Event:
    if steps is not None:
        steps.append(name)
    return read_event(told(name), now=NOON)


def _failing(error: Exception) -> Callable[[], Event]:
    def fail() -> Event:
        raise error

    return fail


async def _record_all(
    recorder: Recorder, reads: Seq[Callable[[], Event]]
) -> list[Outcome | BaseException]:
    coming = [recorder.record_one(read, ALICE, key=None) for read in reads]
    return await asyncio.gather(*coming, return_exceptions=True)


async def _settle() -> None:
    """Let every task run until it waits for something."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _refusal(recorder: Recorder, submission: Submission) -> AuditLogError | None:
    try:
        await recorder.record(submission)
    except AuditLogError as error:
        return error
    return None


# ---- drafts -------------------------------------------------------------------------------


def test_a_draft_without_a_key_gets_an_id_of_time_and_chance() -> None:
    made = _recorder(FakeStore()).draft(read_event(told(), now=NOON), ALICE, key=None)
    assert made.id == f"{int(NOON.timestamp()):08x}" + "ab" * 8
    assert not made.keyed


def test_a_draft_with_a_key_gets_the_id_that_the_key_means() -> None:
    recorder, event = _recorder(FakeStore()), read_event(told(), now=NOON)
    made = [recorder.draft(event, ALICE, key="k", index=index) for index in (0, 0, 1)]
    assert made[0].id == made[1].id != made[2].id
    assert all(one.keyed for one in made)


def test_a_draft_is_of_its_callers_tenant_and_carries_its_name() -> None:
    made = _recorder(FakeStore()).draft(read_event(told(), now=NOON), ALICE, key=None)
    assert (made.tenant, made.user_id, made.received_at) == ("acme", "alice", NOON)
    assert "user_id=alice" in made.terms


def test_a_key_survives_that_its_user_is_renamed_but_not_that_it_is_another_user() -> None:
    recorder, event = _recorder(FakeStore()), read_event(told(), now=NOON)
    renamed = Principal(user_id="u1", name="alicia", tenant="acme", scopes=ALICE.scopes)
    recreated = Principal(user_id="u2", name="alice", tenant="acme", scopes=ALICE.scopes)
    one, same, other = (recorder.draft(event, who, key="k") for who in (ALICE, renamed, recreated))
    assert one.id == same.id != other.id


# ---- groups -------------------------------------------------------------------------------


async def test_a_lone_event_waits_for_nobody() -> None:
    store = FakeStore()
    store.gate.set()
    recorder = _recorder(store)
    async with _running(recorder):
        (outcome,) = await recorder.record(_one("alone"))
    assert isinstance(outcome, Appended)
    assert store.groups == [1]


async def test_events_that_come_while_a_group_is_written_share_the_next_one_in_order() -> None:
    store, gauge = FakeStore(), FakeGauge()
    recorder = _recorder(store, gauge=gauge)
    names = [f"event {number}" for number in range(100)]
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("first")))
        await store.started.wait()
        waiting = [callers.create_task(recorder.record(_one(name))) for name in names]
        await _settle()
        store.gate.set()
    assert store.groups == [1, 100]
    assert store.names == ["first", *names]
    sequences = [
        outcome.record.sequence
        for task in waiting
        for outcome in task.result()
        if isinstance(outcome, Appended)
    ]
    assert sequences == list(range(1, 101))
    assert gauge.commits == [1, 100]
    assert (max(gauge.depths), gauge.depths[-1]) == (101, 0)


async def test_single_events_that_come_at_once_are_prepared_together_and_share_a_group() -> None:
    store, steps = FakeStore(), list[str]()
    store.gate.set()
    recorder = _recorder(store)

    async def record(name: str) -> None:
        steps.append("comes")
        await recorder.record_one(lambda: _event(name, steps), ALICE, key=None)

    async with _running(recorder) as callers:
        for name in "abc":
            callers.create_task(record(name))
    assert steps == ["comes"] * 3 + ["a", "b", "c"]
    assert (store.names, store.groups) == (["a", "b", "c"], [3])


@pytest.mark.parametrize("key", [None, "once"])
async def test_a_single_event_becomes_the_record_of_its_draft(key: str | None) -> None:
    store = FakeStore()
    store.gate.set()
    recorder, event = _recorder(store), _event("n")
    async with _running(recorder):
        outcome = await recorder.record_one(lambda: event, ALICE, key=key)
    assert isinstance(outcome, Appended)
    same = recorder.draft(event, ALICE, key=key)
    assert (outcome.record.id, outcome.record.payload) == (same.id, same.payload(same.received_at))


async def test_what_reading_an_event_raises_is_told_to_its_caller_alone() -> None:
    store = FakeStore()
    store.gate.set()
    recorder = _recorder(store)
    bad, defect = InputTooLarge("too large"), ZeroDivisionError()
    reads = [lambda: _event("before"), _failing(bad), _failing(defect), lambda: _event("behind")]
    async with _running(recorder):
        outcomes = await _record_all(recorder, reads)
    assert outcomes[1:3] == [bad, defect]
    assert store.names == ["before", "behind"]


async def test_what_drafting_an_event_raises_is_told_to_its_caller_alone() -> None:
    store = FakeStore()
    store.gate.set()
    recorder = _recorder(store)
    no_event = cast("Event", object())
    async with _running(recorder):
        outcomes = await _record_all(recorder, [lambda: no_event, lambda: _event("good")])
    assert isinstance(outcomes[0], AttributeError)
    assert store.names == ["good"]


async def test_an_event_whose_caller_left_before_it_was_read_is_not_kept() -> None:
    store = FakeStore()
    store.gate.set()
    recorder = _recorder(store)
    async with _running(recorder) as callers:
        gone = callers.create_task(recorder.record_one(lambda: _event("gone"), ALICE, key=None))
        other = callers.create_task(recorder.record_one(lambda: _event("other"), ALICE, key=None))
        asyncio.get_running_loop().call_soon(gone.cancel)
        assert isinstance(await other, Appended)
    assert gone.cancelled()
    assert store.names == ["other"]


async def test_a_single_event_for_which_there_is_no_room_is_refused() -> None:
    store = FakeStore()
    store.gate.set()
    recorder = _recorder(store, events=2)
    async with _running(recorder):
        outcomes = await _record_all(recorder, [lambda: _event("one")] * 3)
    assert [type(each) for each in outcomes] == [Appended, Appended, Overloaded]
    assert store.groups == [2]


async def test_a_group_keeps_within_its_events() -> None:
    store = FakeStore()
    recorder = _recorder(store, events=10**6)
    sizes = [1, MAX_GROUP_EVENTS - 1, 1, MAX_GROUP_EVENTS + 5, 1]
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one()))
        await store.started.wait()
        one = draft()
        for size in sizes:
            callers.create_task(recorder.record(Submission((one,) * size)))
        await _settle()
        store.gate.set()
    assert store.groups == [1, MAX_GROUP_EVENTS, 1, MAX_GROUP_EVENTS + 5, 1]


async def test_a_group_keeps_within_its_bytes() -> None:
    store = FakeStore()
    recorder = _recorder(store)
    large = Submission((draft(told(detail="x" * 200_000)),) * (MAX_GROUP_BYTES // 200_000 - 1))
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one()))
        await store.started.wait()
        for submission in (large, _one(), large, large, _one()):
            callers.create_task(recorder.record(submission))
        await _settle()
        store.gate.set()
    each = len(large.drafts)
    assert store.groups == [1, each + 1, each, each + 1]


@settings(max_examples=25)
@given(st.lists(st.integers(0, 5), max_size=30), st.integers(1, 4))
async def test_every_submission_gets_the_outcomes_of_its_own_drafts(
    sizes: list[int], pause: int
) -> None:
    opened = await open_sqlite(":memory:")
    recorder = _recorder(opened.events)
    submissions = [
        Submission(tuple(draft(told(f"{number}.{place}")) for place in range(size)))
        for number, size in enumerate(sizes)
    ]
    tasks = []
    async with _running(recorder) as callers:
        for number, submission in enumerate(submissions):
            tasks.append(callers.create_task(recorder.record(submission)))
            if number % pause == 0:
                await asyncio.sleep(0)
    for submission, task in zip(submissions, tasks, strict=True):
        ids = [one.record.id for one in task.result() if isinstance(one, Appended)]
        assert ids == [one.id for one in submission.drafts]
    kept = await _whole_log(opened.events)
    assert [record.id for record in kept] == [
        one.id for submission in submissions for one in submission.drafts
    ]
    await opened.close()


# ---- the queue is bounded -------------------------------------------------------------------


async def test_more_events_than_the_queue_holds_are_refused_and_not_kept() -> None:
    store = FakeStore()
    recorder = _recorder(store, events=3)
    async with _running(recorder) as callers:
        for number in range(3):
            callers.create_task(recorder.record(_one(f"fits {number}")))
            await _settle()
        assert recorder.is_full
        for submission in (_one("too many"), Submission((draft(told("too many")),) * 2)):
            with pytest.raises(Overloaded):
                await recorder.record(submission)
        store.gate.set()
        await _settle()
        assert not recorder.is_full
        await recorder.record(_one("again"))
    assert store.names == ["fits 0", "fits 1", "fits 2", "again"]


async def test_more_bytes_than_the_queue_holds_are_refused_and_not_kept() -> None:
    store = FakeStore()
    size = draft(told("x" * 10)).weight
    recorder = _recorder(store, size=2 * size)
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("a" * 10)))
        await store.started.wait()
        with pytest.raises(Overloaded):
            await recorder.record(_one("b" * 11))
        callers.create_task(recorder.record(_one("c" * 10)))
        await _settle()
        with pytest.raises(Overloaded):
            await recorder.record(_one("d"))
        store.gate.set()
        await _settle()
        await recorder.record(_one("e" * 10))
    assert [name[0] for name in store.names] == ["a", "c", "e"]


@pytest.mark.parametrize("limit", [{"events": 3}, {"size": 50}])
async def test_a_batch_larger_than_the_queue_fits_if_the_queue_is_empty(
    limit: dict[str, Any],
) -> None:
    store = FakeStore()
    recorder = _recorder(store, **limit)
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(Submission((draft(told("large")),) * 10)))
        await store.started.wait()
        with pytest.raises(Overloaded):
            await recorder.record(_one("not beside it"))
        store.gate.set()
    assert store.names == ["large"] * 10


@pytest.mark.parametrize("error", [None, StoreUnreachable(), ZeroDivisionError()], ids=repr)
async def test_what_is_written_or_failed_makes_room(error: Exception | None) -> None:
    store = FakeStore(fail=_raise(error, "old") if error else lambda _: None)
    store.gate.set()
    # Room for two of the new ones, but not beside one of the old.
    recorder = _recorder(store, events=2, size=2 * draft(told("new")).weight)
    async with _running(recorder) as callers:
        for _ in range(10):
            await _refusal(recorder, _one("old", source="x" * 300))
        store.gate.clear()
        for _ in range(2):  # the second one fits only if nothing is left of the old ones
            callers.create_task(recorder.record(_one("new")))
            await _settle()
        store.gate.set()
    assert store.names[-2:] == ["new", "new"]


# ---- room is reserved -----------------------------------------------------------------------


async def test_what_was_reserved_is_written_though_the_queue_is_full_by_then() -> None:
    store = FakeStore()
    recorder = _recorder(store, events=4)
    async with _running(recorder) as callers:
        with recorder.reserve(ALICE, Load(2)) as reservation:
            for name in ("first", "second"):
                callers.create_task(recorder.record(_one(name)))
            await _settle()
            assert await _refusal(recorder, _one("too many")) is not None
            portions = [_one("reserved"), Submission((draft(told("and larger")),) * 3)]
            futures = recorder.record_reserved(reservation, portions)
        store.gate.set()
        answers = await asyncio.gather(*futures)
    assert [len(answer) for answer in answers] == [1, 3]
    assert store.names == ["first", "second", "reserved", *["and larger"] * 3]


@pytest.mark.parametrize(
    "error", [AuditLogError("a flaw"), asyncio.CancelledError(), ZeroDivisionError()], ids=repr
)
async def test_room_that_was_not_used_is_given_back_whatever_happened(
    error: BaseException,
) -> None:
    store = FakeStore()
    recorder = _recorder(store, events=2)

    async def reserve_and_fail() -> NoReturn:
        with recorder.reserve(ALICE, Load(1)):
            await store.started.wait()
            assert recorder.is_full
            raise error

    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("beside it")))
        with pytest.raises(type(error)):
            await reserve_and_fail()
        assert not recorder.is_full
        store.gate.set()


async def test_who_reserves_sends_away_the_newest_of_who_fills_the_queue() -> None:
    store = FakeStore()
    recorder = _recorder(store, events=4)
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("first")))
        await store.started.wait()
        waiting = [callers.create_task(_refusal(recorder, _one(str(n)))) for n in range(3)]
        await _settle()
        other = Principal(user_id="u2", name="bob", tenant="acme", scopes=ALICE.scopes)
        with recorder.reserve(other, Load(1)):
            assert isinstance(await waiting[-1], Overloaded)
            store.gate.set()
    assert store.names == ["first", "0", "1"]


async def test_a_closed_recorder_reserves_nothing_and_takes_nothing_that_was_reserved() -> None:
    recorder = _recorder(FakeStore())
    with recorder.reserve(ALICE, Load(1)) as reservation:
        recorder.close()
        with pytest.raises(Overloaded):
            recorder.record_reserved(reservation, [_one()])
    with pytest.raises(Overloaded), recorder.reserve(ALICE, Load(1)):
        pass


# ---- failures -------------------------------------------------------------------------------


def _raise(error: BaseException, at: str = "") -> Callable[[list[str]], None]:
    """Fail with this error, if an event with this in its name is there."""

    def fail(names: list[str]) -> None:
        if any(at in name for name in names):
            raise error

    return fail


@pytest.mark.parametrize("error", [StorageFull(), StoreUnreachable(), OutcomeUnknown()], ids=repr)
async def test_a_failure_of_the_store_is_told_to_its_group_and_to_nobody_else(
    error: Unavailable,
) -> None:
    store, gauge = FakeStore(fail=_raise(error, "bad")), FakeGauge()
    recorder = _recorder(store, gauge=gauge)
    async with _running(recorder) as callers:
        before = callers.create_task(_refusal(recorder, _one("before")))
        await store.started.wait()
        group = [
            callers.create_task(_refusal(recorder, _one(name))) for name in ("good", "bad", "good")
        ]
        await _settle()
        store.gate.set()
        told_to = await asyncio.gather(*group)
        after = await _refusal(recorder, _one("after"))
    assert (await before, after) == (None, None)
    assert told_to == [error] * 3
    assert store.names == ["before", "after"]
    assert gauge.failures == [error]


async def test_a_defect_of_the_store_leaves_the_outcome_unknown_and_the_recorder_running() -> None:
    defect = ZeroDivisionError("a defect")
    store, gauge = FakeStore(fail=_raise(defect, "bad")), FakeGauge()
    store.gate.set()
    recorder = _recorder(store, gauge=gauge)
    async with _running(recorder):
        assert isinstance(await _refusal(recorder, _one("bad")), OutcomeUnknown)
        assert await _refusal(recorder, _one("good")) is None
    assert gauge.failures == [defect]


@pytest.mark.parametrize("answered", [0, 1, 3])
async def test_a_store_that_answers_for_others_leaves_the_outcome_unknown(answered: int) -> None:
    class Confused(FakeStore):
        async def append(self, submissions: Seq[Submission]) -> list[Answer]:
            answers = await super().append(submissions)
            return (answers * 2)[:answered] if len(submissions) == 2 else answers

    store, gauge = Confused(), FakeGauge()
    recorder = _recorder(store, gauge=gauge)
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("first")))
        await store.started.wait()
        group = [callers.create_task(_refusal(recorder, _one("one of two"))) for _ in range(2)]
        await _settle()
        store.gate.set()
        told_to = await asyncio.gather(*group)
        assert await _refusal(recorder, _one("after")) is None
    assert [type(error) for error in told_to] == [OutcomeUnknown] * 2
    assert len(gauge.failures) == 1


async def test_what_fails_of_one_caller_is_no_other_ones_failure() -> None:
    class Damaged(FakeStore):
        async def append(self, submissions: Seq[Submission]) -> list[Answer]:
            answers = await super().append(submissions)
            return [
                StoreBroken() if _name(each.drafts[0]) == "bad" else answer
                for each, answer in zip(submissions, answers, strict=True)
            ]

    store, gauge = Damaged(), FakeGauge()
    recorder = _recorder(store, gauge=gauge)
    async with _running(recorder) as callers:
        callers.create_task(recorder.record(_one("first")))
        await store.started.wait()
        group = [
            callers.create_task(_refusal(recorder, _one(name))) for name in ("one", "bad", "two")
        ]
        await _settle()
        store.gate.set()
        one, bad, two = await asyncio.gather(*group)
        assert isinstance(await _refusal(recorder, _one("bad")), StoreBroken)
    assert store.groups == [1, 3, 1]
    assert (one, two) == (None, None)
    assert isinstance(bad, StoreBroken)
    assert gauge.commits == [1, 2]
    assert [type(error) for error in gauge.failures] == [StoreBroken] * 2


# ---- callers who leave ------------------------------------------------------------------------


async def test_an_event_whose_caller_left_is_kept_and_the_others_hear_of_theirs() -> None:
    store = FakeStore()
    recorder = _recorder(store)
    async with _running(recorder) as callers:
        writing = callers.create_task(recorder.record(_one("being written")))
        await store.started.wait()
        waiting = callers.create_task(recorder.record(_one("waiting")))
        other = callers.create_task(recorder.record(_one("other")))
        await _settle()
        writing.cancel()
        waiting.cancel()
        await _settle()
        store.gate.set()
        assert isinstance((await other)[0], Appended)
    assert writing.cancelled()
    assert waiting.cancelled()
    assert store.names == ["being written", "waiting", "other"]


async def test_a_caller_who_left_does_not_hear_of_a_failure_and_breaks_nothing() -> None:
    store = FakeStore(fail=_raise(StorageFull(), "bad"))
    recorder = _recorder(store)
    async with _running(recorder) as callers:
        gone = callers.create_task(recorder.record(_one("bad")))
        await store.started.wait()
        gone.cancel()
        await _settle()
        store.gate.set()
        await recorder.record(_one("good"))
    assert store.names == ["good"]


async def test_callers_who_leave_make_no_room_before_their_events_are_written() -> None:
    """Otherwise a client that hangs up in a loop would fill the memory."""
    store = FakeStore()
    recorder = _recorder(store, events=5)
    async with _running(recorder) as callers:
        for _ in range(5):
            task = callers.create_task(recorder.record(_one("left")))
            await _settle()
            task.cancel()
            await _settle()
        with pytest.raises(Overloaded):
            await recorder.record(_one("too many"))
        store.gate.set()
    assert store.names == ["left"] * 5


# ---- closing ----------------------------------------------------------------------------------


async def test_closing_writes_everything_that_was_accepted_and_accepts_no_more() -> None:
    store = FakeStore()
    recorder = _recorder(store)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        accepted = [tasks.create_task(recorder.record(_one(str(number)))) for number in range(5)]
        await store.started.wait()
        recorder.close()
        with pytest.raises(Overloaded):
            await recorder.record(_one("late"))
        store.gate.set()
    assert store.names == ["0", "1", "2", "3", "4"]
    assert all(isinstance(task.result()[0], Appended) for task in accepted)
    with pytest.raises(Overloaded):
        await recorder.record(_one("later"))


async def test_an_event_that_is_read_when_the_recorder_is_closed_is_refused() -> None:
    recorder = _recorder(FakeStore())
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        tasks.create_task(recorder.run())
        asyncio.get_running_loop().call_soon(recorder.close)
        with pytest.raises(Overloaded):
            await recorder.record_one(lambda: _event("late"), ALICE, key=None)


async def test_a_recorder_that_was_closed_before_it_ran_returns_at_once() -> None:
    recorder = _recorder(FakeStore())
    recorder.close()
    async with asyncio.timeout(SOON):
        await recorder.run()


async def test_when_the_writer_is_cancelled_nobody_waits_for_ever() -> None:
    """What was being written may be kept; what waited is not, and both are told so."""
    store = FakeStore()
    recorder = _recorder(store)
    async with asyncio.timeout(SOON), asyncio.TaskGroup() as tasks:
        writer = tasks.create_task(recorder.run())
        writing = tasks.create_task(_refusal(recorder, _one("being written")))
        await store.started.wait()
        waiting = tasks.create_task(_refusal(recorder, _one("waiting")))
        await _settle()
        writer.cancel()
        assert isinstance(await writing, OutcomeUnknown)
        assert isinstance(await waiting, Overloaded)
        assert isinstance(await _refusal(recorder, _one("late")), Overloaded)
    assert writer.cancelled()
    assert store.names == []


# ---- retries ----------------------------------------------------------------------------------


async def _whole_log(store: EventStore) -> list[Record]:
    records = await store.page(
        PageQuery(tenant="acme", where=EVERYTHING, order="oldest", beyond=None, limit=1_000)
    )
    assert [record.sequence for record in records] == list(range(len(records)))
    return records


async def _record_until_told(recorder: Recorder, submission: Submission) -> tuple[Outcome, ...]:
    while True:
        try:
            return await recorder.record(submission)
        except Unavailable:
            await asyncio.sleep(0)


@settings(max_examples=60)
@given(
    faults=st.dictionaries(st.integers(0, 8), st.sampled_from(["lost", "persisted"])),
    sizes=st.lists(st.integers(1, 3), min_size=1, max_size=6),
)
async def test_retrying_with_keys_neither_loses_nor_doubles(
    faults: dict[int, Fault], sizes: list[int]
) -> None:
    opened = await open_sqlite(":memory:")
    recorder = _recorder(Faulty(opened.events, faults))
    submissions = [
        Submission(
            tuple(
                draft(told(f"{caller}.{place}"), key=f"{caller}.{place}") for place in range(size)
            )
        )
        for caller, size in enumerate(sizes)
    ]
    async with _running(recorder) as callers:
        tasks = [
            callers.create_task(_record_until_told(recorder, submission))
            for submission in submissions
        ]
    kept = await _whole_log(opened.events)
    assert Counter(str(record.fields()["name"]) for record in kept) == Counter(
        _name(one) for submission in submissions for one in submission.drafts
    )
    by_id = {record.id: record for record in kept}
    for submission, task in zip(submissions, tasks, strict=True):
        for one, outcome in zip(submission.drafts, task.result(), strict=True):
            assert isinstance(outcome, Appended | Replayed)
            told_of = outcome.record if isinstance(outcome, Appended) else outcome.kept
            assert told_of == by_id[one.id]
    await opened.close()


@pytest.mark.parametrize(("fault", "kept"), [("lost", 1), ("persisted", 2)])
async def test_retrying_without_a_key_doubles_what_had_persisted(fault: Fault, kept: int) -> None:
    """The control: without keys the same faults do harm."""
    opened = await open_sqlite(":memory:")
    recorder = _recorder(Faulty(opened.events, {0: fault}))
    event = read_event(told(), now=NOON)
    chance = iter(range(10))
    recorder._entropy = lambda length: bytes([next(chance)]) * length
    async with _running(recorder):
        for _ in range(2):
            again = Submission((recorder.draft(event, ALICE, key=None),))
            if await _refusal(recorder, again) is None:
                break
    assert len(await _whole_log(opened.events)) == kept
    await opened.close()
