"""What a format is: something that takes records, page by page, and gives the bytes of a file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from collections.abc import Sequence as Seq

    from auditlogservice.events import Record


class Encoder(Protocol):
    """One file in the making. The bytes of all calls, in order, are the file.

    `add` may keep records back, for a bounded number of bytes; `finish` is the last call, and
    without it the file MUST NOT look complete to its reader, if the format knows completeness.
    """

    def start(self) -> bytes: ...

    def add(self, records: Seq[Record]) -> bytes: ...

    def finish(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of lines: a head, if there is one, and a line for each record."""

    line: Callable[[Record], bytes]
    head: bytes = b""

    def start(self) -> bytes:
        return self.head

    def add(self, records: Seq[Record]) -> bytes:
        return b"".join(map(self.line, records))

    def finish(self) -> bytes:
        return b""
