"""Request bodies: read to a limit, unpacked to the same limit, and of a type that is read here."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import zstandard

from auditlogservice.errors import InputTooLarge, MalformedInput, UnsupportedMedia

if TYPE_CHECKING:
    from collections.abc import Collection

    from starlette.requests import Request

MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_FORM_BYTES = 16 * 1024
MAX_USER_BYTES = 16 * 1024

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: with a gzip header
_MAX_PARTS = 16  # each part costs a copy of the rest: many tiny ones would cost without end
_ZSTD_WINDOW = (
    8 * 1024 * 1024
)  # RFC 9659: what a decoder must offer, and all that a sender may ask


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body, unpacked. Raises InputTooLarge as soon as `limit` bytes are passed."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "zstd"}:
        raise UnsupportedMedia("the content encoding is gzip, zstd or none")
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > limit:
        raise _too_large(limit)
    chunks, size = [], 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    packed = b"".join(chunks)
    match encoding:
        case "gzip":
            return _gunzip(packed, limit)
        case "zstd":
            return _unzstd(packed, limit)
        case _:
            return packed


def require_media(request: Request, accepted: Collection[str]) -> str:
    """Return the media type, one of `accepted`; JSON if the request does not say."""
    said = request.headers.get("content-type", "application/json")
    media = said.partition(";")[0].strip().lower()
    if media not in accepted:
        raise UnsupportedMedia(f"the content type is {' or '.join(accepted)}")
    return media


def _too_large(limit: int) -> InputTooLarge:
    return InputTooLarge(f"this may have {limit:,} bytes, before and after decompression")


def _gunzip(packed: bytes, limit: int) -> bytes:
    out = b""
    for _ in range(_MAX_PARTS):  # a gzip file may have several members (RFC 1952 §2.2)
        member = zlib.decompressobj(_GZIP)
        try:
            out += member.decompress(packed, limit + 1 - len(out))
        except zlib.error:
            raise MalformedInput("the body is not gzip") from None
        if len(out) > limit:
            raise _too_large(limit)
        if not member.eof:
            raise MalformedInput("the gzip body ends too early")
        packed = member.unused_data
        if not packed:
            return out
    raise MalformedInput(f"a gzip body may have {_MAX_PARTS} members")


def _unzstd(packed: bytes, limit: int) -> bytes:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
    try:
        with decompressor.stream_reader(packed, read_across_frames=True) as reader:
            if len(reader.read(limit + 1)) > limit:
                raise _too_large(limit)
        # The reader keeps the limit, but takes a body that was cut short for a whole one. Now
        # that the size is known to be small, each frame is asked whether it ended.
        out = b""
        for _ in range(_MAX_PARTS):
            frame = decompressor.decompressobj()
            out += frame.decompress(packed)
            if not frame.eof:
                raise MalformedInput("the zstd body ends too early")
            packed = frame.unused_data
            if not packed:
                return out
    except zstandard.ZstdError:
        raise MalformedInput("the body is not zstd") from None
    raise MalformedInput(f"a zstd body may have {_MAX_PARTS} frames")
