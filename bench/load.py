"""Many clients at once, each with one connection that it keeps: by wrk where it is installed.

Without wrk an asyncio client does it. That is slower than what it measures where the server is
fast, so a report says which one was used.
"""

from __future__ import annotations

import asyncio
import re
import subprocess
import tempfile
import time
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import cycle
from pathlib import Path
from shutil import which
from statistics import median
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from bench.ratios import in_turns, percentile_99

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.plan import Plan
    from bench.servers import Server

_SCRIPT = Path(__file__).with_name("load.lua")
_WARM_SECONDS = 0.3  # a turn before the first that counts
_SLOW_MS, _LONGER = 1_000, 3  # whose answers take so long has turns that last longer
_TIMEOUT = 30  # seconds for one answer: the naive service takes some
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side did in one turn: answers a second, and how long they took."""

    rate: float
    p50: float  # milliseconds
    p99: float
    cpu: float = 0.0  # microseconds of the server's, for one answer
    store_cpu: float = 0.0  # of mongod's


class Side(Protocol):
    """Puts one side under load for so long."""

    def __call__(self, *, seconds: float) -> Turn: ...


class Meter:
    """How long a server, and the mongod behind it, are busy from now on."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._before = server.busy_seconds(), server.store_busy_seconds()

    def read(self, turn: Turn, answers: float) -> Turn:
        """Return the turn with what each of its answers cost."""
        cpu, store_cpu = (
            (now - before) / answers * 1e6
            for now, before in zip(
                (self._server.busy_seconds(), self._server.store_busy_seconds()),
                self._before,
                strict=True,
            )
        )
        return replace(turn, cpu=cpu, store_cpu=store_cpu)


class Failed(Exception):
    """Some answers were no success, so the turn measured something else."""


def generator() -> str:
    """Return the name of what makes the load."""
    wrk = which("wrk")
    if wrk is None:
        return "an asyncio client of this benchmark, since wrk is not installed"
    said = subprocess.run([wrk, "--version"], capture_output=True, text=True, check=False).stdout  # noqa: S603
    return " ".join(said.split()[:2])


def drive(server: Server, requests: Sequence[Request], *, clients: int, seconds: float) -> Turn:
    """Send the requests again and again, from so many clients, for so long.

    Raises Failed if a request was refused, or got no answer.
    """
    wrk = which("wrk")
    meter = Meter(server)
    if wrk is None or seconds < 1:
        turn = asyncio.run(_drive(server.url, server.token, requests, clients, seconds))
    else:
        turn = _wrk(wrk, server.url, server.token, requests, clients, seconds)
    return meter.read(turn, turn.rate * seconds)


def drive_in_turns(sides: Mapping[str, Side], plan: Plan) -> dict[str, list[Turn]]:
    """Let each side warm up, then let them have the turns of the plan. Raises as `drive` does."""
    warm = {
        name: partial(side, seconds=_seconds(plan, side(seconds=_WARM_SECONDS)))
        for name, side in sides.items()
    }
    return in_turns(warm, plan.rounds)


def _seconds(plan: Plan, warm: Turn) -> float:
    """Return how long a turn lasts, so that every client has answers to wait for in it."""
    return plan.seconds * (_LONGER if warm.p50 > _SLOW_MS else 1)


def _wrk(
    wrk: str,
    url: str,
    token: str | None,
    requests: Sequence[Request],
    clients: int,
    seconds: float,
) -> Turn:
    with tempfile.NamedTemporaryFile(suffix=".requests") as file:
        for each in requests:
            file.write(b"%s\t%s\t%s\n" % (each.method.encode(), each.path.encode(), each.body))
        file.flush()
        header = ("--header", f"Authorization: Bearer {token}") if token else ()
        done = subprocess.run(  # noqa: S603 - wrk, with our own arguments
            [
                wrk, "--threads", "1", "--connections", str(clients),
                "--duration", f"{seconds:.0f}s", "--timeout", f"{_TIMEOUT}s",
                "--script", str(_SCRIPT), *header, url, "--", file.name,
            ],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    found = re.search(r"^FIGURES (\d+) (\d+) (\d+) (\d+) (\d+)$", done.stdout, re.MULTILINE)
    if found is None:
        raise Failed(f"wrk: {done.stderr or done.stdout}")
    answers, micros, p50, p99, failed = (int(each) for each in found.groups())
    if failed or not answers:
        raise Failed(f"{failed} of {answers} requests failed")
    return Turn(answers / micros * 1e6, p50 / 1e3, p99 / 1e3)


# ---- without wrk ------------------------------------------------------------------------


@dataclass(slots=True)
class Answer:
    status: int
    seconds: float
    head: bytes
    body: bytes


@dataclass(slots=True)
class Connection:
    """One connection that is kept; made anew when the server has closed it."""

    url: str
    token: str | None
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None)

    async def send(self, request: Request) -> Answer:
        """Return the answer, and the seconds from before the request was written."""
        if self._streams is None:
            there = urlsplit(self.url)
            self._streams = await asyncio.open_connection(there.hostname, there.port)
        reader, writer = self._streams
        start = time.perf_counter()
        writer.write(self._bytes(request))
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        body = await reader.readexactly(int(length[1])) if length else b""
        seconds = time.perf_counter() - start
        if b"\r\nconnection: close" in head.lower():
            self.close()
        return Answer(int(head[9:12]), seconds, head, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    def _bytes(self, request: Request) -> bytes:
        lines = [f"{request.method} {request.path} HTTP/1.1", f"Host: {urlsplit(self.url).netloc}"]
        if self.token:
            lines.append(f"Authorization: Bearer {self.token}")
        if request.body:
            lines += ["Content-Type: application/json", f"Content-Length: {len(request.body)}"]
        return "\r\n".join([*lines, "", ""]).encode() + request.body


async def _drive(
    url: str, token: str | None, requests: Sequence[Request], clients: int, seconds: float
) -> Turn:
    todo, spent = cycle(requests), list[float]()
    start = time.perf_counter()
    async with asyncio.timeout(seconds + _TIMEOUT), asyncio.TaskGroup() as group:
        for _ in range(clients):
            connection = Connection(url, token)
            group.create_task(_go_on(connection, todo, start + seconds, spent))
    rate = len(spent) / (time.perf_counter() - start)
    return Turn(rate, median(spent) * 1e3, percentile_99(spent) * 1e3)


async def _go_on(
    connection: Connection, todo: Iterator[Request], end: float, spent: list[float]
) -> None:
    try:
        while time.perf_counter() < end:
            answer = await connection.send(next(todo))
            if answer.status >= _REFUSED:
                raise Failed(f"{answer.status}: {answer.body[:200]!r}")
            spent.append(answer.seconds)
    finally:
        connection.close()
