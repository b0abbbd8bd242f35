"""Messages are what the WHATWG rules say, however the bytes of the stream are cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.client.sse import Message, Parser

# Bytes of which streams are made, so that chance finds what matters.
PIECES = st.sampled_from([
    b"\r", b"\n", b"\r\n", b"\xef\xbb\xbf", b":", b" ", b"data", b"data:", b"data: x", b"id: 7",
    b"id:\0", b"event: e", b"retry: 5", b"retry: x", b"\xc3", b"\xa9", b"a",
])  # fmt: skip
STREAMS = st.lists(PIECES, max_size=30).map(b"".join)


def messages(*chunks: bytes) -> list[Message]:
    parser = Parser()
    return [message for chunk in chunks for message in parser.feed(chunk)]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        # The examples of the standard.
        (b"data: YHOO\ndata: +2\ndata: 10\n\n", [Message(b"YHOO\n+2\n10")]),
        (
            b": test\n\ndata: first\nid: 1\n\ndata:second\nid\n\ndata:  third\n\n",
            [
                Message(b"first", id="1"),
                Message(b"second", id=""),
                Message(b" third", id=""),
            ],
        ),
        (b"data\n\ndata\ndata\n\ndata:", [Message(b""), Message(b"\n")]),
        (b"data:test\n\ndata: test\n\n", [Message(b"test"), Message(b"test")]),
        # And the corners.
        (b"\xef\xbb\xbfdata: x\n\n", [Message(b"x")]),
        (b"\n\xef\xbb\xbfdata: x\n\n", []),
        (b"event: add\ndata: x\n\ndata: y\n\n", [Message(b"x", "add"), Message(b"y")]),
        (b"event: add\n\ndata: y\n\n", [Message(b"y")]),
        (b"id: 1\ndata: x\n\ndata: y\n\n", [Message(b"x", id="1"), Message(b"y", id="1")]),
        (b"id: 1\n\nid: a\0b\ndata: y\n\n", [Message(b"y", id="1")]),
        (b"data: x\r\rdata: y\r\n\r\ndata: z\n\r", [Message(b"x"), Message(b"y"), Message(b"z")]),
        (b"nonsense: x\nDATA: x\n data: x\n\n", []),
        ("data: é\n\n".encode(), [Message("é".encode())]),
        (b"data: lost", []),
        (b"data: lost\n", []),
    ],
)
def test_a_stream_is_read_as_the_standard_says(stream: bytes, expected: list[Message]) -> None:
    assert messages(stream) == expected


@given(STREAMS, st.data())
def test_however_the_bytes_are_cut_the_messages_are_the_same(
    stream: bytes, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)))))
    chunks = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole, pieces, single = Parser(), Parser(), Parser()
    expected = whole.feed(stream)
    assert [each for chunk in chunks for each in pieces.feed(chunk)] == expected
    assert [each for byte in stream for each in single.feed(bytes([byte]))] == expected
    assert whole.last_id == pieces.last_id == single.last_id
    assert whole.retry == pieces.retry == single.retry


LINES = st.binary(max_size=20).filter(lambda line: not set(line) & {10, 13})
IDS = st.text("0123456789abc", min_size=1, max_size=5)


@given(
    st.lists(st.tuples(st.lists(LINES, min_size=1, max_size=4), IDS)),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
)
def test_what_is_written_is_read(told: list[tuple[list[bytes], str]], end: bytes) -> None:
    stream = b"".join(
        b"".join(b"data: " + line + end for line in lines) + b"id: " + name.encode() + end + end
        for lines, name in told
    )
    assert messages(stream) == [Message(b"\n".join(lines), id=name) for lines, name in told]


def test_a_message_is_given_out_with_its_last_byte() -> None:
    parser = Parser()
    assert parser.feed(b"data: x\r\n\r") == [Message(b"x")]
    assert parser.feed(b"\ndata: y\r\n\r\n") == [Message(b"y")]


def test_the_place_to_go_on_moves_only_when_a_message_is_complete() -> None:
    parser = Parser()
    parser.feed(b"id: 1\ndata: x\n\nid: 2\ndata: y\n")
    assert parser.last_id == "1"
    parser.feed(b"\n")
    assert parser.last_id == "2"
    parser.feed(b": alive\nid: 9\n\n")  # without data there is no message, but a place
    assert parser.last_id == "9"


def test_the_wait_that_the_server_asks_for_is_kept() -> None:
    parser = Parser()
    parser.feed(b"retry: 1500\nretry: soon\nretry: -1\n")
    assert parser.retry == 1500
