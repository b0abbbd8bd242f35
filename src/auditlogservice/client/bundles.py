"""A log in one file, to audit without a server: what the server answered, in a zip.

The files have the paths of the HTTP API, so that a bundle that is unpacked is a log that any
verifier of C2SP tiles can read. Nothing in it is believed but what the key of the log signed.
"""

from __future__ import annotations

import zipfile
import zlib
from itertools import tee
from typing import TYPE_CHECKING

from auditlogservice.auditing.served import place_of
from auditlogservice.errors import MalformedInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path
    from typing import Self

    from auditlogservice.auditing.served import Files

_RECORDS = "records/"
_IN_ONE_FILE = 1_000
_MAX_BYTES = 1 << 30  # of one file once it is unpacked: none of ours comes near it
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError)
_README = """\
This is an audit log, as its server gave it away.

checkpoint        how many records there are, and the root of the tree over them, signed
tile/<L>/         the tree (c2sp.org/tlog-tiles)
tile/entries/     what the leaves are hashes of: an entry for each record
openings/         the salts that open the commitments of the entries
records/          the records, one a line; what was erased is not there, and a record says so

To check all of it, with the verifier key that you were given over another way than this file:

    pip install auditlogservice
    auditlogservice verify --bundle FILE --vkey VKEY
"""


class BundleWriter:
    """Files that are read through here, and written into a bundle meanwhile."""

    def __init__(self, files: Files, target: Path) -> None:
        self._files = files
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED)
        self._written: set[str] = set()
        self._held: dict[str, bytes] = {}  # what may be answered anew, until it is not any more

    def __enter__(self) -> Self:
        self._write("README.txt", _README.encode())
        return self

    def __exit__(self, *_: object) -> None:
        for path, content in self._held.items():
            self._write(path, content)
        self._zip.close()

    def get(self, paths: Sequence[str]) -> list[bytes]:
        contents = self._files.get(paths)
        self._take(paths, contents)
        return contents

    def each(self, groups: Iterable[Sequence[str]]) -> Iterator[list[bytes]]:
        asked, again = tee(groups)
        for contents, paths in zip(self._files.each(asked), again, strict=True):
            self._take(paths, contents)
            yield contents

    def records(self, first: int, end: int) -> Iterator[bytes]:
        lines: list[bytes] = []
        for raw in self._files.records(first, end):
            lines.append(raw)
            if len(lines) == _IN_ONE_FILE:
                self._write_records(lines)
                lines = []
            yield raw
        self._write_records(lines)

    def size(self) -> int:
        return self._files.size()

    def has_content(self, place: int) -> bool:
        return self._files.has_content(place)

    def _write_records(self, lines: list[bytes]) -> None:
        if lines:
            name = f"{_RECORDS}{place_of(lines[0]) or 0:020}.ndjson"
            self._write(name, b"".join(line + b"\n" for line in lines))

    def _take(self, paths: Sequence[str], contents: Sequence[bytes]) -> None:
        for path, content in zip(paths, contents, strict=True):
            if content and path.startswith("tile/"):
                self._write(path, content)
            elif content:
                self._hold(path, content)

    def _hold(self, path: str, content: bytes) -> None:
        """Keep the checkpoint and the salts that were read last; a second reading counts."""
        folder = path.partition("/")[0]
        for other in [held for held in self._held if held.partition("/")[0] == folder]:
            if other != path:
                self._write(other, self._held.pop(other))
        self._held[path] = content

    def _write(self, path: str, content: bytes) -> None:
        if path not in self._written:
            self._written.add(path)
            self._zip.writestr(path, content)


class Bundle:
    """The files of a bundle. Keeps the contract of `auditing.served.Files`."""

    def __init__(self, path: Path) -> None:
        """Open it. Raises MalformedInput if it is none."""
        try:
            self._zip = zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            raise MalformedInput(f"{path} is no bundle") from None
        self._names = set(self._zip.namelist())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def get(self, paths: Sequence[str]) -> list[bytes]:
        return [self._read(path) for path in paths]

    def each(self, groups: Iterable[Sequence[str]]) -> Iterator[list[bytes]]:
        return map(self.get, groups)

    def records(self, first: int, end: int) -> Iterator[bytes]:
        for name in sorted(name for name in self._names if name.startswith(_RECORDS)):
            for line in self._read(name).split(b"\n")[:-1]:
                if first <= (place_of(line) or first) < end:
                    yield line

    def size(self) -> int:
        """Return 0: what a bundle holds is what its checkpoint says."""
        return 0

    def has_content(self, place: int) -> bool:
        """Return that it is there, since nothing is erased from a file while it is read."""
        del place
        return True

    def _read(self, path: str) -> bytes:
        if path not in self._names or self._zip.getinfo(path).file_size > _MAX_BYTES:
            return b""
        try:
            return self._zip.read(path)
        except _DAMAGE:
            return b""
