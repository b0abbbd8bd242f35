"""How long the first page of a question takes, by kind of question, on one store.

It makes events of the same shape with a fixed seed, asks each question several times with other
values, newest and oldest first in turn, and prints medians and the 99th percentile. A store that
holds events of an earlier run is used as it is, and only filled up.

    python -m bench.questions --events 1000000
    python -m bench.questions --events 1000000 --store 'mongodb://127.0.0.1/bench?replicaSet=rs0'
"""

from __future__ import annotations

import argparse
import asyncio
import platform
import random
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from statistics import median, quantiles
from typing import TypeAlias

import apsw

from auditlogservice import __version__
from auditlogservice.errors import QueryTimeout
from auditlogservice.filters import (
    EVERYTHING,
    Compare,
    Contains,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
)
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.stores import Store, open_store
from auditlogservice.store.port import PageQuery, Submission
from auditlogservice.times import format_utc
from bench.events import EVERY, START, draft

Question: TypeAlias = Callable[[], Filter]

TENANT = "bench"
BATCH = 1_000
WORDS = ["invoice", "ledger", "report", "customer", "payment", "refund", "policy", "device"]
NAMES = ["User Logged In", "File Read", "Order Paid", "Key Rotated"]
TYPES = ["auth.login", "file.read", "order.paid", "key.rotate"]


def event(number: int, chance: random.Random) -> dict[str, object]:
    """Return an event of about 350 bytes with a dozen fields."""
    address = ".".join(str(chance.randrange(256)) for _ in range(3))
    return {
        "name": NAMES[number % 4],
        "event_type": TYPES[number % 4],
        "detail": f"{chance.choice(WORDS)} {chance.choice(WORDS)} zeta{chance.randrange(2_000)}",
        "actor": {"id": f"u{chance.randrange(10_000):05d}", "type": "user"},
        "targets": [{"id": f"t{chance.randrange(50_000)}", "type": "file"}],
        "outcome": "success" if number % 5 else "failure",
        "source": f"svc{number % 3}",
        "context": {"ip": f"10.{address}", "request_id": f"req-{number:09d}"},
        "event_data": {
            "order": {"total": chance.randrange(100_000) / 100, "lines": number % 7},
            "deep": {"er": {"code": f"c{chance.randrange(1_000)}"}},
        },
    }


async def fill(store: Store, events: int) -> None:
    there = await store.events.end(TENANT)
    spent = 0.0
    for first in range(there, events, BATCH):
        drafts = tuple(
            draft(number, event(number, random.Random(number)), tenant=TENANT, user="svc")
            for number in range(first, min(first + BATCH, events))
        )
        start = time.perf_counter()
        await store.events.append([Submission(drafts)])
        spent += time.perf_counter() - start
    if events > there:
        print(f"filled {events - there:,} events, {spent / (events - there) * 1e6:.0f} µs each")


def questions(events: int, chance: random.Random) -> dict[str, Question]:
    def actor() -> Filter:
        return Is("actor.id", f"u{chance.randrange(10_000):05d}")

    def hour() -> tuple[Filter, Filter]:
        first = START + chance.randrange(max(1, events - 7_200)) * EVERY
        last = first + timedelta(hours=1)
        return (
            Compare("timestamp", "gte", format_utc(first)),
            Compare("timestamp", "lt", format_utc(last)),
        )

    def between(width: float) -> Filter:
        low = chance.uniform(0, 1_000 - width)
        total = "event_data.order.total"
        return all_of(Compare(total, "gte", f"{low}"), Compare(total, "lt", f"{low + width}"))

    common = Is("event_type", "order.paid")
    return {
        "everything": lambda: EVERYTHING,
        "rare value": lambda: Is("context.request_id", f"req-{chance.randrange(events):09d}"),
        "one in 10,000": actor,
        "one in 4": lambda: common,
        "two common values": lambda: all_of(common, Is("outcome", "failure")),
        "rare and common": lambda: all_of(common, actor()),
        "three that never meet": lambda: all_of(
            common, Is("name", "File Read"), Is("source", "svc1")
        ),
        "nested path": lambda: Is("event_data.deep.er.code", f"c{chance.randrange(1_000)}"),
        "beginning, few": lambda: Like("actor.id", f"u{chance.randrange(1_000):04d}*"),
        "beginning, all": lambda: Like("context.request_id", "req-*"),
        "range, few": lambda: between(0.5),
        "range, half": lambda: between(500),
        "word": lambda: Words((f"zeta{chance.randrange(2_000)}",)),
        "phrase": lambda: Words((chance.choice(WORDS), chance.choice(WORDS))),
        "an hour of a common value": lambda: all_of(common, *hour()),
        "exists": lambda: Exists("event_data.order"),
        "not": lambda: Not(common),
        "contains, in an hour": lambda: all_of(Contains("detail", "needle"), *hour()),
    }


async def ask(store: Store, question: Question, rounds: int) -> list[float]:
    """Return the seconds that each round took."""
    spent = []
    for turn in range(rounds):
        query = PageQuery(
            tenant=TENANT, where=question(), order=("newest", "oldest")[turn % 2],
            beyond=None, limit=100,
        )  # fmt: skip
        start = time.perf_counter()
        try:
            await store.events.page(query)
        except QueryTimeout:
            print("(a question ran into its time limit)")
        spent.append(time.perf_counter() - start)
    return spent


async def run(options: argparse.Namespace) -> None:
    settings = load_settings(store=options.store, data_dir=options.data_dir)
    store = await open_store(settings)
    try:
        await fill(store, options.events)
        kind = settings.store_url.partition(":")[0]
        print(f"auditlogservice {__version__}, {kind}, {options.events:,} events,", end=" ")
        print(f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}\n")
        print(f"{'first page of 100':28}{'p50 ms':>10}{'p99 ms':>10}")
        for name, question in questions(options.events, random.Random(1)).items():
            spent = [each * 1_000 for each in await ask(store, question, options.rounds)]
            print(f"{name:28}{median(spent):10.1f}{quantiles(spent, n=100)[98]:10.1f}")
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--store", help="sqlite:///… or mongodb://…; a file in --data-dir if not")
    parser.add_argument("--data-dir", type=Path, default=Path("build/bench"))
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
