"""Listening to a log: what comes in, once, in order, however often the connection is lost.

Where to go on is the sequence of the last record that was handed out, or a later place that the
server named while nothing matched. What is not beyond it is never handed out again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from auditlogservice.client.answers import read_place
from auditlogservice.client.failures import (
    BrokenOff,
    ClientError,
    ServerUnreachable,
    TooBusy,
    UnexpectedAnswer,
)
from auditlogservice.client.sse import Message, Parser

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx2

    from auditlogservice.client.wire import Wire

_MEDIA_TYPE = "text/event-stream"


@dataclass(frozen=True, slots=True)
class Download:
    """A file as it comes, in pieces; reading them raises BrokenOff if it ends too early.

    `end` is the first sequence that is not in it, if the server says so.
    """

    chunks: Iterator[bytes]
    end: int | None


def follow(wire: Wire, filters: list[tuple[str, str]], after: int) -> Iterator[tuple[int, bytes]]:
    """Yield each record beyond `after`. Ends only by a refusal, or when it is closed."""
    place, losses, worked = after, 0, False
    while True:
        parser = Parser()
        why: ClientError = BrokenOff(wire.url, "the server closed the stream")
        try:
            for message in _messages(wire, filters, place, parser):
                losses = 0
                if message is None:
                    place = max(place, _sequence(parser.last_id, place))
                elif (sequence := _sequence(message.id, place)) > place:
                    place = sequence
                    yield sequence, message.data
        except BrokenOff as error:
            why = error
        except (ServerUnreachable, TooBusy) as error:
            if not worked:  # it never did: that is for a person to look at
                raise
            why = error
        worked = True
        losses += 1
        wire.pause(why, losses, asked=parser.retry and parser.retry / 1_000)


def _messages(
    wire: Wire, filters: list[tuple[str, str]], place: int, parser: Parser
) -> Iterator[Message | None]:
    """Yield the messages of one connection, and None behind each piece of it."""
    # Both say the same; a proxy may drop the header.
    path = f"/events/stream?{urlencode([*filters, ('after', str(place))])}"
    told = {"Accept": _MEDIA_TYPE, "Accept-Encoding": "identity", "Last-Event-ID": str(place)}
    with wire.open(path, told) as answer:
        _check_media(wire, answer)
        for chunk in wire.chunks(answer):
            yield from (message for message in parser.feed(chunk) if message.event == "message")
            yield None


def _check_media(wire: Wire, answer: httpx2.Response) -> None:
    media = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != _MEDIA_TYPE:
        raise UnexpectedAnswer(wire.url, f"the stream is {media or 'of no type'}")


def _sequence(name: str, place: int) -> int:
    told = read_place(name)
    return place if told is None else told
