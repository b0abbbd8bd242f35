"""A log as it is served: files with the paths of C2SP tiles, salts, and records.

The same is read over HTTP, where a server makes the files, and from a bundle, where they lie.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

import orjson

from auditlogservice.auditing.audit import Stretch
from auditlogservice.auditing.findings import Fault, Finding
from auditlogservice.entries import SALT_BYTES, commitment
from auditlogservice.errors import MalformedInput
from auditlogservice.events import EventId
from auditlogservice.merkle import HASH_BYTES, leaf_hash
from auditlogservice.notes import from_base64, to_base64
from auditlogservice.tiles import WIDTH, Tile, entries_path, parse_bundle, tile_path

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_TAIL = 40  # more bytes than the sequence of a record takes at its end
_SEQUENCE = re.compile(rb',"sequence":(0|[1-9][0-9]{0,18})\}$')
_HEAD = re.compile(rb'\{"_id":"([0-9a-f]{24})",')
_MOMENT = re.compile(rb',"timestamp":"([^"]{27})"')
_NOTHING = (-1, b"")


class Files(Protocol):
    """Where the files are."""

    def get(self, paths: Sequence[str]) -> list[bytes]:
        """Return what is at each path; nothing for what is not there."""
        ...

    def each(self, groups: Iterable[Sequence[str]]) -> Iterator[list[bytes]]:
        """Yield what `get` returns for each group; what comes next may be fetched ahead."""
        ...

    def records(self, first: int, end: int) -> Iterator[bytes]:
        """Yield the records from `first` to before `end`, in order, as they are answered."""
        ...

    def size(self) -> int: ...

    def has_content(self, place: int) -> bool: ...


def place_of(raw: bytes) -> int | None:
    """Return the sequence at the end of a record as it is answered; None if there is none."""
    told = _SEQUENCE.search(raw[-_TAIL:])
    return int(told[1]) if told else None


def openings_path(number: int) -> str:
    """Return where the salts of the places behind a tile of level 0 are served."""
    return f"openings/{number}"


class Served:
    """The source whose files these are. Keeps the contract of `proceeding.Source`."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._findings: list[Finding] = []

    def checkpoint(self) -> bytes:
        (note,) = self._files.get(["checkpoint"])
        return note

    def size(self) -> int:
        return self._files.size()

    def unsigned_end(self) -> int:
        """Return 0: entries are served up to the checkpoint."""
        return 0

    def tile(self, tile: Tile, width: int) -> bytes:
        (hashes,) = self._files.get([f"tile/{tile_path(tile, width)}"])
        return hashes

    def has_content(self, place: int) -> bool:
        return self._files.has_content(place)

    def findings(self) -> list[Finding]:
        return self._findings

    def stretches(self, first: int, end: int) -> Iterator[Stretch]:
        records = self._records(first, end)
        ahead = next(records, _NOTHING)
        for span, files in zip(
            _spans(first, end),
            self._files.each(map(_paths, _spans(first, end))),
            strict=True,
        ):
            payloads: list[bytes | None] = [None] * (span.stop - span.start)
            while ahead[0] in span:
                payloads[ahead[0] - span.start] = ahead[1]
                ahead = next(records, _NOTHING)
            yield self._stretch(span, files, payloads)

    def _stretch(
        self, span: range, files: Sequence[bytes], payloads: list[bytes | None]
    ) -> Stretch:
        number, skipped = divmod(span.start, WIDTH)
        width = skipped + len(span)
        entries, leaves, salts = files
        whole = bool(entries)
        if not (entries and leaves):
            entries = entries or self._beginning(_entries_at, number, width)
            leaves = leaves or self._beginning(_leaves_at, number, width)
        found = _cut(_entries(entries), skipped, width)
        leaves = leaves[skipped * HASH_BYTES : width * HASH_BYTES]
        opened = read_salts(salts, number)[skipped:width]
        if not whole:
            found = _completed(found, leaves, opened, payloads)
        return Stretch(span.start, found, leaves, opened, payloads)

    def _beginning(self, path_of: Callable[[int, int], str], number: int, width: int) -> bytes:
        """Return the widest file that is there: one that lacks a place is not served at all."""
        content, low, high = b"", 0, width
        while high - low > 1:
            middle = (low + high) // 2
            (found,) = self._files.get([path_of(number, middle)])
            if found:
                content, low = found, middle
            else:
                high = middle
        return content

    def _records(self, first: int, end: int) -> Iterator[tuple[int, bytes]]:
        """Yield places and payloads; what is out of order is a finding, and left out."""
        last = first - 1
        for raw in self._files.records(first, end):
            place = place_of(raw)
            if place is None:
                self._findings.append(Finding(Fault.FEED, "a record does not say its place"))
                continue
            if not last < place < end:
                detail = "a record is told out of its order, or twice"
                self._findings.append(Finding(Fault.FEED, detail, place))
                continue
            last = place
            yield place, raw[: raw.rindex(b",")] + b"}"


def _spans(first: int, end: int) -> Iterator[range]:
    """Yield the places of each stretch: they end where a tile of level 0 does."""
    while first < end:
        span = range(first, min(end, (first // WIDTH + 1) * WIDTH))
        yield span
        first = span.stop


def _paths(span: range) -> list[str]:
    number, skipped = divmod(span.start, WIDTH)
    width = skipped + len(span)
    return [_entries_at(number, width), _leaves_at(number, width), openings_path(number)]


def _entries_at(number: int, width: int) -> str:
    return f"tile/{entries_path(number, width)}"


def _leaves_at(number: int, width: int) -> str:
    return f"tile/{tile_path(Tile(0, number), width)}"


def _cut(found: list[bytes | None], first: int, end: int) -> list[bytes | None]:
    return [*found, *[None] * (end - len(found))][first:end]


def _entries(raw: bytes) -> list[bytes | None]:
    try:
        return list(parse_bundle(raw))
    except MalformedInput:
        return []


def read_salts(raw: bytes, number: int) -> list[bytes | None]:
    """Return the salts behind a tile of level 0, None for what is none."""
    try:
        told = orjson.loads(raw)
    except orjson.JSONDecodeError:
        told = None
    match told:
        case {"first": int(first), "salts": list(salts)} if first == number * WIDTH:
            return _cut([_salt(each) for each in salts], 0, WIDTH)
        case _:
            return [None] * WIDTH


def _completed(
    entries: Sequence[bytes | None],
    leaves: bytes,
    salts: Sequence[bytes | None],
    payloads: Sequence[bytes | None],
) -> list[bytes | None]:
    """Return the entries with those that follow from the records, where a neighbour is lost."""
    return [
        entry or _rebuilt(leaves[place * HASH_BYTES : (place + 1) * HASH_BYTES], salt, payload)
        for place, (entry, salt, payload) in enumerate(zip(entries, salts, payloads, strict=True))
    ]


def _rebuilt(leaf: bytes, salt: bytes | None, payload: bytes | None) -> bytes | None:
    """Return the entry of a record, made of its content; None if it is not that of the leaf.

    A retention rule may have been in the entry, which no content tells: then this is not it.
    """
    if salt is None or payload is None or (told := _HEAD.match(payload)) is None:
        return None
    event_id = EventId(told[1].decode())
    moment = _MOMENT.match(payload, payload.rfind(b',"timestamp":"'))
    if moment is None:
        return None
    entry = b'{"c":"%b","exp":null,"id":"%b","t":"%b","ty":"event","v":1}' % (
        to_base64(commitment(salt, event_id, payload)).encode(), told[1], moment[1],
    )  # fmt: skip
    return entry if leaf_hash(entry) == leaf else None


def _salt(told: object) -> bytes | None:
    try:
        salt = from_base64(told) if isinstance(told, str) else b""
    except MalformedInput:
        return None
    return salt if len(salt) == SALT_BYTES else None
