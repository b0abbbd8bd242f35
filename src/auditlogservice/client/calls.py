"""A client of the HTTP API: one method for each call.

Whatever is sent carries an idempotency key, the caller's or one made up here. So a call that got
no answer, or "not now", is simply made again: the server keeps the event once. A token goes to
the server it was given for, and never to an address that an answer names.
"""

from __future__ import annotations

import random
import time
import uuid
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import httpx2
import zstandard

from auditlogservice.canonical import Json, dump
from auditlogservice.client.answers import (
    Answer,
    BatchAnswer,
    Token,
    read_answer,
    read_batch,
    read_page,
    read_problem,
    read_token,
)
from auditlogservice.client.failures import (
    BadAddress,
    ClientError,
    Problem,
    Refused,
    ServerUnreachable,
    SignInNeeded,
    TooBusy,
    TooLarge,
    UnexpectedAnswer,
)
from auditlogservice.client.retries import WORTH_REPEATING, Patience, retry_after
from auditlogservice.errors import InputRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from typing import Self, TypeVar

    Value = TypeVar("Value")
    OnWait = Callable[[ClientError, float], None]

MAX_PAGE = 1_000
_CREATED, _UNAUTHORISED, _TOO_LARGE, _FIRST_REFUSAL = 201, 401, 413, 400
# No answer came, so that the call's fate is open; with a key it can be made again.
_LOST = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)


class Client:
    """Calls one server, one call after another. Not to be shared between threads.

    `on_wait` is told why and how long, before each wait for another attempt.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        patience: Patience | None = None,
        on_wait: OnWait | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self.url = _checked(url)
        self._token = token
        self._patience = patience or Patience()
        self._on_wait = on_wait
        timeout = httpx2.Timeout(60.0, connect=5.0)
        self._http = httpx2.Client(base_url=self.url, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._http.close()

    def login(self, username: str, password: str) -> Token:
        """Return a token for this user, and use it from now on."""
        form = {"grant_type": "password", "username": username, "password": password}
        answer = self._call(self._http.build_request("POST", "/token", data=form))
        token = self._read(read_token, answer)
        self._token = token.access_token
        return token

    def send(self, event: Mapping[str, Json], *, idempotency_key: str | None = None) -> Answer:
        """Keep one event; return the record once it is durable."""
        key = idempotency_key or uuid.uuid4().hex
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        answer = self._post("/events", dump(dict(event)), headers)
        replayed = answer.status_code != _CREATED
        return self._read(lambda raw: read_answer(raw, replayed=replayed), answer)

    def send_batch(self, events: Iterable[Mapping[str, Json]]) -> BatchAnswer:
        """Keep many events in one call; each may carry its own `idempotency_key`."""
        return self.send_lines(
            [dump({"idempotency_key": uuid.uuid4().hex, **event}) for event in events]
        )

    def send_lines(self, lines: Sequence[bytes]) -> BatchAnswer:
        """Keep events that are JSON already, one a line, each with its `idempotency_key`.

        A batch that is too large for the server goes in halves: the keys make that safe.
        """
        headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "zstd"}
        body = zstandard.ZstdCompressor().compress(b"\n".join(lines))
        try:
            answer = self._post("/events/batch", body, headers)
        except TooLarge:
            if len(lines) < 2:  # noqa: PLR2004 - one event cannot be halved
                raise
            half = len(lines) // 2
            return self.send_lines(lines[:half]).then(self.send_lines(lines[half:]), offset=half)
        return self._read(read_batch, answer)

    def get(self, event_id: str) -> Answer:
        answer = self._get(f"/events/{quote(event_id, safe='')}")
        return self._read(lambda raw: read_answer(raw, replayed=False), answer)

    def events(
        self,
        filters: Iterable[tuple[str, str]] = (),
        *,
        limit: int | None = None,
        sort: str = "timestamp",
    ) -> Iterator[Answer]:
        """Yield the records that match, page after page; all of them without a `limit`.

        `filters` are the query parameters of the API: `("actor.id", "alice")`, `("since", "7d")`.
        """
        page = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        query = [*filters, ("sort", sort), ("limit", str(page))]
        path: str | None = f"/events?{urlencode(query)}"
        left = limit
        while path and left != 0:
            answer = self._get(path)
            records = self._read(read_page, answer)
            yield from records[:left]
            left = left and max(left - len(records), 0)
            path = _next_page(answer)

    # ---- one call -------------------------------------------------------------

    def _get(self, path: str) -> httpx2.Response:
        return self._call(self._http.build_request("GET", path, headers=self._own()))

    def _post(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        told = {**self._own(), **headers}
        return self._call(self._http.build_request("POST", path, content=body, headers=told))

    def _own(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def _call(self, request: httpx2.Request) -> httpx2.Response:
        """Make the call until there is an answer that a repetition would not change."""
        attempt = 0
        while True:
            outcome, asked = self._attempt(request)
            attempt += 1
            if isinstance(outcome, httpx2.Response):
                return outcome
            if attempt >= self._patience.attempts or isinstance(outcome, UnexpectedAnswer):
                raise outcome
            self._wait(outcome, attempt, asked)

    def _attempt(
        self, request: httpx2.Request
    ) -> tuple[httpx2.Response | ClientError, float | None]:
        try:
            answer = self._http.send(request)
        except _LOST as error:
            return ServerUnreachable(self.url, str(error) or type(error).__name__), None
        except httpx2.HTTPError as error:
            return UnexpectedAnswer(self.url, str(error) or type(error).__name__), None
        if answer.status_code in WORTH_REPEATING:
            return TooBusy(_problem(answer)), retry_after(answer.headers)
        if not answer.is_success:
            raise self._refusal(answer)
        return answer, None

    def _wait(self, why: ClientError, attempt: int, asked: float | None) -> None:
        chance = random.random()  # noqa: S311 - spreads callers, keeps no secret
        seconds = self._patience.wait(attempt - 1, asked=asked, chance=chance)
        if self._on_wait:
            self._on_wait(why, seconds)
        time.sleep(seconds)

    def _refusal(self, answer: httpx2.Response) -> ClientError:
        if answer.status_code < _FIRST_REFUSAL:
            where = answer.headers.get("location", "nowhere")
            return UnexpectedAnswer(self.url, f"it redirects to {where}")
        kinds = {_UNAUTHORISED: SignInNeeded, _TOO_LARGE: TooLarge}
        return kinds.get(answer.status_code, Refused)(_problem(answer))

    def _read(self, read: Callable[[bytes], Value], answer: httpx2.Response) -> Value:
        try:
            return read(answer.content)
        except (InputRefused, UnicodeDecodeError) as error:
            raise UnexpectedAnswer(self.url, str(error)) from None


def _checked(url: str) -> str:
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:
        raise BadAddress(url) from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise BadAddress(url)
    return url.rstrip("/")


def _problem(answer: httpx2.Response) -> Problem:
    return read_problem(answer.content, status=answer.status_code, reason=answer.reason_phrase)


def _next_page(answer: httpx2.Response) -> str | None:
    """Return the path of the next page: of the link only its query, so that no server is left."""
    link = answer.links.get("next", {}).get("url")
    return f"/events?{httpx2.URL(link).query.decode()}" if link else None
