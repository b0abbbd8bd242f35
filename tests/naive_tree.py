"""Trees and proofs as RFC 6962 §2.1 and RFC 9162 §2.1 define them: short, recursive and slow."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256
from typing import TypeAlias

Hashes: TypeAlias = Sequence[bytes]


def leaf(number: int) -> bytes:
    """The hash of the leaf with this number, of a tree that all tests share."""
    return sha256(b"\x00" + b"leaf %d" % number).digest()


def root(leaves: Hashes) -> bytes:
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = split(len(leaves))
    return sha256(b"\x01" + root(leaves[:k]) + root(leaves[k:])).digest()


def path(m: int, leaves: Hashes) -> list[bytes]:
    """The inclusion proof of leaf m."""
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return [*path(m, leaves[:k]), root(leaves[k:])]
    return [*path(m - k, leaves[k:]), root(leaves[:k])]


def proof(m: int, leaves: Hashes) -> list[bytes]:
    """The consistency proof of the first m leaves."""
    return _subproof(m, leaves, whole=True) if m else []


def _subproof(m: int, leaves: Hashes, *, whole: bool) -> list[bytes]:
    if m == len(leaves):
        return [] if whole else [root(leaves)]
    k = split(len(leaves))
    if m <= k:
        return [*_subproof(m, leaves[:k], whole=whole), root(leaves[k:])]
    return [*_subproof(m - k, leaves[k:], whole=False), root(leaves[:k])]


def split(n: int) -> int:
    """The largest power of two that is less than n."""
    k = 1
    while 2 * k < n:
        k *= 2
    return k
