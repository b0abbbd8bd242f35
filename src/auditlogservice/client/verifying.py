"""A tenant's log over HTTP, for a stranger to audit: what is asked for is fetched ahead.

Threads only wait for the server here; what it answers is judged elsewhere.
"""

from __future__ import annotations

from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import quote, urlencode

import httpx2

from auditlogservice.auditing.served import openings_path, place_of, read_salts
from auditlogservice.client.answers import read_place, split_array, split_lines
from auditlogservice.client.failures import Refused
from auditlogservice.client.wire import DAMAGED
from auditlogservice.tiles import WIDTH

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from concurrent.futures import Future
    from typing import Self

    from auditlogservice.client.wire import Wire

T = TypeVar("T")

_NOT_FOUND = 404
_ABSENT = frozenset({_NOT_FOUND, 500})  # not there, or so damaged that the server cannot give it
_UNPROVED = frozenset({"not-signed", "ledger-damaged"})  # what the server itself is missing
_PAGE = 1_000
_SMALLER = 10  # times, where a page has a record that the server cannot give
_MAX_SPOILED = 1_000  # places of which that is borne; there is more wrong then than records
_LINES = "application/x-ndjson"
_AHEAD = 3  # groups of files that are asked for before they are needed


class ServedLog:
    """The files of one tenant's log. Keeps the contract of `auditing.served.Files`."""

    def __init__(self, wire: Wire, tenant: str) -> None:
        self._wire = wire
        self._prefix = f"/ledger/{quote(tenant, safe='')}"
        self._is_there = True  # until the server says that there is no such log
        self._threads = ThreadPoolExecutor(_AHEAD + 1, thread_name_prefix="verify")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown(cancel_futures=True)

    def get(self, paths: Sequence[str]) -> list[bytes]:
        return [self._get(path) for path in paths]

    def each(self, groups: Iterable[Sequence[str]]) -> Iterator[list[bytes]]:
        coming: deque[Future[list[bytes]]] = deque()
        for paths in groups:
            coming.append(self._threads.submit(self.get, paths))
            if len(coming) > _AHEAD:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()

    def records(self, first: int, end: int) -> Iterator[bytes]:
        for page in _ahead(self._pages(first - 1), self._threads):
            last = place_of(page[-1]) or 0
            # What lies behind the end is nobody's business; where a page ends before, none does.
            yield from page if last < end else (raw for raw in page if (place_of(raw) or 0) < end)
            if last >= end - 1:
                return

    def size(self) -> int:
        if not self._is_there:
            return 0  # what the server tells of records is of another log: the caller's own
        try:
            newest, _ = self._page("/events", sort="-timestamp", limit=1)
        except Refused as error:
            if error.problem.code != DAMAGED:
                raise
            return 0  # the newest record is one that the server cannot give
        return (place_of(newest[0]) or 0) + 1 if newest else 0

    def has_content(self, place: int) -> bool:
        number, within = divmod(place, WIDTH)
        (salts,) = self.get([openings_path(number)])
        found, _ = self._page("/events/feed", after=place - 1, limit=1)
        is_there = bool(found) and place_of(found[0]) == place
        return is_there or read_salts(salts, number)[within] is not None

    def _get(self, path: str) -> bytes:
        try:
            return self._wire.get(f"{self._prefix}/{path}").content
        except Refused as error:
            if error.problem.status in _ABSENT or error.problem.code in _UNPROVED:
                self._is_there &= (path, error.problem.status) != ("checkpoint", _NOT_FOUND)
                return b""
            raise

    def _pages(self, after: int) -> Iterator[list[bytes]]:
        """Yield pages. A record that the server cannot give is passed over, and so is not there.

        Around it pages get smaller, down to that record alone.
        """
        limit, spoiled = _PAGE, 0
        while True:
            try:
                page, beyond = self._page("/events/feed", after=after, limit=limit)
            except Refused as error:
                if error.problem.code != DAMAGED or spoiled == _MAX_SPOILED:
                    raise
                if limit == 1:
                    after, spoiled = after + 1, spoiled + 1
                limit = max(1, limit // _SMALLER)
                continue
            if not page or beyond <= after:  # the end, or a server that leads nowhere
                return
            yield page
            after, limit = beyond, min(limit * _SMALLER, _PAGE)

    def _page(self, path: str, **asked: str | int) -> tuple[list[bytes], int]:
        """Return the records of a page, and the place behind which the next one begins."""
        answer = self._wire.get(f"{path}?{urlencode(asked)}", headers={"Accept": _LINES})
        link = httpx2.URL(answer.links.get("next", {}).get("url", ""))
        after = read_place(link.params.get("after", ""))
        # A server that knows of no lines answers with an array all the same.
        is_lines = answer.headers.get("content-type", "").startswith(_LINES)
        records = self._wire.read(split_lines if is_lines else split_array, answer)
        return records, -1 if after is None else after


def _ahead(items: Iterator[T], threads: ThreadPoolExecutor) -> Iterator[T]:
    """Yield the items, the next one always being fetched meanwhile."""
    coming = threads.submit(next, items, None)
    while (item := coming.result()) is not None:
        coming = threads.submit(next, items, None)
        yield item
