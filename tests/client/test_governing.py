"""What a client may repeat when it erases and holds, and what it makes of the answers."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from auditlogservice.client import Client
from auditlogservice.client.failures import Refused, ServerUnreachable, UnexpectedAnswer
from auditlogservice.client.figures import Count
from auditlogservice.client.governing import Erasure, Hold, Preview, Rules

if TYPE_CHECKING:
    from collections.abc import Callable

WHERE: dict[str, Any] = {"field": "actor.id", "op": "eq", "value": "bob"}
MOMENT = datetime(2026, 1, 31, 12, tzinfo=UTC)
HOLD = {
    "id": "h1",
    "where": WHERE,
    "reason": "case 7",
    "placed_by": "alice",
    "placed_at": "2026-01-31T12:00:00.000000Z",
}
ERASURE = {
    "id": "e1",
    "where": WHERE,
    "reason": "r",
    "asked_by": "alice",
    "asked_at": "2026-01-31T12:00:00.000000Z",
    "end": 7,
    "state": "failed",
    "erased": 3,
    "held": 1,
    "last_sequence": 6,
    "failure": "why",
}


class Server:
    """Answers with what it is given; None is a lost connection. Remembers what was asked."""

    def __init__(self, *answers: httpx2.Response | None) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, str, Any]] = []

    def client(self) -> Client:
        return Client("http://log.example", "secret", transport=httpx2.MockTransport(self._handle))

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        body = json.loads(request.content) if request.content else None
        self.asked.append((request.method, request.url.raw_path.decode(), body))
        answer = self.answers.pop(0)
        if answer is None:
            raise httpx2.ReadError("lost")
        return answer


@pytest.fixture(autouse=True)
def _no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("auditlogservice.client.wire.time.sleep", lambda _: None)


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.governing.place_hold({"q": "a"}, reason="r"),
        lambda one: one.governing.start_erasure({"q": "a"}, reason="r"),
    ],
    ids=["a hold", "an erasure"],
)
@pytest.mark.parametrize("answer", [None, httpx2.Response(503, json={"detail": "not now"})])
def test_what_would_be_there_twice_is_asked_for_once(
    call: Callable[[Client], object], answer: httpx2.Response | None
) -> None:
    server = Server(answer)
    with server.client() as client, pytest.raises((ServerUnreachable, Refused)):
        call(client)
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda one: one.governing.erase("a/b", reason="x y"),
        lambda one: one.governing.lift_hold("a/b", reason="x y"),
    ],
)
def test_what_ends_in_the_same_state_is_asked_for_again(call: Callable[[Client], object]) -> None:
    server = Server(None, httpx2.Response(503), httpx2.Response(204))
    with server.client() as client:
        call(client)
    assert {(method, path.rpartition("/")[2]) for method, path, _ in server.asked} == {
        ("DELETE", "a%2Fb?reason=x+y")
    }
    assert len(server.asked) == 3


def test_holds_are_read() -> None:
    server = Server(httpx2.Response(201, json=HOLD), httpx2.Response(200, json=[HOLD]))
    hold = Hold("h1", WHERE, "case 7", "alice", MOMENT)
    with server.client() as client:
        assert client.governing.place_hold({"where": WHERE}, reason="case 7") == hold
        assert client.governing.holds() == [hold]
    assert server.asked == [
        ("POST", "/holds", {"where": WHERE, "reason": "case 7"}),
        ("GET", "/holds", None),
    ]


def test_erasures_are_read() -> None:
    counts = {"value": 10_000, "relation": "gte"}, {"value": 0, "relation": "eq"}
    preview = {"matching": counts[0], "held": counts[1], "sample": ["a"]}
    server = Server(
        httpx2.Response(200, json=preview),
        httpx2.Response(202, json={**ERASURE, "failure": None}),
        httpx2.Response(200, json=ERASURE),
        httpx2.Response(200, json=[ERASURE]),
    )
    with server.client() as client:
        found = client.governing.preview_erasure({"q": "a"}, reason="r")
        assert found == Preview(Count(10_000, "gte"), Count(0, "eq"), ("a",))
        assert client.governing.start_erasure({"q": "a"}, reason="r").failure is None
        erasure = client.governing.erasure("e1")
        assert client.governing.erasures() == [erasure]
    assert erasure == Erasure(
        id="e1",
        where=WHERE,
        reason="r",
        asked_by="alice",
        asked_at=MOMENT,
        end=7,
        state="failed",
        erased=3,
        held=1,
        last_sequence=6,
        failure="why",
    )
    assert server.asked[0][2] == {"q": "a", "reason": "r", "preview": True}


def test_rules_that_were_read_are_replaced_only_if_they_still_hold() -> None:
    rules = {"rules": [{"event_type": "auth.*", "days": 365}]}
    server = Server(
        httpx2.Response(200, json=rules, headers={"ETag": '"1"'}),
        httpx2.Response(412, json={"code": "outdated", "detail": "changed meanwhile"}),
    )
    with server.client() as client:
        read = client.governing.rules()
        assert read == Rules({"auth.*": 365}, '"1"')
        with pytest.raises(Refused, match="changed meanwhile"):
            client.governing.set_rules({"a": 1}, replacing=read)
    assert server.asked[1] == ("PUT", "/retention", {"rules": [{"event_type": "a", "days": 1}]})


def test_an_answer_of_another_program_is_told_as_such() -> None:
    with (
        Server(httpx2.Response(200, json=[{"id": 7}])).client() as client,
        pytest.raises(UnexpectedAnswer),
    ):
        client.governing.holds()
