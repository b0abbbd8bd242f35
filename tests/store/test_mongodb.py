"""What only MongoDB can get wrong: its setup, its indexes, and the fate of its transactions.

Failures are injected into a real server, with the failpoints that its own tests use.
"""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

import pymongo
import pytest
from asking import append, either, erase, keep, page, question, where, whole_log
from pymongo import AsyncMongoClient, MongoClient
from pymongo.uri_parser import parse_uri
from trees import examined, graves

from answers import outcomes_of
from auditlogservice.errors import (
    AuditLogError,
    OutcomeUnknown,
    Overloaded,
    QueryTimeout,
    StorageFull,
    StoreUnreachable,
    UnsafeSetup,
)
from auditlogservice.events import Erasure, EventId, Sequence
from auditlogservice.filters import (
    EVERYTHING,
    Compare,
    Exists,
    Filter,
    Like,
    Words,
    all_of,
)
from auditlogservice.governance import Hold
from auditlogservice.language import parse_text
from auditlogservice.merkle import HASH_BYTES
from auditlogservice.store.mongodb import open_mongodb, paging
from auditlogservice.store.mongodb.connection import check_topology, check_version
from auditlogservice.store.mongodb.schema import INDEXES
from auditlogservice.store.port import (
    Appended,
    Document,
    Held,
    Published,
    Replayed,
    Submission,
)
from auditlogservice.tiles import WIDTH, Tile
from auditlogservice.times import format_utc
from mongod import Mongod, ReplicaSet, pausing, queries
from strategies import NOON, draft, told, tombstone

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator
    from datetime import datetime
    from pathlib import Path

    from pymongo.asynchronous.client_session import AsyncClientSession

    from auditlogservice.store.mongodb import MongoStore
    from auditlogservice.store.mongodb.governing import MongoDocumentStore
    from auditlogservice.store.port import Order

Client = MongoClient[dict[str, Any]]

PATIENCE = 3.0  # seconds; what a call of these stores may take
LITTLE = 1.0  # the same, where nothing is to be waited for
HANGING = 15.0  # seconds; a generous bound on what is no hanging


@pytest.fixture
async def store(mongodb_url: str) -> AsyncIterator[MongoStore]:
    opened = await open_mongodb(mongodb_url, timeout=PATIENCE)
    yield opened
    await opened.close()


@pytest.fixture
async def other(mongodb_url: str) -> AsyncIterator[MongoStore]:
    """Another node over the same database."""
    opened = await open_mongodb(mongodb_url, timeout=PATIENCE)
    yield opened
    await opened.close()


@pytest.fixture
async def hasty(mongodb_url: str) -> AsyncIterator[MongoStore]:
    """A store that gives up soon, for what cannot succeed."""
    opened = await open_mongodb(mongodb_url, timeout=LITTLE)
    yield opened
    await opened.close()


@pytest.fixture
def database(mongodb_url: str, mongo: Client) -> pymongo.database.Database[dict[str, Any]]:
    """The test's database as an operator sees it."""
    return mongo[parse_uri(mongodb_url)["database"]]


# ---- what is refused at the start ---------------------------------------------------------


async def refusal(url: str) -> str:
    with pytest.raises(UnsafeSetup) as caught:
        await open_mongodb(url, timeout=LITTLE)
    assert caught.value.__cause__ is None
    return str(caught.value)


@pytest.fixture(scope="module")
def standalone(mongod_binary: Path, server_folder: Path) -> Iterator[Mongod]:
    server = Mongod(mongod_binary, server_folder / "standalone")
    server.start()
    yield server
    server.kill()


@pytest.fixture(scope="module")
def uninitiated(mongod_binary: Path, server_folder: Path) -> Iterator[Mongod]:
    server = Mongod(mongod_binary, server_folder / "ghost", ("--replSet", "rs0"))
    server.start()
    yield server
    server.kill()


@pytest.mark.parametrize("options", ["", "?replicaSet=rs0", "?directConnection=true"])
async def test_a_standalone_server_is_refused_with_the_way_out(
    standalone: Mongod, options: str
) -> None:
    sentence = await refusal(f"mongodb://{standalone.address}/{options}")
    assert "--replSet rs0" in sentence
    assert "rs.initiate()" in sentence


@pytest.mark.parametrize("options", ["", "?replicaSet=rs0", "?directConnection=true"])
async def test_a_set_that_was_never_initiated_is_refused_with_the_way_out(
    uninitiated: Mongod, options: str
) -> None:
    assert "rs.initiate()" in await refusal(f"mongodb://{uninitiated.address}/{options}")


@pytest.mark.parametrize(
    "options", ["w=1", "w=0", "w=2", "journal=false", "w=majority&journal=false"]
)
async def test_a_url_that_asks_for_less_than_durable_is_refused(
    mongodb_url: str, options: str
) -> None:
    assert "w=majority&journal=true" in await refusal(f"{mongodb_url}&{options}")


async def test_a_url_that_asks_for_what_is_promised_is_accepted(mongodb_url: str) -> None:
    store = await open_mongodb(f"{mongodb_url}&w=majority&journal=true&wtimeoutMS=1")
    await keep(store.events, draft())
    await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "mongodb://", "mongodb://user:p@ss@word@localhost/x", "http://localhost", "nonsense",
        "mongodb://localhost:port", "mongodb://u:hunter2@localhost/?authMechanism=none",
        "mongodb://localhost/?jornal=false",
    ],
)  # fmt: skip
async def test_a_url_that_cannot_be_read_is_refused_without_repeating_it(url: str) -> None:
    sentence = await refusal(url)
    assert "p@ss" not in sentence
    assert "hunter2" not in sentence


async def test_credentials_that_the_server_refuses_are_told_apart(mongodb_url: str) -> None:
    url = mongodb_url.replace("mongodb://", "mongodb://nobody:hunter2@")
    sentence = await refusal(url)
    assert "refuses the user" in sentence
    assert "hunter2" not in sentence


async def test_nobody_at_the_address_is_unreachable_and_not_unsafe() -> None:
    async with asyncio.timeout(HANGING):
        with pytest.raises(StoreUnreachable):
            await open_mongodb("mongodb://127.0.0.1:9/?replicaSet=rs0", timeout=0.5)


@pytest.mark.parametrize("version", [[5, 0, 31, 0], [4, 4, 0, 0]])
def test_a_server_before_6_0_is_refused(version: list[int]) -> None:
    with pytest.raises(UnsafeSetup, match=r"upgrade every member to 6\.0"):
        check_version(version)


def test_a_router_of_a_sharded_cluster_is_accepted() -> None:
    check_topology({"msg": "isdbgrid"})
    check_version([6, 0, 0, 0])


async def test_the_database_is_auditlog_if_the_url_names_none(
    replica_set: ReplicaSet, mongo: Client
) -> None:
    assert "auditlog" not in mongo.list_database_names()
    store = await open_mongodb(replica_set.url())
    await store.close()
    assert set(INDEXES) < set(mongo["auditlog"].list_collection_names())
    mongo.drop_database("auditlog")


# ---- the schema -----------------------------------------------------------------------------


async def test_opening_twice_finds_everything_in_place(
    store: MongoStore, mongodb_url: str
) -> None:
    (record,) = await keep(store.events, draft())
    again = await open_mongodb(mongodb_url)
    assert await whole_log(again.events) == [record]
    await again.close()


async def test_many_nodes_may_open_a_new_database_at_once(mongodb_url: str) -> None:
    stores = await asyncio.gather(*(open_mongodb(mongodb_url) for _ in range(5)))
    for store in stores:
        await store.close()


async def test_a_schema_of_a_later_release_is_refused_and_left_alone(
    mongodb_url: str, database: pymongo.database.Database[dict[str, Any]]
) -> None:
    database["meta"].insert_one({"_id": "schema", "version": 2})
    assert "schema version 2" in await refusal(mongodb_url)
    assert database.list_collection_names() == ["meta"]


@pytest.mark.parametrize(
    ("keys", "options"),
    [
        ([("t", 1), ("s", 1)], {"name": "by_sequence"}),  # not unique
        ([("s", 1), ("t", 1)], {"name": "by_sequence", "unique": True}),  # another order
        ([("t", 1), ("s", 1)], {"name": "by_sequence", "unique": True, "sparse": True}),
        (
            [("t", 1), ("s", 1)],
            {
                "name": "by_sequence",
                "unique": True,
                "partialFilterExpression": {"s": {"$gt": 5}},
            },
        ),
        ([("t", 1), ("s", 1)], {"name": "operators_own", "unique": True}),
    ],
    ids=["not unique", "another order", "sparse", "partial", "another name"],
)
async def test_an_index_that_is_not_as_it_was_made_is_refused(
    mongodb_url: str,
    database: pymongo.database.Database[dict[str, Any]],
    keys: list[tuple[str, int]],
    options: dict[str, Any],
) -> None:
    database["events"].create_index(keys, **options)
    sentence = await refusal(mongodb_url)
    assert "by_sequence" in sentence
    assert "drop it" in sentence


async def test_a_hidden_index_is_refused(
    store: MongoStore,
    mongodb_url: str,
    database: pymongo.database.Database[dict[str, Any]],
) -> None:
    await store.events.ping()
    database.command("collMod", "events", index={"name": "by_term", "hidden": True})
    assert "by_term" in await refusal(mongodb_url)


async def test_a_lost_index_is_made_again(
    store: MongoStore,
    mongodb_url: str,
    database: pymongo.database.Database[dict[str, Any]],
) -> None:
    await keep(store.events, draft())
    database["events"].drop_index("by_sequence")
    again = await open_mongodb(mongodb_url)
    await again.close()
    assert database["events"].index_information()["by_sequence"]["unique"] is True


async def test_the_indexes_of_records_are_compressed(
    store: MongoStore, database: pymongo.database.Database[dict[str, Any]]
) -> None:
    await store.events.ping()
    details = database.command("collStats", "events", indexDetails=True)["indexDetails"]
    for index in INDEXES["events"]:
        made = details[index.document["name"]]["creationString"]
        assert "block_compressor=snappy" in made, index.document["name"]


async def test_indexes_from_before_they_were_compressed_do_as_well(
    mongodb_url: str, database: pymongo.database.Database[dict[str, Any]]
) -> None:
    for index in INDEXES["events"]:
        how = {key: value for key, value in index.document.items() if key != "key"}
        del how["storageEngine"]
        database["events"].create_index(list(index.document["key"].items()), **how)
    opened = await open_mongodb(mongodb_url)
    (record,) = await keep(opened.events, draft())
    assert await page(opened.events, where(event_type="auth.login")) == [record]
    await opened.close()


async def test_documents_that_break_a_unique_index_are_refused(
    mongodb_url: str, database: pymongo.database.Database[dict[str, Any]]
) -> None:
    database["events"].insert_many([{"t": "acme", "s": 0}, {"t": "acme", "s": 0}])
    assert "written by something else" in await refusal(mongodb_url)


# ---- queries walk along indexes ---------------------------------------------------------------


class Overheard(pymongo.monitoring.CommandListener):
    """Keeps the commands that a client sends: queries, to have them explained, and the rest."""

    def __init__(self) -> None:
        self.finds: list[dict[str, Any]] = []
        self.others: list[dict[str, Any]] = []

    def started(self, event: pymongo.monitoring.CommandStartedEvent) -> None:
        kept = self.finds if event.command_name == "find" else self.others
        kept.append(dict(event.command))

    def succeeded(self, event: pymongo.monitoring.CommandSucceededEvent) -> None: ...

    def failed(self, event: pymongo.monitoring.CommandFailedEvent) -> None: ...


_ASKABLE = ("find", "filter", "sort", "skip", "limit", "hint", "projection", "min", "max")


def plans(
    database: pymongo.database.Database[dict[str, Any]], finds: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    explained = [
        database.command(
            "explain",
            {name: find[name] for name in _ASKABLE if name in find},
            verbosity="executionStats",
        )
        for find in finds
    ]
    assert explained
    return explained


def stages(plan: Any) -> set[str]:
    match plan:
        case dict():
            inner = set().union(*map(stages, plan.values())) if plan else set()
            return inner | ({plan["stage"]} if "stage" in plan else set())
        case list():
            return set().union(*map(stages, plan)) if plan else set()
        case _:
            return set()


def _second(number: int) -> datetime:
    return NOON + timedelta(seconds=number)


@pytest.fixture
async def overheard(mongodb_url: str) -> AsyncIterator[tuple[MongoStore, Overheard]]:
    """A store with 400 records, one a second: one user and one target in 400, one type in 4, one
    address in 40, and one name for all.
    """
    ear = Overheard()
    pymongo.monitoring.register(ear)
    try:
        store = await open_mongodb(mongodb_url)
    finally:
        pymongo.monitoring._LISTENERS.command_listeners.remove(ear)
    await keep(
        store.events,
        *(
            draft(
                told(
                    "same",
                    event_type=f"type {number % 4}",
                    actor={"id": f"u{number}"},
                    targets=[{"id": "all"}, {"id": f"t{number}"}],
                    event_data={"n": number},
                    **({} if number % 40 else {"context": {"ip": "10.0.0.1"}}),
                    **({} if number % 40 else {"occurred_at": "2026-01-31T12:00:00Z"}),
                ),
                at=_second(number),
            )
            for number in range(400)
        ),
    )
    ear.finds.clear()
    yield store, ear
    await store.close()


# What is asked; how many of at most ten records that gives; how many keys may be looked at.
PRECISE = {
    "all": (EVERYTHING, 10, 12),
    "one": (where(event_type="type 1"), 10, 12),
    "either": (either("event_type", "type 1", "type 2"), 10, 12),
    "rare last": (where(name="same", actor__id="u399"), 1, 3),
    "rare first": (where(actor__id="u399", name="same"), 1, 3),
    "none": (where(name="same", event_type="no such"), 0, 3),
    "sequence": (where(sequence="399"), 1, 3),
    "target": (where(targets__id="t399"), 1, 3),
    "common target": (where(targets__id="all"), 10, 12),
    "address": (where(context__ip="10.0.0.1"), 10, 12),
    "words": (parse_text("u399", now=NOON), 1, 3),
    "common words": (parse_text("same", now=NOON), 10, 12),
    "words that meet": (parse_text("same u399", now=NOON), 1, 3),
    "since": (Compare("timestamp", "gte", format_utc(_second(395))), 5, 7),
    "until": (Compare("timestamp", "lt", format_utc(_second(5))), 5, 7),
    "time range": (
        all_of(
            Compare("timestamp", "gte", format_utc(_second(100))),
            Compare("timestamp", "lt", format_utc(_second(300))),
        ),
        10,
        12,
    ),
    "type in a time range": (
        all_of(where(event_type="type 1"), Compare("timestamp", "gte", format_utc(_second(392)))),
        2,
        4,
    ),
}


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(("asked", "found", "keys"), PRECISE.values(), ids=PRECISE)
async def test_a_page_reads_little_more_than_it_gives(
    overheard: tuple[MongoStore, Overheard],
    database: pymongo.database.Database[dict[str, Any]],
    asked: Filter,
    found: int,
    keys: int,
    order: Literal["oldest", "newest"],
) -> None:
    store, ear = overheard
    assert len(await page(store.events, asked, order=order, limit=10)) == found
    for plan in plans(database, ear.finds):
        used = stages(plan["queryPlanner"]["winningPlan"])
        assert "IXSCAN" in used
        assert not used & {"COLLSCAN", "SORT"}
        assert plan["executionStats"]["totalKeysExamined"] <= keys
        assert plan["executionStats"]["totalDocsExamined"] <= keys


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    "asked",
    [EVERYTHING, where(event_type="type 1"), either("event_type", "type 1", "type 2")],
    ids=["all", "one", "either"],
)
async def test_a_page_deep_in_the_log_costs_what_the_first_one_costs(
    overheard: tuple[MongoStore, Overheard],
    database: pymongo.database.Database[dict[str, Any]],
    asked: Filter,
    order: Order,
) -> None:
    store, ear = overheard
    costs = list[tuple[int, int]]()
    for beyond in (None, 360 if order == "oldest" else 40):
        ear.finds.clear()
        query = question(asked, order=order, beyond=beyond, limit=10)
        assert len(await store.events.page(query)) == 10
        figures = [plan["executionStats"] for plan in plans(database, ear.finds)]
        costs.append(
            (
                sum(each["totalDocsExamined"] for each in figures),
                sum(each["totalKeysExamined"] for each in figures),
            )
        )
    first, deep = costs
    assert deep[0] == first[0] == 10
    assert deep[1] <= first[1] + 2  # where to begin is one more key, or two


COARSE = {
    "prefix": Like("actor.id", "u39*"),
    "number": Compare("event_data.n", "gte", "390"),
    "moment": Compare("occurred_at", "lt", "2026-01-31T12:00:05Z"),
    "start of a word": Words(("u39",), open_end=True),
    "something there": Exists("context"),
    "beside what is common": all_of(where(name="same"), Like("actor.id", "u39*")),
}


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("asked", COARSE.values(), ids=COARSE)
async def test_what_takes_in_many_terms_reads_the_records_that_have_them(
    overheard: tuple[MongoStore, Overheard],
    database: pymongo.database.Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    asked: Filter,
    order: str,
) -> None:
    """In a log that is long: in a short one, it is as quick to look at every record."""
    monkeypatch.setattr(paging, "_WINDOW", 50)
    monkeypatch.setattr(paging, "_FEW", 50)
    store, ear = overheard
    found = await page(store.events, asked, order="newest" if order == "newest" else "oldest")
    assert 0 < len(found) <= 12
    for plan in plans(database, ear.finds):
        assert "COLLSCAN" not in stages(plan["queryPlanner"]["winningPlan"])
        assert plan["executionStats"]["totalDocsExamined"] <= 12
        assert plan["executionStats"]["totalKeysExamined"] <= 25


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    "asked",
    [
        Like("actor.id", "u*"),
        Compare("event_data.n", "gte", "0"),
        Words(("type",)),
        all_of(Like("name", "s*"), Exists("actor")),
    ],
    ids=["prefix", "number", "word", "two"],
)
async def test_what_takes_in_nearly_everything_reads_little_more_than_it_gives(
    overheard: tuple[MongoStore, Overheard],
    database: pymongo.database.Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    asked: Filter,
    order: str,
) -> None:
    monkeypatch.setattr(paging, "_WINDOW", 50)
    monkeypatch.setattr(paging, "_FEW", 50)
    store, ear = overheard
    sorted_as: Any = order
    assert len(await page(store.events, asked, order=sorted_as, limit=10)) == 10
    for plan in plans(database, ear.finds):
        assert not stages(plan["queryPlanner"]["winningPlan"]) & {"COLLSCAN", "SORT"}
        assert plan["executionStats"]["totalDocsExamined"] <= 102


async def test_a_page_by_id_reads_what_it_names(
    overheard: tuple[MongoStore, Overheard],
    database: pymongo.database.Database[dict[str, Any]],
) -> None:
    store, ear = overheard
    (record,) = await page(store.events, where(actor__id="u7"))
    ear.finds.clear()
    asked = question(where(_id=record.id, name="same"))
    assert await store.events.page(asked) == [record]
    (plan,) = plans(database, ear.finds)
    assert plan["executionStats"]["totalDocsExamined"] == 1


# ---- records by their ids, asked for together ---------------------------------------------------


async def test_those_who_ask_for_records_at_the_same_time_share_a_question(
    overheard: tuple[MongoStore, Overheard],
) -> None:
    store, ear = overheard
    records = await page(store.events, limit=60)
    lost = EventId("0" * 24)
    ear.finds.clear()
    asked = [*(record.id for record in records), records[0].id, lost]
    assert await asyncio.gather(*(store.events.find("acme", one) for one in asked)) == [
        *records,
        records[0],
        None,
    ]
    # The first went alone; then 32 were asked for, and then the rest.
    assert [len(find["filter"]["_id"]["$in"]) for find in ear.finds] == [1, 32, 29]


async def test_who_asks_together_with_another_tenant_meets_its_own_records_only(
    overheard: tuple[MongoStore, Overheard],
) -> None:
    store, _ = overheard
    (record,) = await page(store.events, where(actor__id="u7"))
    (foreign,) = await keep(store.events, draft(tenant="other"))
    asked = [(tenant, one.id) for tenant in ("acme", "other") for one in (record, foreign)] * 3
    found = await asyncio.gather(*(store.events.find(*each) for each in asked))
    assert found == [record, None, None, foreign] * 3


async def test_a_caller_who_hangs_up_takes_nobodys_answer_along(
    store: MongoStore, mongo: Client
) -> None:
    records = await keep(store.events, draft(), draft(), draft())
    with pausing(mongo):
        first, *others = [
            asyncio.ensure_future(store.events.find("acme", record.id)) for record in records
        ]
        while not queries(mongo):  # noqa: ASYNC110 - it is the server that is waited for
            await asyncio.sleep(0.01)
        others[0].cancel()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
    assert await others[1] == records[2]
    assert await store.events.find("acme", records[0].id) == records[0]


async def test_all_who_asked_together_hear_that_the_server_does_not_answer(
    hasty: MongoStore, mongo: Client
) -> None:
    records = await keep(hasty.events, draft(), draft(), draft())
    with pausing(mongo):
        heard = await asyncio.gather(
            *(hasty.events.find("acme", record.id) for record in records), return_exceptions=True
        )
    assert [type(one) for one in heard] == [StoreUnreachable] * 3


# ---- questions that take too long --------------------------------------------------------------


async def test_a_cancelled_question_ends_on_the_server_within_a_second(
    store: MongoStore, mongo: Client
) -> None:
    await keep(store.events, draft())

    with pausing(mongo):
        task = asyncio.ensure_future(page(store.events, where(event_type="auth.login")))
        while not queries(mongo):  # noqa: ASYNC110 - it is the server that is waited for
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(1):
            while queries(mongo):  # noqa: ASYNC110 - as above
                await asyncio.sleep(0.01)
    assert len(await page(store.events)) == 1


async def test_a_server_that_takes_too_long_is_told_apart_from_one_that_does_not_answer(
    store: MongoStore, mongo: Client
) -> None:
    await keep(store.events, draft())
    with pausing(mongo), pytest.raises(QueryTimeout):
        await page(store.events, where(event_type="auth.login"), seconds=0.1)
    silent = failing(mongo, "find", blockConnection=True, blockTimeMS=1_000)
    with silent, pytest.raises(StoreUnreachable):
        await page(store.events, where(event_type="auth.login"), seconds=0.1)
    assert len(await page(store.events)) == 1


# ---- what is asked of the server for each write and each read ---------------------------------


async def test_every_write_waits_for_the_journal_of_a_majority_and_every_read_for_its_agreement(
    overheard: tuple[MongoStore, Overheard],
) -> None:
    store, ear = overheard
    ear.others.clear()
    (record,) = await keep(store.events, draft(key="k"))
    await erase(store.events, record.id)
    await store.accounts.shared_secret("name", b"secret")
    await store.events.ping()
    await store.events.find("acme", record.id)
    await store.events.page(question(where(name="same")))
    await store.accounts.user_named("alice")
    writes = [one for one in ear.others if "autocommit" not in one or "commitTransaction" in one]
    assert len(writes) == 4
    for write in writes:
        assert write["writeConcern"] == {"w": "majority", "j": True}, write
    # Within a transaction the first command alone says it, for all that follow.
    reads = [one for one in ear.finds if "autocommit" not in one or "startTransaction" in one]
    levels = [one["readConcern"]["level"] for one in reads]
    assert levels == ["snapshot", "snapshot", "majority", "majority", "majority"]


# ---- the fate of a transaction ------------------------------------------------------------------


@contextmanager
def failing(mongo: Client, *commands: str, times: int | None = None, **how: Any) -> Iterator[None]:
    """Let the server fail these commands of the service, `times` times or until the end."""
    mongo.admin.command(
        {
            "configureFailPoint": "failCommand",
            "mode": "alwaysOn" if times is None else {"times": times},
            "data": {"failCommands": list(commands), **how},
        }
    )
    try:
        yield
    finally:
        mongo.admin.command({"configureFailPoint": "failCommand", "mode": "off"})


_CUT: dict[str, Any] = {"closeConnection": True}
_STEPPED_DOWN: dict[str, Any] = {"errorCode": 189, "errorLabels": ["RetryableWriteError"]}
_NOT_REPLICATED: dict[str, Any] = {"writeConcernError": {"code": 64, "errmsg": "late"}}
_ABORTED: dict[str, Any] = {"errorCode": 251, "errorLabels": ["TransientTransactionError"]}
_CONFLICT: dict[str, Any] = {"errorCode": 112, "errorLabels": ["TransientTransactionError"]}


@pytest.mark.parametrize(
    ("command", "how"),
    [
        ("insert", _CONFLICT),
        ("insert", _CUT),
        ("insert", _STEPPED_DOWN),
        ("find", _CUT),
        ("find", _CONFLICT),
        ("commitTransaction", _CUT),
        ("commitTransaction", _STEPPED_DOWN),
        ("commitTransaction", _ABORTED),
        # This one applies the commit, and then says that a majority did not confirm it.
        ("commitTransaction", _NOT_REPLICATED),
    ],
)
@pytest.mark.parametrize("times", [1, 3])
async def test_a_failure_that_passes_is_not_noticed(
    store: MongoStore, mongo: Client, command: str, how: dict[str, Any], times: int
) -> None:
    await keep(store.events, draft())
    with failing(mongo, command, times=times, **how):
        outcomes = await append(store.events, draft(key="k"), draft())
    assert [type(outcome) for outcome in outcomes] == [Appended, Appended]
    assert len(await whole_log(store.events)) == 3


async def test_a_commit_that_was_applied_but_never_confirmed_is_found_by_reading_back(
    hasty: MongoStore, mongo: Client
) -> None:
    with failing(mongo, "commitTransaction", **_NOT_REPLICATED):
        records = await keep(hasty.events, draft(), draft())
    assert await whole_log(hasty.events) == records


async def test_a_commit_that_gets_no_answer_at_all_is_unknown(
    hasty: MongoStore, store: MongoStore, mongo: Client
) -> None:
    with failing(mongo, "commitTransaction", **_CUT):
        async with asyncio.timeout(HANGING):
            with pytest.raises(OutcomeUnknown):
                await append(hasty.events, draft(key="k"))
    # Repeating it with the same key is safe, as the error says. The transaction is still open
    # on the server, so this waits until it is ended.
    await keep(store.events, draft(key="k"))
    assert len(await whole_log(store.events)) == 1


async def test_an_applied_commit_that_cannot_even_be_read_back_is_unknown_and_replayed_later(
    hasty: MongoStore, mongo: Client
) -> None:
    await keep(hasty.events, draft())  # so that the log's head is known, and no read is needed
    lost = draft(told("lost"))
    with (
        failing(mongo, "commitTransaction", "find", **_NOT_REPLICATED),
        pytest.raises(OutcomeUnknown),
        failing_reads(hasty),
    ):
        await append(hasty.events, lost)
    assert [record.id for record in await whole_log(hasty.events)][1:] == [lost.id]
    (again,) = await append(hasty.events, lost)
    assert isinstance(again, Replayed)


@contextmanager
def failing_reads(store: MongoStore) -> Iterator[None]:
    """Let no record be read back, as if the connection were gone just then."""

    async def blind(*_: object) -> bool:
        return False

    appender = store.events._appender
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(appender, "_are_stored", blind)
        yield


async def test_an_erasure_whose_fate_is_unknown_can_be_repeated(
    hasty: MongoStore, store: MongoStore, mongo: Client
) -> None:
    for how in (_CUT, _NOT_REPLICATED):
        (record,) = await keep(store.events, draft())
        with (
            failing(mongo, "commitTransaction", **how),
            failing_reads(hasty),
            pytest.raises(OutcomeUnknown),
        ):
            await erase(hasty.events, record.id)
        assert isinstance(await erase(store.events, record.id), Erasure)
        openings = await examined(store)
        assert openings[record.sequence].payload is None
        assert graves(openings)[-1] == record.id
    assert len(await examined(store)) == 4


@contextmanager
def held_up(owner: object, name: str) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Stop the first call of this method until told: give what says that it came, and what lets
    it go on.
    """
    came, go_on = asyncio.Event(), asyncio.Event()
    method = getattr(owner, name)

    async def wait_and_call(*args: Any) -> Any:
        came.set()
        await go_on.wait()
        return await method(*args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, wait_and_call)
        yield came, go_on


def _hold(tenant: str = "acme") -> Document:
    value = Hold(id="h", where=EVERYTHING, reason="suit", placed_by="bob", placed_at=NOON)
    return Document(kind="hold", tenant=tenant, id="h", body=value.to_body())


@pytest.mark.parametrize("buried", [False, True], ids=["as ever", "with a tombstone there"])
async def test_an_erasure_that_has_read_the_holds_sees_one_that_is_placed_before_it_commits(
    store: MongoStore,
    other: MongoStore,
    buried: bool,  # noqa: FBT001 - whether a tombstone is there, and nothing is to be appended
) -> None:
    (record,) = await keep(store.events, draft())
    if buried:
        await keep(store.events, tombstone(record.id))
    with held_up(store.events._appender, "_admit") as (came, go_on):
        async with asyncio.TaskGroup() as tasks:
            erasing = tasks.create_task(erase(store.events, record.id))
            await came.wait()
            assert await other.documents.put(_hold())
            go_on.set()
    assert erasing.result() == Held(("h",))
    assert (await whole_log(other.events))[0] == record


async def test_a_hold_that_is_older_than_the_first_record_is_not_passed_by_its_erasure(
    store: MongoStore, other: MongoStore
) -> None:
    """The hold is begun when the log has no record; then one is recorded, and to be erased."""
    with (
        begun(other.documents) as (came, place),
        held_up(store.events._appender, "_admit") as (erasing_came, go_on),
    ):
        async with asyncio.TaskGroup() as tasks:
            placing = tasks.create_task(other.documents.put(_hold()))
            await came.wait()
            (record,) = await keep(other.events, draft())
            erasing = tasks.create_task(erase(store.events, record.id))
            await erasing_came.wait()
            place.set()
            assert await placing
            go_on.set()
    assert erasing.result() == Held(("h",))
    assert await whole_log(store.events) == [record]


@contextmanager
def begun(documents: MongoDocumentStore) -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Let a change of a document read first, which fixes what its transaction sees, and then wait
    until it is told to go on.
    """
    came, go_on = asyncio.Event(), asyncio.Event()
    put = documents._put

    async def read_and_wait(session: AsyncClientSession, document: Document) -> bool:
        await documents._documents.find_one({}, session=session)
        came.set()
        await go_on.wait()
        return await put(session, document)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(documents, "_put", read_and_wait)
        yield came, go_on


async def test_an_insert_that_never_succeeds_is_known_not_to_be_kept(
    hasty: MongoStore, mongo: Client
) -> None:
    for how in (_CUT, _CONFLICT):
        with failing(mongo, "insert", **how):
            async with asyncio.timeout(HANGING):
                with pytest.raises(StoreUnreachable):
                    await append(hasty.events, draft())
    assert await whole_log(hasty.events) == []


@pytest.mark.parametrize(("code", "kind"), [(14_031, StorageFull), (388, Overloaded)])
async def test_a_lack_of_room_on_the_disk_or_in_memory_is_called_that(
    store: MongoStore, mongo: Client, code: int, kind: type[AuditLogError]
) -> None:
    with failing(mongo, "insert", errorCode=code), pytest.raises(kind):
        await append(store.events, draft())
    await keep(store.events, draft())
    assert len(await whole_log(store.events)) == 1


async def test_no_error_of_the_driver_gets_out(hasty: MongoStore, mongo: Client) -> None:
    (record,) = await keep(hasty.events, draft())
    commands = ("find", "insert", "update", "delete", "findAndModify", "commitTransaction")
    with failing(mongo, *commands, errorCode=13):
        for call in (
            lambda: hasty.events.find("acme", record.id),
            lambda: page(hasty.events),
            lambda: append(hasty.events, draft()),
            lambda: erase(hasty.events, record.id),
            hasty.events.ping,
            lambda: hasty.accounts.users(None),
            lambda: hasty.accounts.user_named("alice"),
            lambda: hasty.accounts.remove_user("alice"),
            lambda: hasty.accounts.shared_secret("name", b"secret"),
            hasty.accounts.keys,
        ):
            with pytest.raises(AuditLogError) as caught:
                await call()
            assert caught.value.__cause__ is None
            assert "MongoDB" not in str(caught.value)


@pytest.mark.parametrize("how", [_CUT, _NOT_REPLICATED])
async def test_a_single_write_without_an_answer_is_unknown(
    hasty: MongoStore, mongo: Client, how: dict[str, Any]
) -> None:
    with failing(mongo, "findAndModify", **how), pytest.raises(OutcomeUnknown):
        await hasty.accounts.shared_secret("name", b"first")
    assert await hasty.accounts.shared_secret("name", b"second") == (
        b"second" if how is _CUT else b"first"
    )


async def test_a_first_checkpoint_that_another_nodes_came_before_is_published_if_it_is_larger(
    store: MongoStore, other: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints = store.ledger._checkpoints
    update = checkpoints.update_one

    async def refuse_the_first(*_: object, **_how: object) -> None:
        """As the server does if the other one comes between its look and its insert."""
        monkeypatch.setattr(checkpoints, "update_one", update)
        await other.ledger.publish("acme", Published(5, b"of another node"))
        raise pymongo.errors.DuplicateKeyError("")

    monkeypatch.setattr(checkpoints, "update_one", refuse_the_first)
    await store.ledger.publish("acme", Published(7, b"of this one"))
    assert await store.ledger.published("acme") == Published(7, b"of this one")


async def test_a_tile_that_becomes_full_while_it_is_looked_for_is_found(
    store: MongoStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(store.events, draft())
    full_tiles, find_log = store.ledger._full_tiles, store.ledger._logs.find_one
    is_full = asyncio.Event()

    async def look_too_soon(names: dict[str, Tile]) -> dict[Tile, bytes]:
        found = await full_tiles(names)
        if not is_full.is_set():
            await keep(store.events, *(draft() for _ in range(255)))
            is_full.set()
        return found

    async def look_too_late(asked: dict[str, str]) -> Any:
        await is_full.wait()
        return await find_log(asked)

    monkeypatch.setattr(store.ledger, "_full_tiles", look_too_soon)
    monkeypatch.setattr(store.ledger._logs, "find_one", look_too_late)
    found = await store.ledger.tiles("acme", [Tile(0, 0)])
    assert {tile: len(hashes) for tile, hashes in found.items()} == {
        Tile(0, 0): WIDTH * HASH_BYTES
    }


async def test_a_tenant_that_fails_is_no_failure_of_one_beside_it(
    hasty: MongoStore,
    mongo: Client,
    database: pymongo.database.Database[dict[str, Any]],
) -> None:
    """The tenant `bad` is at a place that someone else's open transaction claims."""
    await keep(hasty.events, draft(tenant="good"))
    submissions = [
        Submission((draft(tenant="good", key="k"),)),
        Submission((draft(tenant="bad", key="k"),)),
    ]
    with mongo.start_session() as session, session.start_transaction():
        database["events"].insert_one({"t": "bad", "s": 0}, session=session)
        good, bad = await hasty.events.append(submissions)
        session.abort_transaction()
    assert [type(outcome) for (outcome,) in outcomes_of([good])] == [Appended]
    assert isinstance(bad, StoreUnreachable)
    again = outcomes_of(await hasty.events.append(submissions))
    assert [type(outcome) for (outcome,) in again] == [Replayed, Appended]


async def test_a_cancelled_append_leaves_the_log_writable(
    store: MongoStore, mongo: Client
) -> None:
    await keep(store.events, draft())
    slow = failing(mongo, "commitTransaction", blockConnection=True, blockTimeMS=300)
    with slow, pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await append(store.events, draft())
    await keep(store.events, draft())
    await whole_log(store.events)


async def test_a_head_that_went_out_of_date_costs_an_attempt_and_no_error(
    store: MongoStore, mongodb_url: str
) -> None:
    other = await open_mongodb(mongodb_url)
    await keep(store.events, draft())
    await keep(other.events, draft(), draft())
    (record,) = await keep(store.events, draft())
    assert record.sequence == Sequence(3)
    await other.close()


async def test_a_log_is_claimed_before_it_is_written_to_while_others_write_to_it_too(
    overheard: tuple[MongoStore, Overheard], mongodb_url: str
) -> None:
    store, ear = overheard
    other = await open_mongodb(mongodb_url)
    claims = []
    for writer in (store, other, store, other, store, store, store):
        ear.others.clear()
        await keep(writer.events, draft())
        if writer is store:
            claims.append(sum("findAndModify" in one for one in ear.others))
    await other.close()
    # At first it is alone; then another has been there each time; at last it is alone again.
    assert claims == [0, 1, 1, 1, 0]


async def test_a_server_that_cannot_be_reached_for_a_moment_is_not_taken_for_another_writer(
    overheard: tuple[MongoStore, Overheard], mongo: Client
) -> None:
    store, ear = overheard
    await keep(store.events, draft())
    ear.others.clear()
    with failing(mongo, "insert", times=1, **_CUT):
        await keep(store.events, draft())
    inserts = [one for one in ear.others if "insert" in one]
    claims = [one for one in ear.others if "findAndModify" in one]
    assert (len(inserts), claims) == (2, [])


async def test_a_transaction_that_a_killed_process_left_open_is_ended(
    store: MongoStore, mongodb_url: str
) -> None:
    """The server would keep the killed process's claim on the next sequence for a minute."""
    name = parse_uri(mongodb_url)["database"]
    dead = AsyncMongoClient[dict[str, Any]](mongodb_url, appname=f"auditlogservice:{name}")
    session = dead.start_session()
    await session.start_transaction()
    await dead[name]["events"].insert_one({"t": "acme", "s": 0}, session=session)
    (record,) = await keep(store.events, draft())
    assert record.sequence == 0
    with pytest.raises(pymongo.errors.OperationFailure):
        await session.commit_transaction()
    await session.end_session()
    await dead.close()


async def test_a_transaction_of_another_application_is_left_alone(
    hasty: MongoStore, mongodb_url: str
) -> None:
    name = parse_uri(mongodb_url)["database"]
    stranger = AsyncMongoClient[dict[str, Any]](mongodb_url, appname="stranger")
    session = stranger.start_session()
    await session.start_transaction()
    await stranger[name]["events"].insert_one({"t": "acme", "s": 0}, session=session)
    with pytest.raises(StoreUnreachable):
        await append(hasty.events, draft())
    await session.commit_transaction()
    await session.end_session()
    await stranger.close()


# ---- servers that go away -----------------------------------------------------------------------


async def test_a_server_that_is_stopped_or_frozen_is_unreachable_in_time(
    new_replica_set: Callable[[int], ReplicaSet],
) -> None:
    members = new_replica_set(1)
    store = await open_mongodb(members.url("audit"), timeout=0.8)
    (record,) = await keep(store.events, draft())
    (server,) = members.members

    async def is_unreachable() -> None:
        calls = (
            store.events.ping(),
            store.events.find("acme", record.id),
            page(store.events),
            store.accounts.users(None),
            append(store.events, draft()),
        )
        async with asyncio.timeout(HANGING):
            *reads, write = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in reads} == {StoreUnreachable}
        assert isinstance(write, (StoreUnreachable, OutcomeUnknown))

    server.signal(signal.SIGSTOP)
    await is_unreachable()
    server.signal(signal.SIGCONT)
    await keep(store.events, draft())
    server.kill()
    await is_unreachable()
    server.start()
    members.wait_for_primary()
    await keep(store.events, draft())
    await whole_log(store.events)
    await store.close()


async def test_killing_the_primary_of_three_loses_nothing_that_was_acknowledged(
    new_replica_set: Callable[[int], ReplicaSet],
) -> None:
    members = new_replica_set(3)
    store = await open_mongodb(members.url("audit"))
    acknowledged: dict[str, int] = {}
    goal = 10**9
    stop, enough = asyncio.Event(), asyncio.Event()

    async def write(writer: int) -> None:
        number = 0
        while not stop.is_set():
            key = f"{writer}-{number}"
            try:
                (outcome,) = await append(store.events, draft(key=key))
            except (StoreUnreachable, OutcomeUnknown):
                continue  # the same key again
            assert isinstance(outcome, (Appended, Replayed))
            record = outcome.record if isinstance(outcome, Appended) else outcome.kept
            acknowledged[record.id] = record.sequence
            number += 1
            if len(acknowledged) >= goal:
                enough.set()

    async with asyncio.TaskGroup() as tasks:
        for writer in range(4):
            tasks.create_task(write(writer))
        await asyncio.sleep(0.5)
        with Client(members.url()) as client:
            client.admin.command("ping")
            address = client.primary
        primary = next(one for one in members.members if address == ("127.0.0.1", one.port))
        primary.kill()
        goal = len(acknowledged) + 50
        async with asyncio.timeout(60):
            await enough.wait()
        stop.set()
    log = await whole_log(store.events)
    assert {record.id: record.sequence for record in log}.items() >= acknowledged.items()
    await store.close()
