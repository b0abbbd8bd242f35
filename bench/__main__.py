"""`python -m bench`: run what the plan says, and write the report."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from bench import machine, plot, report
from bench.book import Book
from bench.field import Field, Log
from bench.load import generator
from bench.measures import (
    batching,
    exporting,
    growing,
    lagging,
    posting,
    pressing,
    reading,
    sealing,
    spreading,
    storing,
    verifying,
)
from bench.mongo import replica_set
from bench.plan import FULL, PLANS
from bench.servers import framework, naive, ours, running

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import ModuleType

    from bench.plan import Plan

_HERE = Path(__file__).parent
_ABOUT = """\
Measure how fast the service is, beside what else could be done, and write a report.

Sides take turns in one run, and a ratio is of neighbours. The servers run with their shipped
defaults. Load is made by wrk where it is installed, and by a slower client of our own where not.
MongoDB and the naive service are left out where the lock file for development brought no mongod.
"""
_MORE = """\
A goal that is missed stands in the report. So does a measure that failed, with the exit code 1.
The report of a run that is broken off has the measures that had ended.

By themselves, each with a --help of its own: python -m bench.questions (many questions of one
store), bench.explain (how MongoDB answers), bench.merkle (the tree alone), bench.capacity (what a
number of events a day takes).
"""
_MEASURES = (
    growing, reading, exporting, verifying, batching, posting, sealing, lagging, spreading,
    storing, pressing,
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return what reads the command line; its help has all plans and measures."""
    plans = {plan.name: plan.about for plan in PLANS.values()}
    measures = {
        _name(measure): (measure.__doc__ or "").partition("\n")[0] for measure in _MEASURES
    }
    made = argparse.ArgumentParser(
        prog="python -m bench",
        description=_ABOUT,
        epilog=f"{_listed('plans', plans)}{_listed('measures, in their order', measures)}{_MORE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument(
        "--plan", choices=plans, default=FULL.name,
        help="how long and how large the run is, see below; %(default)s if not given",
    )  # fmt: skip
    made.add_argument(
        "--only", nargs="+", choices=measures, metavar="MEASURE",
        help="run these alone. Most need `growing`, which fills the logs; `lagging` needs "
        "`posting`, and `pressing` needs `batching`",
    )  # fmt: skip
    made.add_argument("--sqlite-only", action="store_true", help="go without a mongod")
    made.add_argument(
        "--data", type=Path, metavar="FOLDER",
        help="keep all data below this folder while it runs, on the disk to be measured; below "
        "that of the system for temporary files if not given",
    )  # fmt: skip
    made.add_argument(
        "--report", type=Path, metavar="FILE", default=_HERE / "results.md",
        help="where the report goes, as Markdown; bench/results.md if not given",
    )  # fmt: skip
    made.add_argument("--plot", type=Path, metavar="FILE", help="draw the growth, too, as SVG")
    return made


def _listed(heading: str, names: Mapping[str, str]) -> str:
    lines = [f"  {name:12}{about}" for name, about in names.items()]
    return "\n".join([f"{heading}:", *lines, "", ""])


def main() -> int:
    told = parser().parse_args()
    plan, book = PLANS[told.plan], Book()
    plan = replace(plan, only=tuple(told.only)) if told.only else plan
    with tempfile.TemporaryDirectory(prefix="auditlog-bench-", dir=told.data) as name:
        found = machine.describe(Path(name))
        start = time.monotonic()
        with book.part("the run"):
            for _ in _run(plan, book, Path(name), with_mongo=not told.sqlite_only):
                # After each measure: a run that is broken off has said all that it found.
                found["load after"] = machine.load()
                found["took"] = f"{time.monotonic() - start:.0f} s, plan {plan.name}"
                _write(told, book, found)
        _write(told, book, found)
    print(f"{told.report} is written")
    return 1 if book.failures else 0


def _write(told: argparse.Namespace, book: Book, found: Mapping[str, str]) -> None:
    # As `make` runs it: the mongod of the tests is found by way of their folder.
    command = " ".join(["PYTHONPATH=tests python -m bench", *sys.argv[1:]])
    told.report.write_text(report.markdown(book, machine=found, command=command, load=generator()))
    if told.plot:
        told.plot.write_text(plot.svg(book.points))


def _run(plan: Plan, book: Book, folder: Path, *, with_mongo: bool) -> Iterator[None]:
    """Run one measure after the other, and yield after each."""
    with ExitStack() as stack:
        field = _open(plan, book, folder, stack, with_mongo=with_mongo)
        for measure in _MEASURES:
            name, start = _name(measure), time.monotonic()
            if plan.only and name not in plan.only:
                continue
            with book.part(name):
                measure.measure(field)
            print(f"{name:12}{time.monotonic() - start:6.0f} s", flush=True)
            yield


def _name(measure: ModuleType) -> str:
    return measure.__name__.rpartition(".")[2]


def _open(plan: Plan, book: Book, folder: Path, stack: ExitStack, *, with_mongo: bool) -> Field:
    """Start everything that takes part; the stack ends it."""
    field = Field(
        plan=plan,
        folder=folder,
        book=book,
        logs={"SQLite": Log(stack.enter_context(running(ours("SQLite", folder / "sqlite"))))},
        framework=stack.enter_context(running(framework(folder / "framework"), users=False)),
    )
    field.mongo = stack.enter_context(replica_set(folder)) if with_mongo else None
    if field.mongo is None:
        book.notes.append("There was no mongod: MongoDB and the naive service were left out.")
        return field
    over = ours("MongoDB", folder / "mongodb", mongo=field.mongo)
    field.logs["MongoDB"] = Log(stack.enter_context(running(over)))
    field.naive = stack.enter_context(running(naive(folder / "naive", field.mongo)))
    return field


if __name__ == "__main__":
    sys.exit(main())
