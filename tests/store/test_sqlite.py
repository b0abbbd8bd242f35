"""What only the SQLite store promises: its file, its pragmas, its plans, and how it fails."""
# ruff: noqa: ASYNC220, ASYNC240 - a test has the loop to itself and may block it

from __future__ import annotations

import asyncio
import os
import random
import resource
import secrets
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from asking import append, either, erase, keep, page, question, where, whole_log

from auditlogservice.errors import (
    OutcomeUnknown,
    QueryTimeout,
    StorageFull,
    StoreBroken,
    StoreUnreachable,
    UnsafeSetup,
)
from auditlogservice.events import EventId
from auditlogservice.filters import (
    EVERYTHING,
    AnyOf,
    Compare,
    Contains,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    matcher,
)
from auditlogservice.store.port import Appended, Replayed, Submission
from auditlogservice.store.sqlite import database, open_sqlite, searching
from auditlogservice.store.sqlite.database import (
    _APPLICATION_ID,
    Database,
    _connect,
    _refuse_foreign,
    check_sqlite_version,
    migrate,
)
from auditlogservice.store.sqlite.schema import MIGRATIONS
from auditlogservice.times import format_utc
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft, Record
    from auditlogservice.filters import Test
    from auditlogservice.store.port import Order
    from auditlogservice.store.sqlite import SqliteStore

KILLABLE = Path(__file__).with_name("killable.py")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_sqlite(str(path))
    yield store
    await store.close()


def _database(store: SqliteStore) -> Database:
    return store.events._database


def _connections(store: SqliteStore) -> list[apsw.Connection]:
    """Every connection of the store. Nothing may be running."""
    database = _database(store)
    assert database._write_connection
    connections = [database._write_connection]
    for readers in (database._asking, database._reading):
        assert readers
        for _ in range(readers.idle.qsize()):
            connections.append(readers.idle.get())
            readers.idle.put(connections[-1])
    return connections


def _run(role: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, KILLABLE, role, folder],
        capture_output=True, check=False, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- pragmas and versions -----------------------------------------------------------------


async def test_every_connection_syncs_each_commit_and_wipes_what_is_deleted(
    opened: SqliteStore,
) -> None:
    connections = _connections(opened)
    assert len(connections) > 1
    for connection in connections:
        assert connection.pragma("journal_mode") == "wal"
        assert connection.pragma("synchronous") == 2
        assert connection.pragma("secure_delete") == 1
        assert connection.pragma("foreign_keys") == 1
        assert connection.pragma("trusted_schema") == 0


@pytest.mark.parametrize("version", ["3.51.2", "3.51.0", "3.45.1", "3.9.99", "2.99.99"])
def test_a_sqlite_that_can_lose_commits_is_refused(version: str) -> None:
    with pytest.raises(UnsafeSetup, match=f"SQLite {version} can lose commits"):
        check_sqlite_version(version)


@pytest.mark.parametrize("version", ["3.51.3", "3.51.10", "3.52.0", "3.100.0", "4.0.0"])
def test_a_sqlite_that_is_new_enough_is_used(version: str) -> None:
    check_sqlite_version(version)


async def test_nothing_is_opened_with_an_old_sqlite(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apsw, "sqlite_lib_version", lambda: "3.51.2")
    with pytest.raises(UnsafeSetup):
        await open_sqlite(str(path))
    assert not path.exists()


async def test_a_file_system_that_cannot_do_wal_is_refused(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = apsw.Connection.pragma

    class Stubborn(apsw.Connection):
        def pragma(self, name: str, *values: Any, **more: Any) -> Any:
            return "delete" if name == "journal_mode" else real(self, name, *values, **more)

    monkeypatch.setattr(apsw, "Connection", Stubborn)
    with pytest.raises(UnsafeSetup, match="journal_mode=WAL"):
        await open_sqlite(str(path))


async def test_the_folder_is_made_and_others_may_not_look_into_it(tmp_path: Path) -> None:
    store = await open_sqlite(str(tmp_path / "new" / "audit.db"))
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    await store.close()


@pytest.mark.parametrize("existing", [False, True])
async def test_nobody_else_can_read_the_files_whatever_the_umask(
    path: Path, *, existing: bool
) -> None:
    if existing:
        path.touch(mode=0o600)
    before = os.umask(0)
    try:
        store = await open_sqlite(str(path))
        await keep(store.events, draft())
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == {"audit.db": 0o600, "audit.db-wal": 0o600, "audit.db-shm": 0o600}
    await store.close()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o622])
async def test_a_database_that_others_can_read_is_refused_with_the_remedy(
    path: Path, mode: int
) -> None:
    store = await open_sqlite(str(path))
    kept = await keep(store.events, draft())
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):  # what a process leaves that is killed
        left = copy.with_name(copy.name + suffix)
        left.write_bytes(path.with_name(path.name + suffix).read_bytes())
        left.chmod(mode)
    await store.close()
    with pytest.raises(UnsafeSetup, match=f"run: chmod 600 {copy}$"):
        await open_sqlite(str(copy))
    copy.chmod(0o600)
    again = await open_sqlite(str(copy))
    assert await whole_log(again.events) == kept
    modes = {stat.S_IMODE(file.stat().st_mode) for file in path.parent.glob("copy*")}
    assert modes == {0o600}
    await again.close()


# ---- files of others ------------------------------------------------------------------------


def _foreign(path: Path, *statements: str) -> None:
    with apsw.Connection(str(path)) as connection:
        for statement in statements:
            connection.execute(statement)
    connection.close()


@pytest.mark.parametrize(
    "statements",
    [
        ["CREATE TABLE theirs (x)"],
        ["CREATE TABLE records (x)", "PRAGMA user_version=1"],
        ["PRAGMA user_version=1"],
        ["PRAGMA application_id=7"],
        ["PRAGMA application_id=7", "CREATE TABLE theirs (x)", "INSERT INTO theirs VALUES (1)"],
    ],
    ids=" ".join,
)
async def test_a_database_of_another_program_is_refused_and_left_as_it_is(
    path: Path, statements: list[str]
) -> None:
    _foreign(path, *statements)
    before = path.read_bytes()
    with pytest.raises(UnsafeSetup, match="another program"):
        await open_sqlite(str(path))
    assert path.read_bytes() == before


async def test_a_database_of_a_newer_version_is_refused_and_left_as_it_is(path: Path) -> None:
    await (await open_sqlite(str(path))).close()
    newer = len(MIGRATIONS) + 1
    _foreign(path, f"PRAGMA user_version={newer}")
    before = path.read_bytes()
    with pytest.raises(UnsafeSetup, match=f"has schema {newer}"):
        await open_sqlite(str(path))
    assert path.read_bytes() == before


async def test_what_is_no_database_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_bytes(b"not a database\n" * 100)
    for no_file in (text, tmp_path, text / "audit.db"):
        with pytest.raises(UnsafeSetup, match="cannot use"):
            await open_sqlite(str(no_file))
    assert text.read_bytes() == b"not a database\n" * 100


async def test_an_empty_file_becomes_a_database(path: Path) -> None:
    path.touch(mode=0o600)
    store = await open_sqlite(str(path))
    await keep(store.events, draft())
    await store.close()


# ---- migrations -----------------------------------------------------------------------------


def _schema(path: Path) -> list[tuple[Any, ...]]:
    connection = apsw.Connection(str(path))
    rows = list(
        connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY 1, 2")
    )
    rows.append((connection.pragma("application_id"), connection.pragma("user_version")))
    assert connection.pragma("integrity_check") == "ok"
    connection.close()
    return rows


async def test_a_migration_killed_at_any_statement_is_finished_by_the_next_start(
    path: Path, tmp_path: Path
) -> None:
    await (await open_sqlite(str(path))).close()
    whole = _schema(path)
    statements = int(_run("migrate", tmp_path))
    assert statements > 2 * len(MIGRATIONS) + sum(one.count(";\n") for one in MIGRATIONS)
    for statement in range(statements):
        killed = tmp_path / f"killed-{statement}.db"
        store = await open_sqlite(str(killed))
        await keep(store.events, draft())
        await store.close()
        assert _schema(killed) == whole, statement


async def test_processes_that_open_a_new_file_at_once_all_succeed(
    path: Path, tmp_path: Path
) -> None:
    await (await open_sqlite(str(path))).close()
    results = _run("race", tmp_path).splitlines()
    assert set(results) == {"0 0 0 0"}
    assert all(_schema(tmp_path / f"race-{number}.db") == _schema(path) for number in range(15))


@pytest.mark.parametrize("statement", range(12))
def test_a_migration_by_another_process_at_any_moment_is_taken_as_it_comes(
    path: Path, statement: int
) -> None:
    """What is read of the file to judge it must be of one moment."""
    one, other = _connect(str(path)), _connect(str(path))
    for connection in (one, other):
        connection.set_busy_timeout(0)
    seen = iter(range(10**6))

    def before_each(*_: object) -> bool:
        if next(seen) == statement:
            one.exec_trace = None
            with suppress(apsw.BusyError):  # it would wait, had it the time
                migrate(other, MIGRATIONS)
        return True

    one.exec_trace = before_each
    _refuse_foreign(one)
    migrate(one, MIGRATIONS)
    assert one.exec_trace is None
    assert one.pragma("user_version") == len(MIGRATIONS)
    for connection in (one, other):
        connection.close()


def test_a_step_that_fails_leaves_the_version_before(path: Path) -> None:
    connection = _connect(str(path))
    with pytest.raises(apsw.SQLError):
        migrate(connection, [*MIGRATIONS, "CREATE TABLE new (x);\nNONSENSE;\n"])
    assert connection.pragma("user_version") == len(MIGRATIONS)
    assert connection.pragma("application_id") == _APPLICATION_ID
    assert not connection.execute("SELECT 1 FROM sqlite_schema WHERE name='new'").get
    migrate(connection, MIGRATIONS)
    connection.close()


# ---- plans ------------------------------------------------------------------------------------

SINCE, UNTIL = (Compare("timestamp", side, format_utc(NOON)) for side in ("gte", "lt"))
QUESTIONS: dict[str, Filter] = {
    "everything": EVERYTHING,
    "since": SINCE,
    "until": UNTIL,
    "a field": where(name="n"),
    "two fields": where(name="n", user_id="alice"),
    "alternatives": either("name", "n", "m"),
    "a field, since": all_of(where(name="n"), SINCE),
    "an id": where(_id="f" * 24),
    "a sequence": where(sequence="3"),
    "a timestamp": where(timestamp="2026-01-31T12:00:00Z"),
    "an id and a field": where(_id="f" * 24, name="n"),
    "a path": where(event_data__a__b="x"),
    "a prefix": Like("name", "n*"),
    "a number": Compare("event_data.n", "gt", "7"),
    "a word": Words(("login",)),
    "a phrase": Words(("login", "a"), open_end=True),
    "something there": Exists("event_data"),
    "not": Not(where(name="n")),
    "contains": Contains("name", "m"),
    "either of two kinds": AnyOf((where(name="x"), Like("event_type", "x*"))),
}


async def _plans(store: SqliteStore, asked: Filter, order: Any, beyond: int | None) -> list[str]:
    """Return the plan of every statement that the page really runs."""
    ran: list[tuple[str, Any]] = []

    def before_each(_: object, statement: str, values: Any) -> bool:
        ran.append((statement, values))
        return True

    connections = _connections(store)
    for connection in connections:
        connection.exec_trace = before_each
    await page(store.events, asked, order=order, beyond=beyond, limit=2)
    for connection in connections:
        connection.exec_trace = None
    assert ran
    return [
        str(row[3])
        for statement, values in ran
        for row in connections[0].execute(f"EXPLAIN QUERY PLAN {statement}", values)
    ]


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize("asked", QUESTIONS.values(), ids=QUESTIONS)
async def test_a_page_comes_from_an_index_and_is_not_sorted(
    opened: SqliteStore, asked: Filter, order: str
) -> None:
    await keep(opened.events, *(draft(told("n")) for _ in range(300)))
    for beyond in (None, 150):
        for step in await _plans(opened, asked, order, beyond):
            assert "SCAN records" not in step, step
            assert "SCAN tenants" not in step, step
            assert "TEMP B-TREE" not in step, step
            is_short = "VIRTUAL TABLE INDEX" in step or "(subquery" in step  # as long as the page
            assert not step.startswith("SCAN") or is_short, step


async def test_a_question_about_fields_starts_from_their_terms(opened: SqliteStore) -> None:
    await keep(opened.events, *(draft(told("n")) for _ in range(10)))
    steps = await _plans(opened, where(name="n"), "newest", None)
    assert [step for step in steps if step.startswith("SCAN terms VIRTUAL TABLE INDEX")]
    assert "SEARCH records USING INTEGER PRIMARY KEY (rowid=?)" in steps


@pytest.mark.parametrize("order", ["oldest", "newest"])
@pytest.mark.parametrize(
    ("asked", "most"),
    [
        (
            Not(Is("outcome", "success")),
            43,
        ),  # with 20 that are tried first, and kept to be sampled
        (all_of(where(name="n"), Not(Is("outcome", "success"))), 3),
        (all_of(where(name="n"), Not(Words(("success",)))), 3),
    ],
    ids=["alone", "beside a value", "as a word"],
)
async def test_what_a_question_rules_out_is_not_looked_at(
    opened: SqliteStore,
    monkeypatch: pytest.MonkeyPatch,
    asked: Filter,
    most: int,
    order: Order,
) -> None:
    looked = Counter[int]()

    def counted(sequence: int, event_id: bytes, payload: bytes) -> Record:
        looked[sequence] += 1
        return really(sequence, event_id, payload)

    really = searching._record
    monkeypatch.setattr(searching, "_record", counted)
    monkeypatch.setattr(searching, "_PROBED", 20)
    monkeypatch.setattr(searching, "_WINDOW", 30)
    outcomes = ["unknown" if number % 100 == 50 else "success" for number in range(300)]
    await keep(opened.events, *(draft(told("n", outcome=outcome)) for outcome in outcomes))
    found = await opened.events.page(question(asked, order=order))
    assert sorted(record.sequence for record in found) == [50, 150, 250]
    assert looked.total() <= most


async def test_beyond_the_last_record_there_is_nothing(opened: SqliteStore) -> None:
    await keep(opened.events, *(draft(told("n")) for _ in range(5)))
    for asked in (EVERYTHING, where(name="n"), where(sequence="0")):
        for beyond in (4, 5, 1_000):
            assert await page(opened.events, asked, beyond=beyond) == []
        assert await page(opened.events, asked, order="newest", beyond=0) == []


# ---- erasing ------------------------------------------------------------------------------------


def _bytes_on_disk(path: Path) -> bytes:
    return b"".join(
        file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*"))
    ).lower()


async def _checkpoint(store: SqliteStore) -> None:
    connection = _database(store)._write_connection
    assert connection
    connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)


async def test_what_was_erased_is_in_no_file_any_more(path: Path, opened: SqliteStore) -> None:
    """Neither the record's text nor the terms that the index made of it."""
    marks: list[list[str]] = []
    records: list[Record] = []
    for _ in range(20):  # so that the index has several parts, and merges them now and then
        drafts = []
        for _ in range(10):
            name, detail, deep, key = (secrets.token_hex(12) for _ in range(4))
            data = {"deep": [deep, {"x": deep.upper()}], key: 1, "big": "y" * 5_000}
            drafts.append(draft(told(name, detail=detail, event_data=data, actor={"id": deep})))
            marks.append([name, detail, deep, key])
        records += await keep(opened.events, *drafts)
    chosen = range(0, 200, 3)
    await _checkpoint(opened)
    disk = _bytes_on_disk(path)
    assert all(mark.encode() in disk for number in chosen for mark in marks[number])
    for number in chosen:
        await erase(opened.events, records[number].id)
    await _checkpoint(opened)
    disk = _bytes_on_disk(path)
    left = [mark for number in chosen for mark in marks[number] if mark[4:].encode() in disk]
    assert left == []
    kept = [number for number in range(200) if number not in chosen]
    assert all(mark.encode() in disk for number in kept for mark in marks[number])


async def test_what_was_erased_has_left_every_file_when_the_answer_comes(
    path: Path, opened: SqliteStore
) -> None:
    mark = secrets.token_hex(12)
    other, record = await keep(opened.events, draft(told("other")), draft(told(mark)))
    assert mark.encode() in _bytes_on_disk(path)
    await erase(opened.events, record.id)
    assert mark.encode() not in _bytes_on_disk(path)
    assert await opened.events.find("acme", other.id) == other


async def test_what_a_reader_still_needed_leaves_the_files_when_it_has_done(
    path: Path, opened: SqliteStore
) -> None:
    mark = secrets.token_hex(12)
    (record,) = await keep(opened.events, draft(told(mark)))
    reading, done = threading.Event(), threading.Event()

    def read(connection: apsw.Connection) -> int:
        connection.execute("BEGIN")
        count = int(connection.execute("SELECT count(*) FROM records WHERE payload NOTNULL").get)
        reading.set()
        done.wait(5)
        connection.execute("COMMIT")
        return count

    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(_database(opened).read(read))
        await asyncio.to_thread(reading.wait)
        start = time.monotonic()
        await erase(opened.events, record.id)
        assert time.monotonic() - start < 2  # nobody waits for a reader
        assert mark.encode() in _bytes_on_disk(path)
        done.set()
        assert await reader == 1
        while mark.encode() in _bytes_on_disk(path):  # noqa: ASYNC110 - another thread's work
            await asyncio.sleep(0.01)


async def test_what_a_killed_process_left_in_the_wal_goes_with_the_next_ones_first_call(
    path: Path, opened: SqliteStore
) -> None:
    mark = secrets.token_hex(12)
    await keep(opened.events, draft(told(mark)))
    connection = _database(opened)._write_connection
    assert connection
    connection.execute("UPDATE records SET payload=NULL, salt=NULL, fingerprint=NULL, erased_at=1")
    connection.execute("DELETE FROM terms_data WHERE id > 10")  # as if erased
    assert mark.encode() in _bytes_on_disk(path)
    again = await open_sqlite(str(path))
    await again.events.find("acme", EventId("0" * 24))
    async with asyncio.timeout(10):
        while mark.encode() in _bytes_on_disk(path):  # noqa: ASYNC110 - another thread's work
            await asyncio.sleep(0.01)
    await again.close()


# ---- failures ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError],
    ids=lambda one: one.__name__,
)
async def test_the_first_sign_of_damage_ends_writing_and_not_reading(
    path: Path, opened: SqliteStore, error: type[apsw.Error]
) -> None:
    (record,) = await keep(opened.events, draft())

    def damage(_: apsw.Connection) -> None:
        raise error

    with pytest.raises(StoreBroken):
        await _database(opened).write(damage)
    for _ in range(3):
        with pytest.raises(StoreBroken):
            await append(opened.events, draft())
        with pytest.raises(StoreBroken):
            await opened.events.ping()
        with pytest.raises(StoreBroken):
            await erase(opened.events, record.id)
    assert await whole_log(opened.events) == [record]
    again = await open_sqlite(str(path))
    assert (await keep(again.events, draft()))[0].sequence == 1
    await again.close()


async def test_damage_that_a_read_finds_ends_writing_too(path: Path) -> None:
    store = await open_sqlite(str(path))
    records = await keep(store.events, *(draft(told(detail="x" * 2_000)) for _ in range(50)))
    await store.close()
    raw = bytearray(path.read_bytes())
    for start in range(len(raw) // 4_096 * 3 // 4 * 4_096, len(raw), 4_096):
        raw[start : start + 64] = b"\xff" * 64
    path.write_bytes(raw)
    store = await open_sqlite(str(path))
    failed = 0
    for record in records:
        try:
            assert await store.events.find("acme", record.id) == record
        except StoreBroken:
            failed += 1
    assert 0 < failed < len(records)
    with pytest.raises(StoreBroken):
        await append(store.events, draft())
    await store.close()


@pytest.mark.parametrize(
    ("code", "told_as"),
    [
        (apsw.SQLITE_BUSY, StoreUnreachable),
        (apsw.SQLITE_LOCKED, StoreUnreachable),
        (apsw.SQLITE_PROTOCOL, StoreUnreachable),
        (apsw.SQLITE_CANTOPEN, StoreUnreachable),
        (apsw.SQLITE_FULL, StorageFull),
        (apsw.SQLITE_IOERR_SHMSIZE, StorageFull),  # no room for the index of the WAL
        (apsw.SQLITE_ERROR, apsw.SQLError),
        (apsw.SQLITE_MISUSE, apsw.MisuseError),
        (apsw.SQLITE_CONSTRAINT, apsw.ConstraintError),
        (apsw.SQLITE_RANGE, apsw.RangeError),
        (apsw.SQLITE_TOOBIG, apsw.TooBigError),
    ],
)
async def test_a_failure_is_told_as_what_it_is_and_a_defect_of_ours_is_told_as_one(
    opened: SqliteStore, code: int, told_as: type[Exception]
) -> None:
    def fail(_: apsw.Connection) -> None:
        raise apsw.exception_for(code)

    for run in (_database(opened).write, _database(opened).read):
        with pytest.raises(told_as):
            await run(fail)
    await keep(opened.events, draft())  # and none of them ends writing


class _FailingDisk(apsw.VFS):
    """The real disk, whose syncs fail when `failing` says so."""

    failing = False

    def __init__(self) -> None:
        self.usual = apsw.vfs_names()[0]
        super().__init__("failing", self.usual, makedefault=True)

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's name
        disk = self

        class File(apsw.VFSFile):
            def __init__(self) -> None:
                super().__init__(disk.usual, name, flags)

            def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's name
                if disk.failing:
                    raise apsw.IOError
                super().xSync(flags)

        return File()


@contextmanager
def _failing_disk() -> Iterator[_FailingDisk]:
    disk = _FailingDisk()
    try:
        yield disk
    finally:
        apsw.set_default_vfs(disk.usual)
        disk.unregister()


async def test_a_commit_that_cannot_be_synced_is_told_as_unknown_and_ends_writing(
    path: Path,
) -> None:
    """Its bytes may be on the disk all the same, and the next start would find them."""
    with _failing_disk() as disk:
        store = await open_sqlite(str(path))
        (first,) = await keep(store.events, draft())
        disk.failing = True
        with pytest.raises(OutcomeUnknown):
            await append(store.events, draft(told("unknown"), key="k"))
        disk.failing = False
        with pytest.raises(StoreBroken):
            await append(store.events, draft(told("after")))
        assert await whole_log(store.events) == [first]
        copy = path.with_name("copy.db")
        for suffix in ("", "-wal"):  # what a start after a crash would find
            copy.with_name(copy.name + suffix).write_bytes(
                path.with_name(path.name + suffix).read_bytes()
            )
            copy.with_name(copy.name + suffix).chmod(0o600)
        await store.close()
    again = await open_sqlite(str(copy))
    assert [r.fields()["name"] for r in await whole_log(again.events)][1:] in ([], ["unknown"])
    (outcome,) = await append(again.events, draft(told("unknown"), key="k"))
    assert isinstance(outcome, Appended | Replayed)
    assert len(await whole_log(again.events)) == 2
    await again.close()


async def _has_room_for(store: SqliteStore, one: Draft) -> bool:
    try:
        await append(store.events, one)
    except StorageFull:
        return False
    return True


async def test_a_full_disk_ends_writing_until_there_is_room_and_never_reading(
    opened: SqliteStore,
) -> None:
    database = _database(opened)
    await keep(opened.events, *(draft() for _ in range(10)))
    pages = await database.write(lambda connection: connection.pragma("page_count"))
    await database.write(lambda connection: connection.pragma("max_page_count", pages + 20))
    large = [draft(told(str(number), detail="x" * 10_000)) for number in range(40)]
    stored = 0
    while await _has_room_for(opened, large[stored]):
        stored += 1
    assert 0 < stored < 40
    kept = await whole_log(opened.events)
    assert len(kept) == 10 + stored
    for _ in range(3):
        with pytest.raises(StorageFull):
            await append(opened.events, *large[stored:])
        assert await whole_log(opened.events) == kept
    await database.write(lambda connection: connection.pragma("max_page_count", 10**6))
    kept += await keep(opened.events, *large[stored:])
    assert await whole_log(opened.events) == kept


async def test_a_start_on_a_full_disk_says_that_it_is_full(path: Path) -> None:
    """After a clean stop the WAL and its index have to be made anew, and there is no room."""
    await (await open_sqlite(str(path))).close()
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))  # no file can grow any more
    try:
        with pytest.raises(UnsafeSetup, match="the disk is full"):
            await open_sqlite(str(path))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    await (await open_sqlite(str(path))).close()


@dataclass
class _Disk:
    """What the system says of the disk, and how often it was asked."""

    free: int
    asked: int = 0

    def usage(self, _: object) -> SimpleNamespace:
        self.asked += 1
        return SimpleNamespace(free=self.free)


async def test_while_room_is_low_no_event_is_accepted_and_everything_else_goes_on(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    monkeypatch.setattr(database, "_ROOM_SECONDS", 0.0)
    store = await open_sqlite(str(path), min_free_bytes=1_000)
    kept = await keep(store.events, draft(), draft())
    await store.events.ping()
    disk.free = 999
    for _ in range(3):
        with pytest.raises(StorageFull):
            await append(store.events, draft())
        with pytest.raises(StorageFull):
            await store.events.ping()
    assert await whole_log(store.events) == kept
    # The reserve is there for these: someone must be able to sign in, and to make room.
    assert await store.accounts.shared_secret("cursor", b"x") == b"x"
    assert await erase(store.events, kept[0].id)
    disk.free = 1_000
    await store.events.ping()
    assert (await keep(store.events, draft()))[0].sequence == 3
    await store.close()


async def test_what_is_urgent_takes_the_reserve_and_carries_nothing_else_with_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(free=999)
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    store = await open_sqlite(str(path), min_free_bytes=1_000)
    plain, urgent = Submission((draft(),)), Submission((draft(),), urgent=True)
    refused, kept = await store.events.append([plain, urgent])
    assert isinstance(refused, StorageFull)
    assert isinstance(kept, tuple)
    assert [record.id for record in await whole_log(store.events)] == [urgent.drafts[0].id]
    await store.close()


async def test_the_room_is_looked_at_once_a_second_at_most(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(free=1_000)
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    monkeypatch.setattr(database, "_ROOM_SECONDS", 60.0)
    store = await open_sqlite(str(path), min_free_bytes=1_000)
    for _ in range(20):
        await keep(store.events, draft())
    assert disk.asked == 1
    await store.close()


async def test_without_a_reserve_the_disk_may_fill_up(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = _Disk(free=0)
    monkeypatch.setattr(shutil, "disk_usage", disk.usage)
    for place, reserve in ((":memory:", 1_000), (str(path), 0)):
        store = await open_sqlite(place, min_free_bytes=reserve)
        await keep(store.events, draft())
        await store.close()
    assert disk.asked == 0


# ---- readers -----------------------------------------------------------------------------------


@dataclass
class _Slow:
    """A store whose questions for `contains` look at a record in 20 ms, until they may hurry."""

    store: SqliteStore
    hurry: threading.Event

    async def scan(self) -> list[Record]:
        """Ask about every record, which takes 20 s: each has this text, in another place."""
        return await page(self.store.events, Contains("name", "timestamp"), seconds=60)


@pytest.fixture
async def slow(opened: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> _Slow:
    await keep(opened.events, *(draft(told("n")) for _ in range(1_000)))
    hurry = threading.Event()

    def slow_matcher(asked: Filter) -> Test:
        quick = matcher(asked)

        def slowly(fields: dict[str, Json]) -> bool:
            hurry.wait(0.02)
            return quick(fields)

        return slowly if isinstance(asked, Contains) else quick

    monkeypatch.setattr("auditlogservice.store.filling.matcher", slow_matcher)
    return _Slow(opened, hurry)


async def test_while_questions_scan_what_every_request_needs_is_answered(slow: _Slow) -> None:
    events = slow.store.events
    (record,) = await keep(events, draft())
    async with asyncio.TaskGroup() as tasks:
        scans = [tasks.create_task(slow.scan()) for _ in range(8)]
        await asyncio.sleep(0.1)
        assert await slow.store.accounts.user_with_id("nobody") is None
        assert await events.find("acme", record.id) == record
        assert await events.end("acme") == 1_001
        assert await events.places("acme", [NOON]) == [0]
        await keep(events, draft())
        assert not any(scan.done() for scan in scans)
        slow.hurry.set()
    assert [scan.result() for scan in scans] == [[]] * 8


async def test_a_question_whose_caller_has_gone_leaves_its_reader_to_the_next(slow: _Slow) -> None:
    async with asyncio.TaskGroup() as tasks:
        others = [tasks.create_task(slow.scan()) for _ in range(database._ASKING - 1)]
        gone = tasks.create_task(slow.scan())
        await asyncio.sleep(0.1)
        gone.cancel()
        assert len(await page(slow.store.events, seconds=60)) == 1_000
        assert gone.cancelled()
        assert not any(other.done() for other in others)
        slow.hurry.set()


async def test_a_short_read_that_hangs_is_broken_off(
    opened: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "_READ_SECONDS", 0.1)

    def count_for_ever(connection: apsw.Connection) -> object:
        return connection.execute(
            "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM n) SELECT max(x) FROM n"
        ).get

    with pytest.raises(QueryTimeout):
        await _database(opened).read(count_for_ever)


async def test_a_write_ahead_log_that_cannot_be_emptied_is_logged_and_emptied_later(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    real = apsw.Connection

    class Failing(real):  # type: ignore[misc, valid-type] # a variable, for the test's own use
        failing = True

        def wal_checkpoint(self, *values: Any, **more: Any) -> tuple[int, int]:
            if self.failing:
                raise apsw.MisuseError
            return tuple(super().wal_checkpoint(*values, **more))

    monkeypatch.setattr(apsw, "Connection", Failing)
    store = await open_sqlite(str(path))
    await keep(store.events, draft())
    assert [record.message for record in caplog.records] == ["cannot empty the write-ahead log"]
    assert await store.events.end("acme") == 1
    await store.events.ping()  # after the reader's own attempt, in the same thread
    assert len(caplog.records) > 2
    Failing.failing = False
    await store.events.ping()
    assert path.with_name("audit.db-wal").stat().st_size == 0
    await store.close()


# ---- kill -9 -----------------------------------------------------------------------------------


async def test_what_was_acknowledged_survives_that_the_process_is_killed(tmp_path: Path) -> None:
    acknowledged: dict[str, dict[str, int]] = {"tenant0": {}, "tenant1": {}}
    chance = random.Random(7)
    for _ in range(8):
        with subprocess.Popen(
            [sys.executable, KILLABLE, "append", tmp_path], stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout
            lines = [process.stdout.readline() for _ in range(chance.randint(1, 300))]
            process.send_signal(signal.SIGKILL)
            lines += process.stdout.readlines()
        for line in lines:
            tenant, event_id, sequence = line.split()
            acknowledged[tenant][event_id] = int(sequence)
        store = await open_sqlite(str(tmp_path / "audit.db"))
        for tenant, ids in acknowledged.items():
            there = [(one.id, one.sequence) for one in await whole_log(store.events, tenant)]
            assert ids.items() <= set(there)
        await store.close()
    assert sum(map(len, acknowledged.values())) > 500
