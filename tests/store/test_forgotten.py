"""What was erased is nowhere any more: not its content, nor anything by which to guess it.

The log of operations that MongoDB keeps for its replicas, outside of the service's database, has
what was written until it is overwritten; so has every backup that was made before.
"""

from __future__ import annotations

import secrets
from contextlib import closing
from typing import TYPE_CHECKING, Any

import apsw
import bson
import pytest
from asking import erase, keep
from pymongo.uri_parser import parse_uri

from auditlogservice.events import Erasure
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.sqlite import open_sqlite
from strategies import draft, told

if TYPE_CHECKING:
    from pathlib import Path

    from pymongo import MongoClient

    from auditlogservice.events import Draft


def _secret_draft() -> tuple[Draft, list[bytes]]:
    """A draft, and all that must not be left of it."""
    mark, deep, key = (secrets.token_hex(12) for _ in range(3))
    made = draft(told(mark, event_data={"deep": [deep], key: 1}), key=secrets.token_hex(8))
    return made, [mark.encode(), deep.encode(), key.encode(), made.salt, made.fingerprint]


def _sqlite_bytes(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in sorted(path.parent.glob(f"{path.name}*")))


@pytest.mark.parametrize("copy", ["files", "vacuumed", "backup"])
async def test_no_file_of_sqlite_and_no_fresh_copy_has_what_was_erased(
    tmp_path: Path, copy: str
) -> None:
    path, copied = tmp_path / "audit.db", tmp_path / "copied" / "audit.db"
    copied.parent.mkdir()

    def taken() -> bytes:
        if copy == "files":
            return _sqlite_bytes(path)
        copied.unlink(missing_ok=True)
        with closing(apsw.Connection(str(path))) as source:
            if copy == "vacuumed":
                source.execute("VACUUM INTO ?", (str(copied),))
            else:
                with (
                    closing(apsw.Connection(str(copied))) as target,
                    target.backup("main", source, "main") as backup,
                ):
                    backup.step()
        return _sqlite_bytes(copied)

    store = await open_sqlite(str(path))
    sent, marks = _secret_draft()
    (record, other) = await keep(store.events, sent, draft(told("other")))
    before = taken()
    assert [mark for mark in marks if mark not in before] == []
    assert isinstance(await erase(store.events, record.id), Erasure)
    after = taken()
    assert [mark for mark in marks if mark in after] == []
    assert other.payload in after
    await store.close()
    assert [mark for mark in marks if mark in _sqlite_bytes(path)] == []


async def test_no_collection_of_mongodb_has_what_was_erased(
    mongodb_url: str, mongo: MongoClient[dict[str, Any]]
) -> None:
    database = mongo[parse_uri(mongodb_url)["database"]]

    def dumped() -> bytes:
        names = database.list_collection_names()
        return b"".join(bson.encode(one) for name in names for one in database[name].find())

    store = await open_mongodb(mongodb_url)
    sent, marks = _secret_draft()
    (record, other) = await keep(store.events, sent, draft(told("other")))
    before = dumped()
    assert [mark for mark in marks if mark not in before] == []
    assert isinstance(await erase(store.events, record.id), Erasure)
    after = dumped()
    assert [mark for mark in marks if mark in after] == []
    assert other.payload in after
    await store.close()
