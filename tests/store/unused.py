"""What is in the unused space of a SQLite file, as SQLite itself divides it."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import apsw

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def leftovers(path: Path) -> list[tuple[str, int, bytes]]:
    """Return the table, the number and the bytes of each part of a page that should be zeros.

    These are the gaps between a page's list of cells and its first cell, the free blocks between
    its cells, and whole pages that belong to nothing. Nobody may have the file open.
    """
    with closing(apsw.Connection(str(path))) as connection:
        size = int(connection.pragma("page_size"))
        kinds: dict[int, tuple[str, str]] = {
            number: (name, kind)
            for number, name, kind in connection.execute(
                "SELECT pageno, name, pagetype FROM dbstat"
            )
        }
    raw, found = path.read_bytes(), []
    for number in range(1, len(raw) // size + 1):
        page = raw[(number - 1) * size : number * size]
        name, kind = kinds.get(number, ("", "free"))
        found += [(name, number, part) for part in _unused(page, number, kind) if any(part)]
    return found


def _unused(page: bytes, number: int, kind: str) -> Iterator[bytes]:
    if kind == "free":
        if not _lists_free_pages(page):
            yield page
    elif kind != "overflow":
        yield from _between_cells(page, 0 if number > 1 else 100)


def _between_cells(page: bytes, header: int) -> Iterator[bytes]:
    block, cells, first = (_number(page, header + place) for place in (1, 3, 5))
    yield page[header + (12 if page[header] in {2, 5} else 8) + 2 * cells : first or 65_536]
    while block:
        yield page[block + 4 : block + _number(page, block + 2)]
        block = _number(page, block)


def _lists_free_pages(page: bytes) -> bool:
    """Whether there are but numbers of pages; some free pages list the others, and have listed."""
    return all(page[place : place + 2] == b"\0\0" for place in range(0, len(page), 4))


def _number(page: bytes, place: int) -> int:
    return int.from_bytes(page[place : place + 2], "big")
