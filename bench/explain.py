"""How MongoDB answers the main questions: what its planner does, and how much it looks at.

It fills a real replica set of one, lets the store ask its questions, catches the commands that it
sends, and has the server explain these very commands with "executionStats". It prints Markdown:
a row for each command, and with --raw the server's own words, shortened to what matters.

    make bench-explain ARGS="--events 20000 --raw"
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from pymongo import MongoClient
from pymongo.monitoring import CommandListener, register

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.events import EventId
from auditlogservice.filters import EVERYTHING, Compare, Is, Words, all_of
from auditlogservice.ledger.statistics import PAGE
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.port import PageQuery
from auditlogservice.times import format_utc
from bench.events import EVERY, START, USER, draft, event, instance, keep, word
from bench.mongo import replica_set
from bench.report import table

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterator, Mapping

    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

    from auditlogservice.filters import Filter
    from auditlogservice.store.mongodb import MongoStore

Document: TypeAlias = dict[str, Any]

_BATCH = 1_000
_MIDDLE = 0.5  # of the log, where an hour is asked for
# What a driver adds to a command, and what only says how long it may take.
_ADDED = ("lsid", "$clusterTime", "$db", "txnNumber", "readConcern", "maxTimeMS", "batchSize")
_TOLD = (
    "stage", "indexName", "direction", "keysExamined", "docsExamined", "nReturned", "indexBounds",
)  # fmt: skip
_HEAD = ("question", "command", "stages", "keys", "documents", "returned", "ms")
_LONGEST = 5  # places of an index in one bound; there are more where the planner skips


class Asked(CommandListener):
    """Keeps the commands about records that a store sends while somebody looks.

    Clients that are opened after it was made tell it.
    """

    def __init__(self) -> None:
        self.commands: list[Document] | None = None
        register(self)

    @contextmanager
    def looking(self) -> Iterator[list[Document]]:
        self.commands = []
        try:
            yield self.commands
        finally:
            self.commands = None

    def started(self, event: CommandStartedEvent) -> None:
        is_question = event.command_name in {"find", "aggregate", "count"}
        if is_question and self.commands is not None:
            self.commands.append(
                {name: each for name, each in event.command.items() if name not in _ADDED}
            )

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def questions(store: MongoStore, events: int) -> dict[str, Awaitable[object]]:
    """Return the main questions, in words, and the store's answers to them."""
    common, since = Is("event_type", "auth.login"), START + int(events * _MIDDLE) * EVERY
    path = "event_data.requestParameters.instanceId"
    hour = all_of(
        Compare("timestamp", "gte", format_utc(since)),
        Compare("timestamp", "lt", format_utc(since + 7_200 * EVERY)),
    )

    def page(where: Filter, limit: int = 101) -> Awaitable[object]:
        return store.events.page(
            PageQuery(
                tenant=DEFAULT_TENANT, where=where, order="newest", beyond=None, limit=limit
            )
        )  # fmt: skip

    return {
        "one record by its id": store.events.find(DEFAULT_TENANT, EventId(f"{events // 2:024x}")),
        "the newest 100": page(EVERYTHING),
        "100 of an hour": page(hour),
        "100 by a field, one in four": page(common),
        "by a nested path, few": page(Is(path, instance(4))),
        "by a word, few": page(Words((word(7),))),
        "two terms, one in four and few": page(all_of(common, Words((word(7),)))),
        "a count, its first portion": page(common, PAGE),
    }


async def fill(store: MongoStore, events: int) -> None:
    for first in range(0, events, _BATCH):
        numbers = range(first, min(first + _BATCH, events))
        await keep(
            store.events,
            (draft(number, event(number), tenant=DEFAULT_TENANT, user=USER) for number in numbers),
        )


async def ask(url: str, events: int) -> dict[str, list[Document]]:
    """Fill the database; return the commands with which each question was answered."""
    asked = Asked()
    store = await open_mongodb(url)
    try:
        await fill(store, events)
        sent = {}
        for what, answer in questions(store, events).items():
            with asked.looking() as commands:
                await answer
            sent[what] = list(commands)
        return sent
    finally:
        await store.close()


def stages(plan: Mapping[str, Any]) -> Iterator[Document]:
    """Yield the stages of a plan, shortened, from the last one to those that read."""
    yield {name: plan[name] for name in _TOLD if name in plan}
    inner = [plan["inputStage"]] if "inputStage" in plan else plan.get("inputStages", [])
    for each in inner:
        yield from stages(each)


def explained(database: Any, command: Document) -> Document:
    """Return what the server did for a command: its stages, and how much it looked at."""
    told = database.command("explain", command, verbosity="executionStats")
    # An aggregation that is more than a find has its find within.
    found = told if "executionStats" in told else told["stages"][0]["$cursor"]
    stats = found["executionStats"]
    steps = list(stages(stats["executionStages"]))
    for step in steps:
        for field, places in step.get("indexBounds", {}).items():
            step["indexBounds"][field] = places[:_LONGEST]
    return {
        "nReturned": stats["nReturned"],
        "totalKeysExamined": stats["totalKeysExamined"],
        "totalDocsExamined": stats["totalDocsExamined"],
        "executionTimeMillis": stats["executionTimeMillis"],
        "stages": steps,
    }


def row(told: Document) -> tuple[str, ...]:
    names = " ← ".join(
        f"{step['stage']} {step['indexName']}" if "indexName" in step else step["stage"]
        for step in told["stages"]
    )
    seen = (
        told["totalKeysExamined"], told["totalDocsExamined"], told["nReturned"],
        told["executionTimeMillis"],
    )  # fmt: skip
    return told["question"], next(iter(told["command"])), names, *(f"{each:,}" for each in seen)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--events", type=int, default=20_000, help="how large the log is; %(default)s if not given"
    )
    parser.add_argument("--raw", action="store_true", help="print the server's words, too")
    told = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="auditlog-explain-") as folder,
        replica_set(Path(folder)) as mongo,
    ):
        if mongo is None:
            print("no mongod was found")
            return 1
        sent = asyncio.run(ask(mongo.url("explained"), told.events))
        with MongoClient[Document](mongo.url("explained")) as client:
            database = client.get_default_database()
            raw = [
                {"question": what, "command": command, **explained(database, command)}
                for what, commands in sent.items()
                for command in commands
            ]
    print(table(_HEAD, [row(each) for each in raw]))
    if told.raw:
        for each in raw:
            print(json.dumps(each, indent=1, default=str))
    return 0


if __name__ == "__main__":
    sys.exit(main())
