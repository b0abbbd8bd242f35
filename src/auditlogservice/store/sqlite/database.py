"""One SQLite file: its connections, its threads, and its schema. Knows nothing of events.

One thread writes and a few read, each with a connection of its own (APSW); WAL lets them run side
by side. A transaction is on disk when `write` returns: `synchronous=FULL` syncs the WAL at each
commit, and the pragmas are read back at start, since a wrong one would fail silently.
"""

from __future__ import annotations

import asyncio
import queue
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw

from auditlogservice.errors import (
    AuditLogError,
    OutcomeUnknown,
    StorageFull,
    StoreBroken,
    StoreUnreachable,
    UnsafeSetup,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

T = TypeVar("T")

MEMORY = ":memory:"
_READERS = 4
_BUSY_MS = 5_000  # how long to wait for another process that writes
_APPLICATION_ID = 0x41554454  # "AUDT": tells our file from any other SQLite database

# The WAL-reset bug of SQLite before 3.51.3 can lose commits that were reported as durable.
_OLDEST_SAFE_SQLITE = (3, 51, 3)


class Database:
    """The file, open. `write` and `read` run a function on a connection, in a thread.

    After the first error that says the disk or the file is damaged, writing is off for good: what
    could not be synced once may not be trusted later. Only a restart, which checks, lifts this.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._broken = False
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._write_connection: apsw.Connection | None = None
        # In memory there is one connection, so one thread; a file has readers of its own.
        self._readers = (
            self._writer
            if path == MEMORY
            else ThreadPoolExecutor(_READERS, thread_name_prefix="sqlite-read")
        )
        self._idle: queue.SimpleQueue[apsw.Connection] = queue.SimpleQueue()

    async def open(self, migrations: Sequence[str]) -> None:
        """Open or make the file, and bring its schema up to date.

        Raises UnsafeSetup if the file is not ours, is newer than this program, or is damaged.
        """
        await asyncio.get_running_loop().run_in_executor(self._writer, self._open, migrations)

    def _open(self, migrations: Sequence[str]) -> None:
        check_sqlite_version(apsw.sqlite_lib_version())
        try:
            if self._path != MEMORY:
                Path(self._path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            connection = _connect(self._path)
            migrate(connection, migrations)
        except (apsw.Error, OSError) as error:
            raise UnsafeSetup(f"cannot use {self._path} as the database: {error}") from error
        self._write_connection = connection
        if self._readers is self._writer:
            return
        for _ in range(_READERS):
            self._idle.put(_connect(self._path))

    async def write(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` in one transaction; when this returns, it is on disk."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, self._write, work)

    def _write(self, work: Callable[[apsw.Connection], T]) -> T:
        if self._broken:
            raise StoreBroken
        connection = self._write_connection
        if connection is None:
            raise StoreUnreachable
        committing = False
        try:
            # IMMEDIATE: what `work` reads stays true until it commits, whoever else has the file.
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                committing = True
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        except apsw.Error as error:
            told = self._told(error)
            if committing and isinstance(told, StoreBroken):
                # Not synced, but perhaps written: the next start may find it in the WAL.
                told = OutcomeUnknown()
            raise told from error
        return result

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work` on a connection that sees every transaction committed before."""
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read, work)

    def _read(self, work: Callable[[apsw.Connection], T]) -> T:
        shared = self._readers is self._writer
        connection = self._write_connection if shared else self._idle.get()
        if connection is None:
            raise StoreUnreachable
        try:
            return work(connection)
        except apsw.Error as error:
            raise self._told(error) from error
        finally:
            if not shared:
                self._idle.put(connection)

    def _told(self, error: apsw.Error) -> AuditLogError:
        """SQLite's error in our words; damage latches."""
        match error:
            case apsw.FullError():
                return StorageFull()
            case apsw.IOError() | apsw.CorruptError() | apsw.NotADBError():
                self._broken = True
                return StoreBroken()
            case _:
                return StoreUnreachable()

    async def close(self) -> None:
        """Wait for what runs, then close. The last connection folds the WAL into the file."""
        loop = asyncio.get_running_loop()
        if self._readers is not self._writer:
            await loop.run_in_executor(None, self._readers.shutdown)
            while not self._idle.empty():
                self._idle.get().close()
        if self._write_connection is not None:
            await loop.run_in_executor(self._writer, self._write_connection.close)
            self._write_connection = None
        self._writer.shutdown()


def check_sqlite_version(version: str) -> None:
    """Raise UnsafeSetup if this SQLite can lose what it said was committed."""
    if tuple(map(int, version.split("."))) < _OLDEST_SAFE_SQLITE:
        needed = ".".join(map(str, _OLDEST_SAFE_SQLITE))
        raise UnsafeSetup(
            f"SQLite {version} can lose commits; install an apsw with {needed} or newer"
        )


def _connect(path: str) -> apsw.Connection:
    connection = apsw.Connection(path)
    connection.set_busy_timeout(_BUSY_MS)
    _refuse_foreign(connection)  # first of all: to switch to WAL changes the file
    # One statement a call: execute() runs several lazily, and might stop after the first.
    wanted = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0}
    if path != MEMORY:
        _expect(_switch_to_wal(connection), "journal_mode=WAL")
    for name, value in wanted.items():
        connection.pragma(name, value)
        _expect(connection.pragma(name) == value, f"{name}={value}")
    connection.pragma("temp_store", 2)
    return connection


def _switch_to_wal(connection: apsw.Connection) -> bool:
    """Whether the file is in WAL mode now. Processes that open a new file at once take turns."""
    deadline = time.monotonic() + _BUSY_MS / 1_000
    while True:
        try:
            return bool(connection.pragma("journal_mode", "wal") == "wal")
        except apsw.BusyError:
            # Where waiting could be a deadlock, SQLite does not wait, whatever the busy timeout.
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _expect(holds: bool, setting: str) -> None:  # noqa: FBT001 - an assertion's subject
    if not holds:
        raise UnsafeSetup(f"SQLite did not accept {setting}; it is needed for durable writes")


def _refuse_foreign(connection: apsw.Connection) -> None:
    """Raise UnsafeSetup if the file belongs to another program. Writes nothing."""
    # One transaction: else another process might migrate between two of the questions.
    with connection:
        owner, version = connection.pragma("application_id"), connection.pragma("user_version")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != _APPLICATION_ID and (owner or version or tables):
        raise UnsafeSetup("this file is a database of another program; choose another path")


def migrate(connection: apsw.Connection, migrations: Sequence[str]) -> None:
    """Bring the schema to the newest version, each step in a transaction with its number.

    A process that dies in between leaves the version before or after, never half of one.
    Raises UnsafeSetup if the file belongs to a newer version of this program.
    """
    version = connection.pragma("user_version")
    if version > len(migrations):
        raise UnsafeSetup(
            f"this database has schema {version}, and this program knows {len(migrations)}: "
            "it was written by a newer version; install that one"
        )
    for number in range(version, len(migrations)):
        connection.execute("BEGIN IMMEDIATE")
        try:
            # Another process may have done this step while we waited for the lock.
            if connection.pragma("user_version") == number:
                for statement in _statements(migrations[number]):
                    connection.execute(statement)
                connection.pragma("application_id", _APPLICATION_ID)
                connection.pragma("user_version", number + 1)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def _statements(script: str) -> list[str]:
    return [statement for statement in script.split(";\n") if statement.strip()]
