"""A program comes in by itself, and again when its token has ended."""

from __future__ import annotations

from urllib.parse import parse_qs

import httpx2
import pytest

from auditlogservice.client import Client, ClientCredentials
from auditlogservice.client.failures import SignInNeeded
from auditlogservice.client.retries import Patience

WHO = ClientCredentials("web-shop", "a secret", ("events:read",))


class Server:
    """Issues tokens `t1`, `t2`, …, and takes those that it has not ended."""

    def __init__(self, *, expires_in: int = 3_600, secret: str = "a secret") -> None:
        self.issued = 0
        self.ended: set[str] = set()
        self.forms: list[dict[str, list[str]]] = []
        self.expires_in = expires_in
        self.secret = secret

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/token":
            return self._issue(parse_qs(request.content.decode()), request)
        text = request.headers.get("authorization", "").removeprefix("Bearer ")
        if text in self.ended or not text.startswith("t"):
            return httpx2.Response(401, json={"title": "No"})
        return httpx2.Response(200, json={"value": 5, "relation": "eq"})

    def _issue(self, form: dict[str, list[str]], request: httpx2.Request) -> httpx2.Response:
        assert "authorization" not in request.headers
        self.forms.append(form)
        if form["client_secret"] != [self.secret]:
            return httpx2.Response(401, json={"error": "invalid_client", "detail": "not right"})
        self.issued += 1
        told = {"access_token": f"t{self.issued}", "expires_in": self.expires_in, "scope": "x"}
        return httpx2.Response(200, json=told)

    def client(self) -> Client:
        return Client(
            "http://log.example",
            credentials=WHO,
            patience=Patience(attempts=1, first_wait=0, longest_wait=0),
            transport=httpx2.MockTransport(self),
        )


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [1_000.0]
    monkeypatch.setattr("auditlogservice.client.wire.time.monotonic", lambda: now[0])
    return now


def test_a_token_is_got_at_the_first_call_and_used_for_those_that_follow() -> None:
    server = Server()
    with server.client() as client:
        assert server.issued == 0
        assert [client.count().value for _ in range(3)] == [5, 5, 5]
    assert server.forms == [
        {
            "grant_type": ["client_credentials"],
            "client_id": ["web-shop"],
            "client_secret": ["a secret"],
            "scope": ["events:read"],
        }
    ]


def test_another_token_is_got_before_the_first_one_ends(time: list[float]) -> None:
    server = Server(expires_in=100)
    with server.client() as client:
        client.count()
        time[0] += 89
        client.count()
        assert server.issued == 1
        time[0] += 2
        client.count()
        assert server.issued == 2


def test_a_token_that_was_ended_is_followed_by_another_and_the_call_is_made_again() -> None:
    server = Server()
    with server.client() as client:
        client.count()
        server.ended.add("t1")
        assert client.count().value == 5
    assert server.issued == 2


def test_who_is_refused_with_a_new_token_too_is_told_so() -> None:
    server = Server()
    server.ended = {"t1", "t2", "t3"}
    with server.client() as client, pytest.raises(SignInNeeded):
        client.count()
    assert server.issued == 2  # not again and again


def test_a_wrong_secret_is_told_and_not_tried_without_end() -> None:
    server = Server(secret="another")
    with server.client() as client, pytest.raises(SignInNeeded, match="not right"):
        client.count()
    assert len(server.forms) == 1


def test_a_secret_does_not_show_in_what_is_printed_of_it() -> None:
    assert "a secret" not in repr(WHO)
