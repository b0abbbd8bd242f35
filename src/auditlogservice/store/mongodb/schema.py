"""What is kept in MongoDB, under which names and indexes: made at the first start, then checked.

Names are short in `events`, where each byte is paid for once per event:

    _id    ObjectId   the event's id, also the place where an idempotency key is taken
    t      string     tenant
    s      int64      sequence in the tenant's log
    at     int64      timestamp, microseconds since 1970; it never falls as `s` rises
    c      binary     commitment to the payload, as the log entry has it
    exp    int64      when a retention rule lets it be erased, as the log entry has it; or null
    salt   binary     of the commitment
    fp     binary     fingerprint of the event, for retries
    p      binary     payload: the truth. Everything beside it is an index
    terms  strings    what it is found by
    gone   document   instead of the four before it, once erased: at (int64), by, why

and in `logs`, one for each tenant, which every append changes by compare-and-swap:

    _id    string     tenant
    n      int64      how many records the log has: the sequence that comes next
    at     int64      the last timestamp
    tiles  document   level -> binary: the tiles of its tree that are not full
    holds  int64      grows with each hold that is placed, so that placing one and erasing collide
    claims int64      grows where several processes append, so that of two only one goes on

`tiles` has the full tiles: _id is `tenant/level/number`, `h` the hashes. The other collections
hold few documents and have names that speak for themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo import ASCENDING, IndexModel, ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from auditlogservice.errors import UnsafeSetup
from auditlogservice.store.mongodb.failures import is_duplicate

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.asynchronous.collection import AsyncCollection
    from pymongo.asynchronous.database import AsyncDatabase

Document: TypeAlias = dict[str, Any]
Keys: TypeAlias = list[tuple[str, int]]

VERSION = 1

EVENTS = "events"
LOGS = "logs"
TILES = "tiles"
CHECKPOINTS = "checkpoints"
DOCUMENTS = "documents"
USERS = "users"
KEYS = "keys"
SECRETS = "secrets"
META = "meta"

BY_ID: Keys = [("_id", ASCENDING)]
BY_SEQUENCE: Keys = [("t", ASCENDING), ("s", ASCENDING)]
BY_TERM: Keys = [("t", ASCENDING), ("terms", ASCENDING), ("s", ASCENDING)]
# `s` stands at the end so that a moment becomes a sequence without reading a record.
BY_TIME: Keys = [("t", ASCENDING), ("at", ASCENDING), ("s", ASCENDING)]

# An index lies on disk uncompressed unless told otherwise, and that of terms would take two thirds
# of all room. In pages of 16 KiB it takes 1.8 kB an event instead of 2.5 (88 terms), and the
# server no more CPU; in larger ones 1.5 kB, but half as much CPU again where memory is short. The
# two others take half of what they took: 49 bytes an event instead of 98.
_PACKED = {"wiredTiger": {"configString": "block_compressor=snappy,memory_page_image_max=16KB"}}

INDEXES: Mapping[str, tuple[IndexModel, ...]] = {
    EVENTS: (
        # The second guard, behind the compare-and-swap of `logs`: no holes, and no forks.
        IndexModel(BY_SEQUENCE, name="by_sequence", unique=True, storageEngine=_PACKED),
        IndexModel(BY_TERM, name="by_term", storageEngine=_PACKED),
        IndexModel(BY_TIME, name="by_time", storageEngine=_PACKED),
    ),
    LOGS: (),
    TILES: (),
    CHECKPOINTS: (),
    DOCUMENTS: (IndexModel([("kind", ASCENDING), ("tenant", ASCENDING)], name="by_kind"),),
    USERS: (IndexModel([("name", ASCENDING)], name="by_name", unique=True),),
    # The server drops keys that have expired; no clock of ours is asked.
    KEYS: (IndexModel([("drop_at", ASCENDING)], name="by_expiry", expireAfterSeconds=0),),
}

# Among it how an index lies on disk: one that was made before stays as it is.
_FREE_TO_DIFFER = frozenset({"v", "ns", "background", "storageEngine"})
_NAMESPACE_EXISTS = 48


async def prepare(database: AsyncDatabase[Document]) -> None:
    """Return once the database holds what this version needs; raise UnsafeSetup if it cannot.

    Many processes may do this at the same time. The version is looked at first, so that a
    database of a later version is left alone.
    """
    await _claim_version(database)
    # Those without an index of ours are made too: a transaction over shards could not.
    there = await database.list_collection_names()
    for name, models in INDEXES.items():
        if not models and name not in there:
            await _make(database, name)
        await _index(database[name], [model.document for model in models])


async def _make(database: AsyncDatabase[Document], name: str) -> None:
    try:
        await database.create_collection(name, check_exists=False)
    except OperationFailure as error:
        if error.code != _NAMESPACE_EXISTS:  # then another process was first, just now
            raise


async def _claim_version(database: AsyncDatabase[Document]) -> None:
    meta = database[META]
    try:
        found = await meta.find_one_and_update(
            {"_id": "schema"},
            {"$setOnInsert": {"version": VERSION}},
            upsert=True,
            return_document=ReturnDocument.AFTER,
        )
    except DuplicateKeyError:  # another process was first, just now
        found = await meta.find_one({"_id": "schema"})
    version = found["version"] if found else None
    if version != VERSION:
        raise UnsafeSetup(
            f"the database {database.name!r} has schema version {version}, and this release "
            f"knows version {VERSION}: run the release that wrote it, or a later one"
        )


async def _index(collection: AsyncCollection[Document], wanted: list[Document]) -> None:
    there = await _indexes_of(collection)
    _refuse_changed(collection, wanted, there)
    missing = [model for model in wanted if model["name"] not in there]
    if not missing:
        return
    try:
        await collection.create_indexes([_as_model(index) for index in missing])
    except OperationFailure as error:
        if is_duplicate(error):
            raise UnsafeSetup(
                f"{_place(collection)} holds documents that break a unique index of this "
                "service: it was written by something else. Use an empty database, or restore "
                "a backup"
            ) from None
        # An index of another name on these keys: `_refuse_changed` then has the words.
        if not (error.details or {}).get("codeName", "").startswith("Index"):
            raise
    _refuse_changed(collection, wanted, await _indexes_of(collection), complete=True)


async def _indexes_of(collection: AsyncCollection[Document]) -> dict[str, Document]:
    return {index["name"]: dict(index) async for index in await collection.list_indexes()}


def _refuse_changed(
    collection: AsyncCollection[Document],
    wanted: list[Document],
    there: Mapping[str, Document],
    *,
    complete: bool = False,
) -> None:
    for index in wanted:
        name = index["name"]
        if name not in there and not complete:
            continue
        if _meaning(index) != _meaning(there.get(name, {})):
            raise UnsafeSetup(
                f"the index {name!r} of {_place(collection)} is not as this service made it: "
                "drop it and every other index on the same keys, then start again to have it "
                "rebuilt"
            )


def _meaning(index: Mapping[str, Any]) -> Document:
    """Return what an index does; its key as a list, because the order of the fields counts."""
    return {
        option: list(value.items()) if option == "key" else value
        for option, value in index.items()
        if option not in _FREE_TO_DIFFER
    }


def _as_model(index: Document) -> IndexModel:
    options = {name: value for name, value in index.items() if name != "key"}
    return IndexModel(list(index["key"].items()), **options)


def _place(collection: AsyncCollection[Document]) -> str:
    return f"the collection {collection.full_name!r}"
