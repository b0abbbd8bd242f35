"""Request bodies: bounded in bytes, before and after unpacking, in time and in number."""

from __future__ import annotations

import asyncio
import zlib
from typing import TYPE_CHECKING

import zstandard
from starlette.requests import ClientDisconnect

from auditlogservice import canonical
from auditlogservice.errors import (
    InputTooLarge,
    MalformedInput,
    RequestTimeout,
    UnsupportedMedia,
)
from auditlogservice.ledger.sharing.fairness import Turns
from auditlogservice.validation import Model, validate
from auditlogservice.web.headers import header_value
from auditlogservice.web.places import Places

if TYPE_CHECKING:
    from collections.abc import Collection, Hashable
    from contextlib import AbstractContextManager

    from starlette.requests import Request

MAX_BATCH_BYTES = 16 * 1024 * 1024
MAX_BATCHES = 24  # of which one client has at most 16
MAX_PREPARED = 1
MAX_FORM_BYTES = 16 * 1024
MAX_USER_BYTES = 16 * 1024
MAX_SEARCH_BYTES = 256 * 1024
# Of holds, rules and erasures: a change of rules is on record in one event with the rules before.
MAX_GOVERNING_BYTES = 96 * 1024

MAX_PAUSE = 30.0  # seconds without a byte
MIN_RATE = 32 * 1024  # bytes a second, on average, once MAX_PAUSE is over

_TURN_PATIENCE = 60.0  # seconds; several times as long as all that may wait before it take

_INLINE = 256 * 1024  # bytes whose unpacking others hardly notice; a thread takes time to ask

_GZIP = 16 + zlib.MAX_WBITS  # zlib's way to say: with a gzip header
_MAX_PARTS = 16  # each part costs a copy of the rest: many tiny ones would cost without end
_ZSTD_WINDOW = (
    8 * 1024 * 1024
)  # RFC 9659: what a decoder must offer, and all that a sender may ask


async def read_body(request: Request, *, limit: int) -> bytes:
    """Return the body, unpacked. Raises InputTooLarge as soon as `limit` bytes are passed.

    Raises RequestTimeout if it comes in too slowly.
    """
    encoding = header_value(request.scope, b"content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "gzip", "zstd"}:
        raise UnsupportedMedia("the content encoding is gzip, zstd or none")
    if declared_length(request) > limit:
        raise _too_large(limit)
    packed = await _received(request, limit=limit)
    if encoding == "identity":
        return packed
    unpack = _gunzip if encoding == "gzip" else _unzstd
    # What comes out is bounded by the limit, whatever went in.
    if limit <= _INLINE:
        return unpack(packed, limit)
    return await asyncio.to_thread(unpack, packed, limit)


def declared_length(request: Request) -> int:
    """Return how many bytes the body is going to have, packed or not; 0 if nothing says so."""
    declared = header_value(request.scope, b"content-length", "")
    return int(declared) if declared.isdigit() else 0


async def _received(request: Request, *, limit: int) -> bytes:
    """Return the body as it was sent, as long as it does come. Raises as `read_body` does.

    Most bodies come in one piece. So one timer is for all pieces, and is set anew only if more
    are to come: with one for each piece, reading took 18 µs instead of 7.
    """
    loop = asyncio.get_running_loop()
    chunks, size, more = [], 0, True
    end = loop.time() + MAX_PAUSE
    try:
        async with asyncio.timeout_at(end) as timer:
            while more:
                message = await request.receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                chunk: bytes = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise _too_large(limit)
                chunks.append(chunk)
                more = message.get("more_body", False)
                if more:
                    end += len(chunk) / MIN_RATE
                    timer.reschedule(min(end, loop.time() + MAX_PAUSE))
    except TimeoutError:
        raise RequestTimeout(
            f"a body may pause for {MAX_PAUSE:g} s, and brings at least {MIN_RATE:,} bytes a "
            "second after that time"
        ) from None
    return b"".join(chunks)


class BatchRoom:
    """Room for the large bodies, which memory is bounded by.

    So many are in the process at once, on their way in or being written. One at a time is parsed
    and prepared, in fair order: parsed values take up to thirty times the room of their bytes,
    and a second thread would do no more, since one has Python at a time, but keep answers from
    going out: refusals took twice as long with it.
    """

    def __init__(self, *, places: int = MAX_BATCHES) -> None:
        self._places = Places(places, share=2)
        self.turns = Turns(MAX_PREPARED, waiting=places, seconds=_TURN_PATIENCE)

    def place(self, source: Hashable) -> AbstractContextManager[None]:
        """Take a place. Raises Overloaded if there is none: a body that waits would need one."""
        return self._places.take(source)


def require_media(request: Request, accepted: Collection[str]) -> str:
    """Return the media type, one of `accepted`; JSON if the request does not say."""
    said = header_value(request.scope, b"content-type", "application/json")
    media = said.partition(";")[0].strip().lower()
    if media not in accepted:
        raise UnsupportedMedia(f"the content type is {' or '.join(accepted)}")
    return media


async def read_small(request: Request, model: type[Model]) -> Model:
    """Return what a small body of JSON says, as the model has it. Raises InvalidInput."""
    require_media(request, ("application/json",))
    return validate(model, canonical.parse(await read_body(request, limit=MAX_USER_BYTES)))


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
