"""Bringing the WAL into the file so that nothing stale comes with it.

SQLite writes whole pages, with what is left in their gaps (see `gaps`). So whatever comes into the
file has its gaps wiped before the WAL, which says which pages these are, may be begun anew. A
process that dies in between leaves the WAL, and the next one folds it again, and wipes again.
Therefore SQLite never folds by itself here, and the gaps of the file are always empty, but for
those of pages that the WAL has too. What is erased has to leave its cell and the WAL, and is gone.

That holds as long as nobody else writes the file. A copy that SQLite has made (`VACUUM INTO`, the
backup API), and a file after `VACUUM`, may have anything in its gaps; but each has another schema
version than before. The table `wiped` says at which one the gaps of all pages were wiped; if it is
not the present one, the next fold wipes them all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from auditlogservice.store.sqlite.gaps import wal_header, wal_pages, wipe_gaps

if TYPE_CHECKING:
    from collections.abc import Iterable

_FRAMES = 1_000  # of the WAL, after which it is folded; SQLite's own default
_FLAGS = apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE


class Folding:
    """Folds the WAL of the writer's file, by a connection beside it, which is closed with it.

    Takes over from SQLite when: nobody else in this process may fold.
    """

    def __init__(self, writer: apsw.Connection, beside: apsw.Connection) -> None:
        self._writer = writer
        self._beside = beside
        self._page_size = int(writer.pragma("page_size"))
        self._frames = 0  # of the WAL, after the last commit
        self._header = b""  # of the WAL when it was last folded,
        self._folded = 0  # and how many of its frames were
        writer.set_wal_hook(self._count)  # in the place of SQLite's own, which folds

    def _count(self, _connection: apsw.Connection, _name: str, frames: int) -> int:
        if frames < self._folded:  # it was begun anew
            self._folded = 0
        self._frames = frames
        return apsw.SQLITE_OK

    @property
    def is_due(self) -> bool:
        """Whether the WAL has become long."""
        return self._frames - self._folded >= _FRAMES

    def fold(self) -> bool:
        """Fold the WAL, and wipe the gaps of what was in it. False if a reader needs it as it is.

        MUST be called in a transaction of the writer that has the write lock and has not written:
        then the WAL does not grow meanwhile, and once it is folded nobody writes to the file.
        """
        frames, folded = self._beside.wal_checkpoint()
        if folded < frames:
            return False
        version = self._writer.pragma("schema_version")
        if self._writer.execute("SELECT version FROM wiped").get != version:
            pages = int(self._writer.pragma("page_count"))
            self._wipe(range(1, pages + 1))
            self._writer.execute("DELETE FROM wiped")
            self._writer.execute("INSERT INTO wiped (version) VALUES (?)", (version,))
        elif new := self._new_pages(frames):
            self._wipe(new)
        self._folded = self._frames = frames
        return True

    def _new_pages(self, frames: int) -> set[int]:
        """Return the pages in what was not folded before; a WAL that is in use keeps the rest."""
        header = wal_header(self._beside) if frames else b""
        first = self._folded if header == self._header else 0
        self._header = header
        return wal_pages(self._beside, self._page_size, first, frames)

    def _wipe(self, numbers: Iterable[int]) -> None:
        # Through SQLite's own file: any other, when closed, would take this process's locks away.
        file = apsw.VFSFile("", self._writer.filename, [_FLAGS, 0])
        try:
            wipe_gaps(file, self._page_size, numbers)
        finally:
            file.xClose()

    def close(self) -> None:
        """Close the connection beside."""
        self._beside.close()
