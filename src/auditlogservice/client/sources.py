"""A file or standard input, as records with their places.

Reads NDJSON, JSON documents (one object or several, an array, CloudTrail's `{"Records": […]}`,
any `List` with `items`), CSV and raw auditd lines. Lines are streamed; a document is read whole.
What cannot be read comes out as an error at its place, and reading goes on behind it. Nothing is
ever mended: numbers stay exact or are refused.
"""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Literal, TypeAlias

from auditlogservice.canonical import Json, parse, parse_array
from auditlogservice.client.packing import DAMAGED, Counted, buffered, in_clear
from auditlogservice.client.shapes.auditd import looks_like_line, parse_line
from auditlogservice.errors import Flaw, InputRefused, InputTooLarge, InvalidInput, MalformedInput

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from auditlogservice.client.shapes.fields import Row

Layout: TypeAlias = Literal["lines", "document", "table", "auditd"]

MAX_LINE_BYTES = 16 * 2**20  # far above any event that a server takes
MAX_DOCUMENT_BYTES = 2**30

_BLANKS = re.compile(r"[ \t\r\n]*")
_BETWEEN = (b"----", b"time->")  # what ausearch writes between events


@dataclass(frozen=True, slots=True)
class Reading:
    """One record, or why there is none. `consumed` counts the bytes of the file so far."""

    place: str  # for people: "line 12", "item 3"
    record: Row | InputRefused
    consumed: int


@dataclass(frozen=True, slots=True)
class Source:
    """An open source. `size` is that of the file as it lies there; None for standard input."""

    layout: Layout
    size: int | None
    _lines: io.BufferedReader
    _consumed: Callable[[], int]

    def __iter__(self) -> Iterator[Reading]:
        for place, record in _READERS[self.layout](self._lines):
            yield Reading(place, record, self._consumed())


@contextmanager
def open_source(name: str, stdin: IO[bytes] | None = None) -> Iterator[Source]:
    """Open the file `name`, or standard input for `-`. Raises OSError if that fails."""
    if name == "-":
        yield _source(stdin or sys.stdin.buffer, None)
    else:
        with Path(name).open("rb") as file:
            yield _source(file, Path(name).stat().st_size)


def _source(file: IO[bytes], size: int | None) -> Source:
    counted = Counted(file)
    lines = in_clear(buffered(counted.chunks()))
    try:
        layout = _layout(lines)
    except DAMAGED:
        layout = "lines"  # the reader will meet the damage again, and report it at its place
    return Source(layout, size, lines, lambda: counted.count)


# ---- what it is -----------------------------------------------------------------


def _layout(stream: io.BufferedReader) -> Layout:
    """Tell by the first line, of which the buffer shows 64 KiB; nothing is taken from it."""
    head = stream.peek(2**16).lstrip()
    line = head.partition(b"\n")[0].rstrip()
    if head.startswith(b"["):
        return "document"
    if head.startswith(b"{"):
        # A pretty-printed object breaks its line after one of these; NDJSON never does.
        return "document" if line[-1:] in b"{[,:" and b"\n" in head else "lines"
    if line.startswith(_BETWEEN) or looks_like_line(line.decode(errors="replace")):
        return "auditd"
    return "table" if line else "lines"


_Read: TypeAlias = "tuple[str, Row | InputRefused]"


# ---- lines ------------------------------------------------------------------------


def _numbered(stream: io.BufferedReader) -> Iterator[tuple[int, bytes | InputRefused]]:
    """Yield each line that is not blank; one that is too long, or damage, comes as an error."""
    number = 0
    while True:
        number += 1
        try:
            line = stream.readline(MAX_LINE_BYTES)
            too_long = len(line) == MAX_LINE_BYTES
            while len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES) or b"\n"
        except DAMAGED as error:
            yield number, MalformedInput(f"the data is damaged or cut off here: {error}")
            return
        if not line:
            return
        if too_long:
            yield number, InputTooLarge(f"a line may have {MAX_LINE_BYTES:,} bytes")
        elif not line.isspace():
            yield number, line


def _read_lines(stream: io.BufferedReader) -> Iterator[_Read]:
    for number, line in _numbered(stream):
        place = f"line {number}"
        if isinstance(line, InputRefused):
            yield place, line
            continue
        try:
            value = parse(line)
        except InputRefused as error:
            yield place, error
            continue
        yield from _unwrapped(place, value)


def _read_auditd(stream: io.BufferedReader) -> Iterator[_Read]:
    for number, line in _numbered(stream):
        if isinstance(line, InputRefused):
            yield f"line {number}", line
        elif not line.startswith(_BETWEEN):
            yield f"line {number}", _auditd(line)


def _auditd(line: bytes) -> Row | InputRefused:
    try:
        words = line.decode()
    except UnicodeDecodeError:
        return MalformedInput("this is not UTF-8")
    return parse_line(words) or MalformedInput("this is no line of auditd")


# ---- documents --------------------------------------------------------------------


def _read_document(stream: io.BufferedReader) -> Iterator[_Read]:
    try:
        raw = stream.read(MAX_DOCUMENT_BYTES + 1)
    except DAMAGED as error:
        yield "document", MalformedInput(f"the data is damaged or cut off: {error}")
        return
    if len(raw) > MAX_DOCUMENT_BYTES:
        yield "document", InputTooLarge("a JSON document is read whole; make it NDJSON first")
        return
    try:
        items = _parsed(raw)
    except InputRefused as error:
        yield "document", error
        return
    yield from _items(items, single="document" if len(items) == 1 else "")


def _parsed(raw: bytes) -> Sequence[Json | InputRefused]:
    """Return the items of an array, or the documents that stand one after another."""
    if raw.lstrip().startswith(b"["):
        return parse_array(raw)
    try:
        return [parse(raw)]
    except MalformedInput:
        texts = _split(raw)
        if len(texts) < 2:  # noqa: PLR2004 - a single document, and a broken one
            raise
        return [_parsed_or_refused(text) for text in texts]


def _split(raw: bytes) -> list[bytes]:
    """Return the text of each document, as `jq` writes them; none if one is broken."""
    texts: list[bytes] = []
    scanner, place = json.JSONDecoder(), 0
    try:
        words = raw.decode()
        while start := _BLANKS.match(words, place):
            if start.end() == len(words):
                return texts
            _, place = scanner.raw_decode(words, start.end())
            texts.append(words[start.end() : place].encode())
    except (ValueError, RecursionError):
        pass
    return []


def _parsed_or_refused(raw: bytes) -> Json | InputRefused:
    try:
        return parse(raw)
    except InputRefused as error:
        return error


def _items(items: Iterable[Json | InputRefused], *, single: str = "") -> Iterator[_Read]:
    for number, item in enumerate(items, 1):
        place = single or f"item {number}"
        if isinstance(item, InputRefused):
            yield place, item
        else:
            yield from _unwrapped(place, item)


def _unwrapped(place: str, value: Json) -> Iterator[_Read]:
    """Yield a record, or those in the envelope around them."""
    if not isinstance(value, dict):
        yield place, InvalidInput([Flaw("", "a record must be a JSON object")])
        return
    inside = _enveloped(value)
    if inside is None:
        yield place, value
        return
    for number, item in enumerate(inside, 1):
        where = f"{place}, record {number}"
        good = isinstance(item, dict)
        yield where, item if good else InvalidInput([Flaw("", "a record must be a JSON object")])  # type: ignore[misc] # mypy does not follow `good`


def _enveloped(value: Row) -> list[Json] | None:
    records, items = value.get("Records"), value.get("items")
    if isinstance(records, list) and len(value) == 1:
        return records
    if isinstance(items, list) and str(value.get("kind", "")).endswith("List"):
        return items
    return None


# ---- tables -----------------------------------------------------------------------


def _read_table(stream: io.BufferedReader) -> Iterator[_Read]:
    """Yield each row as an object of texts; quoted cells may run over lines."""
    csv.field_size_limit(MAX_LINE_BYTES)
    # Broken UTF-8 becomes lone surrogates, so that it spoils its own row and no other.
    words = io.TextIOWrapper(stream, "utf-8", errors="surrogateescape", newline="")
    header_line = words.readline()
    rows = csv.reader(words, delimiter=_delimiter(header_line))
    header = next(csv.reader([header_line], delimiter=_delimiter(header_line)), [])
    if flaw := _flaw_of_header(header):
        yield "line 1", flaw
        return
    while True:
        place = f"line {rows.line_num + 2}"
        try:
            cells = next(rows, None)
        except (csv.Error, *DAMAGED) as error:
            yield place, MalformedInput(f"this is no CSV, or damaged: {error}")
            return
        if cells is None:
            return
        if cells:
            yield place, _row(header, cells)


def _delimiter(header: str) -> str:
    return max(",;\t|", key=header.count)


def _flaw_of_header(header: list[str]) -> InputRefused | None:
    if len(header) < 2:  # noqa: PLR2004 - one column is prose, not a table
        return MalformedInput("this is neither JSON, CSV with a header, nor lines of auditd")
    twice = sorted({name for name in header if header.count(name) > 1})
    return MalformedInput(f"the column {twice[0]!r} stands twice") if twice else None


def _row(header: list[str], cells: list[str]) -> Row | InputRefused:
    if len(cells) > len(header):
        return MalformedInput(f"{len(cells)} cells in a row under {len(header)} columns")
    if any("\ud800" <= sign <= "\udfff" for cell in cells for sign in cell):
        return MalformedInput("this is not UTF-8")
    return dict(zip(header, cells, strict=False))


_READERS: dict[Layout, Callable[[io.BufferedReader], Iterator[_Read]]] = {
    "lines": _read_lines,
    "document": _read_document,
    "table": _read_table,
    "auditd": _read_auditd,
}
