"""The unused space inside the pages of a SQLite file: found, and filled with zeros.

`secure_delete` has SQLite wipe what is deleted, but not what is moved: when it shares cells out
between pages anew, each page keeps what was in its gap before, between the list of its cells and
the first of them. No query sees that. Whoever reads the file does, also after the cell has been
erased where it is now.

To write zeros into a gap is safe while nobody else writes to the file. SQLite gives no meaning to
the bytes there, so a page of which only a part was written, by a process that was killed or a disk
that lost power, is as good as before and after; and a reader may have any of the three.

The format: https://sqlite.org/fileformat2.html, sections 1.6 (b-tree pages) and 4.1 (the WAL).
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterable

_HEADERS = {0x02: 12, 0x05: 12, 0x0A: 8, 0x0D: 8}  # kind of b-tree page: bytes of its header
_FILE_HEADER = 100  # bytes at the beginning of page 1, before the header of the page
_HIGHEST_START = 65_536  # where the cells of an empty page of that size begin, written as 0
_WAL_HEADER, _FRAME_HEADER = 32, 24

# Pages of other kinds begin with the number of a page. Below this many, its first byte is none of
# the kinds above, so that it tells whether a page is of a b-tree. With 4 KiB a page: 128 GiB.
MAX_PAGES = 0x02_00_00_00


def stale_gap(page: bytes, header: int = 0) -> tuple[int, int] | None:
    """Return from where to where the page has something in its gap; None if there is nothing.

    `header` is where the header of the page begins. A page that is of no b-tree has no gap. One
    that contradicts itself is left alone: zeros might take away what could still be saved.
    """
    size = _HEADERS.get(page[header])
    if size is None:
        return None
    cells, first = struct.unpack_from(">HH", page, header + 3)
    pointers = header + size
    begin, end = pointers + 2 * cells, first or _HIGHEST_START
    if not begin < end <= len(page) or page.startswith(bytes(end - begin), begin):
        return None
    if min(struct.unpack_from(f">{cells}H", page, pointers), default=end) < end:
        return None
    return begin, end


def wipe_gaps(file: apsw.VFSFile, page_size: int, numbers: Iterable[int]) -> None:
    """Fill the gaps of these pages with zeros; they are on disk then.

    MUST be called only while nobody can write to the file, nor fold a WAL into it. Numbers beyond
    the end of the file are passed over. A file of MAX_PAGES or more stays as it is.
    """
    end = file.xFileSize() // page_size
    if end >= MAX_PAGES:
        return
    for number in numbers:
        if not 0 < number <= end:
            continue
        place = (number - 1) * page_size
        gap = stale_gap(file.xRead(page_size, place), _FILE_HEADER if number == 1 else 0)
        if gap:
            begin, after = gap
            file.xWrite(bytes(after - begin), place + begin)
    file.xSync(apsw.SQLITE_SYNC_NORMAL)


def wal_header(connection: apsw.Connection) -> bytes:
    """Return the first bytes of the WAL, which are new each time it is begun anew."""
    return connection.read("main", 1, 0, _WAL_HEADER)[1]


def wal_pages(connection: apsw.Connection, page_size: int, first: int, frames: int) -> set[int]:
    """Return the numbers of the pages that the WAL has in its frames from `first` to `frames`."""
    return {
        int.from_bytes(connection.read("main", 1, place, 4)[1], "big")
        for place in (
            _WAL_HEADER + number * (_FRAME_HEADER + page_size) for number in range(first, frames)
        )
    }
