"""A file's bytes in clear: gzip, zstd and UTF-16 are undone on the way, as they stream by.

A file that was cut off gives its beginning, and then one of DAMAGED.
"""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from typing import IO, TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error, zstandard.ZstdError, UnicodeDecodeError)


class _Chunks(io.RawIOBase):
    """Chunks of bytes as a raw stream, so that the standard library can buffer it."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override] # typeshed's Buffer is not in 3.11
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = chunk
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class Counted:
    """A file that knows how many of its bytes were read."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.count = 0

    def chunks(self) -> Iterator[bytes]:
        # read1 gives what is there: standard input may be a live pipe.
        read = getattr(self._file, "read1", self._file.read)
        while chunk := read(2**16):
            self.count += len(chunk)
            yield chunk


def buffered(chunks: Iterator[bytes]) -> io.BufferedReader:
    return io.BufferedReader(_Chunks(chunks), buffer_size=2**16)


def in_clear(stream: io.BufferedReader) -> io.BufferedReader:
    """Undo compression and UTF-16, as often as they were applied; drop a UTF-8 mark."""
    head = stream.peek(4)[:4]
    if head.startswith(_GZIP):
        return in_clear(buffered(_pieces(gzip.GzipFile(fileobj=stream).read1)))
    if head.startswith(_ZSTD):
        return in_clear(buffered(_unzstd(_pieces(stream.read1))))
    if head[:2] in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
        return buffered(_as_utf8(_pieces(stream.read1)))
    if head.startswith(codecs.BOM_UTF8):
        stream.read(len(codecs.BOM_UTF8))
    return stream


def _pieces(read: Callable[[int], bytes]) -> Iterator[bytes]:
    while piece := read(2**16):
        yield piece


def _unzstd(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress all frames; the stream reader of `zstandard` would not notice a cut."""
    frame = zstandard.ZstdDecompressor().decompressobj()
    for piece in pieces:
        rest = piece
        while rest:
            if frame.eof:
                frame = zstandard.ZstdDecompressor().decompressobj()
            if clear := frame.decompress(rest):
                yield clear
            rest = frame.unused_data
    if not frame.eof:
        raise EOFError("the last frame is not complete")


def _as_utf8(pieces: Iterable[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-16")()
    for piece in pieces:
        if words := decoder.decode(piece):
            yield words.encode()
    decoder.decode(b"", final=True)
