"""Tiles grow as c2sp.org/tlog-tiles says, hold what proofs need, and have one path each."""

from __future__ import annotations

from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_tree
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import (
    HASH_BYTES,
    MAX_SIZE,
    Edge,
    consistency_plan,
    inclusion_plan,
    root_plan,
    verify_consistency,
    verify_inclusion,
)
from auditlogservice.tiles import (
    Tile,
    entries_path,
    extended,
    growing_tiles,
    hashes_of,
    parse_bundle,
    parse_entries_path,
    parse_tile_path,
    tile_path,
    tiles_of,
    to_bundle,
    width_at,
)

LARGEST = 65_537
LEAVES = [naive_tree.leaf(number) for number in range(LARGEST)]
# What level L holds, by the definition: for each complete subtree of 256^L leaves, its root.
LEVEL_1 = [naive_tree.root(LEAVES[at : at + 256]) for at in range(0, 65_536, 256)]
LEVELS = [LEAVES, LEVEL_1, [naive_tree.root(LEVEL_1)]]


def expected(size: int) -> dict[Tile, bytes]:
    """Each tile of a tree of this size."""
    return {
        Tile(level, number): b"".join(hashes[number * 256 : (number + 1) * 256])
        for level, all_hashes in enumerate(LEVELS)
        if (hashes := all_hashes[: size // 256**level])
        for number in range((len(hashes) + 255) // 256)
    }


def grown(*ends: int) -> dict[Tile, bytes]:
    """The tiles after leaves came in up to each of these ends."""
    tiles: dict[Tile, bytes] = {}
    for start, end in pairwise([0, *ends]):
        growing = {tile: tiles[tile] for tile in growing_tiles(start)}
        tiles |= extended(start, growing, LEAVES[start:end])
    return tiles


WHOLE = grown(LARGEST)


# ---- growing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [0, 1, 2, 254, 255, 256, 257, 511, 512, 513, 65_535, 65_536, 65_537]
)
def test_tiles_are_those_of_the_definition_however_the_leaves_come_in(size: int) -> None:
    chance = Random(size)
    cuts = sorted(chance.choices(range(size + 1), k=40))
    assert grown(size) == expected(size)
    assert grown(*cuts, size) == expected(size)


def test_leaf_by_leaf_each_step_writes_what_changed_and_no_more() -> None:
    tiles: dict[Tile, bytes] = {}
    for size in range(600):
        changed = extended(
            size, {tile: tiles[tile] for tile in growing_tiles(size)}, [LEAVES[size]]
        )
        before, now = expected(size), expected(size + 1)
        assert changed == {tile: now[tile] for tile in now if now[tile] != before.get(tile)}
        assert all(changed[tile].startswith(tiles.get(tile, b"")) for tile in changed)
        tiles |= changed


def test_a_full_tile_never_changes_again() -> None:
    chance = Random(3)
    ends = sorted({*chance.choices(range(3_000), k=60), 256, 512, 3_000})
    tiles: dict[Tile, bytes] = {}
    for start, end in pairwise([0, *ends]):
        full = {tile for tile, row in tiles.items() if len(row) == 256 * HASH_BYTES}
        changed = extended(
            start, {tile: tiles[tile] for tile in growing_tiles(start)}, LEAVES[start:end]
        )
        assert not full & changed.keys()
        tiles |= changed


@pytest.mark.parametrize(
    ("size", "growing"),
    [
        (0, []),
        (1, [(0, 0)]),
        (256, [(1, 0)]),
        (257, [(0, 1), (1, 0)]),
        (65_536, [(2, 0)]),
        (70_000, [(0, 273), (1, 1), (2, 0)]),  # the example of tlog-tiles
        (MAX_SIZE, [(level, (MAX_SIZE >> 8 * level) // 256) for level in range(8)]),
    ],
)
def test_the_growing_tiles_are_the_partial_ones(size: int, growing: list[tuple[int, int]]) -> None:
    assert list(growing_tiles(size)) == growing


@pytest.mark.parametrize(
    ("level", "number", "width"),
    [(0, 0, 256), (0, 272, 256), (0, 273, 112), (0, 274, 0), (1, 0, 256), (1, 1, 17), (1, 2, 0),
     (2, 0, 1), (3, 0, 0), (63, 0, 0)],
)  # fmt: skip
def test_the_tree_of_tlog_tiles_has_the_widths_it_says(
    level: int, number: int, width: int
) -> None:
    assert width_at(Tile(level, number), 70_000) == width


@pytest.mark.parametrize(
    "growing",
    [
        {},
        {Tile(0, 1): b"".join(LEAVES[256:258])},
        {Tile(0, 1): b"".join(LEAVES[256:258]), Tile(1, 0): b""},
        {Tile(0, 1): b"".join(LEAVES[256:257]), Tile(1, 0): LEVEL_1[0]},
        {Tile(0, 1): b"".join(LEAVES[256:259]), Tile(1, 0): LEVEL_1[0]},
        {Tile(0, 1): b"".join(LEAVES[256:258])[:-1], Tile(1, 0): LEVEL_1[0]},
    ],
    ids=["none", "a level missing", "a level empty", "too narrow", "too wide", "cut"],
)
def test_tiles_that_do_not_fit_the_size_are_not_extended(growing: dict[Tile, bytes]) -> None:
    with pytest.raises(ProofInvalid):
        extended(258, growing, LEAVES[258:512])


# ---- looking up ---------------------------------------------------------------------------


def served(size: int) -> dict[Tile, bytes]:
    """The tiles of the whole tree, each cut to what a tree of this size has of it."""
    widths = {tile: width_at(tile, size) for tile in WHOLE}
    return {tile: row[: widths[tile] * HASH_BYTES] for tile, row in WHOLE.items() if widths[tile]}


@pytest.mark.parametrize("size", [0, 1, 255, 256, 257, 300, 65_535, 65_536, 65_537])
def test_roots_and_proofs_come_from_the_tiles_of_their_tree_alone(size: int) -> None:
    chance, there = Random(size), served(size)
    root = Edge().extended(LEAVES[:size]).root
    assert hashes_of(root_plan(size), there) == (root,)
    for index in chance.choices(range(size), k=20) if size else []:
        plan = inclusion_plan(index, size)
        needed = {tile: there[tile] for tile in tiles_of(plan)}
        verify_inclusion(
            hashes_of(plan, needed), index=index, size=size, leaf_hash=LEAVES[index], root=root
        )
        plan = consistency_plan(index, size)
        needed = {tile: there[tile] for tile in tiles_of(plan)}
        old_root = Edge().extended(LEAVES[:index]).root
        verify_consistency(
            hashes_of(plan, needed), old=index, old_root=old_root, new=size, new_root=root
        )


def test_a_tile_that_has_grown_since_still_proves_the_smaller_tree() -> None:
    plan = inclusion_plan(299, 300)
    assert hashes_of(plan, WHOLE) == hashes_of(plan, served(300))


@pytest.mark.parametrize("tile", [Tile(0, 1), Tile(1, 0)])
def test_a_tile_that_is_missing_or_too_short_proves_nothing(tile: Tile) -> None:
    plan, there = inclusion_plan(298, 300), served(300)
    for row in (None, b"", there[tile][:-1]):
        lacking = {each: part for each, part in there.items() if each != tile}
        with pytest.raises(ProofInvalid, match=f"{tile.level}/{tile.number}"):
            hashes_of(plan, lacking if row is None else lacking | {tile: row})


@given(st.integers(1, MAX_SIZE).flatmap(lambda n: st.tuples(st.integers(0, n - 1), st.just(n))))
def test_of_a_tree_of_any_size_only_few_tiles_are_needed_and_all_exist(
    pair: tuple[int, int],
) -> None:
    for plan in (root_plan(pair[1]), inclusion_plan(*pair), consistency_plan(*pair)):
        tiles = tiles_of(plan)
        assert len(tiles) <= 3 * 8  # on each level the path, and both edges
        assert all(width_at(tile, pair[1]) for tile in tiles)


# ---- the entries behind a tile ------------------------------------------------------------


def test_a_bundle_has_each_entry_after_its_length() -> None:
    assert to_bundle([b"", b"a", b"b" * 258]) == b"\0\0\0\1a\1\2" + b"b" * 258


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=256))
def test_any_entries_are_read_as_they_were_written(entries: list[bytes]) -> None:
    assert parse_bundle(to_bundle(entries)) == tuple(entries)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\0", b"\0\1", b"\0\2a", b"\0\1a\0", b"\0\1ab", bytes(2 * 257)],
    ids=["nothing", "half a length", "no entry", "cut", "cut length", "more", "257 entries"],
)
def test_what_is_no_bundle_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        parse_bundle(raw)


# ---- paths --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tile", "width"),
    [
        ("0/000", Tile(0, 0), 256),
        ("0/000.p/1", Tile(0, 0), 1),
        ("1/999.p/255", Tile(1, 999), 255),
        ("0/x001/000", Tile(0, 1_000), 256),
        ("0/x001/x234/067", Tile(0, 1_234_067), 256),  # the example of tlog-tiles
        ("10/x999/999.p/10", Tile(10, 999_999), 10),
        ("63/000", Tile(63, 0), 256),
        ("0/x036/x028/x797/x018/x963/967", Tile(0, MAX_SIZE // 256), 256),
    ],
)
def test_a_tile_has_one_path(path: str, tile: Tile, width: int) -> None:
    assert tile_path(tile, width) == path
    assert parse_tile_path(path) == (tile, width)
    entries = f"entries/{path.partition('/')[2]}"
    assert entries_path(tile.number, width) == entries
    assert parse_entries_path(entries) == (tile.number, width)


@given(st.integers(0, 63), st.integers(0, MAX_SIZE // 256), st.integers(1, 256))
def test_what_is_written_as_a_path_is_read(level: int, number: int, width: int) -> None:
    tile = Tile(level, number)
    assert parse_tile_path(tile_path(tile, width)) == (tile, width)
    assert parse_entries_path(entries_path(number, width)) == (number, width)


@pytest.mark.parametrize(
    "number",
    [
        "", "0", "00", "0000", "1234", "x000", "x000/000", "x000/x001/000", "x001", "x001/x000",
        "001/000", "x01/000", "x001/00", "x001//000", "/000", "000/", "x001/0000", "X001/000",
        "x0001/000", "-01", "+01", " 01", "0x1", 3 * "\N{ARABIC-INDIC DIGIT ZERO}", "000\n",
        "000.p", "000.p/", "000.p/0", "000.p/00", "000.p/01", "000.p/256", "000.p/257",
        "000.p/999", "000.p/1000", "000.p/-1", "000.p/+1", "000.p/1/", "000.p/1.p/1", "000.P/1",
        "000.p/\N{ARABIC-INDIC DIGIT ONE}", "000p/1",
        "x036/x028/x797/x018/x963/968", "x001/x000/x000/x000/x000/x000/000", "%30%30%30",
    ],
)  # fmt: skip
def test_another_spelling_of_a_number_or_width_is_no_path(number: str) -> None:
    with pytest.raises(MalformedInput):
        parse_tile_path(f"0/{number}")
    with pytest.raises(MalformedInput):
        parse_entries_path(f"entries/{number}")


@pytest.mark.parametrize(
    "level",
    [
        "",
        "00",
        "01",
        "64",
        "99",
        "100",
        "-1",
        "+1",
        " 1",
        "1 ",
        "\N{ARABIC-INDIC DIGIT THREE}",
        "x1",
        "data",
        "0/0",
    ],
)
def test_another_spelling_of_a_level_is_no_path(level: str) -> None:
    with pytest.raises(MalformedInput):
        parse_tile_path(f"{level}/000")


def test_entries_are_no_tile_and_a_tile_no_entries() -> None:
    with pytest.raises(MalformedInput):
        parse_tile_path("entries/000")
    with pytest.raises(MalformedInput):
        parse_entries_path("0/000")
