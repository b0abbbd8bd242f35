"""The tree of a log as tiles (c2sp.org/tlog-tiles): how it grows, what proofs take, its paths.

A tile of level L holds, side by side, the roots of up to 256 complete subtrees of 256^L leaves.
It grows on its right until it is full, and never changes again. Whoever keeps tiles may hand out
more of one than is asked for, never less.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import HASH_BYTES, MAX_SIZE, joined, parents

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from auditlogservice.merkle import Plan, Subtree

HEIGHT = 8
WIDTH = 1 << HEIGHT
_FULL = WIDTH * HASH_BYTES  # 8,192 bytes
_LENGTH_BYTES = 2


class Tile(NamedTuple):
    """Where a tile is: at a level, counted from the left."""

    level: int
    number: int


def width_at(tile: Tile, size: int) -> int:
    """Return how many hashes the tile has in a tree of this size: 0 to 256."""
    return max(0, min(WIDTH, (size >> HEIGHT * tile.level) - tile.number * WIDTH))


def growing_tiles(size: int) -> tuple[Tile, ...]:
    """Return the partial tiles of a tree of this size, those that go on with the next leaves."""
    counts = [size >> shift for shift in range(0, size.bit_length(), HEIGHT)]
    return tuple(
        Tile(level, count // WIDTH) for level, count in enumerate(counts) if count % WIDTH
    )


def extended(
    size: int, growing: Mapping[Tile, bytes], leaf_hashes: Iterable[bytes]
) -> dict[Tile, bytes]:
    """Return each tile that these leaves, behind the first `size`, change: all that it holds now.

    `growing` has the tiles that `growing_tiles(size)` names. Raises ProofInvalid if one is
    missing, or does not have the width that it has in a tree of this size.
    """
    # All of them, also those that these leaves do not reach: what is wrong is found at once.
    for tile in growing_tiles(size):
        if len(growing.get(tile, b"")) != width_at(tile, size) * HASH_BYTES:
            raise ProofInvalid(f"tile {tile.level}/{tile.number} does not fit its tree")
    changed = {}
    level, row = 0, b"".join(leaf_hashes)
    while row:
        first = Tile(level, size >> HEIGHT * (level + 1))
        row = growing.get(first, b"") + row
        for number, at in enumerate(range(0, len(row), _FULL), first.number):
            changed[Tile(level, number)] = row[at : at + _FULL]
        level, row = level + 1, _above(row[: len(row) // _FULL * _FULL], HEIGHT)
    return changed


# ---- looking up -------------------------------------------------------------------------


def tiles_of(plan: Plan) -> tuple[Tile, ...]:
    """Return the tiles that hold what the plan asks for, each once, in order."""
    return tuple(sorted({_place(subtree)[0] for group in plan for subtree in group}))


def hashes_of(plan: Plan, tiles: Mapping[Tile, bytes]) -> tuple[bytes, ...]:
    """Return the hash of each group of the plan: the proof, or the root alone.

    Raises ProofInvalid if a tile is missing or too short.
    """
    return tuple(joined([_root_of(subtree, tiles) for subtree in group]) for group in plan)


def _root_of(subtree: Subtree, tiles: Mapping[Tile, bytes]) -> bytes:
    tile, start, end = _place(subtree)
    row = tiles.get(tile, b"")[start:end]
    if len(row) != end - start:
        raise ProofInvalid(f"tile {tile.level}/{tile.number} is missing or too short")
    return _above(row, subtree.height % HEIGHT)


def _place(subtree: Subtree) -> tuple[Tile, int, int]:
    """Return the tile that holds the subtree's leaves, or the roots of its parts, and where."""
    level, above = divmod(subtree.height, HEIGHT)
    number, start = divmod(subtree.number << above, WIDTH)
    return Tile(level, number), start * HASH_BYTES, (start + (1 << above)) * HASH_BYTES


def _above(row: bytes, height: int) -> bytes:
    for _ in range(height):
        row = parents(row)
    return row


# ---- the entries behind a tile ------------------------------------------------------------


def to_bundle(entries: Iterable[bytes]) -> bytes:
    """Return the entries behind a tile of level 0 as one file: each after its length."""
    return b"".join(len(each).to_bytes(_LENGTH_BYTES, "big") + each for each in entries)


def parse_bundle(raw: bytes) -> tuple[bytes, ...]:
    """Return the entries of a bundle, 1 to 256. Raises MalformedInput for anything else."""
    entries: list[bytes] = []
    at = 0
    while at < len(raw) and len(entries) < WIDTH:
        start = at + _LENGTH_BYTES
        at = start + int.from_bytes(raw[at:start], "big")
        entries.append(raw[start:at])
    if at != len(raw) or not entries:
        raise MalformedInput("this is not a bundle of entries")
    return tuple(entries)


# ---- paths ------------------------------------------------------------------------------

_PATH = re.compile(
    r"(?:(?P<level>[0-9]{1,2})|entries)/(?P<number>(?:x[0-9]{3}/){0,5}[0-9]{3})"
    r"(?:\.p/(?P<width>[0-9]{1,3}))?"
)
_MAX_LEVEL = 63
_MAX_NUMBER = MAX_SIZE // WIDTH


def tile_path(tile: Tile, width: int) -> str:
    """Return where a tile is served, below `tile/`: `0/x001/234.p/5`; without `.p/` if full."""
    return f"{tile.level}/{_spelled(tile.number, width)}"


def entries_path(number: int, width: int) -> str:
    """Return where the entries behind a tile of level 0 are served, below `tile/`."""
    return f"entries/{_spelled(number, width)}"


def parse_tile_path(path: str) -> tuple[Tile, int]:
    """Return the tile and the width. Raises MalformedInput for any other spelling of them."""
    level, number, width = _parsed(path)
    if level is None or level > _MAX_LEVEL or path != tile_path(Tile(level, number), width):
        raise _no_path()
    return Tile(level, number), width


def parse_entries_path(path: str) -> tuple[int, int]:
    """Return the number and the width. Raises MalformedInput for any other spelling of them."""
    level, number, width = _parsed(path)
    if level is not None or path != entries_path(number, width):
        raise _no_path()
    return number, width


def _spelled(number: int, width: int) -> str:
    *high, last = f"{number:,}".split(",")
    groups = [f"x{group:0>3}/" for group in high]
    return "".join([*groups, f"{last:0>3}", "" if width == WIDTH else f".p/{width}"])


def _parsed(path: str) -> tuple[int | None, int, int]:
    """Return level, number and width of a path that may still be spelled in another way."""
    match = _PATH.fullmatch(path)
    if not match:
        raise _no_path()
    level = int(match["level"]) if match["level"] else None
    number = int(re.sub("[x/]", "", match["number"]))
    width = int(match["width"] or WIDTH)
    if number > _MAX_NUMBER or not 0 < width <= WIDTH:
        raise _no_path()
    return level, number, width


def _no_path() -> MalformedInput:
    return MalformedInput("this is not the path of a tile, or not its one spelling")
