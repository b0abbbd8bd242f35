"""Pages of records that match: the index of terms proposes rows, `filters.matcher` decides.

Every text of a caller is a bound value. In the query language of FTS5 it stands between quotes,
and a quote cannot be in it, since `word` leaves none.
"""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from auditlogservice.asked import (
    Both,
    Either,
    Span,
    Start,
    Term,
    both,
    conjuncts,
    is_coarse,
    starts_of,
)
from auditlogservice.bounds import bounds_of
from auditlogservice.events import EventId, Record, Sequence
from auditlogservice.store.filling import Filling
from auditlogservice.store.sqlite.joining import Candidates, condition_for, join_rows
from auditlogservice.terms import asked_by, ruled_out_by, terms_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    import apsw

    from auditlogservice.asked import Asked
    from auditlogservice.events import Listing
    from auditlogservice.store.port import PageQuery
    from auditlogservice.store.sqlite.database import Watch

_PROBED = 200  # rows looked at in order before a coarse question goes to the index
_SAMPLE = 20  # of these, to learn how common their terms are
_FREQUENT = 15  # if one row in so many matches, the next ones are found sooner in order
_BROAD = 4  # if one row in so many has it, a coarse part of a question is left to `matches`
_WINDOW, _LONGEST_WINDOW = 2_000, 64_000  # rows of which those ruled out are found in one go
_FEW = 2_000  # rows that are looked at one by one, without a second thought

# What the tokenizer would split at, and the quote of its query language. Index and query pass
# through the same table; that two texts may become one only adds candidates.
_SPLIT_AT = (*range(33), 34, 39, 127)
_WORD = str.maketrans(dict.fromkeys(map(chr, _SPLIT_AT), "~"))
_BETWEEN = "\x1f"  # between words that are spelled together; seldom in a term
_WORDS = bytes.maketrans(
    bytes(_SPLIT_AT), bytes(ord(" " if chr(code) == _BETWEEN else "~") for code in _SPLIT_AT)
)

_COLUMNS = "SELECT sequence, id, payload"
_IN_ORDER = "records WHERE tenant=? AND sequence BETWEEN ? AND ?"
_BY_TERM = (
    "terms JOIN records ON row = terms.rowid WHERE terms MATCH ? AND terms.rowid BETWEEN ? AND ?"
)
_ROWS_OF_TERM = "SELECT rowid FROM terms WHERE terms MATCH ? AND rowid BETWEEN ? AND ?"
_BY_ID = f"{_COLUMNS} FROM records WHERE id=? AND tenant=?"


def word(tenant: int, term: str) -> str:
    """One word of the index; the tenant is part of it, so that no query meets another's rows."""
    return f"{tenant}:{term.translate(_WORD)}"


def words(tenant: int, terms: Collection[str]) -> str:
    """Return the `word` of each term, with a blank between: as the index takes them in.

    All in one go, and as bytes, since the thread that writes holds all others up meanwhile: a
    record has a hundred terms, and one by one they take ten times as long.
    """
    head = f"{tenant}:"
    text = head + f"{_BETWEEN}{head}".join(terms)
    if text.count(_BETWEEN) != len(terms) - 1:  # it is in a term, too
        return " ".join(word(tenant, term) for term in terms)
    # In UTF-8, no byte of any other character is one of those that the table changes.
    return text.encode().translate(_WORDS).decode()


class Search:
    """One question of one tenant, on one connection."""

    def __init__(
        self, connection: apsw.Connection, tenant: int, query: PageQuery, watch: Watch
    ) -> None:
        self._connection = connection
        self._tenant = tenant
        self._query = query
        self._watch = watch
        self._bounds = bounds_of(query.where)
        self._ruled_out = ruled_out_by(query.where)
        self._filling = Filling(query)

    def page(self) -> list[Record]:
        if self._bounds.ids is not None:
            self._look_up_ids()
            return self._filling.records
        low, high = self._sequences()
        asked = asked_by(self._query.where)
        if asked is None and self._ruled_out:
            self._look_past(low, high)
        elif asked is None:
            self._look(self._in_order(low, high))
        elif not is_coarse(asked):
            self._look(self._with_terms(low, high, asked))
        else:
            self._probe(low, high, asked)
        return self._filling.records

    def listing(self) -> Listing:
        """Return the page as it goes out."""
        joined = self._joined()
        return self._query.listing(self.page()) if joined is None else joined

    def _joined(self) -> Listing | None:
        """Return it as SQLite makes it; None if each record has to be looked at here."""
        condition = condition_for(self._query.where)
        asked = asked_by(self._query.where)
        if condition is None or self._bounds.ids is not None or (asked and is_coarse(asked)):
            return None
        if asked is not None:
            rows = self._candidates(*self._sequences(), asked)
        elif self._filling.is_decided:
            rows = Candidates(_IN_ORDER, (self._tenant, *self._sequences()), "sequence")
        else:
            return None
        return join_rows(self._connection, rows, condition, self._query)

    # ---- looking ---------------------------------------------------------------------

    def _probe(self, low: int, high: int, asked: Asked) -> None:
        """Look at the next rows in order; go to the index if too few of them match.

        Many terms start alike, and FTS5 gathers the rows of all before it gives the first. What
        is frequent is found sooner without it.
        """
        seen = self._look(self._in_order(low, high), _PROBED)
        if len(seen) < _PROBED or self._is_full:
            return
        low, high = self._beyond(seen[-1].sequence, low, high)
        sample = [terms_of(record.fields()) for record in seen[:: _PROBED // _SAMPLE]]
        narrowed = self._narrowed(asked, sample)
        if narrowed is None or len(self._filling.records) * _FREQUENT >= len(seen):
            self._look(self._in_order(low, high))
        else:
            self._look(self._with_terms(low, high, narrowed))

    def _narrowed(self, asked: Asked, sample: list[tuple[str, ...]]) -> Asked | None:
        """Leave out what costs FTS5 more than it saves; None if that is everything."""
        parts = conjuncts(asked)
        exact = [part for part in parts if not is_coarse(part)]
        if exact and self._are_few(joined := both(exact)):
            return joined
        telling = [part for part in parts if is_coarse(part) and not _is_broad(part, sample)]
        if exact or telling:
            return both([*exact, *telling])
        # Each part may be broad, and all of them together not: a number between two others.
        return None if _is_broad(asked, sample) else asked

    def _look_past(self, low: int, high: int) -> None:
        """Look at the rows that are not ruled out: by the index, if that leaves few.

        To find one that is takes half a microsecond, and ten to read its record.
        """
        seen = self._look(self._in_order(low, high), _PROBED)
        if len(seen) < _PROBED:
            return
        low, high = self._beyond(seen[-1].sequence, low, high)
        window = _WINDOW
        while low <= high and not self._is_full:
            if self._is_backwards:
                last = max(low, high - window + 1)
                self._look(self._not_ruled_out(last, high))
            else:
                last = min(high, low + window - 1)
                self._look(self._not_ruled_out(low, last))
            low, high = self._beyond(last, low, high)
            window = min(4 * window, _LONGEST_WINDOW)

    def _look(self, rows: apsw.Cursor, most: int | None = None) -> list[Record]:
        """Take in what matches, until the page is full; return the first rows that were seen."""
        seen: list[Record] = []
        with closing(rows):
            for sequence, event_id, payload in rows:
                self._take(sequence, event_id, payload)
                if most is not None:
                    seen.append(_record(sequence, event_id, payload or b"{}"))
                if self._is_full or len(seen) == most:
                    break
        return seen

    def _in_order(self, low: int, high: int) -> apsw.Cursor:
        return self._connection.execute(
            f"{_COLUMNS} FROM {_IN_ORDER} ORDER BY sequence {self._way}",
            (self._tenant, low, high),
        )

    def _not_ruled_out(self, low: int, high: int) -> apsw.Cursor:
        rows = (self._row(low, high, "ASC"), self._row(low, high, "DESC"))
        return self._connection.execute(
            f"{_COLUMNS} FROM {_IN_ORDER} AND row NOT IN ({_ROWS_OF_TERM})"
            f" ORDER BY sequence {self._way}",
            (self._tenant, low, high, _one_of(self._tenant, self._ruled_out), *rows),
        )

    def _with_terms(self, low: int, high: int, asked: Asked) -> apsw.Cursor:
        rows = self._candidates(low, high, asked)
        return self._connection.execute(
            f"{_COLUMNS} FROM {rows.source} ORDER BY {rows.place} {self._way}", rows.values
        )

    def _candidates(self, low: int, high: int, asked: Asked) -> Candidates:
        rows = (self._row(low, high, "ASC"), self._row(low, high, "DESC"))
        expression = _expression(self._tenant, asked)
        if self._ruled_out:
            expression = f"({expression}) NOT ({_one_of(self._tenant, self._ruled_out)})"
        return Candidates(_BY_TERM, (expression, *rows), "terms.rowid")

    def _are_few(self, asked: Asked) -> bool:
        rows = self._connection.execute(
            f"SELECT 1 FROM terms WHERE terms MATCH ? LIMIT {_FEW}",
            (_expression(self._tenant, asked),),
        )
        return sum(1 for _ in rows) < _FEW

    def _take(self, sequence: int, event_id: bytes, payload: bytes | None) -> None:
        if payload is None or not self._filling.may_match(payload):
            return
        if not self._filling.is_decided:
            self._watch.check()  # which SQLite does too, but not while a record is looked at
        self._filling.take(_record(sequence, event_id, payload))

    def _beyond(self, place: int, low: int, high: int) -> tuple[int, int]:
        """Return what is left between two sequences when reading has come to this place."""
        return (low, place - 1) if self._is_backwards else (place + 1, high)

    @property
    def _is_full(self) -> bool:
        return self._filling.is_full

    @property
    def _is_backwards(self) -> bool:
        return self._query.order == "newest"

    @property
    def _way(self) -> str:
        return "DESC" if self._is_backwards else "ASC"

    # ---- where to look ---------------------------------------------------------------

    def _look_up_ids(self) -> None:
        found = [
            row
            for event_id in self._bounds.ids or ()
            for row in self._connection.execute(_BY_ID, (bytes.fromhex(event_id), self._tenant))
        ]
        low, high = self._sequences()
        for row in sorted(found, reverse=self._is_backwards):
            if low <= row[0] <= high and not self._is_full:
                self._take(*row)

    def _sequences(self) -> tuple[int, int]:
        """The first and the last sequence that can be on the page."""
        (end,) = self._connection.execute(
            "SELECT next_sequence FROM tenants WHERE number=?", (self._tenant,)
        ).fetchone() or (0,)
        lows, highs = [0], [end - 1]
        if self._query.beyond is not None:
            (highs if self._is_backwards else lows).append(
                self._query.beyond + (-1 if self._is_backwards else 1)
            )
        bounds = self._bounds
        lows += [
            each for each in (bounds.first, self._place(bounds.since, end)) if each is not None
        ]
        if bounds.last is not None:
            highs.append(bounds.last)
        if bounds.until is not None:
            highs.append(first_at(self._connection, self._tenant, bounds.until + 1, end) - 1)
        return max(lows), min(highs)

    def _place(self, micros: int | None, end: int) -> int | None:
        return None if micros is None else first_at(self._connection, self._tenant, micros, end)

    def _row(self, low: int, high: int, way: str) -> int | None:
        """The first row between these sequences, of which one may be lost; None if all are."""
        row: int | None = self._connection.execute(
            "SELECT row FROM records WHERE tenant=? AND sequence BETWEEN ? AND ?"
            f" ORDER BY sequence {way} LIMIT 1",
            (self._tenant, low, high),
        ).get
        return row


def _record(sequence: int, event_id: bytes, payload: bytes) -> Record:
    return Record(id=EventId(event_id.hex()), sequence=Sequence(sequence), payload=payload)


def first_at(connection: apsw.Connection, tenant: int, micros: int, end: int) -> int:
    """Return the first sequence whose timestamp is not before this one; `end` if there is none."""
    row = connection.execute(
        "SELECT sequence FROM records WHERE tenant=? AND timestamp>=?"
        " ORDER BY timestamp, row LIMIT 1",
        (tenant, micros),
    ).fetchone()
    return row[0] if row else end


# ---- the query language of FTS5 ----------------------------------------------------------


def _one_of(tenant: int, terms: Iterable[str]) -> str:
    return " OR ".join(f'"{word(tenant, term)}"' for term in terms)


def _expression(tenant: int, asked: Asked) -> str:
    match asked:
        case Term(text):
            return f'"{word(tenant, text)}"'
        case Start(text):
            return f'"{word(tenant, text)}" *'
        case Span():
            return " OR ".join(f'"{word(tenant, text)}" *' for text in starts_of(asked))
        case Both(parts):
            return " AND ".join(f"({_expression(tenant, part)})" for part in parts)
        case Either(parts):
            return " OR ".join(f"({_expression(tenant, part)})" for part in parts)


# ---- how common something is -------------------------------------------------------------


def _is_broad(asked: Asked, sample: list[tuple[str, ...]]) -> bool:
    """Whether so many records are candidates that the index is no help."""
    return sum(_takes_in(asked, terms) for terms in sample) * _BROAD >= len(sample)


def _takes_in(asked: Asked, terms: tuple[str, ...]) -> bool:
    """Whether a record with these terms is a candidate."""
    match asked:
        case Term(text):
            return text in terms
        case Start(text):
            return any(term.startswith(text) for term in terms)
        case Span(low, high):
            return any(low <= term <= high for term in terms)
        case Both(parts):
            return all(_takes_in(part, terms) for part in parts)
        case Either(parts):
            return any(_takes_in(part, terms) for part in parts)
