"""A witness that keeps every rule of c2sp.org/tlog-witness, and a way to put it on a port."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import httpx2

from auditlogservice.checkpoints import AddCheckpoint, Checkpoint
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import EMPTY_ROOT, verify_consistency
from auditlogservice.notes import SigningKey, VerifierKey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

WITNESS = SigningKey("witness.example/w1", bytes(range(32)))
OTHER_WITNESS = SigningKey("witness.example/w2", bytes(32))


@dataclass
class StrictWitness:
    """Cosigns what extends what it has cosigned last, for the logs whose keys it was given.

    The two versions of the protocol differ in one status: `of_same_size` is the answer to a
    checkpoint of the size that was cosigned last, with another root.
    """

    key: SigningKey = WITNESS
    of_same_size: int = 422
    logs: dict[str, list[VerifierKey]] = field(default_factory=dict)
    cosigned: dict[str, Checkpoint] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    lie: Callable[[bytes], tuple[int, bytes]] | None = None
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def trust(self, *keys: VerifierKey) -> None:
        for key in keys:
            self.logs.setdefault(key.name, []).append(key)

    def answer(self, body: bytes) -> tuple[int, bytes]:
        with self._turn:  # comparing and keeping are one step
            status, content = self.lie(body) if self.lie else self._answer(body)
        self.statuses.append(status)
        return status, content

    def _answer(self, body: bytes) -> tuple[int, bytes]:  # noqa: PLR0911 - a status for each rule
        try:
            request = AddCheckpoint.parse(body)
            asked = Checkpoint.parse(request.checkpoint.text)
        except MalformedInput:
            return 400, b""
        if asked.origin not in self.logs:
            return 404, b""
        try:
            request.checkpoint.verified(self.logs[asked.origin])
        except ProofInvalid:
            return 403, b""
        if request.old > asked.size:
            return 400, b""
        last = self.cosigned.get(asked.origin, Checkpoint(asked.origin, 0, EMPTY_ROOT))
        if request.old != last.size:
            return 409, f"{last.size}\n".encode()
        if last.size == asked.size and last.root != asked.root:
            return self.of_same_size, b""
        try:
            verify_consistency(
                request.hashes,
                old=last.size,
                old_root=last.root,
                new=asked.size,
                new_root=asked.root,
            )
        except ProofInvalid:
            return 422, b""
        self.cosigned[asked.origin] = asked
        return 200, self.key.cosign(request.checkpoint.text, at=1_767_225_600).line.encode()

    def client(self) -> httpx2.AsyncClient:
        """Return a client that reaches this witness, whatever the address, without a socket."""

        def answer(request: httpx2.Request) -> httpx2.Response:
            assert (request.method, request.url.path) == ("POST", "/add-checkpoint")
            status, content = self.answer(request.content)
            return httpx2.Response(status, stream=httpx2.ByteStream(content))

        return httpx2.AsyncClient(transport=httpx2.MockTransport(answer))


@contextmanager
def serving(answer: Callable[[bytes], tuple[int, bytes]]) -> Iterator[str]:
    """Give the address of a server that answers the body of each POST so."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def do_POST(self) -> None:
            status, content = answer(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Connection", "close")
            self.end_headers()
            self.wfile.write(content)
            self.close_connection = True

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
