"""What `store/port.py` promises, claimed of every adapter. Each MUST has a test here."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any, get_args

import pytest
from asking import append, either, erase, keep, page, where, whole_log

from answers import outcomes_of
from auditlogservice.access import Scope, User
from auditlogservice.errors import QueryTimeout, UserExists, UserNotFound
from auditlogservice.events import Erasure, EventId, Record
from auditlogservice.filters import EVERYTHING, Contains, Filter, Like, Not, all_of, any_of
from auditlogservice.governance import TOMBSTONE_TYPE
from auditlogservice.store.mongodb import paging
from auditlogservice.store.port import (
    Appended,
    KeyConflict,
    Outcome,
    Replayed,
    Submission,
    UserChange,
    VerificationKey,
    Withdrawn,
)
from auditlogservice.times import format_utc
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from auditlogservice.runtime.stores import Store
    from auditlogservice.store.port import Order

SECOND = timedelta(seconds=1)
NOBODY = EventId("f" * 24)

# ---- append: order ------------------------------------------------------------------


async def test_what_was_appended_is_found_by_the_next_read(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    assert await store.events.find("acme", record.id) == record
    assert await page(store.events) == [record]


async def test_a_log_begins_at_sequence_zero_and_follows_the_order_of_the_drafts(
    store: Store,
) -> None:
    names = [f"event {number}" for number in range(5)]
    first = await keep(store.events, *(draft(told(name)) for name in names[:3]))
    second = await keep(store.events, *(draft(told(name)) for name in names[3:]))
    assert [record.sequence for record in first + second] == [0, 1, 2, 3, 4]
    assert [record.fields()["name"] for record in await whole_log(store.events)] == names


async def test_the_payload_is_kept_byte_for_byte(store: Store) -> None:
    sent = draft(told(event_data={"😀": ["\x00", 2**63 - 1, 1.0, {"$set": "a.b"}]}))
    (record,) = await keep(store.events, sent)
    found = await store.events.find("acme", record.id)
    assert isinstance(found, Record)
    assert found.payload == record.payload == sent.payload(sent.received_at)


async def test_submissions_of_one_call_are_answered_in_the_order_given(store: Store) -> None:
    submissions = [
        Submission((draft(tenant="acme"), draft(tenant="acme"))),
        Submission(()),
        Submission((draft(tenant="other"),)),
        Submission((draft(tenant="acme"),)),
    ]
    outcomes = outcomes_of(await store.events.append(submissions))
    assert _sequences(outcomes) == [[0, 1], [], [0], [2]]


async def test_no_submissions_have_no_outcomes(store: Store) -> None:
    assert await store.events.append([]) == []


async def test_sixteen_appenders_at_once_leave_no_hole_and_no_duplicate(store: Store) -> None:
    async def write() -> None:
        for _ in range(4):
            await keep(store.events, draft(), draft())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(16):
            tasks.create_task(write())
    assert len(await whole_log(store.events)) == 16 * 4 * 2


async def test_two_nodes_writing_one_log_leave_no_hole_and_no_duplicate(
    nodes: tuple[Store, Store],
) -> None:
    async def write(store: Store) -> None:
        for _ in range(10):
            await keep(store.events, draft(), draft(), draft())

    async with asyncio.TaskGroup() as tasks:
        for node in nodes * 2:
            tasks.create_task(write(node))
    for node in nodes:
        assert len(await whole_log(node.events)) == 4 * 10 * 3


async def test_a_node_goes_on_where_another_one_stopped(nodes: tuple[Store, Store]) -> None:
    one, other = nodes
    sequences = [
        (await keep(node.events, draft()))[0].sequence for node in (one, other, other, one, other)
    ]
    assert sequences == [0, 1, 2, 3, 4]


# ---- append: time -------------------------------------------------------------------


async def test_a_timestamp_is_the_moment_of_arrival(store: Store) -> None:
    (record,) = await keep(store.events, draft(at=NOON))
    assert record.fields()["timestamp"] == format_utc(NOON)


async def test_timestamps_never_go_back_within_a_call_or_between_calls(store: Store) -> None:
    await keep(store.events, draft(at=NOON), draft(at=NOON - SECOND))
    await keep(store.events, draft(at=NOON - 2 * SECOND), draft(at=NOON + SECOND))
    stamps = [record.fields()["timestamp"] for record in await whole_log(store.events)]
    assert stamps == [format_utc(moment) for moment in (NOON, NOON, NOON, NOON + SECOND)]


async def test_timestamps_never_go_back_between_nodes(nodes: tuple[Store, Store]) -> None:
    one, other = nodes
    await keep(one.events, draft(at=NOON))
    (record,) = await keep(other.events, draft(at=NOON - SECOND))
    assert record.fields()["timestamp"] == format_utc(NOON)


async def test_one_tenants_clock_does_not_move_anothers(store: Store) -> None:
    await keep(store.events, draft(at=NOON, tenant="acme"))
    (record,) = await keep(store.events, draft(at=NOON - SECOND, tenant="other"))
    assert record.fields()["timestamp"] == format_utc(NOON - SECOND)


# ---- append: keys -------------------------------------------------------------------


async def test_the_same_event_under_the_same_key_is_replayed(store: Store) -> None:
    (record,) = await keep(store.events, draft(key="k"))
    assert await append(store.events, draft(key="k", at=NOON + SECOND)) == (Replayed(record),)
    assert await whole_log(store.events) == [record]


async def test_another_event_under_the_same_key_is_a_conflict(store: Store) -> None:
    (record,) = await keep(store.events, draft(key="k"))
    assert await append(store.events, draft(told("another"), key="k")) == (KeyConflict(),)
    assert await whole_log(store.events) == [record]


async def test_a_key_counts_within_one_call_too(store: Store) -> None:
    answers = await store.events.append(
        [
            Submission((draft(key="k"), draft(key="k"))),
            Submission((draft(key="k"), draft(told("another"), key="k"))),
        ]
    )
    kinds = [[type(outcome) for outcome in group] for group in outcomes_of(answers)]
    assert kinds == [[Appended, Replayed], [Replayed, KeyConflict]]
    assert len(await whole_log(store.events)) == 1


async def test_a_key_belongs_to_one_user_of_one_tenant(store: Store) -> None:
    for tenant, user in (("acme", "alice"), ("acme", "bob"), ("other", "alice")):
        await keep(store.events, draft(key="k", tenant=tenant, user=user))


async def test_fifty_appends_of_one_key_at_once_leave_one_record(store: Store) -> None:
    outcomes = await asyncio.gather(*(append(store.events, draft(key="k")) for _ in range(50)))
    assert Counter(type(outcome) for (outcome,) in outcomes) == {Appended: 1, Replayed: 49}
    assert len(await whole_log(store.events)) == 1


async def test_two_nodes_racing_for_keys_agree_on_each(nodes: tuple[Store, Store]) -> None:
    async def race(key: str) -> Counter[type[Outcome]]:
        both = await asyncio.gather(*(append(node.events, draft(key=key)) for node in nodes))
        return Counter(type(outcome) for (outcome,) in both)

    races = await asyncio.gather(*(race(f"key {number}") for number in range(20)))
    assert races == [{Appended: 1, Replayed: 1}] * 20
    assert len(await whole_log(nodes[0].events)) == 20


async def test_two_nodes_with_two_events_for_one_key_keep_one(nodes: tuple[Store, Store]) -> None:
    both = await asyncio.gather(
        *(
            append(node.events, draft(told(f"event of node {number}"), key="k"))
            for number, node in enumerate(nodes)
        )
    )
    assert Counter(type(outcome) for (outcome,) in both) == {Appended: 1, KeyConflict: 1}
    assert len(await whole_log(nodes[0].events)) == 1


async def test_a_key_stays_taken_after_erasure(store: Store) -> None:
    (record,) = await keep(store.events, draft(key="k"))
    erasure = await _erase(store, record)
    assert await append(store.events, draft(key="k")) == (Replayed(erasure),)
    # Nothing is left that could tell another event from the one that was erased.
    assert await append(store.events, draft(told("another"), key="k")) == (Replayed(erasure),)


# ---- append: whole or not at all ------------------------------------------------------


async def test_a_conflict_withdraws_the_rest_of_an_atomic_submission(store: Store) -> None:
    (record,) = await keep(store.events, draft(key="taken"))
    outcomes = await append(
        store.events,
        draft(key="first"),
        draft(told("another"), key="taken"),
        draft(),
        atomic=True,
    )
    assert outcomes == (Withdrawn(), KeyConflict(), Withdrawn())
    assert await whole_log(store.events) == [record]


async def test_what_was_withdrawn_can_be_sent_again(store: Store) -> None:
    await keep(store.events, draft(key="taken"))
    await append(
        store.events, draft(key="first"), draft(told("another"), key="taken"), atomic=True
    )
    (record,) = await keep(store.events, draft(key="first"))
    assert record.sequence == 1


async def test_a_replay_in_an_atomic_submission_withdraws_nothing(store: Store) -> None:
    (record,) = await keep(store.events, draft(key="taken"))
    replayed, appended = await append(store.events, draft(key="taken"), draft(), atomic=True)
    assert replayed == Replayed(record)
    assert isinstance(appended, Appended)


async def test_a_conflict_leaves_the_rest_of_an_ordinary_submission(store: Store) -> None:
    await keep(store.events, draft(key="taken"))
    outcomes = await append(store.events, draft(), draft(told("another"), key="taken"), draft())
    assert [type(outcome) for outcome in outcomes] == [Appended, KeyConflict, Appended]
    assert len(await whole_log(store.events)) == 3


async def test_a_withdrawn_submission_leaves_no_hole_for_the_next(store: Store) -> None:
    await keep(store.events, draft(key="taken"))
    answers = await store.events.append(
        [
            Submission((draft(), draft(told("another"), key="taken")), atomic=True),
            Submission((draft(),)),
        ]
    )
    assert _sequences(outcomes_of(answers)) == [[], [1]]
    assert len(await whole_log(store.events)) == 2


# ---- find -----------------------------------------------------------------------------


async def test_what_never_was_is_not_found(store: Store) -> None:
    assert await store.events.find("acme", NOBODY) is None


async def test_a_tenant_never_sees_anothers_records(store: Store) -> None:
    (mine,) = await keep(store.events, draft(told("same"), tenant="acme"))
    (theirs,) = await keep(store.events, draft(told("same"), tenant="other"))
    assert await store.events.find("acme", theirs.id) is None
    assert await page(store.events, where(name="same"), tenant="acme") == [mine]
    assert await page(store.events, where(_id=theirs.id), tenant="acme") == []
    assert await page(store.events, tenant="nobody") == []
    assert await erase(store.events, theirs.id, by="x") is None
    assert await store.events.find("other", theirs.id) == theirs


# ---- page: order and limit --------------------------------------------------------------


_ALL = pytest.mark.parametrize(
    "asked", [EVERYTHING, where(name="User Logged In"), where(user_id="alice", outcome="success")]
)


@_ALL
async def test_pages_from_the_oldest_follow_one_another(store: Store, asked: Filter) -> None:
    records = await keep(store.events, *(draft(told(outcome="success")) for _ in range(5)))
    assert await page(store.events, asked, limit=2) == records[:2]
    assert await page(store.events, asked, limit=2, beyond=1) == records[2:4]
    assert await page(store.events, asked, limit=2, beyond=3) == records[4:]
    assert await page(store.events, asked, limit=2, beyond=4) == []
    assert await page(store.events, asked, limit=2, beyond=99) == []


@_ALL
async def test_pages_from_the_newest_follow_one_another(store: Store, asked: Filter) -> None:
    sent = [draft(told(outcome="success")) for _ in range(5)]
    records = (await keep(store.events, *sent))[::-1]
    assert await page(store.events, asked, order="newest", limit=2) == records[:2]
    assert await page(store.events, asked, order="newest", limit=2, beyond=3) == records[2:4]
    assert await page(store.events, asked, order="newest", limit=2, beyond=1) == records[4:]
    assert await page(store.events, asked, order="newest", limit=2, beyond=0) == []
    assert await page(store.events, asked, order="newest", limit=2, beyond=99) == records[:2]


@pytest.mark.parametrize("order", ["oldest", "newest"])
async def test_a_page_is_full_unless_there_are_no_more(store: Store, order: str) -> None:
    """Matches lie far apart, so that one look at the index does not find enough of them."""
    matching = {3, 4, 301, 302, 599}
    await keep(
        store.events,
        # Folding case in the index makes each of these a candidate; few of them match.
        *(draft(told("Rare" if number in matching else "rare")) for number in range(600)),
    )
    found = await _walk(store, where(name="Rare"), order, limit=2)
    assert [len(each) for each in found] == [2, 2, 1]
    sequences = [record.sequence for each in found for record in each]
    assert sequences == sorted(matching, reverse=order == "newest")


async def test_a_page_may_hold_more_than_a_store_reads_at_once(store: Store) -> None:
    await keep(store.events, *(draft() for _ in range(1_200)))
    assert [r.sequence for r in await page(store.events, limit=1_100)] == list(range(1_100))


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    "asked",
    [
        EVERYTHING,
        where(event_type="auth.login"),
        either("name", *(f"n{number}" for number in range(100))),
        Like("name", "n*"),
        any_of(Like("name", "n1*"), Like("user_id", "al*")),
        Contains("detail", "xx"),
    ],
    ids=["all", "term", "terms", "prefix", "prefixes", "scan"],
)
async def test_a_page_ends_with_the_record_that_brings_it_to_its_bytes(
    store: Store, asked: Filter, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Small enough for MongoDB to go along its index, and to read each part of it in pieces.
    monkeypatch.setattr(paging, "_WINDOW", 5)
    monkeypatch.setattr(paging, "_CHUNK_BYTES", 7_000)
    sent = [draft(told(f"n{number}", detail="x" * 3_000)) for number in range(20)]
    records = await keep(store.events, *sent)
    met: list[Record] = []
    beyond = None
    while more := await page(
        store.events, asked, order=order, beyond=beyond, limit=10, most_bytes=9_001
    ):
        met += more
        beyond = more[-1].sequence
        assert len(more) == 3 or beyond == (19 if order == "oldest" else 0)
    assert met == (records if order == "oldest" else records[::-1])


async def test_a_store_passes_over_large_records_that_do_not_match(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it looks at on the way is bounded in bytes, and that ends no page."""
    monkeypatch.setattr(paging, "_CHUNK_BYTES", 5_000)
    await keep(
        store.events,
        *(
            draft(told("Rare" if number in {3, 40, 59} else "rare", detail="x" * 3_000))
            for number in range(60)
        ),
    )
    for asked in (where(name="Rare"), all_of(where(name="Rare"), Like("event_type", "a*"))):
        found = await page(store.events, asked)
        assert [record.sequence for record in found] == [3, 40, 59]


# ---- where a log ends, and where a moment lies in it ----------------------------------


async def test_the_end_is_the_sequence_that_the_next_record_gets(store: Store) -> None:
    assert await store.events.end("acme") == 0
    records = await keep(store.events, draft(), draft())
    await keep(store.events, draft(tenant="other"))
    assert await store.events.end("acme") == 2
    await _erase(store, records[-1])
    assert await store.events.end("acme") == 3  # the tombstone is a record too
    (following,) = await keep(store.events, draft())
    assert following.sequence == 3
    assert await store.events.end("nobody") == 0


async def test_a_place_is_the_first_sequence_that_is_not_before_the_moment(store: Store) -> None:
    moments = [NOON, NOON + SECOND, NOON + SECOND, NOON + 2 * SECOND]
    records = await keep(store.events, *(draft(at=moment) for moment in moments))
    await keep(store.events, draft(tenant="other", at=NOON + 9 * SECOND))
    await erase(store.events, records[1].id, at=NOON + 3 * SECOND)  # the tombstone has place 4
    micro = timedelta(microseconds=1)
    asked = {
        NOON - SECOND: 0, NOON: 0, NOON + micro: 1, NOON + SECOND: 1, NOON + SECOND + micro: 3,
        NOON + 2 * SECOND: 3, NOON + 2 * SECOND + micro: 4, NOON + 99 * SECOND: 5,
    }  # fmt: skip
    assert await store.events.places("acme", list(asked)) == list(asked.values())
    backwards = list(asked)[::-1]
    assert await store.events.places("acme", backwards) == list(asked.values())[::-1]
    assert await store.events.places("acme", []) == []
    assert await store.events.places("nobody", [NOON, NOON]) == [0, 0]


# ---- how long a question may take -------------------------------------------------------


async def test_a_question_that_takes_too_long_is_told_apart(store: Store) -> None:
    await _fill(store, 2_000)
    with pytest.raises(QueryTimeout):
        await page(store.events, Contains("detail", "needle"), seconds=0.002)
    assert len(await page(store.events, limit=3)) == 3


async def test_a_question_ends_soon_after_nobody_waits_for_it(store: Store) -> None:
    """Four at a time are as many as SQLite has readers: the next one finds them free again."""
    await _fill(store, 4_000)
    slow = any_of(*(Contains("detail", f"needle {number}") for number in range(200)))
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.gather(*(page(store.events, slow, seconds=60) for _ in range(4)))
    async with asyncio.timeout(5):  # a question may take twice as long
        assert len(await page(store.events, where(event_type="auth.login"), limit=3)) == 3


# ---- erase ------------------------------------------------------------------------------


async def test_erasing_leaves_only_who_when_and_why(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    erasure = await erase(store.events, record.id, at=NOON + SECOND, by="$bob", reason="$request")
    assert erasure == Erasure(
        id=record.id,
        sequence=record.sequence,
        erased_at=NOON + SECOND,
        erased_by="$bob",
        reason="$request",
    )
    assert await store.events.find("acme", record.id) == erasure


async def test_erasing_again_changes_nothing(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    first = await _erase(store, record)
    again = await erase(store.events, record.id, at=NOON + 9 * SECOND, by="x", reason="y")
    assert again == first
    assert await store.events.find("acme", record.id) == first


async def test_a_reason_may_be_missing(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    erasure = await erase(store.events, record.id)
    assert isinstance(erasure, Erasure)
    assert erasure.reason is None


async def test_what_never_was_cannot_be_erased(store: Store) -> None:
    assert await erase(store.events, NOBODY) is None


async def test_erased_records_are_left_out_of_pages(store: Store) -> None:
    records = await keep(store.events, *(draft(told("same")) for _ in range(5)))
    for number in (0, 2, 4):
        await _erase(store, records[number])
    left = [records[1], records[3]]
    no_tombstone = Not(where(event_type=TOMBSTONE_TYPE))
    for asked in (no_tombstone, where(name="same"), Like("name", "s*")):
        assert await page(store.events, asked) == left
    assert [record.sequence for record in await page(store.events)] == [1, 3, 5, 6, 7]
    assert await page(store.events, where(_id=records[0].id)) == []
    assert await page(store.events, limit=1, beyond=1) == [records[3]]


async def test_an_erased_place_is_not_given_again(store: Store) -> None:
    (record,) = await keep(store.events, draft())
    await _erase(store, record)
    (following,) = await keep(store.events, draft(at=NOON - SECOND))
    assert following.sequence == 2
    assert following.fields()["timestamp"] == format_utc(NOON)


async def test_two_nodes_erasing_at_once_tell_one_story(nodes: tuple[Store, Store]) -> None:
    (record,) = await keep(nodes[0].events, draft())
    told_by = await asyncio.gather(
        *(erase(node.events, record.id, by=f"node {number}") for number, node in enumerate(nodes))
    )
    assert told_by[0] == told_by[1]
    assert await nodes[1].events.find("acme", record.id) == told_by[0]


# ---- users --------------------------------------------------------------------------------


def _user(name: str = "alice", **changes: object) -> User:
    values: dict[str, object] = {
        "id": f"id of {name}",
        "name": name,
        "tenant": "acme",
        "scopes": frozenset({Scope.EVENTS_READ, Scope.USERS_MANAGE}),
        "password_hash": "$argon2id$…",
        "disabled": False,
        "created_at": NOON,
    }
    return User(**{**values, **changes})  # type: ignore[arg-type] # each value has its own type


async def test_a_user_is_found_by_name_and_by_id(store: Store) -> None:
    alice = _user(disabled=True, scopes=frozenset())
    await store.accounts.add_user(alice)
    assert await store.accounts.user_named("alice") == alice
    assert await store.accounts.user_with_id(alice.id) == alice
    assert await store.accounts.user_named("Alice") is None
    assert await store.accounts.user_with_id("alice") is None


async def test_a_name_is_taken_in_every_tenant(store: Store) -> None:
    await store.accounts.add_user(_user())
    with pytest.raises(UserExists):
        await store.accounts.add_user(_user(id="another", tenant="other"))
    assert await store.accounts.users(None) == [_user()]


async def test_two_nodes_adding_one_name_keep_one_user(nodes: tuple[Store, Store]) -> None:
    results = await asyncio.gather(
        *(node.accounts.add_user(_user(id=str(number))) for number, node in enumerate(nodes)),
        return_exceptions=True,
    )
    assert Counter(map(type, results)) == {type(None): 1, UserExists: 1}
    assert len(await nodes[0].accounts.users(None)) == 1


@pytest.mark.parametrize(
    "change",
    [
        {}, {"disabled": False}, {"disabled": True}, {"scopes": frozenset()},
        {"scopes": frozenset(Scope)}, {"password_hash": "new"},
        {"password_hash": "new", "scopes": frozenset(), "disabled": False},
    ],
    ids=lambda change: " and ".join(change) or "nothing",
)  # fmt: skip
async def test_a_change_of_a_user_changes_what_is_given_and_nothing_else(
    store: Store, change: dict[str, Any]
) -> None:
    user, bystander = _user(disabled=True, generation=6), _user("bob")
    for each in (user, bystander):
        await store.accounts.add_user(each)
    changed = replace(user, **change, generation=7 if "password_hash" in change else 6)
    assert await store.accounts.change_user(user.id, UserChange(**change)) == changed
    assert await store.accounts.users(None) == [changed, bystander]


async def test_changes_of_one_user_by_two_nodes_at_once_all_hold(
    nodes: tuple[Store, Store],
) -> None:
    await nodes[0].accounts.add_user(_user())
    one, other = (node.accounts for node in nodes)
    changes = [UserChange(password_hash=str(number)) for number in range(10)]
    await asyncio.gather(
        *(node.change_user(_user().id, change) for node in (one, other) for change in changes),
        one.change_user(_user().id, UserChange(disabled=True)),
        other.change_user(_user().id, UserChange(scopes=frozenset())),
    )
    (user,) = await one.users(None)
    assert (user.generation, user.disabled, user.scopes) == (20, True, frozenset())


async def test_a_user_that_is_gone_cannot_be_changed_or_removed(store: Store) -> None:
    with pytest.raises(UserNotFound):
        await store.accounts.change_user(_user().id, UserChange(disabled=True))
    with pytest.raises(UserNotFound):
        await store.accounts.remove_user(_user().id)


async def test_a_removed_user_leaves_the_name_free(store: Store) -> None:
    await store.accounts.add_user(_user())
    await store.accounts.remove_user(_user().id)
    assert await store.accounts.user_named("alice") is None
    await store.accounts.add_user(_user(id="another"))


async def test_users_are_listed_by_name_for_one_tenant_or_for_all(store: Store) -> None:
    people = [_user("carol"), _user("Bob", tenant="other"), _user("alice")]
    for person in people:
        await store.accounts.add_user(person)
    carol, bob, alice = people
    assert await store.accounts.users(None) == [bob, alice, carol]
    assert await store.accounts.users("acme") == [alice, carol]
    assert await store.accounts.users("nobody") == []


# ---- what the nodes share -------------------------------------------------------------------


async def test_a_published_key_is_known_to_every_node(nodes: tuple[Store, Store]) -> None:
    keys = [
        VerificationKey(id=name, public='{"kty":"OKP"}', expires_at=_FAR + SECOND / 3)
        for name in ("one", "two")
    ]
    for node, key in zip(nodes, keys, strict=True):
        await node.accounts.publish_key(key)
    for node in nodes:
        assert sorted(await node.accounts.keys(), key=lambda key: key.id) == keys


async def test_publishing_a_key_again_prolongs_it(store: Store) -> None:
    for expires_at in (_FAR, _FAR + SECOND):
        await store.accounts.publish_key(
            VerificationKey(id="k", public="{}", expires_at=expires_at)
        )
    (key,) = await store.accounts.keys()
    assert key.expires_at == _FAR + SECOND


async def test_the_first_proposal_of_a_secret_wins(store: Store) -> None:
    assert await store.accounts.shared_secret("cursor", b"first\x00") == b"first\x00"
    assert await store.accounts.shared_secret("cursor", b"second") == b"first\x00"
    assert await store.accounts.shared_secret("other", b"third") == b"third"


async def test_two_nodes_proposing_at_once_get_one_secret(nodes: tuple[Store, Store]) -> None:
    for name in map(str, range(10)):
        answers = await asyncio.gather(
            *(
                node.accounts.shared_secret(name, f"{number}".encode())
                for number, node in enumerate(nodes * 4)
            )
        )
        assert len(set(answers)) == 1
        assert answers[0] in {f"{number}".encode() for number in range(8)}


# ---- the store itself -------------------------------------------------------------------------


async def test_a_store_that_works_answers_a_ping(store: Store) -> None:
    await store.events.ping()


async def test_closing_twice_is_closing_once(store: Store) -> None:
    await store.close()
    await store.close()


async def test_what_a_node_kept_is_there_when_another_opens(nodes: tuple[Store, Store]) -> None:
    one, other = nodes
    (record,) = await keep(one.events, draft())
    await one.close()
    assert await whole_log(other.events) == [record]


# ---- helpers of this page -----------------------------------------------------------------------

_FAR = NOON.replace(year=2126)  # further than any test runs: an expired key may be dropped


def _sequences(outcomes: list[tuple[Outcome, ...]]) -> list[list[int]]:
    assert all(isinstance(one, get_args(Outcome)) for group in outcomes for one in group)
    return [
        [outcome.record.sequence for outcome in group if isinstance(outcome, Appended)]
        for group in outcomes
    ]


async def _erase(store: Store, record: Record) -> Erasure:
    erasure = await erase(store.events, record.id, reason="asked for")
    assert isinstance(erasure, Erasure)
    return erasure


async def _fill(store: Store, number: int) -> None:
    await keep(store.events, *(draft(told(detail=f"hay {each}")) for each in range(number)))


async def _walk(
    store: Store, asked: Filter, order: str, *, limit: int, tenant: str = "acme"
) -> list[list[Record]]:
    """Return all pages, up to the first that is not full."""
    pages: list[list[Record]] = []
    beyond: int | None = None
    while not pages or len(pages[-1]) == limit:
        found = await page(
            store.events,
            asked,
            tenant=tenant,
            order="oldest" if order == "oldest" else "newest",
            beyond=beyond,
            limit=limit,
        )
        for record in found:  # or this walk would have no end
            assert _comes_after(record, beyond, order)
            beyond = record.sequence
        pages.append(found)
    return pages


def _comes_after(record: Record, place: int | None, order: str) -> bool:
    if place is None:
        return True
    return record.sequence > place if order == "oldest" else record.sequence < place
