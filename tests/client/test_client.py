"""Calls are repeated where that is safe, refusals say why, and pages end only at the end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx2
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.client import Client, calls
from auditlogservice.client.answers import split_array
from auditlogservice.client.failures import (
    BadAddress,
    BadToken,
    Refused,
    ServerUnreachable,
    SignInNeeded,
    TooBusy,
    TooLarge,
    UnexpectedAnswer,
)
from auditlogservice.client.retries import Patience, retry_after
from auditlogservice.errors import MalformedInput

if TYPE_CHECKING:
    from collections.abc import Callable

EVENT: dict[str, Any] = {"name": "n", "event_type": "t", "detail": "d"}
RECORD = b'{"_id":"00000000000000000000000a","detail":"d","event_data":{"n":1.0},"sequence":7}'
URL = "http://log.example/audit"


@pytest.fixture(autouse=True)
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What the client would have slept."""
    slept: list[float] = []
    monkeypatch.setattr("auditlogservice.client.wire.time.sleep", slept.append)
    return slept


def client(*answers: httpx2.Response | Exception, seen: list[httpx2.Request]) -> Client:
    """A client of a server that gives these answers, one after another."""
    left = iter(answers)

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return Client(URL, "secret", transport=httpx2.MockTransport(handle))


def problem(status: int, **fields: Any) -> httpx2.Response:
    return httpx2.Response(status, json={"title": "No", "status": status, **fields})


@pytest.mark.parametrize("token", ["tok\nen", "tok en", "tök", "tok\x00", "tok\x7f"])
def test_a_token_that_is_none_is_refused_unseen(token: str) -> None:
    with pytest.raises(BadToken) as caught:
        Client(URL, token, transport=httpx2.MockTransport(lambda _: httpx2.Response(500))).count()
    assert "tok" not in str(caught.value).replace("the token is none", "")


def test_blanks_around_a_token_are_no_part_of_it() -> None:
    seen: list[httpx2.Request] = []
    with client(httpx2.Response(201, content=RECORD), seen=seen) as here:
        here._wire.token = " secret\r\n"
        here.send(EVENT)
    assert seen[0].headers["authorization"] == "Bearer secret"


# ---- one event ------------------------------------------------------------------------


def test_an_event_is_answered_with_its_exact_bytes() -> None:
    seen: list[httpx2.Request] = []
    answer = client(httpx2.Response(201, content=RECORD), seen=seen).send(EVENT)
    assert answer.raw == RECORD
    assert answer.id == "00000000000000000000000a"
    assert not answer.replayed
    assert str(seen[0].url) == f"{URL}/events"
    assert seen[0].headers["authorization"] == "Bearer secret"
    assert json.loads(seen[0].content) == EVENT


@pytest.mark.parametrize(
    "first",
    [
        httpx2.ConnectError("refused"),
        httpx2.ReadTimeout("slow"),
        httpx2.RemoteProtocolError("gone"),
        problem(408, code="request-timeout"),
        httpx2.Response(429),
        httpx2.Response(502, text="<html>"),
        problem(503, code="outcome-unknown"),
    ],
    ids=repr,
)
def test_a_call_without_a_good_answer_is_made_again_with_the_same_key(
    first: httpx2.Response | Exception,
) -> None:
    seen: list[httpx2.Request] = []
    answer = client(first, httpx2.Response(200, content=RECORD), seen=seen).send(EVENT)
    assert answer.replayed
    keys = [request.headers["idempotency-key"] for request in seen]
    assert len(keys) == 2
    assert keys[0] == keys[1] != ""
    assert seen[0].content == seen[1].content


def test_a_key_of_the_caller_is_used() -> None:
    seen: list[httpx2.Request] = []
    sender = client(httpx2.Response(201, content=RECORD), seen=seen)
    sender.send(EVENT, idempotency_key="mine")
    assert seen[0].headers["idempotency-key"] == "mine"


def test_the_wait_that_the_server_asks_for_is_kept(waits: list[float]) -> None:
    busy = httpx2.Response(503, headers={"Retry-After": "7"})
    client(busy, httpx2.Response(201, content=RECORD), seen=[]).send(EVENT)
    assert waits == [7.0]


def test_patience_ends(waits: list[float]) -> None:
    with pytest.raises(TooBusy, match="too much is waiting"):
        client(*[problem(503, detail="too much is waiting")] * 9, seen=[]).send(EVENT)
    assert len(waits) == Patience().attempts - 1


def test_a_server_that_does_not_answer_is_named() -> None:
    with pytest.raises(ServerUnreachable, match=f"{URL}: no route"):
        client(*[httpx2.ConnectError("no route")] * 9, seen=[]).send(EVENT)


# ---- refusals -------------------------------------------------------------------------


def test_a_refusal_shows_what_is_wrong_and_where() -> None:
    answer = problem(
        422,
        detail="the event is refused",
        code="invalid-input",
        request_id="r1",
        errors=[{"pointer": "/name", "detail": "too short"}],
    )
    with pytest.raises(Refused, match=r"the event is refused \(/name: too short\)") as caught:
        client(answer, seen=[]).send(EVENT)
    assert caught.value.problem.code == "invalid-input"
    assert caught.value.problem.request_id == "r1"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (problem(401), SignInNeeded),
        (problem(413), TooLarge),
        (problem(404, detail="no event has this id"), Refused),
        (httpx2.Response(500, text="oops"), Refused),
        (httpx2.Response(301, headers={"Location": "https://other"}), UnexpectedAnswer),
        (httpx2.Response(200, text="<html>"), UnexpectedAnswer),
        (httpx2.Response(200, content=b"[]"), UnexpectedAnswer),
    ],
    ids=lambda value: getattr(value, "status_code", None),
)
def test_each_refusal_has_its_kind_and_is_not_repeated(
    answer: httpx2.Response, kind: type[Exception]
) -> None:
    seen: list[httpx2.Request] = []
    with pytest.raises(kind) as caught:
        client(answer, seen=seen).get("00000000000000000000000a")
    assert type(caught.value) is kind
    assert len(seen) == 1


def test_a_refused_sign_in_tells_the_oauth_description() -> None:
    answer = httpx2.Response(
        400, json={"error": "invalid_grant", "error_description": "wrong password"}
    )
    with pytest.raises(Refused, match="wrong password"):
        client(answer, seen=[]).login("alice", "pw")


@pytest.mark.parametrize("url", ["", "localhost:8080", "ftp://x", "http://", "not a url"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(BadAddress):
        Client(url)


def test_a_token_is_used_once_it_is_there_and_never_shown() -> None:
    seen: list[httpx2.Request] = []
    token = httpx2.Response(200, json={"access_token": "t0k3n", "expires_in": 60, "scope": "s"})
    caller = client(token, httpx2.Response(200, content=RECORD), seen=seen)
    shown = repr(caller.login("alice", "pass&word"))
    caller.get("../me")
    assert "t0k3n" not in shown
    assert b"password=pass%26word" in seen[0].content
    assert "authorization" not in seen[0].headers
    assert seen[1].headers["authorization"] == "Bearer t0k3n"
    assert seen[1].url.raw_path == b"/audit/events/..%2Fme"


# ---- batches --------------------------------------------------------------------------


def sent(request: httpx2.Request) -> list[dict[str, Any]]:
    lines = zstandard.ZstdDecompressor().decompressobj().decompress(request.content)
    return [json.loads(line) for line in lines.splitlines()]


def keeping(limit: int) -> Callable[[httpx2.Request], httpx2.Response]:
    """A server that keeps all events but those named bad, at most `limit` in a call."""

    def handle(request: httpx2.Request) -> httpx2.Response:
        events = sent(request)
        if len(events) > limit:
            return problem(413)
        return httpx2.Response(
            200,
            json={
                "successful": [
                    {"index": at, "_id": event["name"], "sequence": 0, "replayed": True}
                    for at, event in enumerate(events)
                    if event["name"] != "bad"
                ],
                "failed": [
                    {"index": at, "code": "invalid", "detail": "is bad", "pointer": "/name"}
                    for at, event in enumerate(events)
                    if event["name"] == "bad"
                ],
            },
        )

    return handle


@pytest.mark.parametrize("limit", [100, 3, 1])
def test_a_batch_tells_what_became_of_each_event_in_one_piece_or_in_halves(limit: int) -> None:
    caller = Client(URL, transport=httpx2.MockTransport(keeping(limit)))
    answer = caller.send_batch([{"name": "bad" if n == 5 else f"n{n}"} for n in range(9)])
    kept = [(kept.index, kept.id) for kept in answer.successful]
    assert kept == [(n, f"n{n}") for n in range(9) if n != 5]
    assert [(failed.index, str(failed)) for failed in answer.failed] == [(5, "/name: is bad")]
    assert all(kept.replayed for kept in answer.successful)


def test_every_event_of_a_batch_has_a_key_of_its_own() -> None:
    seen: list[httpx2.Request] = []
    answer = httpx2.Response(200, json={"successful": [], "failed": []})
    client(answer, seen=seen).send_batch([EVENT, {**EVENT, "idempotency_key": "mine"}, EVENT])
    keys = [event["idempotency_key"] for event in sent(seen[0])]
    assert keys[1] == "mine"
    assert len(set(keys)) == 3


def test_one_event_that_is_too_large_is_refused() -> None:
    with pytest.raises(TooLarge):
        Client(URL, transport=httpx2.MockTransport(keeping(0))).send_batch([EVENT])


# ---- pages ----------------------------------------------------------------------------


def pages(request: httpx2.Request) -> httpx2.Response:
    at = int(request.url.params.get("cursor", "0"))
    size = int(request.url.params["limit"])
    items = [b'{"_id":"%d", "x":1.0 , "y":" ]," }' % n for n in range(at, min(at + size, 25))]
    # Another host in the link must not get the token.
    query = f"limit={size}&cursor={at + size}"
    link = {"Link": f'<http://evil.example/events?{query}>; rel="next"'} if at + size < 25 else {}
    assert request.url.host == "log.example"
    assert request.url.path == "/audit/events"
    return httpx2.Response(200, content=b"[\n" + b" , ".join(items) + b" ]", headers=link)


@pytest.mark.parametrize(("limit", "count"), [(None, 25), (7, 7), (25, 25), (99, 25), (0, 0)])
def test_pages_are_followed_to_the_end_or_the_limit(
    limit: int | None, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(calls, "MAX_PAGE", 10)
    caller = Client(URL, "secret", transport=httpx2.MockTransport(pages))
    answers = list(caller.events([("event_type", "a&b"), ("since", "7d")], limit=limit))
    assert [answer.id for answer in answers] == [str(n) for n in range(count)]
    assert all(answer.raw.endswith(b'", "x":1.0 , "y":" ]," }') for answer in answers)


@given(st.lists(st.dictionaries(st.text(max_size=3), st.text(max_size=5)), max_size=5))
def test_an_array_is_split_into_the_texts_of_its_items(items: list[dict[str, str]]) -> None:
    texts = [json.dumps(item, ensure_ascii=False).encode("utf-8", "replace") for item in items]
    assert split_array(b" [ " + b" , ".join(texts) + b"] ") == texts


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1,", b"[nope]", b"[1 2]", b"[", b"[1,]", b"[,1]", b"[1]]"]
)
def test_what_is_no_array_is_refused(raw: bytes) -> None:
    with pytest.raises(MalformedInput):
        split_array(raw)


# ---- patience -------------------------------------------------------------------------


@given(st.integers(0, 10_000), st.none() | st.floats(0, 1e9), st.floats(0, 1))
def test_no_wait_is_longer_than_the_limit_nor_shorter_than_asked_within_it(
    attempt: int, asked: float | None, chance: float
) -> None:
    patience = Patience()
    wait = patience.wait(attempt, asked=asked, chance=chance)
    assert min(asked or 0, patience.longest_wait) <= wait <= patience.longest_wait


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3),
        ({"retry-after": "soon"}, None),
        (
            {
                "retry-after": "Wed, 21 Oct 2026 07:28:30 GMT",
                "date": "Wed, 21 Oct 2026 07:28:00 GMT",
            },
            30,
        ),
        ({"retry-after": "Wed, 21 Oct 2026 07:28:30 GMT"}, None),
    ],
)
def test_retry_after_is_read_as_seconds_or_against_the_servers_clock(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert retry_after(headers) == seconds
