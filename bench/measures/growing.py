"""How the answers change as a log grows: ingest, questions, proofs, start and room on disk."""

from __future__ import annotations

import random
from statistics import median
from typing import TYPE_CHECKING, Any

from pymongo import MongoClient

from bench.calls import calling
from bench.events import INSTANCES, WORDS, body, instance, word
from bench.load import Request, drive, percentile

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.field import Field, Log
    from bench.servers import Server

CLIENTS = 64
PAGE, NESTED, WORD, PROOF, COUNT = (
    "page of 100, one event in four",
    "equality on a nested path",
    "word search",
    "proof of inclusion",
    "count",
)
_WARM = 3  # answers that are not counted
_ENDS = 20  # pages that are looked at, at either end of a walk
_SAME = 1.3  # how much longer a page may take in the largest log than in the smallest


def measure(field: Field) -> None:
    for events in field.plan.sizes:
        for name, log in field.logs.items():
            log.fill(events, batch=field.plan.batch_events)
            _ask(field, name, log, events)
            _start(field, name, log.server, events)
            _post(field, name, log.server, events)
    for name, log in field.logs.items():
        _judge(field, name)
        _deep(field, name, log.server)
        _room(field, name, log)


def _judge(field: Field, name: str) -> None:
    book, most = field.book, field.plan.events

    def seen(what: str) -> list[float]:
        return [value for _, value in book.points[what][name]]

    for what, aim in ((PAGE, 50), (NESTED, 50), (WORD, 50), (PROOF, 5)):
        p99 = seen(f"{what}, p99 ms")[-1]
        book.at_most(f"{what}, {name}: p99 at {most:,}", [p99], aim, "ms")
    pages = seen(f"{PAGE}, p50 ms")
    grown = pages[-1] / pages[0]
    book.at_most(f"{PAGE}, {name}: p50 in the largest log by the smallest", [grown], _SAME, "×")
    book.at_most(f"start to ready, {name}: at {most:,}", [seen("start to ready, s")[-1]], 2, "s")


def _questions(log: Log, chance: random.Random) -> dict[str, Callable[[], str]]:
    return {
        PAGE: lambda: "/events?event_type=auth.login&sort=-timestamp",
        NESTED: lambda: (
            "/events?event_data.requestParameters.instanceId="
            + instance(chance.randrange(min(INSTANCES, log.told // 4)))
        ),
        WORD: lambda: "/events?q=" + word(chance.randrange(min(WORDS, log.told))),
        PROOF: lambda: f"/events/{chance.choice(log.ids)}/proof",
        COUNT: lambda: "/events/count?event_type=auth.login",
    }


def _ask(field: Field, name: str, log: Log, events: int) -> None:
    with calling(log.server) as caller:
        for what, question in _questions(log, random.Random(1)).items():
            for _ in range(_WARM):
                caller.get(question())
            spent = [caller.get(question()).seconds * 1e3 for _ in range(field.plan.asked)]
            p50, p99 = median(spent), percentile(spent)
            field.book.times(f"{what}, at {events:,}", name, p50=p50, p99=p99)
            field.book.point(f"{what}, p50 ms", name, events, p50)
            field.book.point(f"{what}, p99 ms", name, events, p99)


def _start(field: Field, name: str, server: Server, events: int) -> None:
    rounds = field.plan.rounds if events == field.plan.events else 1
    spent = [server.restart() for _ in range(rounds)]
    field.book.values(f"start to ready, at {events:,}", name, spent, "s")
    field.book.point("start to ready, s", name, events, median(spent))


def _post(field: Field, name: str, server: Server, events: int) -> None:
    requests = [Request("POST", "/events", body(number)) for number in range(500)]
    turn = drive(server, requests, clients=CLIENTS, seconds=field.plan.seconds)
    field.book.turns(f"single POST, at {events:,}", name, [turn])
    field.book.point("single POST, events/s", name, events, turn.rate)


def _deep(field: Field, name: str, server: Server) -> None:
    """Compare the first pages of a walk through the log with the last ones."""
    spent, path = list[float](), "/events?source=web-shop"
    with calling(server) as caller:
        for _ in range(_WARM):
            caller.get(path)
        while path:
            page = caller.get(path)
            spent.append(page.seconds * 1e3)
            path = _next(page.headers.get("link", ""))
    if len(spent) > 1:
        spent.pop()  # which is seldom full
    end = max(1, min(_ENDS, len(spent) // 3))
    first, last = median(spent[:end]), median(spent[-end:])
    what = f"the last of {len(spent):,} pages by the first, {name}: p50"
    field.book.at_most(what, [last / first], _SAME, "×")


def _next(link: str) -> str:
    return link[1 : link.index(">")] if 'rel="next"' in link else ""


def _room(field: Field, name: str, log: Log) -> None:
    with calling(log.server) as caller:
        (newest,) = caller.get("/events?sort=-timestamp&limit=1").json()
    kept = newest["sequence"] + 1
    disk = _mongo_bytes(field) if name == "MongoDB" else _sqlite_bytes(log.server)
    told = sum(len(body(number)) for number in range(400)) / 400
    field.book.values("bytes on disk an event, indexes and tree included", name,
                      [disk / kept], f"of {told:,.0f} told")  # fmt: skip
    field.book.at_most(f"bytes on disk by bytes told, {name}", [disk / kept / told], 3, "×")


def _sqlite_bytes(server: Server) -> int:
    return sum(file.stat().st_size for file in (server.folder / "data").glob("audit.db*"))


def _mongo_bytes(field: Field) -> int:
    assert field.mongo is not None  # noqa: S101 - there is such a log
    with MongoClient[dict[str, Any]](field.mongo.url("ours")) as client:
        client.admin.command("fsync")  # sizes are those of the last checkpoint
        stats = client.get_default_database().command("dbStats")
    return int(stats["storageSize"] + stats["indexSize"])
