"""How fast the tree of a log grows, and how long its proofs take, in memory and on one core.

It appends made-up entries in groups, as a recorder would, and prints leaves a second; then it
makes and verifies proofs at random places, and prints medians and the 99th percentile.

    python -m bench.merkle --leaves 1000000 --group 1000
"""

from __future__ import annotations

import argparse
import platform
import random
import ssl
import time
from collections.abc import Callable
from statistics import median
from typing import TypeAlias

from auditlogservice import __version__
from auditlogservice.merkle import (
    Edge,
    consistency_plan,
    inclusion_plan,
    leaf_hash,
    root_plan,
    verify_consistency,
    verify_inclusion,
)
from auditlogservice.tiles import Tile, extended, growing_tiles, hashes_of
from bench.ratios import percentile_99

Works: TypeAlias = dict[str, Callable[[], object]]

ENTRY_BYTES = 200  # about what an entry of the log takes


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def grow(leaves: list[bytes], group: int) -> dict[Tile, bytes]:
    tiles: dict[Tile, bytes] = {}
    for start in range(0, len(leaves), group):
        growing = {tile: tiles[tile] for tile in growing_tiles(start)}
        tiles |= extended(start, growing, leaves[start : start + group])
    return tiles


def grow_edge(leaves: list[bytes], group: int) -> Edge:
    edge = Edge()
    for start in range(0, len(leaves), group):
        edge = edge.extended(leaves[start : start + group])
    return edge


def appends(entries: list[bytes], group: int) -> None:
    hashing = seconds(lambda: [leaf_hash(entry) for entry in entries])
    leaves = [leaf_hash(entry) for entry in entries]
    tiles = seconds(lambda: grow(leaves, group))
    edge = seconds(lambda: grow_edge(leaves, group))
    for name, spent in [
        (f"hashing entries of {ENTRY_BYTES} bytes", hashing),
        ("tiles", tiles),
        ("hashing and tiles", hashing + tiles),
        ("edge alone", edge),
    ]:
        print(f"{name:32}{len(entries) / spent:12,.0f} leaves/s")


def works(leaves: list[bytes], tiles: dict[Tile, bytes], index: int) -> Works:
    """Return what is measured: of the leaf at `index`, and of the tree that ends before it."""
    size = len(leaves)
    inclusion = hashes_of(inclusion_plan(index, size), tiles)
    consistency = hashes_of(consistency_plan(index, size), tiles)
    (old_root,), (root,) = (hashes_of(root_plan(each), tiles) for each in (index, size))
    return {
        "root": lambda: hashes_of(root_plan(index), tiles),
        "inclusion": lambda: hashes_of(inclusion_plan(index, size), tiles),
        "consistency": lambda: hashes_of(consistency_plan(index, size), tiles),
        "verify inclusion": lambda: verify_inclusion(
            inclusion, index=index, size=size, leaf_hash=leaves[index], root=root
        ),
        "verify consistency": lambda: verify_consistency(
            consistency, old=index, old_root=old_root, new=size, new_root=root
        ),
    }


def proofs(entries: list[bytes], rounds: int) -> None:
    leaves, chance = [leaf_hash(entry) for entry in entries], random.Random(1)
    tiles = grow(leaves, len(leaves))
    spent: dict[str, list[float]] = {}
    for _ in range(rounds):
        for name, work in works(leaves, tiles, chance.randrange(len(leaves))).items():
            spent.setdefault(name, []).append(seconds(work) * 1e6)
    print(f"\n{'from tiles in memory':32}{'p50 µs':>10}{'p99 µs':>10}")
    for name, each in spent.items():
        print(f"{name:32}{median(each):10.0f}{percentile_99(each):10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--leaves",
        type=int,
        default=1_000_000,
        help="how large the tree is; %(default)s if not given",
    )
    parser.add_argument(
        "--group",
        type=int,
        default=1_000,
        help="leaves that come in at once; %(default)s if not given",
    )
    parser.add_argument(
        "--rounds", type=int, default=500, help="proofs of each kind; %(default)s if not given"
    )
    options = parser.parse_args()
    print(f"auditlogservice {__version__}, {options.leaves:,} leaves, {options.group:,} at once,")
    print(f"Python {platform.python_version()}, {ssl.OPENSSL_VERSION}\n")
    entries = [b"%0*d" % (ENTRY_BYTES, number) for number in range(options.leaves)]
    appends(entries, options.group)
    proofs(entries, options.rounds)


if __name__ == "__main__":
    main()
