"""The benchmark runs, and what it reports is what it saw."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

import pytest
from pymongo import MongoClient

import auditlogservice
from auditlogservice.errors import StoreUnreachable
from auditlogservice.store.sqlite import open_sqlite
from bench import capacity, explain, measures, plot, report
from bench.__main__ import parser
from bench.book import Book, Point
from bench.calls import Caller
from bench.events import body, draft, event, keep
from bench.field import Log
from bench.load import Failed, Request, Turn, drive
from bench.plan import PLANS
from bench.ratios import Spread, in_turns, ratio
from bench.servers import Server, framework, ours, running
from faulty import Faulty

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditlogservice.store.port import Answer, Submission

ROOT = Path(__file__).parents[1]
SOURCE = Path(auditlogservice.__file__).parents[1]

MEASURED = {
    "read by id, 32 clients",
    "first 100 of all, 32 clients",
    "100 by name, 32 clients",
    "by a nested path, 32 clients",
    "export, NDJSON",
    "verify over HTTP",
    "batches of 50",
    "single POST, 64 clients",
    "from a record's answer to its checkpoint, at 70% load",
    "bytes on disk for a small event, indexes and tree included",
    "back-pressure, batches",
}
GROWN = {
    "in batches, events/s",
    "page of 100, one event in four, ms",
    "equality on a nested path, ms",
    "word search, ms",
    "proof of inclusion, ms",
    "count, ms",
    "memory of the server, MiB",
    "start to ready, s",
    "single POST, 64 clients, events/s",
    "CPU of a single POST, µs",
    "bytes on disk an event",
}


def rows(text: str, heading: str) -> list[list[str]]:
    table = text.partition(f"## {heading}\n")[2].partition("\n## ")[0]
    return [re.split(r" *\| *", line)[1:-1] for line in table.splitlines() if line[:1] == "|"][2:]


def test_a_small_run_measures_everything_that_sqlite_has_a_part_in(tmp_path: Path) -> None:
    made = tmp_path / "results.md"
    done = subprocess.run(
        [
            *(sys.executable, "-m", "bench", "--plan", "tiny", "--sqlite-only"),
            *("--report", str(made), "--plot", str(tmp_path / "growth.svg")),
        ],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'tests'}{os.pathsep}{SOURCE}"},  # noqa: TID251
        capture_output=True,
        text=True,
        check=False,
    )
    text = made.read_text() if made.exists() else ""
    assert done.returncode == 0, f"{done.stderr}\n{text[-2_000:]}"
    figures = rows(text, "Figures")
    assert {what for what, *_ in figures} >= MEASURED
    assert {side for _, side, *_ in figures} == {
        "SQLite", "SQLite alone", "SQLite, ledger on", "SQLite, ledger off", "framework",
    }  # fmt: skip
    assert {what for what, *_ in rows(text, "Growth")} == GROWN
    assert "the ledger's cost, batches of 50, SQLite" in {what for what, *_ in rows(text, "Goals")}
    assert ET.parse(tmp_path / "growth.svg").getroot().tag.endswith("svg")


def test_its_help_names_every_plan_and_every_measure_and_says_what_it_is() -> None:
    told = parser().format_help()
    for plan in PLANS.values():
        assert re.search(rf"^  {plan.name} +{re.escape(plan.about)}$", told, re.MULTILINE)
    for module in iter_modules(measures.__path__):
        about = str(import_module(f"bench.measures.{module.name}").__doc__).partition("\n")[0]
        assert re.search(rf"^  {module.name} +{re.escape(about)}$", told, re.MULTILINE)


def test_the_service_is_measured_with_its_shipped_defaults(tmp_path: Path) -> None:
    """Where it listens and where its data are, are no defaults that make it faster."""
    server = ours("SQLite", tmp_path / "sqlite")
    assert server.settings.keys() == {"AUDITLOG_DATA_DIR", "AUDITLOG_PORT"}


# ---- the load ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(framework(tmp_path_factory.mktemp("framework")), users=False) as started:
        yield started


SHORT, LONG = 0.1, 1.0  # by the asyncio client; by wrk, if it is installed


@pytest.mark.parametrize("seconds", [SHORT, LONG])
def test_load_counts_answers_and_takes_their_time(server: Server, seconds: float) -> None:
    requests = [Request("POST", "/events", body(number)) for number in range(4)]
    turn = drive(server, requests, clients=2, seconds=seconds)
    assert turn.rate > 1
    assert 0 < turn.p50 <= turn.p99


@pytest.mark.parametrize("seconds", [SHORT, LONG])
def test_load_that_is_refused_is_no_result(server: Server, seconds: float) -> None:
    with pytest.raises((Failed, ExceptionGroup)):
        drive(server, [Request("POST", "/events", b"{}")], clients=2, seconds=seconds)


class _Reply:
    def __init__(self, body: bytes) -> None:
        self.body, self.seconds = body, 0.5


def test_callers_that_have_nothing_to_do_do_not_make_a_log_faster(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def post(self: Caller, path: str, body: bytes) -> _Reply:
        del self, path
        return _Reply(json.dumps({"successful": [{"_id": "1"}] * len(json.loads(body))}).encode())

    monkeypatch.setattr(Caller, "post", post)
    monkeypatch.setattr(Server, "busy_seconds", lambda _: 0.0)
    log = Log(Server("fake", tmp_path, (), url="http://127.0.0.1:1"))
    assert log.add(10, batch=10, callers=2).rate == 20  # one batch in half a second
    assert log.add(40, batch=10, callers=2).rate == 40  # two at a time
    assert log.told == 50


# ---- logs that are filled directly ---------------------------------------------------------


class _Unreachable(Faulty):
    """A store that answers so, as MongoDB's does, and raises nothing."""

    async def append(self, submissions: Sequence[Submission]) -> list[Answer]:
        return [StoreUnreachable() for _ in submissions]


async def test_a_log_that_keeps_less_than_it_is_told_is_no_result() -> None:
    store = await open_sqlite(":memory:")
    drafts = [draft(number, event(number), tenant="acme", user="u") for number in range(3)]
    await keep(store.events, drafts)
    assert await store.events.end("acme") == 3
    with pytest.raises(StoreUnreachable):
        await keep(_Unreachable(store.events, {}), drafts)
    await store.close()


# ---- how MongoDB answers ------------------------------------------------------------------


def test_the_main_questions_are_answered_from_an_index_without_sorting(mongodb_url: str) -> None:
    sent = asyncio.run(explain.ask(mongodb_url, 300))
    assert all(sent.values()), "a question was not seen"
    with MongoClient[dict[str, Any]](mongodb_url) as client:
        database = client.get_default_database()
        told = [explain.explained(database, one) for each in sent.values() for one in each]
    stages = {stage["stage"] for each in told for stage in each["stages"]}
    assert not stages & {"COLLSCAN", "SORT"}
    assert [each["totalDocsExamined"] for each in told] == [
        each["nReturned"] if "FETCH" in {one["stage"] for one in each["stages"]} else 0
        for each in told
    ]


# ---- what follows from figures --------------------------------------------------------------

SCALING = (ROOT / "docs" / "scaling.md").read_text()


def test_the_document_on_scaling_says_what_follows_from_its_figures() -> None:
    assert capacity.reckoned(SCALING) == SCALING, "run python -m bench.capacity --write"


def test_twice_the_index_takes_twice_the_disk_and_no_more_cores() -> None:
    seen, chosen = capacity.figures(SCALING), capacity.choices(SCALING)
    before, after = (
        {what: much for what, much, _ in capacity.reckon(each, chosen)}
        for each in (
            replace(seen, data_bytes=0, index_bytes=1_000.0),
            replace(seen, data_bytes=0, index_bytes=2_000.0),
        )
    )
    assert (before["indexes on disk, one copy"], after["indexes on disk, one copy"]) == (
        "90 TB", "180 TB",
    )  # fmt: skip
    assert before["cores for mongod, primaries"] == after["cores for mongod, primaries"]


# ---- what becomes of figures --------------------------------------------------------------


def test_sides_take_turns() -> None:
    seen = list[str]()
    in_turns({"a": lambda: seen.append("a"), "b": lambda: seen.append("b")}, 2)
    assert seen == ["a", "b", "a", "b"]


def test_a_ratio_compares_each_turn_with_its_neighbour() -> None:
    assert ratio([10, 20, 90], [10, 10, 30]) == Spread(median=2, low=1, high=3)


def test_a_goal_is_met_by_the_median() -> None:
    book = Book()
    book.times_as_much("fast enough", [8, 10, 12], [1, 1, 1], 10)
    book.at_most("slow", [3, 4, 5], 3, "ms")
    assert [goal.is_met for goal in book.goals] == [True, False]


def test_a_failed_measure_is_in_the_report() -> None:
    book = Book(failures=["**posting failed**: a reason"])
    book.turns("single POST", "naive", [Turn(rate=1_234.5, p50=0.5, p99=20.25, cpu=150)])
    text = report.markdown(book, machine={"CPU": "any"}, command="make bench", load="wrk")
    assert rows(text, "Figures") == [
        ["single POST", "naive", "1,234 /s", "0.5", "20.2", "150", ""]
    ]
    assert "- **posting failed**: a reason" in text


def test_a_part_that_fails_is_noted_and_the_others_go_on() -> None:
    book = Book()
    with book.part("growing, MongoDB"):
        raise RuntimeError("no disk")
    with book.part("growing, SQLite"):
        book.values("export", "SQLite", [1.0], "events/s")
    assert book.failures == ["**growing, MongoDB failed**: RuntimeError('no disk')"]
    assert book.median("export", "SQLite") == 1.0


def test_growth_has_a_column_for_each_size_and_leaves_out_what_was_not_measured() -> None:
    book = Book()
    book.point("page, ms", "SQLite", 1_000, 2.0, p99=3.5)
    book.point("page, ms", "SQLite", 10_000, 2.5, p99=4.0)
    book.point("page, ms", "MongoDB", 1_000, 5.0)
    text = report.markdown(book, machine={"CPU": "any"}, command="make bench", load="wrk")
    assert rows(text, "Growth") == [
        ["page, ms", "SQLite", "2 (3.5)", "2.5 (4)"],
        ["page, ms", "MongoDB", "5", ""],
    ]


def test_what_takes_as_long_in_any_log_is_a_level_line() -> None:
    drawn = plot.svg({"page": {"SQLite": [Point(1_000, 2.0), Point(100_000, 2.0)]}})
    (path,) = re.findall(r'd="M([\d. L]+)" fill="none"', drawn)
    (x1, y1), (x2, y2) = (point.split() for point in path.split("L"))
    assert float(x1) < float(x2)
    assert y1 == y2
