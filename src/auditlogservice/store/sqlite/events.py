"""Records in SQLite: the EventStore contract of `store/port.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from auditlogservice import filters
from auditlogservice.events import (
    Erasure,
    EventId,
    Fingerprint,
    Kept,
    Record,
    Sequence,
    parse_event_id,
)
from auditlogservice.store.admission import Head, Known, admit, keyed_ids
from auditlogservice.times import from_micros, parse_rfc3339, to_micros

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from collections.abc import Sequence as Seq
    from datetime import datetime

    import apsw

    from auditlogservice.filters import Filter
    from auditlogservice.store.admission import Admission, Entry
    from auditlogservice.store.port import Outcome, PageQuery, Submission
    from auditlogservice.store.sqlite.database import Database

Value: TypeAlias = "int | bytes | str"

_KEPT = "SELECT id, sequence, payload, erased_at, erased_by, erased_why"
_CHUNK = 100  # rows looked at in one go, at least, while a page is filled

# What the tokenizer would split at, and the quote of its query language. Index and query pass
# through the same table; that two texts may become one only adds candidates.
_WORD = str.maketrans({chr(code): "~" for code in (*range(33), 34, 39, 127)})


class SqliteEventStore:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def append(self, submissions: Seq[Submission]) -> list[tuple[Outcome, ...]]:
        def work(connection: apsw.Connection) -> list[tuple[Outcome, ...]]:
            names = {draft.tenant for each in submissions for draft in each.drafts}
            numbers, heads = _tenants(connection, names)
            known = _known(connection, keyed_ids(submissions))
            admission = admit(submissions, known=known, heads=heads)
            _insert(connection, numbers, admission)
            return admission.outcomes

        return await self._database.write(work)

    async def find(self, tenant: str, event_id: EventId) -> Kept | None:
        def work(connection: apsw.Connection) -> Kept | None:
            row = connection.execute(
                f"{_KEPT} FROM records JOIN tenants ON number = tenant WHERE id=? AND name=?",
                (bytes.fromhex(event_id), tenant),
            ).fetchone()
            return _kept(*row) if row else None

        return await self._database.read(work)

    async def page(self, query: PageQuery) -> list[Record]:
        def work(connection: apsw.Connection) -> list[Record]:
            number = connection.execute(
                "SELECT number FROM tenants WHERE name=?", (query.tenant,)
            ).get
            return [] if number is None else _page(connection, number, query)

        return await self._database.read(work)

    async def erase(
        self, tenant: str, event_id: EventId, *, at: datetime, by: str, reason: str | None
    ) -> Erasure | None:
        def work(connection: apsw.Connection) -> Erasure | None:
            row = connection.execute(
                f"{_KEPT}, number, row FROM records JOIN tenants ON number = tenant"
                " WHERE id=? AND name=?",
                (bytes.fromhex(event_id), tenant),
            ).fetchone()
            if row is None:
                return None
            *columns, number, place = row
            kept = _kept(*columns)
            if isinstance(kept, Erasure):
                return kept
            # An index without content is told what to forget: the words that went in.
            connection.execute(
                "INSERT INTO terms (terms, rowid, words) VALUES ('delete', ?, ?)",
                (place, _words(number, filters.terms_of(kept.fields()))),
            )
            connection.execute(
                "UPDATE records SET payload=NULL, erased_at=?, erased_by=?, erased_why=?"
                " WHERE row=?",
                (to_micros(at), by, reason, place),
            )
            return Erasure(
                id=kept.id, sequence=kept.sequence, erased_at=at, erased_by=by, reason=reason
            )

        return await self._database.write(work)

    async def ping(self) -> None:
        # BEGIN IMMEDIATE takes the write lock: enough to know that writing is possible.
        await self._database.write(lambda connection: connection.execute("SELECT 1").get)

    async def close(self) -> None:
        await self._database.close()


# ---- writing ------------------------------------------------------------------


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
        numbers[name] = row[0]
        heads[name] = Head(Sequence(row[1]), from_micros(row[2]))
    return numbers, heads


def _known(connection: apsw.Connection, ids: Iterable[EventId]) -> dict[EventId, Known]:
    known: dict[EventId, Known] = {}
    for event_id in ids:
        row = connection.execute(
            f"{_KEPT}, fingerprint FROM records WHERE id=?", (bytes.fromhex(event_id),)
        ).fetchone()
        if row:
            known[event_id] = Known(Fingerprint(row[-1]), _kept(*row[:-1]))
    return known


def _insert(connection: apsw.Connection, numbers: dict[str, int], admission: Admission) -> None:
    if not admission.entries:
        return
    first = connection.execute("SELECT coalesce(max(row), 0) + 1 FROM records").get
    connection.executemany(
        "INSERT INTO records (row, id, tenant, sequence, timestamp, fingerprint, payload)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (
            (row, *_columns(numbers[entry.draft.tenant], entry))
            for row, entry in enumerate(admission.entries, first)
        ),
    )
    connection.executemany(
        "INSERT INTO terms (rowid, words) VALUES (?, ?)",
        (
            (row, _words(numbers[entry.draft.tenant], entry.draft.terms))
            for row, entry in enumerate(admission.entries, first)
        ),
    )
    connection.executemany(
        "UPDATE tenants SET next_sequence=?, last_timestamp=? WHERE number=?",
        (
            (head.next, to_micros(head.timestamp), numbers[name])
            for name, head in admission.heads.items()
            if head.timestamp
        ),
    )


def _columns(tenant: int, entry: Entry) -> tuple[bytes, int, int, int, bytes, bytes]:
    record = entry.record
    return (
        bytes.fromhex(record.id),
        tenant,
        record.sequence,
        to_micros(entry.timestamp),
        entry.draft.fingerprint,
        record.payload,
    )


def _words(tenant: int, terms: Iterable[str]) -> str:
    return " ".join(_word(tenant, term) for term in terms)


def _word(tenant: int, term: str) -> str:
    """One word of the index; the tenant is part of it, so that no query meets another's rows."""
    return f"{tenant}:{term.translate(_WORD)}"


# ---- reading ------------------------------------------------------------------


def _page(connection: apsw.Connection, tenant: int, query: PageQuery) -> list[Record]:
    """Fill the page chunk by chunk, until it is full or the candidates are exhausted."""
    found: list[Record] = []
    low, high = _bounds(connection, tenant, query)
    while len(found) < query.limit and low <= high:
        rows = list(connection.execute(*_candidates(connection, tenant, query, low, high)))
        for event_id, sequence, payload in rows:
            record = Record(
                id=EventId(event_id.hex()), sequence=Sequence(sequence), payload=payload
            )
            # Without fields the bounds have decided already.
            if not query.where.fields or filters.matches(query.where, record.fields()):
                found.append(record)
        if len(rows) < _chunk(query):
            break
        last = rows[-1][1]
        low, high = (low, last - 1) if query.order == "newest" else (last + 1, high)
    return found[: query.limit]


def _chunk(query: PageQuery) -> int:
    return max(_CHUNK, query.limit)


def _bounds(connection: apsw.Connection, tenant: int, query: PageQuery) -> tuple[int, int]:
    """The first and the last sequence that can be on the page."""
    high = connection.execute(
        "SELECT next_sequence - 1 FROM tenants WHERE number=?", (tenant,)
    ).get
    low = 0
    if query.beyond is not None and query.order == "newest":
        high = min(high, query.beyond - 1)
    elif query.beyond is not None:
        low = query.beyond + 1
    received = query.where.received
    if received.since:
        low = max(low, _first_since(connection, tenant, received.since, otherwise=high + 1))
    if received.until:
        high = min(high, _first_since(connection, tenant, received.until, otherwise=high + 1) - 1)
    return low, high


def _first_since(
    connection: apsw.Connection, tenant: int, moment: datetime, *, otherwise: int
) -> int:
    row = connection.execute(
        "SELECT sequence FROM records WHERE tenant=? AND timestamp>=?"
        " ORDER BY timestamp, row LIMIT 1",
        (tenant, to_micros(moment)),
    ).fetchone()
    return row[0] if row else otherwise


def _candidates(
    connection: apsw.Connection, tenant: int, query: PageQuery, low: int, high: int
) -> tuple[str, tuple[Value, ...]]:
    """The statement for the next chunk: by the index of terms if a field is in it."""
    way = "DESC" if query.order == "newest" else "ASC"
    columns, values = _column_conditions(query.where)
    groups = [group for field in query.where.fields if (group := filters.candidates(field))]
    if not groups:
        statement = (
            "SELECT id, sequence, payload FROM records"
            " WHERE tenant=? AND sequence BETWEEN ? AND ? AND payload IS NOT NULL"
            f"{columns} ORDER BY sequence {way} LIMIT {_chunk(query)}"
        )
        return statement, (tenant, low, high, *values)
    words = " AND ".join(
        "(" + " OR ".join(f'"{_word(tenant, term)}"' for term in group) + ")" for group in groups
    )
    statement = (
        "SELECT id, sequence, payload FROM terms JOIN records ON row = terms.rowid"
        " WHERE terms MATCH ? AND terms.rowid BETWEEN ? AND ? AND payload IS NOT NULL"
        f"{columns} ORDER BY terms.rowid {way} LIMIT {_chunk(query)}"
    )
    rows = (_row(connection, tenant, low), _row(connection, tenant, high))
    return statement, (words, *rows, *values)


def _row(connection: apsw.Connection, tenant: int, sequence: int) -> int:
    """The row with this sequence, which is one of the log."""
    row: int = connection.execute(
        "SELECT row FROM records WHERE tenant=? AND sequence=?", (tenant, sequence)
    ).get
    return row


def _column_conditions(where: Filter) -> tuple[str, list[Value]]:
    """Conditions on the fields that have a column of their own instead of terms."""
    sql, values = "", list[Value]()
    for field in where.fields:
        if field.path not in _COLUMNS:
            continue
        column, read = _COLUMNS[field.path]
        wanted = [value for text in field.texts if (value := read(text)) is not None]
        sql += f" AND {column} IN ({', '.join('?' * len(wanted))})"
        values += wanted
    return sql, values


def _id_value(text: str) -> bytes | None:
    event_id = parse_event_id(text)
    return bytes.fromhex(event_id) if event_id else None


def _sequence_value(text: str) -> int | None:
    return int(float(text)) if filters.is_number(text) and abs(float(text)) < 2**63 else None


def _timestamp_value(text: str) -> int | None:
    try:
        return to_micros(parse_rfc3339(text))
    except ValueError:
        return None


_COLUMNS: dict[str, tuple[str, Callable[[str], Value | None]]] = {
    "_id": ("id", _id_value),
    "sequence": ("sequence", _sequence_value),
    "timestamp": ("timestamp", _timestamp_value),
}


def _kept(
    event_id: bytes, sequence: int, payload: bytes | None, at: int | None, by: str, why: str | None
) -> Kept:
    name, place = EventId(event_id.hex()), Sequence(sequence)
    if payload is not None:
        return Record(id=name, sequence=place, payload=payload)
    assert at is not None  # noqa: S101 - the table's CHECK says so
    return Erasure(id=name, sequence=place, erased_at=from_micros(at), erased_by=by, reason=why)
