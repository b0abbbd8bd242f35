"""How much a log has, and the room that it takes on the disk: records, indexes and the tree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from bench.calls import calling

if TYPE_CHECKING:
    from pathlib import Path

    from bench.servers import Server


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes of the collections, and of their indexes."""

    data: int
    indexes: int


def records_of(server: Server) -> int:
    """Return how many records the log has: more than was told, for the service adds its own."""
    with calling(server) as caller:
        (newest,) = caller.get("/events?sort=-timestamp&limit=1").json()
    return int(newest["sequence"]) + 1


def bytes_on_disk(server: Server) -> int:
    """Return what the server's store takes now."""
    url = server.settings.get("AUDITLOG_STORE")
    if url is None:
        return in_sqlite(server.folder / "data" / "audit.db")
    room = in_mongodb(url)
    return room.data + room.indexes


def in_sqlite(path: Path) -> int:
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def in_mongodb(url: str) -> Room:
    with MongoClient[dict[str, Any]](url) as client:
        client.admin.command("fsync")  # sizes are those of the last checkpoint
        stats = client.get_default_database().command("dbStats")
    return Room(int(stats["storageSize"]), int(stats["indexSize"]))
