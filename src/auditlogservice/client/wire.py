"""One call to a server, made until there is an answer that a repetition would not change.

Only calls that may be made twice come here: they read, they carry an idempotency key, or they end
in the same state; `post_once` is for all others. A token goes to the server it was given for, and
never to an address that an answer names.
"""

from __future__ import annotations

import random
import re
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

import httpx2

from auditlogservice.client.answers import read_problem, read_token
from auditlogservice.client.failures import (
    BadAddress,
    BadToken,
    BrokenOff,
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
    from collections.abc import Callable, Iterator, Mapping
    from typing import TypeVar

    from auditlogservice.client.entering import ClientCredentials

    Value = TypeVar("Value")
    OnWait: TypeAlias = Callable[[ClientError, float], None]
    Send: TypeAlias = Callable[[httpx2.Request], httpx2.Response]

_UNAUTHORISED, _TOO_LARGE, _FIRST_REFUSAL = 401, 413, 400
DAMAGED = "store-broken"  # the code of what no repetition changes: somebody has to look at it
# No answer came, so that the call's fate is open; with a key it can be made again.
_LOST = (httpx2.NetworkError, httpx2.TimeoutException, httpx2.RemoteProtocolError)
_TOKEN = re.compile(r"[!-~]+")
_RENEWED_AFTER = 0.9  # of the time for which a token is good
_SILENCE = 60.0  # seconds; a stream says that it is alive four times as often


class Wire:
    """The way to one server, one call after another."""

    def __init__(
        self,
        url: str,
        token: str | None,
        *,
        patience: Patience,
        on_wait: OnWait | None,
        transport: httpx2.BaseTransport | None,
    ) -> None:
        self.url = _checked(url)
        self.token = token
        self.credentials: ClientCredentials | None = None
        self._renew_at = 0.0  # of a token that was got with the credentials
        self._patience = patience
        self._on_wait = on_wait
        timeout = httpx2.Timeout(_SILENCE, connect=5.0)
        self._http = httpx2.Client(base_url=self.url, timeout=timeout, transport=transport)

    def close(self) -> None:
        self._http.close()

    def get(
        self, path: str, *, wait: float = 0, headers: Mapping[str, str] | None = None
    ) -> httpx2.Response:
        """Return the answer, which the server may hold back for `wait` seconds."""
        told = {**self._own(), **(headers or {})}
        timeout = httpx2.Timeout(_SILENCE + wait, connect=5.0)
        request = self._http.build_request("GET", path, headers=told, timeout=timeout)
        return self._until_answered(request, self._http.send)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        told = {**self._own(), **headers}
        request = self._http.build_request("POST", path, content=body, headers=told)
        return self._until_answered(request, self._http.send)

    def post_once(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        """Return the answer to the only attempt: what was lost may have been done."""
        told = {**self._own(), **headers}
        request = self._http.build_request("POST", path, content=body, headers=told)
        outcome, _ = self._attempt(request, self._http.send)
        if isinstance(outcome, httpx2.Response):
            return outcome
        raise outcome

    def put(self, path: str, body: bytes, headers: Mapping[str, str]) -> httpx2.Response:
        told = {**self._own(), **headers}
        request = self._http.build_request("PUT", path, content=body, headers=told)
        return self._until_answered(request, self._http.send)

    def delete(self, path: str) -> httpx2.Response:
        request = self._http.build_request("DELETE", path, headers=self._own())
        return self._until_answered(request, self._http.send)

    def post_form(self, path: str, form: Mapping[str, str]) -> httpx2.Response:
        """Send a form, without the token. A refusal of it is none of the token."""
        request = self._http.build_request("POST", path, data=dict(form))
        return self._until_answered(request, self._http.send)

    @contextmanager
    def open(
        self, path: str, headers: Mapping[str, str] | None = None
    ) -> Iterator[httpx2.Response]:
        """Give an answer whose body has not been read; `chunks` reads it."""
        told = {**self._own(), **(headers or {})}
        request = self._http.build_request("GET", path, headers=told)
        answer = self._until_answered(request, partial(self._http.send, stream=True))
        try:
            yield answer
        finally:
            answer.close()

    def chunks(self, answer: httpx2.Response) -> Iterator[bytes]:
        """Yield the body as it comes. Raises BrokenOff if it ends before its end."""
        try:
            yield from answer.iter_bytes()
        except httpx2.HTTPError as error:
            raise BrokenOff(self.url, _reason(error)) from None

    def read(self, read: Callable[[bytes], Value], answer: httpx2.Response) -> Value:
        try:
            return read(answer.content)
        except (InputRefused, UnicodeDecodeError) as error:
            raise UnexpectedAnswer(self.url, str(error)) from None

    def pause(self, why: ClientError, attempt: int, *, asked: float | None) -> None:
        """Wait before another attempt, the longer the more there were."""
        chance = random.random()  # noqa: S311 - spreads callers, keeps no secret
        seconds = self._patience.wait(attempt - 1, asked=asked, chance=chance)
        if self._on_wait:
            self._on_wait(why, seconds)
        time.sleep(seconds)

    # ---- one call -------------------------------------------------------------

    def _own(self) -> dict[str, str]:
        if self.credentials and time.monotonic() >= self._renew_at:
            self._sign_in(self.credentials)
        token = (self.token or "").strip()
        if not token:
            return {}
        # Checked here, since the library that sends would show it in its complaint.
        if not _TOKEN.fullmatch(token):
            raise BadToken
        return {"Authorization": f"Bearer {token}"}

    def _sign_in(self, credentials: ClientCredentials) -> None:
        """Get a token, and another one some time before it ends."""
        token = self.read(read_token, self.post_form("/token", credentials.form()))
        self.token = token.access_token
        self._renew_at = time.monotonic() + token.expires_in * _RENEWED_AFTER

    def _until_answered(self, request: httpx2.Request, send: Send) -> httpx2.Response:
        try:
            return self._repeated(request, send)
        except SignInNeeded:
            # The token may have been ended before its time; the secret may still be good.
            if self.credentials is None or "Authorization" not in request.headers:
                raise
            self._sign_in(self.credentials)
            request.headers.update(self._own())
            return self._repeated(request, send)

    def _repeated(self, request: httpx2.Request, send: Send) -> httpx2.Response:
        attempt = 0
        while True:
            outcome, asked = self._attempt(request, send)
            attempt += 1
            if isinstance(outcome, httpx2.Response):
                return outcome
            if attempt >= self._patience.attempts or isinstance(outcome, UnexpectedAnswer):
                raise outcome
            self.pause(outcome, attempt, asked=asked)

    def _attempt(
        self, request: httpx2.Request, send: Send
    ) -> tuple[httpx2.Response | ClientError, float | None]:
        try:
            answer = send(request)
            if not answer.is_success:
                answer.read()
        except _LOST as error:
            return ServerUnreachable(self.url, _reason(error)), None
        except httpx2.HTTPError as error:
            return UnexpectedAnswer(self.url, _reason(error)), None
        if answer.status_code in WORTH_REPEATING and _problem(answer).code != DAMAGED:
            return TooBusy(_problem(answer)), retry_after(answer.headers)
        if not answer.is_success:
            raise self._refusal(answer)
        return answer, None

    def _refusal(self, answer: httpx2.Response) -> ClientError:
        if answer.status_code < _FIRST_REFUSAL:
            where = answer.headers.get("location", "nowhere")
            return UnexpectedAnswer(self.url, f"it redirects to {where}")
        kinds = {_UNAUTHORISED: SignInNeeded, _TOO_LARGE: TooLarge}
        return kinds.get(answer.status_code, Refused)(_problem(answer))


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


def _reason(error: httpx2.HTTPError) -> str:
    return str(error) or type(error).__name__
