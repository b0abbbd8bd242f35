"""The mongod that the naive service and ours share: the one of the tests, with more memory."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

# Of tests/, which `make` puts on the path.
from mongod import ReplicaSet, find_mongod

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CACHE_GB = 6.0  # the indexes of 1,000,000 events fit into it; by default mongod takes half of all


@contextmanager
def replica_set(folder: Path) -> Iterator[ReplicaSet | None]:
    """Run a replica set of one; None where there is no mongod."""
    binary = find_mongod()
    if binary is None:
        yield None
        return
    members = ReplicaSet.create(binary, folder / "mongod", cache_gb=CACHE_GB)
    try:
        members.start()
        yield members
    finally:
        members.stop()
