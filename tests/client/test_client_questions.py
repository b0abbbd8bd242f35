"""Figures are read as exactly as they are told, and a log is followed across every loss."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.client import Client
from auditlogservice.client.failures import (
    BrokenOff,
    Refused,
    ServerUnreachable,
    SignInNeeded,
    UnexpectedAnswer,
)
from auditlogservice.client.figures import Bucket, Count, Facet, Facets, Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

URL = "http://log.example/audit"
FILTERS = [("q", "a & b"), ("actor.id", "x"), ("actor.id", "y"), ("since", "7d")]


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("auditlogservice.client.wire.time.sleep", slept.append)
    return slept


def client(handle: Callable[[httpx2.Request], httpx2.Response]) -> Client:
    return Client(URL, "secret", transport=httpx2.MockTransport(handle))


def record(sequence: int) -> bytes:
    return b'{"_id":"%d","n":1.0,"sequence":%d}' % (sequence, sequence)


# ---- figures --------------------------------------------------------------------------


def asking(path: str, answer: Any, more: list[tuple[str, str]]) -> Client:
    """A client of a server that expects this question."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        assert request.url.path == f"/audit{path}"
        assert parse_qsl(request.url.query.decode()) == [*FILTERS, *more]
        return httpx2.Response(200, json=answer)

    return client(handle)


def test_a_count_says_how_exact_it_is() -> None:
    caller = asking("/events/count", {"value": 10_000, "relation": "gte"}, [])
    assert caller.count(FILTERS) == Count(10_000, "gte")


def test_a_histogram_has_moments() -> None:
    start = "2026-01-01T00:00:00.000000Z"
    answer = {
        "interval": "1h",
        "buckets": [{"start": start, "count": 3}],
        "relation": "lte",
        "complete_since": None,
    }
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    expected = Histogram("1h", (Bucket(moment, 3),), "lte", None)
    asked = [("interval", "1h")]
    assert asking("/events/histogram", answer, asked).histogram(FILTERS, interval="1h") == expected
    partial = {**answer, "complete_since": start}
    found = asking("/events/histogram", partial, [("interval", "auto")]).histogram(FILTERS)
    assert found.complete_since == moment


def test_facets_are_values_with_their_counts() -> None:
    answer = {
        "field": "actor.id",
        "values": [{"value": "x", "count": 2}],
        "records": {"value": 2, "relation": "eq"},
    }
    caller = asking("/events/facets", answer, [("field", "actor.id"), ("limit", "5")])
    expected = Facets("actor.id", (Facet("x", 2),), Count(2, "eq"))
    assert caller.facets("actor.id", FILTERS, limit=5) == expected


@pytest.mark.parametrize(
    "answer",
    [
        [],
        {},
        {"value": 1},
        {"value": "1", "relation": "eq"},
        {"value": True, "relation": "eq"},
        {"value": 1, "relation": "about"},
        {"interval": "1h", "buckets": [{"start": "now", "count": 1}], "relation": "eq"},
        {"interval": "1h", "buckets": 7, "relation": "eq"},
        {"field": 7, "values": []},
    ],
    ids=json.dumps,
)
def test_a_figure_that_is_none_is_no_answer(answer: Any) -> None:
    caller = client(lambda _: httpx2.Response(200, json=answer))
    for ask in (caller.count, caller.histogram, lambda: caller.facets("name")):
        with pytest.raises(UnexpectedAnswer):
            ask()


# ---- the feed -------------------------------------------------------------------------


def feeding(request: httpx2.Request) -> httpx2.Response:
    """A log of 0 to 9 of which the odd ones match, looked through three at a time."""
    asked = dict(parse_qsl(request.url.query.decode()))
    after = int(asked["after"])
    seen = range(after + 1, min(after + 4, 10))
    found = b",".join(record(n) for n in seen if n % 2)
    last = max(seen, default=after)
    link = f'<http://evil.example/x?q=a&after={last}&wait=0>; rel="next"'
    assert request.url.host == "log.example"
    assert request.url.path == "/audit/events/feed"
    return httpx2.Response(200, content=b"[%b]" % found, headers={"Link": link})


@pytest.mark.parametrize(("after", "expected"), [(-1, [1, 3, 5, 7, 9]), (3, [5, 7, 9]), (9, [])])
def test_a_feed_ends_where_the_log_ends(after: int, expected: list[int]) -> None:
    answers = client(feeding).feed([("q", "a")], after=after)
    assert [(answer.sequence, answer.raw) for answer in answers] == [
        (n, record(n)) for n in expected
    ]


def test_a_feed_that_waits_goes_on_over_silence() -> None:
    pages = [[], [0], [], [], [1]]
    seen: list[httpx2.Request] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        link = {"Link": '</events/feed?after=0&wait=20>; rel="next"'}
        found = [{"sequence": number} for number in pages.pop(0)]
        return httpx2.Response(200, json=found, headers=link)

    feed = client(handle).feed(wait=20)
    assert [next(feed).sequence, next(feed).sequence] == [0, 1]
    assert {request.extensions["timeout"]["read"] for request in seen} == {80.0}


def test_a_feed_without_a_place_to_go_on_is_no_answer() -> None:
    with pytest.raises(UnexpectedAnswer, match="where to go on"):
        list(client(lambda _: httpx2.Response(200, json=[])).feed())


# ---- the stream -----------------------------------------------------------------------


def message(sequence: int) -> bytes:
    return b"id: %d\ndata: %b\n\n" % (sequence, record(sequence))


class Log:
    """A stream over records 0 to `size`, which loses its connection at the given bytes."""

    def __init__(self, size: int, cuts: list[int]) -> None:
        self.size = size
        self.cuts = cuts
        self.places: list[int] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        asked = dict(parse_qsl(request.url.query.decode()))
        assert request.headers["last-event-id"] == asked["after"]
        assert asked["actor.id"] == "x"
        place = int(asked["after"])
        self.places.append(place)
        return httpx2.Response(
            200, headers={"Content-Type": "text/event-stream"}, content=self._body(place)
        )

    def _body(self, place: int) -> Iterator[bytes]:
        # It begins too early, as one that forgot the place would: nothing may come twice.
        body = b"retry: 7\n\n" + b"".join(map(message, range(max(place - 1, 0), self.size)))
        if self.cuts:
            yield body[: self.cuts.pop(0)]
            raise httpx2.ReadError("lost")
        yield body + b": alive\nid: %d\n\n" % (self.size + 5)


@given(st.lists(st.integers(0, 500), max_size=8))
def test_each_record_comes_once_and_in_order_wherever_the_connection_is_lost(
    cuts: list[int],
) -> None:
    log = Log(20, list(cuts))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("auditlogservice.client.wire.time.sleep", lambda _: None)
        stream = client(log).stream([("actor.id", "x")], after=-1)
        found = [next(stream) for _ in range(20)]
    assert found == [(n, record(n)) for n in range(20)]
    assert log.places == sorted(log.places)


def test_a_place_that_the_server_names_in_silence_is_where_it_goes_on() -> None:
    log = Log(1, [])
    stream = client(log).stream([("actor.id", "x")], after=-1)
    assert next(stream)[0] == 0
    log.size = 8
    assert next(stream)[0] == 7
    assert log.places == [-1, 6]


def test_a_server_that_went_away_is_waited_for_and_a_refusal_ends_it(waits: list[float]) -> None:
    lost = httpx2.ConnectError("refused")
    outcomes: list[httpx2.Response | Exception] = [*[lost] * 12, httpx2.Response(401)]
    first = httpx2.Response(
        200, headers={"Content-Type": "text/event-stream; charset=utf-8"}, content=message(4)
    )

    def handle(_: httpx2.Request) -> httpx2.Response:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    outcomes.insert(0, first)
    stream = client(handle).stream(after=3)
    assert next(stream) == (4, record(4))
    with pytest.raises(SignInNeeded):
        next(stream)
    assert outcomes == []
    assert len(waits) > 10


def test_a_stream_that_never_worked_is_told_at_once() -> None:
    def handle(_: httpx2.Request) -> httpx2.Response:
        raise httpx2.ConnectError("refused")

    with pytest.raises(ServerUnreachable):
        next(client(handle).stream(after=0))


@pytest.mark.parametrize("media", ["text/html", ""])
def test_what_is_no_stream_is_no_answer(media: str) -> None:
    answer = httpx2.Response(200, headers={"Content-Type": media}, content=message(1))
    with pytest.raises(UnexpectedAnswer, match="the stream is"):
        next(client(lambda _: answer).stream(after=0))


def test_without_a_place_a_stream_begins_behind_the_newest_record() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/audit/events":
            assert request.url.params["sort"] == "-timestamp"
            return httpx2.Response(200, content=b"[%b]" % record(6))
        assert request.headers["last-event-id"] == "6"
        return httpx2.Response(
            200, headers={"Content-Type": "text/event-stream"}, content=message(7)
        )

    assert next(client(handle).stream()) == (7, record(7))
    assert client(lambda _: httpx2.Response(200, content=b"[]")).end() == -1


# ---- an export ------------------------------------------------------------------------


def test_an_export_comes_in_pieces_with_the_end_of_its_snapshot() -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        assert dict(parse_qsl(request.url.query.decode())) == {
            "q": "a", "format": "csv", "after": "7",
        }  # fmt: skip
        headers = {"Auditlog-Snapshot-End": "12"}
        return httpx2.Response(200, headers=headers, content=iter([b"one", b"two"]))

    with client(handle).export([("q", "a")], kind="csv", after=7) as download:
        assert (list(download.chunks), download.end) == ([b"one", b"two"], 12)


def test_an_export_that_ends_early_is_no_success() -> None:
    def body() -> Iterator[bytes]:
        yield b"one"
        raise httpx2.RemoteProtocolError("incomplete chunked read")

    answer = httpx2.Response(200, content=body())
    with client(lambda _: answer).export() as download:
        assert download.end is None
        assert next(download.chunks) == b"one"
        with pytest.raises(BrokenOff, match="incomplete"):
            next(download.chunks)


def test_a_refused_export_tells_why() -> None:
    def body() -> Iterator[bytes]:
        yield b'{"detail":"no such format"}'

    answer = httpx2.Response(422, content=body())
    with (
        pytest.raises(Refused, match="no such format"),
        client(lambda _: answer).export(kind="doc"),
    ):
        pytest.fail("it was refused")
