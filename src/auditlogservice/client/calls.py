"""A client of the HTTP API: one method for each call.

Whatever is sent carries an idempotency key, the caller's or one made up here. So a call that got
no answer, or "not now", is simply made again: the server keeps the event once. Questions are
asked with the query parameters of the API: `("actor.id", "alice")`, `("since", "7d")`,
`("q", "login -actor.id:root")`.
"""

from __future__ import annotations

import uuid
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import httpx2
import zstandard

from auditlogservice.canonical import Json, dump
from auditlogservice.client.answers import (
    Answer,
    BatchAnswer,
    Proof,
    Token,
    read_answer,
    read_batch,
    read_page,
    read_place,
    read_proof,
    read_token,
)
from auditlogservice.client.failures import TooLarge, UnexpectedAnswer
from auditlogservice.client.figures import (
    Count,
    Facets,
    Histogram,
    read_count,
    read_facets,
    read_histogram,
)
from auditlogservice.client.following import Download, follow
from auditlogservice.client.governing import Governing
from auditlogservice.client.retries import Patience
from auditlogservice.client.tokens import ApiTokens
from auditlogservice.client.verifying import ServedLog
from auditlogservice.client.wire import Wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from typing import Self

    from auditlogservice.auditing.findings import Report
    from auditlogservice.client.entering import ClientCredentials
    from auditlogservice.client.wire import OnWait

    Filters = Iterable[tuple[str, str]]

MAX_PAGE = 1_000
START = -1  # the place before the first record
_CREATED = 201


class Client:
    """Calls one server, one call after another. Not to be shared between threads.

    `token` is one from `login`, or an API token. With `credentials` it gets tokens by itself, as
    it needs them. `on_wait` is told why and how long, before each wait for another attempt.
    """

    def __init__(
        self,
        url: str,
        token: str | None = None,
        *,
        credentials: ClientCredentials | None = None,
        patience: Patience | None = None,
        on_wait: OnWait | None = None,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        self._wire = Wire(
            url, token, patience=patience or Patience(), on_wait=on_wait, transport=transport
        )
        self._wire.credentials = credentials

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._wire.close()

    @property
    def url(self) -> str:
        return self._wire.url

    @property
    def governing(self) -> Governing:
        """What erases, and what decides for how long nothing does: holds, rules and erasures."""
        return Governing(self._wire)

    @property
    def api_tokens(self) -> ApiTokens:
        """The long-lived tokens of whoever calls."""
        return ApiTokens(self._wire)

    def login(self, username: str, password: str) -> Token:
        """Return a token for this user, and use it from now on."""
        form = {"grant_type": "password", "username": username, "password": password}
        token = self._wire.read(read_token, self._wire.post_form("/token", form))
        self._wire.token = token.access_token
        return token

    def get_token(self, credentials: ClientCredentials) -> Token:
        """Return a token for this client, and use it from now on."""
        token = self._wire.read(read_token, self._wire.post_form("/token", credentials.form()))
        self._wire.token = token.access_token
        return token

    def send(self, event: Mapping[str, Json], *, idempotency_key: str | None = None) -> Answer:
        """Keep one event; return the record once it is durable."""
        key = idempotency_key or uuid.uuid4().hex
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        answer = self._wire.post("/events", dump(dict(event)), headers)
        replayed = answer.status_code != _CREATED
        return self._wire.read(lambda raw: read_answer(raw, replayed=replayed), answer)

    def send_batch(self, events: Iterable[Mapping[str, Json]]) -> BatchAnswer:
        """Keep many events; each may carry its own `idempotency_key`, else it gets one here.

        An event that the server refuses is in `failed`, and the others are kept all the same.
        Any number may be given: a batch with more events or bytes than the server takes in one
        call (10,000 and 16 MiB) goes in halves. Raises Refused if the server refuses the whole,
        TooLarge for a single event that is too large; TooBusy or ServerUnreachable if it could
        not take it. What was kept until then stays, and sending the same events with the same
        keys again is safe.
        """
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
            answer = self._wire.post("/events/batch", body, headers)
        except TooLarge:
            if len(lines) < 2:  # noqa: PLR2004 - one event cannot be halved
                raise
            half = len(lines) // 2
            return self.send_lines(lines[:half]).then(self.send_lines(lines[half:]), offset=half)
        return self._wire.read(read_batch, answer)

    def get(self, event_id: str) -> Answer:
        """Return one record. Raises Refused if there is none (404), or if it was erased (410)."""
        answer = self._wire.get(f"/events/{quote(event_id, safe='')}")
        return self._wire.read(lambda raw: read_answer(raw, replayed=False), answer)

    # ---- questions ------------------------------------------------------------

    def events(
        self, filters: Filters = (), *, limit: int | None = None, sort: str = "timestamp"
    ) -> Iterator[Answer]:
        """Yield the records that match, page after page; all of them without a `limit`."""
        page = MAX_PAGE if limit is None else min(limit, MAX_PAGE)
        path: str | None = _path("/events", filters, sort=sort, limit=page)
        left = limit
        while path and left != 0:
            answer = self._wire.get(path)
            records = self._wire.read(read_page, answer)
            yield from records[:left]
            left = left and max(left - len(records), 0)
            path = _next_page("/events", answer)

    def count(self, filters: Filters = ()) -> Count:
        return self._wire.read(read_count, self._wire.get(_path("/events/count", filters)))

    def histogram(self, filters: Filters = (), *, interval: str = "auto") -> Histogram:
        """Count per bucket of time, so wide as `interval` says: `15m`, `1h`, `7d`."""
        path = _path("/events/histogram", filters, interval=interval)
        return self._wire.read(read_histogram, self._wire.get(path))

    def facets(self, field: str, filters: Filters = (), *, limit: int = 10) -> Facets:
        """Count the values of a field, which is named by its path."""
        path = _path("/events/facets", filters, field=field, limit=limit)
        return self._wire.read(read_facets, self._wire.get(path))

    # ---- proving --------------------------------------------------------------

    def prove(self, event_id: str) -> Proof:
        """Return the proof of an event, which is read and not checked."""
        told = {"Accept": "application/json"}
        answer = self._wire.get(f"/events/{quote(event_id, safe='')}/proof", headers=told)
        return self._wire.read(read_proof, answer)

    def log(self, tenant: str) -> ServedLog:
        """Return the files of a tenant's log, for an audit."""
        return ServedLog(self._wire, tenant)

    def tell_verification(self, tenant: str, report: Report) -> None:
        """Have it put on record, in the log itself, what an audit of it found."""
        states: Counter[str] = Counter()
        for state, count in report.states.items():
            states[str(state).partition(":")[0]] += (
                count  # an erasure's reason is in the log already
            )
        told: Json = {
            "size": report.size,
            "root": report.root.hex(),
            "found": report.found,
            "states": dict(states),
        }
        path = f"/ledger/{quote(tenant, safe='')}/verifications"
        self._wire.post_once(path, dump(told), {"Content-Type": "application/json"})

    # ---- following ------------------------------------------------------------

    def end(self) -> int:
        """Return the sequence of the newest record, or START if there is none."""
        for answer in self.events(limit=1, sort="-timestamp"):
            return answer.sequence
        return START

    def feed(
        self, filters: Filters = (), *, after: int = START, wait: int = 0
    ) -> Iterator[Answer]:
        """Yield the records that match after a place, each once, in order, by asking.

        `after` is the sequence that was seen last. It ends where the log ends, unless `wait`
        says for how many seconds, 60 at most, the server may hold an answer back: then it never
        does. Raises Refused if the question is refused, TooBusy or ServerUnreachable if no
        answer comes, after the retries; the sequence of the last record is where to go on.
        """
        path = _path("/events/feed", filters, after=after, wait=wait, limit=MAX_PAGE)
        while True:
            answer = self._wire.get(path, wait=wait)
            records = self._wire.read(read_page, answer)
            yield from records
            beyond = _next_page("/events/feed", answer)
            if beyond is None:
                raise UnexpectedAnswer(self.url, "it does not say where to go on")
            if not (records or wait) and _place(beyond) == _place(path):
                return
            path = beyond

    def stream(
        self, filters: Filters = (), *, after: int | None = None
    ) -> Iterator[tuple[int, bytes]]:
        """Yield each record after a place, once, in order, as soon as it is there: without end.

        Without a place it begins with what comes in from now on. A connection that is lost is
        made again, for as long as it takes; only a refusal ends it.
        """
        yield from follow(self._wire, list(filters), self.end() if after is None else after)

    @contextmanager
    def export(
        self, filters: Filters = (), *, kind: str = "ndjson", after: int | None = None
    ) -> Iterator[Download]:
        """Give a file in the making: all that matches, as it was when this began."""
        behind = {} if after is None else {"after": after}
        path = _path("/events/export", filters, format=kind, **behind)
        with self._wire.open(path) as answer:
            end = answer.headers.get("auditlog-snapshot-end", "")
            yield Download(self._wire.chunks(answer), read_place(end))


def _path(path: str, filters: Filters, **more: str | int) -> str:
    query = urlencode([*filters, *more.items()])
    return f"{path}?{query}" if query else path


def _next_page(path: str, answer: httpx2.Response) -> str | None:
    """Return where to go on: of the link only its query, so that no server is left."""
    link = answer.links.get("next", {}).get("url")
    return f"{path}?{httpx2.URL(link).query.decode()}" if link else None


def _place(path: str) -> str | None:
    place: str | None = httpx2.URL(path).params.get("after")
    return place
