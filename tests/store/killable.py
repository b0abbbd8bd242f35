"""Programs that are killed while they use a store: `python killable.py ROLE FOLDER`.

`migrate` opens a new file in FOLDER again and again, and each time kills itself before the next
statement. `race` has many processes open one new file at the same moment. `append` appends until
somebody kills it, and prints what was acknowledged. `erase`, whose FOLDER is the path of a SQLite
file or the URL of a MongoDB, erases again and again, and each time kills itself one step later.
`wipe` erases every other record of `base.db` in FOLDER, each time in a new copy of it, and kills
itself one step later of those that fold the WAL into the file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import apsw
from pymongo.monitoring import CommandListener, register

from auditlogservice.entries import SALT_BYTES
from auditlogservice.errors import AuditLogError
from auditlogservice.events import Draft, EventId, read_event, tombstone_id
from auditlogservice.governance import TOMBSTONE_TYPE
from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.port import Appended, Burial, Submission
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.store.sqlite.database import _connect, migrate
from auditlogservice.store.sqlite.schema import MIGRATIONS
from auditlogservice.terms import terms_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from pymongo.monitoring import CommandFailedEvent, CommandStartedEvent, CommandSucceededEvent

    from auditlogservice.store.mongodb import MongoStore
    from auditlogservice.store.sqlite import SqliteStore


NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
ROUNDS, RACERS = 15, 4


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fork(work: Callable[[], object]) -> int:
    """Run `work` in a child, which ends with it: 0 if it returned, 1 if it raised."""
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        work()
        code = 0
    except AuditLogError as error:
        sys.stderr.write(f"{error}\n")
    finally:
        os._exit(code)


def _ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


# ---- migrate ----------------------------------------------------------------------------


def _migrate_and_die(path: Path, statement: int) -> None:
    connection = _connect(str(path))
    seen = count()

    def before_each(*_: object) -> bool:
        if next(seen) == statement:
            _die()
        return True

    connection.exec_trace = before_each
    migrate(connection, MIGRATIONS)


def migrate_and_die_everywhere(folder: Path) -> None:
    """Leave the file `killed-<n>.db` for each statement; print how many there are."""
    for statement in count():
        path = folder / f"killed-{statement}.db"
        code = _ended(_fork(lambda: _migrate_and_die(path, statement)))  # noqa: B023 - ends here
        if code == 0:
            print(statement, flush=True)  # noqa: T201 - the answer to the test
            return
        assert code == -signal.SIGKILL, code


# ---- race -------------------------------------------------------------------------------


def _open_when_told(path: Path, told: int) -> None:
    async def open_and_close() -> None:
        await (await open_sqlite(str(path))).close()

    os.read(told, 1)
    asyncio.run(open_and_close())


def race(folder: Path) -> None:
    """Print the exit codes of all who opened a new file at once, one line a round."""
    for number in range(ROUNDS):
        told, tell = os.pipe()
        path = folder / f"race-{number}.db"
        racers = [
            _fork(lambda: _open_when_told(path, told))  # noqa: B023 - ends here
            for _ in range(RACERS)
        ]
        os.write(tell, b"!" * RACERS)
        print(*map(_ended, racers), flush=True)  # noqa: T201 - the answer to the test
        os.close(told)
        os.close(tell)


# ---- append -----------------------------------------------------------------------------


def _draft(number: int) -> Draft:
    event = read_event(
        {"name": f"event {number}", "event_type": "t", "detail": "x" * (number * 37 % 3_000)},
        now=NOON,
    )
    return Draft(
        id=EventId(os.urandom(12).hex()),
        tenant=f"tenant{number % 2}",
        user_id="alice",
        keyed=False,
        received_at=NOON,
        fingerprint=event.fingerprint,
        body=event.body,
        terms=terms_of(event.told),
        salt=os.urandom(SALT_BYTES),
    )


async def append(folder: Path) -> None:
    """Print tenant, id and sequence of each record, once it is acknowledged."""
    store = await open_sqlite(str(folder / "audit.db"))
    for number in count():
        drafts = [_draft(number + place) for place in range(number % 3 + 1)]
        for answer in await store.events.append([Submission((one,)) for one in drafts]):
            assert isinstance(answer, tuple)
            (outcome,) = answer
            assert isinstance(outcome, Appended)
            record = outcome.record
            tenant = next(one.tenant for one in drafts if one.id == record.id)
            print(tenant, record.id, record.sequence, flush=True)  # noqa: T201 - acknowledged


# ---- erase ------------------------------------------------------------------------------


class _Steps(CommandListener):
    """Ends the process before a step of a store: a statement, or a command to a server."""

    def __init__(self) -> None:
        self.left: int | None = None  # None: not counting yet

    def step(self, *_: object) -> bool:
        if self.left == 0:
            _die()
        if self.left is not None:
            self.left -= 1
        return True

    def started(self, event: CommandStartedEvent) -> None:
        self.step(event)

    def succeeded(self, event: CommandSucceededEvent) -> None: ...

    def failed(self, event: CommandFailedEvent) -> None: ...


def _burial(sent: Draft) -> Burial:
    event = read_event(
        {
            "name": "Event erased",
            "event_type": TOMBSTONE_TYPE,
            "detail": "",
            "event_data": {"_id": sent.id},
        },
        now=NOON,
    )
    grave = replace(
        sent,
        id=tombstone_id(sent.tenant, sent.id),
        keyed=True,
        fingerprint=event.fingerprint,
        body=event.body,
        terms=terms_of(event.told),
    )
    return Burial(id=sent.id, by="bob", reason=None, tombstone=grave)


async def _erase_and_die(place: str, tenant: str, step: int) -> None:
    steps = _Steps()
    store: SqliteStore | MongoStore
    if "://" in place:
        register(steps)
        store = await open_mongodb(place)
    else:
        store = await open_sqlite(place)
        connection = store.events._database._write_connection
        assert connection
        connection.exec_trace = steps.step
    sent = replace(_draft(step), tenant=tenant)
    await store.events.append([Submission((sent,))])
    print(tenant, sent.id, flush=True)  # noqa: T201 - the answer to the test
    steps.left = step
    await store.events.erase(tenant, [_burial(sent)])
    steps.left = None
    await store.close()


def erase_and_die_everywhere(place: str) -> None:
    """Print the tenant and the id of each record: one for each step, and one that got away."""
    for step in count():
        code = _ended(_fork(lambda: asyncio.run(_erase_and_die(place, f"t{step}", step))))  # noqa: B023 - ends here
        if code == 0:
            return
        assert code == -signal.SIGKILL, code


# ---- wipe -------------------------------------------------------------------------------


def _dying(steps: _Steps, kind: Any, *names: str) -> Any:
    """Return this class, with a step before each call of these methods."""

    def stepped(name: str) -> Callable[..., object]:
        def call(self: object, *values: Any, **more: Any) -> object:
            steps.step()
            return getattr(kind, name)(self, *values, **more)

        return call

    return type(kind.__name__, (kind,), {name: stepped(name) for name in names})


async def _wipe_and_die(path: Path, step: int) -> None:
    steps = _Steps()
    apsw.Connection = _dying(steps, apsw.Connection, "wal_checkpoint")  # type: ignore[misc] # here alone
    apsw.VFSFile = _dying(steps, apsw.VFSFile, "xWrite", "xSync")  # type: ignore[misc] # here alone
    store = await open_sqlite(str(path))
    connection = store.events._database._write_connection
    assert connection
    rows = connection.execute("SELECT lower(hex(id)) FROM records WHERE sequence % 2").fetchall()
    doomed = [replace(_draft(0), tenant="acme", id=EventId(str(row[0]))) for row in rows]
    steps.left = step
    for start in range(0, len(doomed), 10):
        portion = doomed[start : start + 10]
        await store.events.erase("acme", [_burial(one) for one in portion])
        print(step, *(one.id for one in portion), flush=True)  # noqa: T201 - the answer
    steps.left = None
    await store.close()


def wipe_and_die_everywhere(folder: Path) -> None:
    """Leave `killed-<n>.db` for each step; print the number and the ids of each portion erased."""
    for step in count():
        path = folder / f"killed-{step}.db"
        shutil.copy(folder / "base.db", path)
        code = _ended(_fork(lambda: asyncio.run(_wipe_and_die(path, step))))  # noqa: B023 - ends here
        if code == 0:
            return
        assert code == -signal.SIGKILL, code


def main(role: str, folder: Path) -> None:
    match role:
        case "erase":
            erase_and_die_everywhere(sys.argv[2])
        case "migrate":
            migrate_and_die_everywhere(folder)
        case "race":
            race(folder)
        case "wipe":
            wipe_and_die_everywhere(folder)
        case "append":
            asyncio.run(append(folder))
        case _:
            sys.exit(f"no such role: {role}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
