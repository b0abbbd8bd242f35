"""The Merkle tree of a log (RFC 6962 §2.1, RFC 9162 §2.1): its hashes, its edge, its proofs.

Nothing here holds a tree. The edge is as much of one as it takes to go on; a plan says which
complete subtrees a root or a proof is made of, and whoever keeps those looks them up; verifying
takes the proof alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from hashlib import sha256
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from auditlogservice.errors import MalformedInput, ProofInvalid

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

HASH_BYTES = 32
MAX_SIZE = 2**63 - 1  # what a checkpoint may name, and a signed integer of a store can hold
EMPTY_ROOT = sha256().digest()


def leaf_hash(entry: bytes) -> bytes:
    return sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(b"\x01" + left + right).digest()


def parents(row: bytes) -> bytes:
    """Return the row above: for each two neighbours, end to end, the hash over both.

    Rows are bytes and not lists of hashes because neighbours then lie in one slice: this is
    where a log spends its time while it grows.
    """
    hashed = [sha256(b"\x01" + row[at : at + 64]).digest() for at in range(0, len(row), 64)]
    return b"".join(hashed)


def joined(hashes: Sequence[bytes]) -> bytes:
    """Return the root over complete subtrees, given from left to right, large to small."""
    if not hashes:
        return EMPTY_ROOT
    return reduce(lambda right, left: node_hash(left, right), reversed(hashes))


# ---- the edge ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Edge:
    """The right edge of a tree: the roots of its complete subtrees, from large to small.

    There is one for each binary digit 1 of the size. They are enough to extend the tree and to
    know its root.
    """

    size: int = 0
    hashes: tuple[bytes, ...] = ()

    @property
    def root(self) -> bytes:
        return joined(self.hashes)

    def extended(self, leaf_hashes: Iterable[bytes]) -> Edge:
        """Return the edge of the tree with these leaves behind its own."""
        row = b"".join(leaf_hashes)
        size = self.size + len(row) // HASH_BYTES
        old, new = list(self.hashes), list[bytes]()
        height = 0
        while row or old:
            if self.size >> height & 1:
                row = old.pop() + row
            if len(row) // HASH_BYTES & 1:
                new.append(row[-HASH_BYTES:])
                row = row[:-HASH_BYTES]
            row = parents(row)
            height += 1
        return Edge(size, tuple(reversed(new)))

    def to_bytes(self) -> bytes:
        return self.size.to_bytes(8, "big") + b"".join(self.hashes)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Edge:
        """Return the edge that `to_bytes` wrote. Raises MalformedInput for anything else."""
        size = int.from_bytes(raw[:8], "big")
        if len(raw) != 8 + HASH_BYTES * size.bit_count() or size > MAX_SIZE:
            raise MalformedInput("this is not the edge of a tree")
        return cls(size, tuple(raw[at : at + HASH_BYTES] for at in range(8, len(raw), HASH_BYTES)))


# ---- plans ------------------------------------------------------------------------------


class Subtree(NamedTuple):
    """A complete subtree, of 2^height leaves: where it is among those, counted from the left."""

    height: int
    number: int


# For each hash that is wanted, the complete subtrees that are joined into it, left to right.
Plan: TypeAlias = tuple[tuple[Subtree, ...], ...]


def root_plan(size: int) -> Plan:
    """Return what the root of the first `size` leaves is made of."""
    _check(0 <= size <= MAX_SIZE, f"no tree has {size} leaves")
    return (_cover(0, size),)


def inclusion_plan(index: int, size: int) -> Plan:
    """Return what proves that leaf `index` is in the tree of `size` leaves (RFC 9162 §2.1.3.1)."""
    _check(0 <= index < size <= MAX_SIZE, f"a tree of {size} leaves has no leaf {index}")
    start, end = 0, size
    path = []
    while end - start > 1:
        middle = _split(start, end)
        if index < middle:
            path.append(_cover(middle, end))
            end = middle
        else:
            path.append(_cover(start, middle))
            start = middle
    return tuple(reversed(path))


def consistency_plan(old: int, new: int) -> Plan:
    """Return what proves that the tree of `new` leaves extends that of `old` (RFC 9162 §2.1.4.1).

    From nothing, and from a tree to itself, there is nothing to prove: the plan is empty.
    """
    _check(0 <= old <= new <= MAX_SIZE, f"a tree of {new} leaves does not extend one of {old}")
    if old in {0, new}:
        return ()
    start, end = 0, new
    path = []
    while end != old:
        middle = _split(start, end)
        if old <= middle:
            path.append(_cover(middle, end))
            end = middle
        else:
            path.append(_cover(start, middle))
            start = middle
    # Where the old tree is a subtree of the new one, its root is known to whoever verifies.
    if start:
        path.append(_cover(start, end))
    return tuple(reversed(path))


def _split(start: int, end: int) -> int:
    """Return where the right half begins: the left one is as large a power of two as can be."""
    return start + (1 << (end - start - 1).bit_length() - 1)


def _cover(start: int, end: int) -> tuple[Subtree, ...]:
    """Return the complete subtrees of a range that a tree splits into, from left to right."""
    cover = []
    while start < end:
        height = (end - start).bit_length() - 1
        cover.append(Subtree(height, start >> height))
        start += 1 << height
    return tuple(cover)


# ---- verifying --------------------------------------------------------------------------


def verify_inclusion(
    proof: Sequence[bytes], *, index: int, size: int, leaf_hash: bytes, root: bytes
) -> None:
    """Raise ProofInvalid unless the leaf is at `index` of the tree with this size and root.

    This is RFC 9162 §2.1.3.2, in its words. Size and root belong together: both come from one
    checkpoint that was verified, since a root alone does not tell how large its tree is.
    """
    _check(0 <= index < size <= MAX_SIZE, f"a tree of {size} leaves has no leaf {index}")
    _check_hashes(*proof, leaf_hash, root)
    fn, sn, r = index, size - 1, leaf_hash
    for p in proof:
        _check(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            r = node_hash(p, r)
            fn, sn = _past_zeros(fn, sn)
        else:
            r = node_hash(r, p)
        fn, sn = fn >> 1, sn >> 1
    _check(sn == 0, "the proof is too short")
    _check(r == root, "the proof leads to another root")


def verify_consistency(
    proof: Sequence[bytes], *, old: int, old_root: bytes, new: int, new_root: bytes
) -> None:
    """Raise ProofInvalid unless the new tree extends the old one (RFC 9162 §2.1.4.2)."""
    _check(0 <= old <= new <= MAX_SIZE, f"a tree of {new} leaves does not extend one of {old}")
    _check_hashes(*proof, old_root, new_root)
    if old in {0, new}:
        _check(not proof, "the proof is too long")
        _check(old_root == (new_root if old else EMPTY_ROOT), "the old root is another one")
        _check(new > 0 or new_root == EMPTY_ROOT, "the new root is another one")
        return
    path = (old_root, *proof) if old & old - 1 == 0 else tuple(proof)
    _check(len(path) > 0, "the proof is too short")
    fn, sn = old - 1, new - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        _check(sn != 0, "the proof is too long")
        if fn & 1 or fn == sn:
            fr, sr = node_hash(c, fr), node_hash(c, sr)
            fn, sn = _past_zeros(fn, sn)
        else:
            sr = node_hash(sr, c)
        fn, sn = fn >> 1, sn >> 1
    _check(sn == 0, "the proof is too short")
    _check(fr == old_root, "the proof leads to another old root")
    _check(sr == new_root, "the proof leads to another new root")


def _past_zeros(fn: int, sn: int) -> tuple[int, int]:
    """Shift both until the first is odd or zero: on these levels there is no right neighbour."""
    while fn and not fn & 1:
        fn, sn = fn >> 1, sn >> 1
    return fn, sn


def _check_hashes(*hashes: bytes) -> None:
    _check(all(len(each) == HASH_BYTES for each in hashes), "a hash has 32 bytes")


def _check(holds: bool, otherwise: str) -> None:  # noqa: FBT001 - the condition itself
    if not holds:
        raise ProofInvalid(otherwise)
