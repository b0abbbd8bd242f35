"""Roots and proofs are those of the RFCs, and a proof that was touched proves nothing."""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

import naive_tree
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import (
    EMPTY_ROOT,
    HASH_BYTES,
    MAX_SIZE,
    Edge,
    Plan,
    Subtree,
    consistency_plan,
    inclusion_plan,
    joined,
    leaf_hash,
    node_hash,
    root_plan,
    verify_consistency,
    verify_inclusion,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SIZES = range(131)  # each tree up to here, in every way
LEAVES = [naive_tree.leaf(number) for number in range(SIZES[-1])]
ROOTS = [naive_tree.root(LEAVES[:size]) for size in SIZES]


@cache
def root_of(subtree: Subtree) -> bytes:
    start = subtree.number << subtree.height
    return naive_tree.root(LEAVES[start : start + (1 << subtree.height)])


def answer(plan: Plan, root_of: Callable[[Subtree], bytes] = root_of) -> list[bytes]:
    """What a plan gives, in a tree whose complete subtrees have these roots."""
    return [joined([root_of(subtree) for subtree in group]) for group in plan]


# ---- published vectors --------------------------------------------------------------------

# Of the reference implementation of Certificate Transparency.
PUBLISHED = [
    leaf_hash(bytes.fromhex(entry))
    for entry in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
PUBLISHED_ROOTS = {
    0: "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    1: "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    2: "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    3: "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    4: "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    5: "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    6: "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    7: "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    8: "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
}
PUBLISHED_INCLUSION = [
    "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]
PUBLISHED_CONSISTENCY = [
    "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
    "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
]


def published(subtree: Subtree) -> bytes:
    start = subtree.number << subtree.height
    return naive_tree.root(PUBLISHED[start : start + (1 << subtree.height)])


@pytest.mark.parametrize("size", PUBLISHED_ROOTS)
def test_roots_are_the_published_ones(size: int) -> None:
    assert Edge().extended(PUBLISHED[:size]).root.hex() == PUBLISHED_ROOTS[size]
    assert answer(root_plan(size), published)[0].hex() == PUBLISHED_ROOTS[size]


def test_the_published_proof_of_inclusion_is_made_and_verified() -> None:
    proof = answer(inclusion_plan(5, 8), published)
    assert [each.hex() for each in proof] == PUBLISHED_INCLUSION
    root = bytes.fromhex(PUBLISHED_ROOTS[8])
    verify_inclusion(proof, index=5, size=8, leaf_hash=PUBLISHED[5], root=root)


def test_the_published_proof_of_consistency_is_made_and_verified() -> None:
    proof = answer(consistency_plan(6, 8), published)
    assert [each.hex() for each in proof] == PUBLISHED_CONSISTENCY
    old, new = (bytes.fromhex(PUBLISHED_ROOTS[size]) for size in (6, 8))
    verify_consistency(proof, old=6, old_root=old, new=8, new_root=new)


# ---- each tree up to 130 leaves -----------------------------------------------------------


@pytest.mark.parametrize("size", SIZES)
def test_a_root_is_that_of_the_definition(size: int) -> None:
    assert answer(root_plan(size)) == [ROOTS[size]]


@pytest.mark.parametrize("size", SIZES)
def test_each_leaf_is_proved_as_the_definition_says(size: int) -> None:
    for index in range(size):
        proof = answer(inclusion_plan(index, size))
        assert proof == naive_tree.path(index, LEAVES[:size])
        verify_inclusion(proof, index=index, size=size, leaf_hash=LEAVES[index], root=ROOTS[size])


@pytest.mark.parametrize("new", SIZES)
def test_each_earlier_tree_is_proved_as_the_definition_says(new: int) -> None:
    for old in range(new + 1):
        proof = answer(consistency_plan(old, new))
        assert proof == naive_tree.proof(old, LEAVES[:new])
        verify_consistency(proof, old=old, old_root=ROOTS[old], new=new, new_root=ROOTS[new])


# ---- the edge -----------------------------------------------------------------------------


@given(st.lists(st.integers(0, SIZES[-1])))
def test_an_edge_is_the_same_however_the_leaves_come_in(cuts: list[int]) -> None:
    edge = Edge()
    for start, end in pairwise([0, *sorted(cuts), SIZES[-1]]):
        edge = edge.extended(LEAVES[start:end])
        assert (edge.size, edge.root) == (end, ROOTS[end])
        assert len(edge.hashes) == end.bit_count()
        assert Edge.from_bytes(edge.to_bytes()) == edge
    assert edge == Edge().extended(LEAVES)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        bytes(7),
        bytes(8 + HASH_BYTES),
        (3).to_bytes(8, "big") + bytes(HASH_BYTES),
        (3).to_bytes(8, "big") + bytes(3 * HASH_BYTES),
        (3).to_bytes(8, "big") + bytes(2 * HASH_BYTES - 1),
        (2**63).to_bytes(8, "big") + bytes(HASH_BYTES),
    ],
    ids=[
        "nothing",
        "half a size",
        "a hash too many",
        "one too few",
        "too many",
        "cut",
        "too large",
    ],
)
def test_what_is_no_edge_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        Edge.from_bytes(raw)


# ---- trees of any size --------------------------------------------------------------------

sizes = st.one_of(
    st.integers(1, MAX_SIZE), st.integers(0, 62).map(lambda n: 1 << n), st.just(MAX_SIZE)
)
pairs = sizes.flatmap(lambda size: st.tuples(st.integers(0, size - 1), st.just(size)))

# A tree whose leaves are all alike can be of any size: the height of a subtree tells its root.
ALIKE = [leaf_hash(b"the same")]
for _ in range(63):
    ALIKE.append(node_hash(ALIKE[-1], ALIKE[-1]))


def alike(subtree: Subtree) -> bytes:
    return ALIKE[subtree.height]


@given(pairs)
def test_a_leaf_of_a_tree_of_any_size_is_proved_by_all_the_others(pair: tuple[int, int]) -> None:
    index, size = pair
    plan = inclusion_plan(index, size)
    assert len(plan) <= 63
    covered = [
        (each.number << each.height, (each.number + 1) << each.height)
        for group in (*plan, (Subtree(0, index),))
        for each in group
    ]
    assert [end for _, end in sorted(covered)] == [
        *(start for start, _ in sorted(covered)[1:]), size,
    ]  # fmt: skip
    root = answer(root_plan(size), alike)[0]
    verify_inclusion(answer(plan, alike), index=index, size=size, leaf_hash=ALIKE[0], root=root)


@given(pairs)
def test_an_earlier_tree_of_any_size_is_proved(pair: tuple[int, int]) -> None:
    old, new = pair
    old_root, new_root = (answer(root_plan(size), alike)[0] for size in pair)
    proof = answer(consistency_plan(old, new), alike)
    assert len(proof) <= 64
    verify_consistency(proof, old=old, old_root=old_root, new=new, new_root=new_root)


# ---- what proves nothing ------------------------------------------------------------------


def touched(hash_: bytes, chance: Random) -> bytes:
    bit = chance.randrange(8 * HASH_BYTES)
    return bytes(byte ^ (1 << bit % 8 if at == bit // 8 else 0) for at, byte in enumerate(hash_))


def touched_hashes(proof: Sequence[bytes], chance: Random) -> list[list[bytes]]:
    """The proof with one bit changed, a hash dropped, one added, and two neighbours swapped."""
    at = chance.randrange(len(proof) + 1)
    changed = [[*proof[:at], chance.choice(LEAVES), *proof[at:]]]
    if at < len(proof):
        changed += [
            [*proof[:at], touched(proof[at], chance), *proof[at + 1 :]],
            [*proof[:at], *proof[at + 1 :]],
        ]
    if at + 1 < len(proof):
        changed.append([*proof[:at], proof[at + 1], proof[at], *proof[at + 2 :]])
    return changed


def other(than: int, below: int, chance: Random) -> int:
    """Another number than that."""
    return (than + chance.randrange(1, below)) % below


def test_thousands_of_touched_proofs_of_inclusion_are_refused() -> None:
    chance, tried = Random(1), 0
    while tried < 10_000:
        size = chance.randrange(2, len(SIZES))
        index = chance.randrange(size)
        proof = naive_tree.path(index, LEAVES[:size])
        right = {"index": index, "size": size, "leaf_hash": LEAVES[index], "root": ROOTS[size]}
        smaller = other(size, len(SIZES), chance)
        for hashes, claim in [
            *((changed, right) for changed in touched_hashes(proof, chance)),
            (proof, right | {"index": other(index, size, chance)}),
            (proof, right | {"leaf_hash": touched(LEAVES[index], chance)}),
            (proof, right | {"root": touched(ROOTS[size], chance)}),
            (proof, right | {"size": smaller, "root": ROOTS[smaller]}),
        ]:
            tried += 1
            with pytest.raises(ProofInvalid):
                verify_inclusion(hashes, **claim)  # type: ignore[arg-type] # each of its own type


def test_thousands_of_touched_proofs_of_consistency_are_refused() -> None:
    chance, tried = Random(2), 0
    while tried < 10_000:
        new = chance.randrange(2, len(SIZES))
        old = chance.randrange(1, new)
        proof = naive_tree.proof(old, LEAVES[:new])
        right = {"old": old, "old_root": ROOTS[old], "new": new, "new_root": ROOTS[new]}
        earlier, later = other(old, new, chance), other(new, len(SIZES), chance)
        for hashes, claim in [
            *((changed, right) for changed in touched_hashes(proof, chance)),
            (proof, right | {"old_root": touched(ROOTS[old], chance)}),
            (proof, right | {"new_root": touched(ROOTS[new], chance)}),
            (proof, right | {"old": earlier, "old_root": ROOTS[earlier]}),
            (proof, right | {"new": later, "new_root": ROOTS[later]}),
            (proof, right | {"old_root": ROOTS[new], "new_root": ROOTS[old]}),
        ]:
            tried += 1
            with pytest.raises(ProofInvalid):
                verify_consistency(hashes, **claim)  # type: ignore[arg-type] # each of its own type


@pytest.mark.parametrize(
    ("index", "size"), [(-1, 4), (4, 4), (5, 4), (0, 0), (0, -1), (0, MAX_SIZE + 1)]
)
def test_a_leaf_outside_the_tree_is_neither_planned_nor_proved(index: int, size: int) -> None:
    with pytest.raises(ProofInvalid):
        inclusion_plan(index, size)
    with pytest.raises(ProofInvalid):
        verify_inclusion((), index=index, size=size, leaf_hash=LEAVES[0], root=LEAVES[0])


@pytest.mark.parametrize(("old", "new"), [(-1, 4), (5, 4), (1, 0), (0, MAX_SIZE + 1)])
def test_a_tree_that_shrinks_is_neither_planned_nor_proved(old: int, new: int) -> None:
    with pytest.raises(ProofInvalid):
        consistency_plan(old, new)
    with pytest.raises(ProofInvalid):
        verify_consistency((), old=old, old_root=EMPTY_ROOT, new=new, new_root=EMPTY_ROOT)


@pytest.mark.parametrize("size", [-1, MAX_SIZE + 1])
def test_a_root_of_no_size_is_not_planned(size: int) -> None:
    with pytest.raises(ProofInvalid):
        root_plan(size)


@pytest.mark.parametrize(
    ("proof", "old", "old_root", "new", "new_root"),
    [
        ([LEAVES[0]], 0, EMPTY_ROOT, 4, ROOTS[4]),
        ([], 0, ROOTS[4], 4, ROOTS[4]),
        ([], 0, EMPTY_ROOT, 0, ROOTS[4]),
        ([], 0, ROOTS[4], 0, ROOTS[4]),
        ([LEAVES[0]], 4, ROOTS[4], 4, ROOTS[4]),
        ([], 4, ROOTS[4], 4, ROOTS[5]),
        ([], 3, ROOTS[3], 4, ROOTS[4]),
        ([], 2, ROOTS[2], 4, ROOTS[4]),
        ([LEAVES[0][:-1]], 1, LEAVES[0], 2, ROOTS[2]),
        ([LEAVES[1]], 1, LEAVES[0], 2, ROOTS[2] + b"\0"),
    ],
    ids=[
        "a proof from nothing", "another nothing", "nothing with a root", "nothing twice",
        "a proof to itself", "two trees of one size", "no proof", "no proof, from a subtree",
        "a short hash", "a long root",
    ],
)  # fmt: skip
def test_consistency_at_its_limits_is_refused(
    proof: list[bytes], old: int, old_root: bytes, new: int, new_root: bytes
) -> None:
    with pytest.raises(ProofInvalid):
        verify_consistency(proof, old=old, old_root=old_root, new=new, new_root=new_root)


def test_a_node_cannot_pass_for_a_leaf() -> None:
    node = node_hash(LEAVES[0], LEAVES[1])
    assert leaf_hash(LEAVES[0] + LEAVES[1]) != node
    with pytest.raises(ProofInvalid):
        verify_inclusion([root_of(Subtree(1, 1))], index=0, size=4, leaf_hash=node, root=ROOTS[4])


# A root does not tell how large its tree is: here it is claimed to be that of another size.


def test_a_proof_longer_than_its_tree_is_high_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="too long"):
        verify_inclusion([LEAVES[0]], index=0, size=1, leaf_hash=LEAVES[1], root=ROOTS[2])
    with pytest.raises(ProofInvalid, match="too long"):
        verify_consistency(
            naive_tree.proof(3, LEAVES[:8]), old=3, old_root=ROOTS[3], new=4, new_root=ROOTS[8]
        )


def test_a_proof_shorter_than_its_tree_is_high_is_refused() -> None:
    with pytest.raises(ProofInvalid, match="too short"):
        verify_inclusion([LEAVES[1]], index=0, size=4, leaf_hash=LEAVES[0], root=ROOTS[2])
    with pytest.raises(ProofInvalid, match="too short"):
        verify_consistency(
            naive_tree.proof(3, LEAVES[:4]), old=3, old_root=ROOTS[3], new=8, new_root=ROOTS[4]
        )


def test_no_byte_can_move_from_one_hash_to_its_neighbour() -> None:
    left, right = LEAVES[:2]
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_inclusion([left + right[:1]], index=1, size=2, leaf_hash=right[1:], root=ROOTS[2])
    with pytest.raises(ProofInvalid, match="32 bytes"):
        verify_consistency(
            [left[-1:] + right], old=1, old_root=left[:-1], new=2, new_root=ROOTS[2]
        )
