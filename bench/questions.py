"""How long the first page of a question takes, by kind of question, on one store.

It makes events of the same shape with a fixed seed, asks each question several times with other
values, newest and oldest first in turn, and prints medians and the 99th percentile. A store that
holds events of an earlier run is used as it is, and only filled up. `--shape skewed` has values
that are ever rarer, that stand in one part of the log alone, and that never meet; `--shape wide`
has forty fields, of which some say little, and what hides nearly everything.

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
from statistics import median
from typing import TypeAlias

import apsw

from auditlogservice import __version__
from auditlogservice.errors import QueryTimeout
from auditlogservice.filters import (
    EVERYTHING,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
)
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.stores import Store, open_store
from auditlogservice.store.port import PageQuery
from auditlogservice.times import format_utc
from bench.events import EVERY, START, Told, draft, keep
from bench.ratios import percentile_99
from bench.shapes import (
    CHANGES,
    CONTACTS,
    INCIDENT_EVERY,
    KINDS,
    STRETCH,
    USERS,
    VOCABULARY,
    rank,
    skewed,
    wide,
)

Question: TypeAlias = Callable[[], Filter]

TENANT = "bench"
BATCH = 1_000
WORDS = ["invoice", "ledger", "report", "customer", "payment", "refund", "policy", "device"]
NAMES = ["User Logged In", "File Read", "Order Paid", "Key Rotated"]
TYPES = ["auth.login", "file.read", "order.paid", "key.rotate"]


def event(number: int) -> Told:
    """Return an event of about 350 bytes with a dozen fields."""
    chance = random.Random(number)
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


async def fill(store: Store, events: int, shape: str) -> None:
    there = await store.events.end(TENANT)
    spent = 0.0
    for first in range(there, events, BATCH):
        drafts = tuple(
            draft(number, SHAPES[shape][0](number), tenant=TENANT, user="svc")
            for number in range(first, min(first + BATCH, events))
        )
        start = time.perf_counter()
        await keep(store.events, drafts)
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


def skewed_questions(events: int, chance: random.Random) -> dict[str, Question]:
    def kind(number: int) -> Filter:
        return Is("event_type", KINDS[number])

    def user(most: int) -> Filter:
        return Is("actor.id", f"user-{chance.randrange(most)}")

    def word(most: int) -> str:
        return f"w{chance.randrange(most)}"

    def amount(width: float) -> Filter:
        low, path = chance.uniform(300, 900), "event_data.amount"
        return all_of(Compare(path, "gte", f"{low}"), Compare(path, "lt", f"{low + width}"))

    failure = Is("outcome", "failure")
    newest = f"inc{max(0, events // INCIDENT_EVERY - 1)}"
    return {
        "common value": lambda: kind(0),
        "any user": lambda: user(USERS),
        "the oldest alone": lambda: Is("event_data.campaign", "spring"),
        "the newest alone": lambda: Is("event_data.incident", newest),
        "kind, failure, user": lambda: all_of(kind(2), failure, user(50)),
        "two that never meet": lambda: all_of(kind(0), Is("source", "svc-1")),
        "common, not success": lambda: all_of(kind(0), Not(Is("outcome", "success"))),
        "60 users": lambda: any_of(*(user(USERS) for _ in range(60))),
        "range, few": lambda: amount(1),
        "range and failure": lambda: all_of(amount(100), failure),
        "beginning, few": lambda: Like("actor.id", f"user-{chance.randrange(100, 500)}*"),
        "beginning, the oldest": lambda: Like("event_data.campaign", "spr*"),
        "any word": lambda: Words((word(VOCABULARY),)),
        "phrase of common words": lambda: Words(("w0", "w1", "w2")),
        "phrase": lambda: Words((word(50), word(50))),
        "word, failure, kind": lambda: all_of(Words((word(50),)), failure, kind(3)),
        "contains, common value": lambda: all_of(Contains("detail", "needle"), kind(20)),
    }


def wide_questions(events: int, chance: random.Random) -> dict[str, Question]:
    def data(path: str, text: str) -> Filter:
        return Is(f"event_data.{path}", text)

    def custom() -> Filter:
        return data(f"custom_{chance.randrange(10):02}", f"v{rank(chance, 12)}")

    def number(path: str, width: int, most: int) -> Filter:
        low, path = chance.randrange(most - width), f"event_data.{path}"
        return all_of(Compare(path, "gte", f"{low}"), Compare(path, "lt", f"{low + width}"))

    def word(most: int) -> str:
        return f"n{rank(chance, most)}"

    def days(first: float, last: float) -> Filter:
        """Return the bounds of a part of the log, of which 0 is the beginning and 1 the end."""
        return all_of(
            Compare("timestamp", "gte", format_utc(START + first * events * EVERY)),
            Compare("timestamp", "lt", format_utc(START + last * events * EVERY)),
        )

    kind = Is("event_type", CHANGES[0])
    failure, export = Is("outcome", "failure"), Is("event_type", CHANGES[4])
    remote, billable, manual = (data(path, "true") for path in ("remote", "billable", "manual"))
    newest = f"r{max(0, events - 1) // STRETCH}"
    return {
        "one in 2": lambda: kind,
        "one in 20": lambda: data("plan", "enterprise"),
        "one in 1,000": lambda: data("beta", "true"),
        "absent value": lambda: data("plan", f"x{chance.random()}"),
        "absent field": lambda: data(f"x{chance.randrange(9)}", "1"),
        "contact": lambda: Like(
            "event_data.contact_email", f"contact{rank(chance, CONTACTS)}@*"
        ),
        "object in an array": lambda: Element("event_data.changes", Is("after", "o80")),
        "three of ten fields": lambda: all_of(custom(), custom(), custom()),
        "three that never meet": lambda: all_of(remote, billable, manual),
        "two that never meet": lambda: all_of(remote, Is("source", "crm-desk")),
        "rare and rare": lambda: all_of(failure, export),
        "common and rare": lambda: all_of(kind, failure),
        "one or another": lambda: any_of(data("currency", "CHF"), failure),
        "the oldest alone": lambda: all_of(kind, Exists("event_data.legacy_id")),
        "the newest alone": lambda: all_of(remote, data("release", newest)),
        "not success": lambda: Not(Is("outcome", "success")),
        "common, not success": lambda: all_of(export, Not(Is("outcome", "success"))),
        "exists, everywhere": lambda: Exists("event_data.changes"),
        "exists, the oldest": lambda: Exists("event_data.legacy_id"),
        "range, few": lambda: number("score", 1, 1_000),
        "range, a tenth": lambda: number("score", 100, 1_000),
        "range and never": lambda: all_of(
            number("score", 300, 1_000), remote, Is("source", "crm-desk")
        ),
        "beginning, few": lambda: Like("context.ip", f"10.{chance.randrange(256)}.7*"),
        "beginning, all": lambda: Like("event_data.page_url", "https://crm.example.com/*"),
        "any word": lambda: Words((word(VOCABULARY),)),
        "phrase": lambda: Words((word(40), word(40))),
        "long phrase": lambda: Words(("n0", "n1", "n2", "n3")),
        "common, in an hour": lambda: all_of(custom(), days(0.2, 0.207)),
        "rare, in the oldest tenth": lambda: all_of(failure, days(0, 0.1)),
        "contains, in an hour": lambda: all_of(Contains("detail", "n77 n7"), days(0.2, 0.207)),
        "contains, rare value": lambda: all_of(Contains("detail", "n7 n7"), failure),
    }  # fmt: skip


SHAPES = {
    "plain": (event, questions),
    "skewed": (skewed, skewed_questions),
    "wide": (wide, wide_questions),
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
        await fill(store, options.events, options.shape)
        _, asked = SHAPES[options.shape]
        kind = settings.store_url.partition(":")[0]
        print(f"auditlogservice {__version__}, {kind}, {options.events:,} events,", end=" ")
        print(f"Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()}\n")
        print(f"{'first page of 100':28}{'p50 ms':>10}{'p99 ms':>10}")
        for name, question in asked(options.events, random.Random(1)).items():
            spent = [each * 1_000 for each in await ask(store, question, options.rounds)]
            print(f"{name:28}{median(spent):10.1f}{percentile_99(spent):10.1f}")
    finally:
        await store.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--events",
        type=int,
        default=100_000,
        help="how large the log is; %(default)s if not given",
    )
    parser.add_argument(
        "--shape", choices=SHAPES, default="plain", help="of the events; %(default)s if not given"
    )
    parser.add_argument(
        "--rounds", type=int, default=50, help="answers to each question; %(default)s if not given"
    )
    parser.add_argument("--store", help="sqlite:///… or mongodb://…; a file in --data-dir if not")
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path("build/bench"),
        help="where SQLite has its file; %(default)s if not given",
    )
    asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    main()
