"""Taking the words of one record out of the index of terms, to the last byte.

FTS5 with `secure-delete` takes a word out of the leaf that holds it, but may leave it in two other
places, which its shadow tables show:

* `terms_idx` has a separator for each leaf but the first: a beginning of the word that came first
  in the leaf, and sometimes the whole word. It stays when that word goes.
* While a merge goes on, a segment of which every word is in the merged one already keeps its
  leaves and its separators to the end of the merge, which may be weeks away.

So a separator that is the beginning of a forgotten word becomes the word that is first in its leaf
now: whatever is in the leaves before, it comes after that. FTS5 does so itself where it does not
know the word before. And the leaves of a segment that is used up go at once. Either
takes a few look-ups for each word and segment, of which there are dozens at most; to merge the
segments concerned would write much of the index anew for one record.

The tests have FTS5 check its index after erasures of every kind, so that a version of it that
stores anything else would be noticed.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import apsw

# The format of FTS5's tables, from the head of fts5_index.c.
_STRUCTURE = 10  # the row of terms_data that lists the segments
_COOKIE = 4  # bytes before the list
_FORMAT_2 = b"\xff\x00\x00\x01"  # after the cookie: the list of an index that has tombstones
_PAGE_BITS = 37  # a leaf's row is its segment and, in so many bits, its page

# For each segment and word, the separator of the leaf where the word would be, if it begins so.
# FTS5 puts a 0 before each word, to tell it from those of prefix indexes.
_SEPARATORS = """
WITH RECURSIVE segments (id) AS (
  SELECT min(segid) FROM terms_idx
  UNION ALL
  SELECT (SELECT min(segid) FROM terms_idx WHERE segid > id) FROM segments WHERE id NOTNULL
), words (word) AS MATERIALIZED (
  SELECT CAST('0' || value AS BLOB) FROM json_each(?)
)
SELECT DISTINCT segid, term, pgno >> 1
FROM segments CROSS JOIN words CROSS JOIN terms_idx
WHERE segid = id
  AND term = (SELECT max(term) FROM terms_idx WHERE segid = id AND term <= word)
  AND term > x'' AND substr(word, 1, length(term)) = term
"""


def forget(connection: apsw.Connection, row: int, words: str) -> None:
    """Let no trace of the words of this row be in the index, unless other rows have them too.

    They stand with a blank between, as they went in.
    """
    # An index without content is told what to forget: the words that went in.
    connection.execute(
        "INSERT INTO terms (terms, rowid, words) VALUES ('delete', ?, ?)", (row, words)
    )
    # It would do that at the commit only, and its tables show what is left.
    connection.execute("INSERT INTO terms (terms) VALUES ('flush')")
    for used_up in _used_up(connection):
        _empty(connection, used_up)
    texts = json.dumps(words.split(" "))
    found: list[tuple[Any, ...]] = connection.execute(_SEPARATORS, (texts,)).fetchall()
    for segment, separator, page in found:
        _mend(connection, segment, separator, page)


def _used_up(connection: apsw.Connection) -> list[int]:
    """Return the segments that a merge has read to their end, and has not removed yet."""
    block: bytes = connection.execute("SELECT block FROM terms_data WHERE id=?", (_STRUCTURE,)).get
    assert not block.startswith(_FORMAT_2, _COOKIE)  # noqa: S101 - only contentless_delete makes it
    numbers = (number for number, _ in _numbers(block, _COOKIE))
    levels, _all_segments, _writes = next(numbers), next(numbers), next(numbers)
    found = []
    for _ in range(levels):
        _merging, segments = next(numbers), next(numbers)
        for _ in range(segments):
            segment, _first, last = next(numbers), next(numbers), next(numbers)
            if last == 0:
                found.append(segment)
    return found


def _empty(connection: apsw.Connection, segment: int) -> None:
    connection.execute(
        "DELETE FROM terms_data WHERE id BETWEEN ? AND ?",
        (_leaf(segment, 0), _leaf(segment + 1, 0) - 1),
    )
    # The separator of the first leaf is empty, and FTS5 relies on it.
    connection.execute("DELETE FROM terms_idx WHERE segid=? AND term > x''", (segment,))


def _mend(connection: apsw.Connection, segment: int, separator: bytes, page: int) -> None:
    first = _first_word(connection, _leaf(segment, page))
    if first is None:
        # A merge has taken the leaf away. FTS5 does not ask for it: the segment begins later now.
        connection.execute("DELETE FROM terms_idx WHERE segid=? AND term=?", (segment, separator))
    elif not first.startswith(separator):
        connection.execute(
            "UPDATE terms_idx SET term=? WHERE segid=? AND term=?", (first, segment, separator)
        )


def _leaf(segment: int, page: int) -> int:
    return (segment << _PAGE_BITS) + page


def _first_word(connection: apsw.Connection, leaf: int) -> bytes | None:
    """Return the first word that begins in the leaf; None if none does, or there is no leaf.

    A leaf begins with two numbers of two bytes, of which the second says where its words end.
    There the places of the words follow. The first word is not shortened.
    """
    block = connection.execute("SELECT block FROM terms_data WHERE id=?", (leaf,)).get
    if block is None:
        return None
    for place, _ in _numbers(block, int.from_bytes(block[2:4], "big")):
        length, start = next(_numbers(block, place))
        return bytes(block[start : start + length])
    return None


def _numbers(block: bytes, place: int) -> Iterator[tuple[int, int]]:
    """Read SQLite's integers of variable length: each, and the place after it.

    Seven bits in each byte; that a ninth byte would have eight concerns numbers beyond 2**56.
    """
    number = 0
    for after, byte in enumerate(block[place:], place + 1):
        number = number << 7 | byte & 0x7F
        if byte < 0x80:  # noqa: PLR2004 - the last one has no high bit
            yield number, after
            number = 0
