"""Server-Sent Events: bytes in, messages out. Pure, and the same however the bytes are cut.

The rules are those of the WHATWG HTML standard, section 9.2.6, with one difference: data stays
bytes, since a record's bytes are what can be proved and no decoder may stand in between.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LINE_END = re.compile(rb"\r\n|\r|\n")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class Message:
    """What was sent, as which kind, and the last id that the stream had named by then."""

    data: bytes
    event: str = "message"
    id: str = ""


class Parser:
    """Takes a stream apart, one piece of bytes after another.

    `last_id` is where a reader that connects again should go on: it moves when a message is
    complete, never when only its id has come. `retry` is the wait in milliseconds that the server
    asked for, if it did.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.retry: int | None = None
        self._pieces: list[bytes] = []  # of the line that has not ended yet
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._data: list[bytes] = []
        self._id = ""

    def feed(self, chunk: bytes) -> list[Message]:
        """Return the messages that end in this piece."""
        return [message for line in self._lines(chunk) if (message := self._take(line))]

    def _lines(self, chunk: bytes) -> list[bytes]:
        """Return the lines that end in this piece; a CR ends one at once, LF or not."""
        if not chunk:
            return []
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
        first, *others = _LINE_END.split(chunk)
        self._after_cr = chunk.endswith(b"\r")
        self._pieces.append(first)
        if not others:
            return []
        lines = [b"".join(self._pieces), *others[:-1]]
        self._pieces = [others[-1]]
        if self._at_start:
            lines[0] = lines[0].removeprefix(_BOM)
            self._at_start = False
        return lines

    def _take(self, line: bytes) -> Message | None:
        if not line:
            return self._complete()
        name, _, value = line.partition(b":")  # a comment has an empty name
        value = value.removeprefix(b" ")
        match name:
            case b"event":
                self._event = value.decode(errors="replace")
            case b"data":
                self._data.append(value)
            case b"id" if b"\0" not in value:
                self._id = value.decode(errors="replace")
            case b"retry" if value.isdigit():
                self.retry = int(value[:_LONGEST_RETRY])
            case _:
                pass
        return None

    def _complete(self) -> Message | None:
        self.last_id = self._id
        event, data = self._event or "message", self._data
        self._event, self._data = "", []
        return Message(b"\n".join(data), event, self._id) if data else None


_LONGEST_RETRY = 18  # digits: longer than anyone waits, and quick to read
