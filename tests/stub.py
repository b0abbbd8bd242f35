"""A server that is as small as the contract of the commands allows, and a way to call them."""

from __future__ import annotations

import json
import sys
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest
import zstandard
from typer.testing import CliRunner

from auditlogservice.runtime.cli import app as commands

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typer.testing import Result

NASTY = "evil\x1b[31m\u202egnp\x9b\r\n"


@dataclass(frozen=True, slots=True)
class Listening:
    """How one connection of a stream goes: so many records, then these bytes, then it is lost.

    `coming` are records that are there from this connection on.
    """

    records: int
    then: bytes = b""
    coming: tuple[dict[str, Any], ...] = ()


class QuietServer(ThreadingHTTPServer):
    """Says nothing of a caller who hangs up: a test may be reading what is printed."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class StubServer(QuietServer):
    """Keeps events by their idempotency key. Takes the token `good`, and the password `pw`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.records: list[dict[str, Any]] = []
        self.keys: dict[str, int] = {}
        self.queries: list[dict[str, list[str]]] = []
        self.asked: list[tuple[str, dict[str, list[str]], str]] = []  # path, query, last id
        self.figures: dict[str, Any] = {}  # by path
        self.listeners: list[Listening] = []  # one for each connection; then 401
        self.cut: int | None = None  # bytes of an export, before the connection is lost

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def keep(self, event: dict[str, Any], key: str) -> tuple[int, bool]:
        if key in self.keys:
            return self.keys[key], True
        sequence = self.keys[key] = len(self.records)
        told = {"event_data": None, **event, "_id": f"{sequence:024x}", "sequence": sequence}
        self.records.append({**told, "timestamp": "2026-01-01T00:00:00.000000Z"})
        return sequence, False


class _Handler(BaseHTTPRequestHandler):
    server: StubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.path == "/token":
            self._token(parse_qs(body.decode()))
        elif self._signed_in():
            {"/events": self._event, "/events/batch": self._batch}[self.path](body)

    def do_GET(self) -> None:
        if not self._signed_in():
            return
        path, query = urlsplit(self.path).path, parse_qs(urlsplit(self.path).query)
        self.server.queries.append(query)
        self.server.asked.append((path, query, self.headers.get("last-event-id", "")))
        if query.get("q", [""])[0].count("(") != query.get("q", [""])[0].count(")"):
            at = query["q"][0].index("(") + 1
            flaw = {"pointer": "q", "detail": f"column {at}: expected `)`"}
            self._answer(422, {"detail": "refused", "errors": [flaw]})
        elif path == "/events":
            self._list(query)
        elif path == "/events/stream":
            self._stream()
        elif path == "/events/export":
            self._export(query)
        else:
            self._answer(200, self.server.figures[path])

    def _list(self, query: dict[str, list[str]]) -> None:
        start, size = int(query.get("cursor", ["0"])[0]), int(query["limit"][0])
        sort = query["sort"][0]
        more = {"Link": f'</events?sort={sort}&limit={size}&cursor={start + size}>; rel="next"'}
        records = self.server.records
        page = (records[::-1] if sort == "-timestamp" else records)[start : start + size]
        self._answer(200, page, more if start + size < len(self.server.records) else {})

    def _stream(self) -> None:
        if not self.server.listeners:
            self._answer(401, {"detail": "the token has ended"})
            return
        told = self.server.listeners.pop(0)
        self.server.records += told.coming
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        after = int(self.headers["last-event-id"])
        self.wfile.write(b"retry: 1\n\n")
        for record in self.server.records[after + 1 :][: told.records]:
            line = json.dumps(record, ensure_ascii=False).encode()
            self.wfile.write(b"id: %d\ndata: %b\n\n" % (record["sequence"], line))
        self.wfile.write(told.then)
        self.close_connection = True

    def _export(self, query: dict[str, list[str]]) -> None:
        after = int(query.get("after", ["-1"])[0])
        lines = [json.dumps(record, ensure_ascii=False) for record in self.server.records]
        body = "".join(f"{line}\n" for line in lines[after + 1 :]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Auditlog-Snapshot-End", str(len(lines)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])
        self.close_connection = self.server.cut is not None

    def _token(self, form: dict[str, list[str]]) -> None:
        if form["password"] != ["pw"]:
            self._answer(400, {"error": "invalid_grant", "error_description": "not right"})
        else:
            self._answer(200, {"access_token": "good", "expires_in": 43200, "scope": ""})

    def _signed_in(self) -> bool:
        good = self.headers["authorization"] == "Bearer good"
        if not good:
            self._answer(401, {"detail": "a valid bearer token is needed"})
        return good

    def _event(self, body: bytes) -> None:
        event = json.loads(body)
        if not event["name"]:
            flaw = {"pointer": "/name", "detail": f"too short {NASTY}"}
            self._answer(422, {"detail": "refused", "errors": [flaw]})
            return
        sequence, again = self.server.keep(event, self.headers["idempotency-key"])
        self._answer(200 if again else 201, self.server.records[sequence])

    def _batch(self, body: bytes) -> None:
        lines = zstandard.ZstdDecompressor().decompressobj().decompress(body).splitlines()
        result: dict[str, list[dict[str, Any]]] = {"successful": [], "failed": []}
        for index, line in enumerate(lines):
            event = json.loads(line)
            key = event.pop("idempotency_key")
            if event["name"] == "bad":
                failed = {"index": index, "code": "x", "detail": "no", "pointer": "/name"}
                result["failed"].append(failed)
                continue
            sequence, again = self.server.keep(event, key)
            kept = {"index": index, "_id": f"{sequence:024x}", "sequence": sequence}
            result["successful"].append(kept | ({"replayed": True} if again else {}))
        self._answer(200, result)

    def _answer(self, status: int, value: object, headers: dict[str, str] | None = None) -> None:
        body = json.dumps(value, ensure_ascii=False).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, words in (headers or {}).items():
            self.send_header(name, words)
        self.end_headers()
        self.wfile.write(body)


def run(*args: str, stdin: str | bytes = "", env: dict[str, str | None] | None = None) -> Result:
    result = CliRunner().invoke(commands.app, args, input=stdin, env=env)
    assert "Traceback" not in result.output
    return result


# ---- fixtures -------------------------------------------------------------------------


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    thread = threading.Thread(target=stub.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield stub
    stub.shutdown()
    thread.join()
    stub.server_close()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A configuration folder of nobody, and an environment without our variables."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    for name in ("AUDITLOG_URL", "AUDITLOG_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def signed_in(server: StubServer, home: Path) -> StubServer:
    assert home.exists()
    result = run("login", "alice", "--password-stdin", "--url", server.url, stdin="pw\n")
    assert result.exit_code == 0, result.output
    return server
