"""One SQLite file: its connections, its threads, and its schema. Knows nothing of events.

One thread writes and a few read, each with a connection of its own (APSW); WAL lets them run side
by side. Questions, which may look through the whole log, have readers of their own, so that what
every request needs, such as its user, never waits for them.

A transaction is on disk when `write` returns: `synchronous=FULL` syncs the WAL at each commit, and
the pragmas are read back at start, since a wrong one would fail silently. What is in the WAL comes
into the file by `folding`, and never by SQLite's own doing.

The files can be read by their owner only: they hold everyone's events, and password hashes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import apsw

from auditlogservice.damage import DAMAGE
from auditlogservice.errors import (
    OutcomeUnknown,
    QueryTimeout,
    StorageFull,
    StoreBroken,
    StoreUnreachable,
    UnsafeSetup,
)
from auditlogservice.store.sqlite.folding import Folding
from auditlogservice.store.sqlite.readers import Readers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from auditlogservice.errors import Unavailable

T = TypeVar("T")

_log = logging.getLogger(__name__)

MEMORY = ":memory:"
_ASKING = 4  # threads for questions
_READING = 2  # threads for all other reads
_READ_SECONDS = 5.0  # for one of these, which takes milliseconds
_STEPS_BETWEEN_LOOKS = 5_000  # of SQLite's virtual machine: less than a millisecond
_BUSY_MS = 5_000  # how long to wait for another process that writes
_ROOM_SECONDS = 1.0  # between two looks at the disk
_OTHERS = stat.S_IRGRP | stat.S_IWGRP | stat.S_IROTH | stat.S_IWOTH
_APPLICATION_ID = 0x41554454  # "AUDT": tells our file from any other SQLite database

# Read-only is damage: someone has moved the file away, or its disk was mounted anew.
_DISK_DAMAGE = (apsw.IOError, apsw.CorruptError, apsw.NotADBError, apsw.ReadOnlyError)
# What SQLite says of statements that do not fit the schema. Ours are constants, and fit the one
# that was made: so it is the schema in the file that has rotted.
_MISFIT = re.compile("no such (table|column|module)|has no column named|vtable constructor failed")
_BUSY = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError, apsw.CantOpenError)

# The WAL-reset bug of SQLite before 3.51.3 can lose commits that were reported as durable.
_OLDEST_SAFE_SQLITE = (3, 51, 3)


class Database:
    """The file, open. `write` and `read` run a function on a connection, in a thread.

    `min_free_bytes` of the disk are kept from events, 0 for none: what else is written, and what
    is erased, needs some room to the end. It is a number of bytes and no share of the disk: 5 %
    of a large one is more than most logs will ever take.

    After the first error that says the disk or the file is damaged, writing is off for good: what
    could not be synced once may not be trusted later. Only a restart, which checks, lifts this.
    """

    def __init__(self, path: str, *, min_free_bytes: int = 0) -> None:
        self._path = path
        self._min_free_bytes = 0 if path == MEMORY else min_free_bytes
        self._has_room = True
        self._next_look = 0.0
        self._broken = False
        # Whether the WAL may hold what was erased; a process that was killed may have left some.
        self._residue = path != MEMORY
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="sqlite-write")
        self._write_connection: apsw.Connection | None = None
        self._folding: Folding | None = None
        # In memory there is one connection, so one thread; a file has readers of its own.
        self._asking = None if path == MEMORY else Readers(_ASKING, "sqlite-ask")
        self._reading = None if path == MEMORY else Readers(_READING, "sqlite-read")

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
            if self._path != MEMORY:
                self._folding = Folding(connection, _connect(self._path))
            migrate(connection, migrations)
            for readers in (self._asking, self._reading):
                if readers is not None:
                    readers.open(lambda: _connect(self._path))
        except (apsw.Error, OSError) as error:
            why = "the disk is full" if _is_full(error) else error
            raise UnsafeSetup(f"cannot use {self._path} as the database: {why}") from error
        self._write_connection = connection

    async def append(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do as `write` does, but raise StorageFull while room is low: for what comes in."""

        def work_with_room(connection: apsw.Connection) -> T:
            if not self.has_room():
                raise StorageFull
            return work(connection)

        return await self.write(work_with_room)

    async def erase(self, work: Callable[[apsw.Connection], T]) -> T:
        """Do as `write` does, and take what is erased out of the WAL too.

        That is done when this returns, unless a reader still needs it; then, when it has ended.
        """

        def work_and_tell(connection: apsw.Connection) -> T:
            self._residue = True
            return work(connection)

        return await self.write(work_and_tell)

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
            with _transaction(connection, "IMMEDIATE"):
                result = work(connection)
                committing = True
        except apsw.Error as error:
            told = self._told(error)
            if told is None:
                raise
            if committing and isinstance(told, StoreBroken):
                # Not synced, but perhaps written: the next start may find it in the WAL.
                told = OutcomeUnknown()
            raise told from error
        except DAMAGE as error:
            raise _spoiled(error) from error
        self._fold_if_due()
        return result

    def has_room(self) -> bool:
        """Whether more than the reserve is free. To be asked within a transaction that writes."""
        now = time.monotonic()
        if self._min_free_bytes and now >= self._next_look:
            free = shutil.disk_usage(Path(self._path).parent).free
            self._has_room = free >= self._min_free_bytes
            self._next_look = now + _ROOM_SECONDS
        return self._has_room

    def _fold_if_due(self) -> None:
        if self._residue or (self._folding and self._folding.is_due):
            self._fold()

    def _fold(self) -> bool:
        """Fold the WAL into the file, unless a reader needs it: no wait for those.

        If it may hold what was erased, empty it too, and forget the pages that are in memory: they
        have in their gaps what the file has no more, and would be written so when they change.
        """
        connection, folding = self._write_connection, self._folding
        if connection is None or folding is None or self._broken:
            return False
        folded = False
        connection.set_busy_timeout(0)
        try:
            with _transaction(connection, "IMMEDIATE"):
                folded = folding.fold()
            if folded and self._residue:
                connection.release_memory()
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
                self._residue = False
        except apsw.Error as error:  # the next write, or the end of a read, tries again
            # What was written is on disk, so it is not told that this failed.
            if self._told(error) is None:
                _log.exception("cannot empty the write-ahead log")
        finally:
            connection.set_busy_timeout(_BUSY_MS)
        return folded

    async def read(self, work: Callable[[apsw.Connection], T]) -> T:
        """Run `work`, which is short, on a connection that sees every transaction before."""
        return await self._read(self._reading, work, Watch(_READ_SECONDS))

    async def ask(self, work: Callable[[apsw.Connection], T], watch: Watch) -> T:
        """Do as `read` does, for work that may be long: the watch says how long."""
        return await self._read(self._asking, work, watch)

    async def _read(
        self, readers: Readers | None, work: Callable[[apsw.Connection], T], watch: Watch
    ) -> T:
        """Statements are broken off when the time of the watch is up (QueryTimeout).

        It is up too when the task that waits here is cancelled.
        """
        read = partial(self._read_now, readers, work, watch)
        try:
            if readers is not None:
                return await readers.run(read)
            return await asyncio.get_running_loop().run_in_executor(self._writer, read)
        finally:
            watch.give_up()

    def _read_now(
        self, readers: Readers | None, work: Callable[[apsw.Connection], T], watch: Watch
    ) -> T:
        connection = self._write_connection if readers is None else readers.idle.get()
        if connection is None:
            raise StoreUnreachable
        try:
            watch.check()  # it may have waited for its turn for too long
            connection.set_progress_handler(watch.is_over, _STEPS_BETWEEN_LOOKS)
            return work(connection)
        except apsw.InterruptError:
            raise QueryTimeout from None
        except apsw.Error as error:
            told = self._told(error)
            if told is None:
                raise
            raise told from error
        except DAMAGE as error:
            raise _spoiled(error) from error
        finally:
            connection.set_progress_handler(None)
            if readers is not None:
                readers.idle.put(connection)
                if self._residue:
                    self._writer.submit(self._fold_if_due)

    def _told(self, error: apsw.Error) -> Unavailable | None:
        """SQLite's error in our words; damage latches. None if it is a defect of this program."""
        if _is_full(error):
            return StorageFull()
        if isinstance(error, _DISK_DAMAGE):
            self._broken = True
            return StoreBroken()
        if isinstance(error, apsw.SQLError) and _MISFIT.search(str(error)):
            return _spoiled(error)
        return StoreUnreachable() if isinstance(error, _BUSY) else None

    async def close(self) -> None:
        """Fold the WAL into the file once more, when all that runs has ended, and close."""
        loop = asyncio.get_running_loop()
        for readers in (self._asking, self._reading):
            if readers is not None:
                await loop.run_in_executor(None, readers.close)
        if self._write_connection is not None:
            await loop.run_in_executor(self._writer, self._close, self._write_connection)
        self._writer.shutdown()

    def _close(self, connection: apsw.Connection) -> None:
        if not self._fold():
            # The last connection would fold what is left, as it is. The next process does better.
            connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        if self._folding is not None:
            self._folding.close()
        connection.close()
        self._write_connection = None


class Watch:
    """How long a read may go on. Looked at by SQLite itself, every few thousand steps."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def is_over(self) -> bool:
        return time.monotonic() > self._end

    def check(self) -> None:
        """Raise QueryTimeout if the time is up."""
        if self.is_over():
            raise QueryTimeout

    def give_up(self) -> None:
        """Let the time be up now: nobody waits for the answer any more."""
        self._end = 0.0


def check_sqlite_version(version: str) -> None:
    """Raise UnsafeSetup if this SQLite can lose what it said was committed."""
    if tuple(map(int, version.split("."))) < _OLDEST_SAFE_SQLITE:
        needed = ".".join(map(str, _OLDEST_SAFE_SQLITE))
        raise UnsafeSetup(
            f"SQLite {version} can lose commits; install an apsw with {needed} or newer"
        )


def _connect(path: str) -> apsw.Connection:
    if path != MEMORY:
        # Before SQLite makes it, which would ask the umask. It gives the WAL the mode of the file.
        # Never opened here if it is there: closing it would take the locks of this process away.
        with suppress(FileExistsError):
            Path(path).touch(mode=stat.S_IRUSR | stat.S_IWUSR, exist_ok=False)
    connection = apsw.Connection(path)
    try:
        _prepare(connection, path)
    except BaseException:
        connection.close()  # which takes the WAL away too
        raise
    return connection


def _prepare(connection: apsw.Connection, path: str) -> None:
    connection.set_busy_timeout(_BUSY_MS)
    _refuse_foreign(connection)  # first of all: to switch to WAL changes the file
    if path != MEMORY:
        _refuse_exposed(path)
    # One statement a call: execute() runs several lazily, and might stop after the first.
    wanted = {"synchronous": 2, "foreign_keys": 1, "secure_delete": 1, "trusted_schema": 0}
    if path != MEMORY:
        _expect(_switch_to_wal(connection), "journal_mode=WAL")
    for name, value in wanted.items():
        connection.pragma(name, value)
        _expect(connection.pragma(name) == value, f"{name}={value}")
    connection.pragma("temp_store", 2)


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
    with _transaction(connection, "DEFERRED"):
        owner, version = connection.pragma("application_id"), connection.pragma("user_version")
        tables = connection.execute("SELECT count(*) FROM sqlite_schema").get
    if owner != _APPLICATION_ID and (owner or version or tables):
        raise UnsafeSetup("this file is a database of another program; choose another path")


def _refuse_exposed(path: str) -> None:
    """Raise UnsafeSetup if anyone but the owner can read or write the file.

    A WAL that was made with its mode goes when the connection is closed, as it then is.
    """
    if os.name == "posix" and Path(path).stat().st_mode & _OTHERS:
        raise UnsafeSetup(f"others may read {path}; run: chmod 600 {path}")


def _spoiled(error: Exception) -> StoreBroken:
    """Return what a row is told as that holds what was never put in.

    It may concern one tenant only, so writing goes on; the log has the whole story.
    """
    _log.error("what the database gives is not as it was put in", exc_info=error)
    return StoreBroken()


def _is_full(error: Exception) -> bool:
    """Whether there was no room, also if it was the WAL's index that could not grow."""
    return isinstance(error, apsw.FullError) or (
        isinstance(error, apsw.IOError)
        and getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )


@contextmanager
def _transaction(connection: apsw.Connection, kind: str) -> Iterator[None]:
    connection.execute(f"BEGIN {kind}")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # After some errors SQLite has rolled back already; to do it again would hide the error.
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


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
        with _transaction(connection, "IMMEDIATE"):
            # Another process may have done this step while we waited for the lock.
            if connection.pragma("user_version") == number:
                for statement in _statements(migrations[number]):
                    connection.execute(statement)
                connection.pragma("application_id", _APPLICATION_ID)
                connection.pragma("user_version", number + 1)


def _statements(script: str) -> list[str]:
    return [statement for statement in script.split(";\n") if statement.strip()]
