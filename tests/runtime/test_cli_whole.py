"""The commands against a server that really runs, and dies, on SQLite."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from test_serve import COMMAND, PASSWORD, Server

from auditlogservice.runtime.cli.exporting import Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """A server that comes back at the same address, with a user who is signed in."""
    made = Server(tmp_path / "data")
    made.start()
    try:
        made.arguments = ("--port", str(urlsplit(made.url).port))
        scopes = [f"--scope=events:{each}" for each in ("write", "read", "export")]
        command(made, "users", "add", "alice", *scopes, "--password-stdin", entered=PASSWORD)
        command(made, "login", "alice", "--password-stdin", "--url", made.url, entered=PASSWORD)
        yield made
    finally:
        made.stop(signal.SIGKILL)


def command(server: Server, *arguments: str, entered: str = "") -> bytes:
    done = subprocess.run(
        [COMMAND, *arguments],
        cwd=server.folder.parent,
        env=environment(server),
        input=entered.encode(),
        capture_output=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def environment(server: Server) -> dict[str, str]:
    return {**server.environment(), "XDG_CONFIG_HOME": str(server.folder.parent / "config")}


def events(first: int, count: int) -> str:
    return "\n".join(
        json.dumps({"name": "n", "event_type": f"t{n % 2}", "detail": "é", "event_data": {"n": n}})
        for n in range(first, first + count)
    )


def test_what_is_recorded_is_found_counted_and_taken_home(server: Server, tmp_path: Path) -> None:
    command(server, "import", "-", entered=events(0, 2_500))
    everything = ("--limit", "0", "--json")
    listed = command(server, "list", "event_type=t1", "--sort", "timestamp", *everything)
    assert listed.count(b"\n") == 1_250
    found = command(server, "search", "event_type:t1", "--oldest", *everything)
    assert found == listed
    assert command(server, "count", "event_type:t1", "event_data.n[lt]=100") == b"50 events\n"
    assert b"1,250" in command(server, "facets", "event_type")
    assert b"\xe2\x96" in command(server, "histogram")
    newest = command(server, "tail", "-n", "2", "--json", "event_type=t1")
    assert newest.splitlines() == listed.splitlines()[-2:]

    file = tmp_path / "out.ndjson"
    command(server, "export", "-o", str(file), "event_type=t1")
    assert file.read_bytes() == listed
    assert command(server, "export", "-o", "-", "event_type:t1") == listed
    # As after a cut: the beginning is there, up to the middle of a record.
    file.rename(tmp_path / "out.ndjson.part")
    with (tmp_path / "out.ndjson.part").open("r+b") as part:
        part.truncate(len(listed) // 2 + 11)
    command(server, "export", "-o", str(file), "--resume", "event_type=t1")
    assert file.read_bytes() == listed
    for each in Format:
        command(server, "export", "-o", str(tmp_path / each), "--format", each, "event_type=t1")
        assert (tmp_path / each).stat().st_size > 0


def test_a_follower_sees_each_record_once_across_the_deaths_of_the_server(server: Server) -> None:
    command(server, "import", "-", entered=events(0, 30))
    seen: list[int] = []
    with running(server, "tail", "-f", "-n", "5", "--json", "event_type=t1") as follower:
        reader = threading.Thread(target=read_numbers, args=(follower, seen))
        reader.start()
        until(lambda: len(seen) == 5)
        with running(server, "import", "-", "--batch-size", "5") as writer:
            assert writer.stdin
            writer.stdin.write(events(30, 3_000).encode())
            writer.stdin.close()
            for _ in range(3):
                time.sleep(random.uniform(0.3, 1.0))
                server.stop(signal.SIGKILL)
                server.start()
            assert writer.wait(60) == 0
        wanted = list(range(21, 3_030, 2))
        until(lambda: len(seen) >= len(wanted))
        follower.send_signal(signal.SIGINT)
        reader.join(10)
        assert follower.stderr
        errors = follower.stderr.read()
    assert seen == wanted
    assert (follower.returncode, b"Traceback" in errors) == (130, False)


def running(server: Server, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [COMMAND, *arguments],
        cwd=server.folder.parent,
        env=environment(server),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def read_numbers(follower: subprocess.Popen[bytes], seen: list[int]) -> None:
    assert follower.stdout
    for line in follower.stdout:
        seen.append(json.loads(line)["event_data"]["n"])  # noqa: PERF401 - as they come


def until(holds: Callable[[], bool]) -> None:
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
