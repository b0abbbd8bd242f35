"""Whoever has the database, and not the key, is found out: by a stranger over HTTP, and by fsck.

The log has 300 records, so a full tile and one that grows. The stranger holds the keys of the
log and a checkpoint of it that was saved before.
"""

from __future__ import annotations

import secrets
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from examined import Stranger, erase, filled, node
from insider import Insider, insider_of

from auditlogservice.auditing.findings import Fault, Finding, State

if TYPE_CHECKING:
    from collections.abc import Iterable
    from collections.abc import Set as AbstractSet

    from auditlogservice.auditing.findings import Report
    from auditlogservice.runtime.settings import Settings

SIZE = 300
VICTIM = 77


@pytest.fixture
async def stranger(settings: Settings) -> Stranger:
    """A stranger who saw the log when it was whole; the node is stopped then."""
    made = Stranger()
    async with node(settings) as (api, user):
        await filled(api, user, SIZE)
        await made.look(api, user)
    return made


@pytest.fixture
def insider(settings: Settings, stranger: Stranger) -> Insider:
    del stranger  # the log is filled then
    return insider_of(settings)


async def verified(stranger: Stranger, settings: Settings) -> Report:
    async with node(settings) as (api, user):
        return await stranger.verify(api, user)


def of_places(found: Iterable[Finding]) -> dict[int, State | Fault]:
    return {each.place: each.what for each in found if each.place is not None}


def of_all(found: Iterable[Finding]) -> Counter[State | Fault]:
    return Counter(each.what for each in found if each.place is None)


async def expect(
    stranger: Stranger,
    settings: Settings,
    places: dict[int, State],
    *,
    verify: AbstractSet[Fault] = frozenset(),
    fsck: AbstractSet[Fault] = frozenset(),
) -> None:
    """Both find exactly these places, and exactly this with all of the log."""
    outside = await verified(stranger, settings)
    assert (of_places(outside.findings), set(of_all(outside.findings))) == (places, verify)
    inside, _ = await stranger.check(settings)
    assert (of_places(inside.findings), set(of_all(inside.findings))) == (places, fsck)
    assert not outside.holds
    counted = Counter(places.values())
    assert outside.states == {**counted, State.OK: SIZE - len(places)}
    assert inside.states == outside.states


def edited(payload: bytes | None) -> bytes:
    assert payload is not None
    return payload.replace(b'"detail":"number ', b'"detail":"nothing ')


async def test_an_edited_payload_is_altered(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    rows[VICTIM] = replace(rows[VICTIM], payload=edited(rows[VICTIM].payload))
    insider.put(rows)
    await expect(stranger, settings, {VICTIM: State.ALTERED})


@pytest.mark.parametrize("place", [VICTIM, SIZE - 1])
async def test_a_payload_that_is_no_json_any_more_is_told_and_hides_no_other(
    settings: Settings, stranger: Stranger, insider: Insider, place: int
) -> None:
    """The server gives none of it, so a stranger misses it; the store knows what is there."""
    rows = insider.rows()
    rows[place] = replace(rows[place], payload=b'{"_id":"')
    insider.put(rows)
    async with node(settings) as (api, user):
        for path in (
            f"/events/{rows[place].id}",
            f"/events/feed?after={place - 1}",
            "/events?limit=1000",
        ):
            answer = await api.http.get(path, headers=user)
            assert (answer.status_code, answer.json()["code"]) == (503, "store-broken")
        outside = await stranger.verify(api, user)
    assert of_places(outside.findings) == {place: State.MISSING}
    assert outside.states == {State.MISSING: 1, State.OK: SIZE - 1}
    inside, _ = await stranger.check(settings)
    assert of_places(inside.findings) == {place: State.ALTERED}


async def test_an_edited_payload_with_a_new_commitment_is_altered(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    rows[VICTIM] = replace(rows[VICTIM], payload=edited(rows[VICTIM].payload))
    rows[VICTIM] = replace(rows[VICTIM], commitment=rows[VICTIM].committed)
    insider.put(rows)
    await expect(stranger, settings, {VICTIM: State.ALTERED})


async def test_an_edited_payload_in_a_recomputed_tree_is_not_what_was_signed(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    rows[VICTIM] = replace(rows[VICTIM], payload=edited(rows[VICTIM].payload))
    rows[VICTIM] = replace(rows[VICTIM], commitment=rows[VICTIM].committed)
    insider.put(rows)
    insider.put_tree(rows)
    await expect(stranger, settings, {}, verify={Fault.ROOT, Fault.REWRITTEN}, fsck={Fault.ROOT})


async def test_a_deleted_record_is_missing_and_its_neighbours_are_not(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    del rows[VICTIM]
    insider.put(rows)
    await expect(stranger, settings, {VICTIM: State.MISSING})


async def test_a_tail_that_was_cut_is_missing(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()[: SIZE - 5]
    insider.put(rows)
    insider.put_tree(rows)
    cut = dict.fromkeys(range(SIZE - 5, SIZE), State.MISSING)
    await expect(
        stranger,
        settings,
        cut,
        verify={Fault.ROOT, Fault.REWRITTEN, Fault.TILE},
        fsck={Fault.ROOT, Fault.TILE},
    )


async def test_an_inserted_record_moves_all_behind_it_out_of_their_leaves(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    new = replace(rows[VICTIM], id=secrets.token_hex(12), salt=secrets.token_bytes(32))
    assert new.payload is not None
    new = replace(new, payload=new.payload.replace(rows[VICTIM].id.encode(), new.id.encode()))
    new = replace(new, commitment=new.committed)
    moved = [replace(row, sequence=row.sequence + 1) for row in rows[VICTIM:]]
    insider.put([*rows[:VICTIM], new, *moved])
    await expect(
        stranger,
        settings,
        dict.fromkeys(range(VICTIM, SIZE), State.ALTERED),
    )


async def test_two_records_that_were_swapped_are_altered(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    rows = insider.rows()
    one, other = rows[VICTIM], rows[VICTIM + 200]
    rows[VICTIM] = replace(other, sequence=one.sequence)
    rows[VICTIM + 200] = replace(one, sequence=other.sequence)
    insider.put(rows)
    await expect(stranger, settings, {VICTIM: State.ALTERED, VICTIM + 200: State.ALTERED})


async def test_an_older_backup_has_shrunk(settings: Settings) -> None:
    stranger, insider = Stranger(), insider_of(settings)
    async with node(settings) as (api, user):
        await filled(api, user, SIZE)
    backup = insider.backup()
    async with node(settings) as (api, user):
        await filled(api, user, 10)
        await stranger.look(api, user)
    insider.restore(backup)

    outside = await verified(stranger, settings)
    assert of_all(outside.findings) == {Fault.SHRUNK: 1}
    assert not outside.holds
    # What is there is whole: only who has seen more can tell.
    inside, own = await stranger.check(settings)
    assert inside.holds
    assert own.findings == []


async def test_an_old_checkpoint_that_is_told_again_has_shrunk(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    old = stranger.seen
    async with node(settings) as (api, user):
        await filled(api, user, 10)
        await stranger.look(api, user)
    insider.put_checkpoint(old, SIZE)
    # A node that signs would sign anew; one without a key tells what it finds.
    mute = settings.model_copy(update={"data_dir": settings.data_dir / "mute"})
    outside = await verified(stranger, mute)
    assert of_all(outside.findings) == {Fault.SHRUNK: 1}
    assert (outside.size, outside.behind) == (SIZE, 10)


# ---- what an erasure may look like --------------------------------------------------------


async def test_content_that_came_back_behind_its_tombstone_is_an_incomplete_erasure(
    settings: Settings, stranger: Stranger, insider: Insider
) -> None:
    before = insider.rows()
    async with node(settings) as (api, user):
        await erase(api, user, before[VICTIM].id, "asked")
    rows = insider.rows()
    rows[VICTIM] = before[VICTIM]
    insider.put(rows)
    for found in (await verified(stranger, settings), (await stranger.check(settings))[0]):
        assert of_places(found.findings) == {VICTIM: State.INCOMPLETE}
        assert found.states == {State.INCOMPLETE: 1, State.OK: SIZE}
