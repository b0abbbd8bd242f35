"""Records in SQLite: the EventStore contract of `store/port.py`."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, TypeVar

import apsw

from auditlogservice.errors import StorageFull, Unavailable
from auditlogservice.events import (
    Erasure,
    EventId,
    Fingerprint,
    Kept,
    Listing,
    Record,
    Sequence,
)
from auditlogservice.store.admission import Head, Known, admit, burying, judge, keyed_ids
from auditlogservice.store.sqlite.database import Watch
from auditlogservice.store.sqlite.documents import holds_of
from auditlogservice.store.sqlite.forgetting import forget
from auditlogservice.store.sqlite.ledger import tiles_of
from auditlogservice.store.sqlite.searching import Search, first_at, words
from auditlogservice.terms import terms_of
from auditlogservice.tiles import growing_tiles
from auditlogservice.times import from_micros, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable
    from collections.abc import Sequence as Seq
    from datetime import datetime

    from auditlogservice.governance import Hold
    from auditlogservice.store.admission import Admission, Entry
    from auditlogservice.store.port import Answer, Burial, Held, PageQuery, Submission
    from auditlogservice.store.sqlite.database import Database

T = TypeVar("T")

_KEPT = "SELECT id, sequence, payload, erased_at, erased_by, erased_why"
_COLUMNS = (
    "row, id, tenant, sequence, timestamp, expires_at, commitment, salt, fingerprint, payload"
)
_VALUES = "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_ROWS = 100  # inserted in one step; SQLite takes 32,766 values in a statement


class SqliteEventStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, submissions: Seq[Submission]) -> list[Answer]:
        def work(connection: apsw.Connection) -> list[Answer]:
            has_room = self._database.has_room()
            admitted = [each for each in submissions if has_room or each.urgent]
            if submissions and not admitted:
                raise StorageFull
            answers = iter(_append(connection, admitted))
            return [
                next(answers) if has_room or each.urgent else StorageFull() for each in submissions
            ]

        return await self._database.write(work)

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        def work(connection: apsw.Connection) -> Kept | None:
            row = connection.execute(
                f"{_KEPT} FROM records JOIN tenants ON number = tenant WHERE id=? AND name=?",
                (bytes.fromhex(event_id), tenant),
            ).fetchone()
            kept = _kept(*row) if row else None
            if isinstance(kept, Record):
                kept.checked_fields()
            return kept

        return await self._database.read(work)

    async def page(self, query: PageQuery) -> list[Record]:
        return await self._search(query, Search.page, [])

    async def listing(self, query: PageQuery) -> Listing:
        return await self._search(query, Search.listing, Listing())

    async def _search(self, query: PageQuery, answer: Callable[[Search], T], nothing: T) -> T:
        """Return this answer of a search; nothing if the tenant has no log."""

        def work(connection: apsw.Connection) -> T:
            number = connection.execute(
                "SELECT number FROM tenants WHERE name=?", (query.tenant,)
            ).get
            return nothing if number is None else answer(Search(connection, number, query, watch))

        watch = Watch(query.seconds)
        return await self._database.ask(work, watch)

    async def end(self, tenant: str) -> Sequence:
        def work(connection: apsw.Connection) -> Sequence:
            row = connection.execute(
                "SELECT next_sequence FROM tenants WHERE name=?", (tenant,)
            ).fetchone()
            return Sequence(row[0] if row else 0)

        return await self._database.read(work)

    async def places(self, tenant: str, moments: Seq[datetime]) -> list[Sequence]:
        def work(connection: apsw.Connection) -> list[Sequence]:
            row = connection.execute(
                "SELECT number, next_sequence FROM tenants WHERE name=?", (tenant,)
            ).fetchone()
            if row is None:
                return [Sequence(0)] * len(moments)
            return [
                Sequence(first_at(connection, row[0], to_micros(moment), row[1]))
                for moment in moments
            ]

        return await self._database.read(work)

    async def erase(
        self, tenant: str, burials: Seq[Burial], *, passed: Collection[str] = ()
    ) -> list[Erasure | Held | None]:
        def work(connection: apsw.Connection) -> list[Erasure | Held | None]:
            holds = holds_of(connection, tenant, passed)
            judged = [_bury(connection, tenant, burial, holds) for burial in burials]
            (answer,) = _append(connection, [burying(burials, judged)])
            if isinstance(answer, Unavailable):
                raise answer  # which takes back what was destroyed
            return [fate for fate, _ in judged]

        return await self._database.erase(work)

    async def ping(self) -> None:
        # BEGIN IMMEDIATE takes the write lock: enough to know that writing is possible.
        await self._database.append(lambda connection: connection.execute("SELECT 1").get)

    async def close(self) -> None:
        await self._database.close()


# ---- writing ------------------------------------------------------------------


def _append(connection: apsw.Connection, submissions: Seq[Submission]) -> list[Answer]:
    names = {draft.tenant for each in submissions for draft in each.drafts}
    numbers, heads = _tenants(connection, names)
    known = _known(connection, keyed_ids(submissions))
    admission = admit(submissions, known=known, heads=heads)
    _insert(connection, numbers, admission)
    return admission.answers


def _bury(
    connection: apsw.Connection, tenant: str, burial: Burial, holds: Seq[Hold]
) -> tuple[Erasure | Held | None, bool]:
    """Destroy one record's content; return what became of it, and whether that is new."""
    row = connection.execute(
        f"{_KEPT}, number, row FROM records JOIN tenants ON number = tenant WHERE id=? AND name=?",
        (bytes.fromhex(burial.id), tenant),
    ).fetchone()
    if row is None:
        return None, False
    *columns, number, place = row
    kept = _kept(*columns)
    fate, is_new = judge(burial, Known(None, kept), holds)
    if is_new and isinstance(kept, Record):
        forget(connection, place, words(number, terms_of(kept.fields())))
        connection.execute(
            "UPDATE records SET payload=NULL, salt=NULL, fingerprint=NULL,"
            " erased_at=?, erased_by=?, erased_why=? WHERE row=?",
            (to_micros(burial.tombstone.received_at), burial.by, burial.reason, place),
        )
    return fate, is_new


def _tenants(
    connection: apsw.Connection, names: Iterable[str]
) -> tuple[dict[str, int], dict[str, Head]]:
    """The tenants' numbers, and where their logs end; tenants are made at their first event."""
    numbers: dict[str, int] = {}
    heads: dict[str, Head] = {}
    for name in sorted(names):
        connection.execute(
            "INSERT OR IGNORE INTO tenants (name, next_sequence, last_timestamp) VALUES (?, 0, 0)",
            (name,),
        )
        row = connection.execute(
            "SELECT number, next_sequence, last_timestamp FROM tenants WHERE name=?", (name,)
        ).fetchone()
        assert row  # noqa: S101 - inserted above, in the same transaction
        number, size, timestamp = row
        numbers[name] = number
        beyond = connection.execute(
            "SELECT 1 FROM records WHERE tenant=? AND sequence>=? LIMIT 1", (number, size)
        ).get
        heads[name] = Head(
            Sequence(size),
            from_micros(timestamp),
            tiles_of(connection, number, growing_tiles(size)),
            is_overrun=beyond is not None,
        )
    return numbers, heads


def _known(connection: apsw.Connection, ids: Iterable[EventId]) -> dict[EventId, Known]:
    known: dict[EventId, Known] = {}
    for event_id in ids:
        row = connection.execute(
            f"{_KEPT}, fingerprint FROM records WHERE id=?", (bytes.fromhex(event_id),)
        ).fetchone()
        if row:
            *columns, fingerprint = row
            known[event_id] = Known(fingerprint and Fingerprint(fingerprint), _kept(*columns))
    return known


def _insert(connection: apsw.Connection, numbers: dict[str, int], admission: Admission) -> None:
    if not admission.entries:
        return
    first = connection.execute("SELECT coalesce(max(row), 0) + 1 FROM records").get
    _insert_entries(connection, numbers, admission.entries, first)
    connection.executemany(
        "UPDATE tenants SET next_sequence=?, last_timestamp=? WHERE number=?",
        (
            (head.next, to_micros(head.timestamp), numbers[name])
            for name, head in admission.heads.items()
            if head.timestamp
        ),
    )
    connection.executemany(
        "INSERT INTO tiles (tenant, level, number, hashes) VALUES (?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET hashes=excluded.hashes",
        (
            (numbers[name], tile.level, tile.number, hashes)
            for name, changed in admission.tiles.items()
            for tile, hashes in changed.items()
        ),
    )


def _insert_entries(
    connection: apsw.Connection, numbers: dict[str, int], entries: Seq[Entry], first: int
) -> None:
    """Insert records and their index, in few steps.

    Each step of SQLite lets go of the interpreter's lock. With one for each record, this thread
    and one that prepares a batch passed the lock to each other, and the event loop waited.
    """
    rows = [
        (row, *_columns(numbers[entry.draft.tenant], entry))
        for row, entry in enumerate(entries, first)
    ]
    for at in range(0, len(rows), _ROWS):
        part = rows[at : at + _ROWS]
        connection.execute(
            f"INSERT INTO records ({_COLUMNS}) VALUES {', '.join([_VALUES] * len(part))}",
            tuple(chain.from_iterable(part)),
        )
    texts = tuple(words(numbers[entry.draft.tenant], entry.draft.terms) for entry in entries)
    connection.execute(
        "INSERT INTO terms (rowid, words) SELECT ? + rowid, value FROM carray(?)",
        (first - 1, apsw.carray(texts)),
    )


def _columns(tenant: int, entry: Entry) -> tuple[object, ...]:
    record, logged = entry.record, entry.logged
    return (
        bytes.fromhex(record.id),
        tenant,
        record.sequence,
        to_micros(logged.timestamp),
        logged.expires_at and to_micros(logged.expires_at),
        logged.commitment,
        entry.draft.salt,
        entry.draft.fingerprint,
        record.payload,
    )


# ---- reading ------------------------------------------------------------------


def _kept(
    event_id: bytes, sequence: int, payload: bytes | None, at: int | None, by: str, why: str | None
) -> Kept:
    name, place = EventId(event_id.hex()), Sequence(sequence)
    if payload is not None:
        return Record(id=name, sequence=place, payload=payload)
    assert at is not None  # noqa: S101 - the table's CHECK says so
    return Erasure(id=name, sequence=place, erased_at=from_micros(at), erased_by=by, reason=why)
