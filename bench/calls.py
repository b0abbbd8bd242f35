"""One caller, one call after another, on one connection that is kept."""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPResponse
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from bench.load import Failed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from bench.servers import Server

_TIMEOUT = 120
_REFUSED = 400


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer, and the seconds from before the request until its last byte."""

    headers: Mapping[str, str]
    body: bytes
    seconds: float

    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """Raises Failed for every answer that is no success."""

    def __init__(self, server: Server) -> None:
        self._connection = HTTPConnection(urlsplit(server.url).netloc, timeout=_TIMEOUT)
        self._headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}

    def get(self, path: str) -> Reply:
        return self._call("GET", path)

    def post(self, path: str, body: bytes, media: str = "application/json") -> Reply:
        return self._call("POST", path, body, {"Content-Type": media})

    def _call(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> Reply:
        start = time.perf_counter()
        response = self.open(method, path, body, headers)
        read = response.read()
        return Reply(dict(response.headers), read, time.perf_counter() - start)

    def open(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
    ) -> HTTPResponse:
        """Return the answer with its body still to be read."""
        told = {**self._headers, **(headers or {})}
        self._connection.request(method, path, body or None, told)
        response = self._connection.getresponse()
        if response.status >= _REFUSED:
            raise Failed(f"{method} {path}: {response.status} {response.read()[:300]!r}")
        return response

    def close(self) -> None:
        self._connection.close()


@contextmanager
def calling(server: Server) -> Iterator[Caller]:
    caller = Caller(server)
    try:
        yield caller
    finally:
        caller.close()
