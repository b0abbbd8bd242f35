"""The server as a process: first start, stop under load, sudden death, many workers."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

COMMAND = Path(sys.executable).parent / "auditlogservice"
READY = re.compile(r"auditlogservice is ready at (http://\S+)\n")
PASSWORD = "correct horse battery staple"
EVENT = {"name": "n", "event_type": "t", "detail": "d"}


@dataclass
class Server:
    """One `auditlogservice serve`, on a port of its own choice."""

    folder: Path
    store: str | None = None
    arguments: tuple[str, ...] = ()
    output: list[str] = field(default_factory=list)
    clients: list[httpx2.Client] = field(default_factory=list)
    url: str = ""
    grace: str = "10s"

    def environment(self) -> dict[str, str]:
        path = os.environ["PATH"]  # noqa: TID251 - where the system's programs are
        # The disk of whoever runs the tests may be nearly full.
        found = {"AUDITLOG_MIN_FREE_BYTES": "0", "AUDITLOG_DATA_DIR": str(self.folder)}
        found |= {"PATH": path, "AUDITLOG_SHUTDOWN_GRACE": self.grace}
        found |= {"TMPDIR": str(self.folder.parent)}
        return found | ({"AUDITLOG_STORE": self.store} if self.store else {})

    def start(self) -> None:
        self.process = subprocess.Popen(
            [COMMAND, "serve", "--port", "0", *self.arguments],
            cwd=self.folder.parent,
            env=self.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        for line in self.process.stdout:
            self.output.append(line)
            if found := READY.fullmatch(line):
                self.url = found[1]
                return
        assert self.process.stderr
        pytest.fail(f"the server did not start: {self.process.stderr.read()}")

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        if self.process.returncode is None:
            self.process.send_signal(how)
            _, self.errors = self.process.communicate(timeout=30)
        while self.clients:
            self.clients.pop().close()
        return self.process.returncode

    def users(self, *arguments: str, entered: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [COMMAND, "users", *arguments],
            cwd=self.folder.parent,
            env=self.environment(),
            input=entered,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    def token(self, name: str, client: httpx2.Client, password: str = PASSWORD) -> str:
        form = {"username": name, "password": password}
        return str(client.post(f"{self.url}/token", data=form).json()["access_token"])

    def sign_in(self, name: str, password: str = PASSWORD) -> httpx2.Client:
        client = httpx2.Client(base_url=self.url, timeout=30)
        client.headers["Authorization"] = f"Bearer {self.token(name, client, password)}"
        self.clients.append(client)
        return client


@pytest.fixture(params=["sqlite", "mongodb"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    store = request.getfixturevalue("mongodb_url") if request.param == "mongodb" else None
    made = Server(tmp_path / "data", store)
    made.start()
    yield made
    made.stop(signal.SIGKILL)


def records(client: httpx2.Client) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    path: str | None = "/events?limit=1000"
    while path:
        answer = client.get(path)
        found += answer.json()
        path = answer.links["next"]["url"] if "next" in answer.links else None
    return found


def test_an_empty_store_gets_an_admin_whose_password_is_shown_once(server: Server) -> None:
    text = "".join(server.output)
    password = re.search(r"password {2}(\S+)", text)
    assert password
    curl = re.search(r"^ +(curl .*)$", text, re.MULTILINE)
    assert curl
    answer = subprocess.run(
        ["bash", "-c", f"{curl[1]} --silent"], capture_output=True, check=True, timeout=30
    )
    assert json.loads(answer.stdout)["scope"].split() == [
        "events:write", "events:read", "events:export", "events:delete", "ledger:read",
        "users:manage", "streams:manage", "tenants:manage", "admin",
    ]  # fmt: skip
    assert server.stop() == 0
    server.output.clear()
    server.start()
    assert "password" not in "".join(server.output)
    assert server.sign_in("admin", password[1]).get("/me").status_code == 200
    assert password[1] not in server.errors


def test_a_stop_under_load_ends_with_0_and_keeps_what_it_acknowledged(server: Server) -> None:
    server.users("add", "alice", "--password-stdin", entered=PASSWORD)
    acknowledged: list[str] = []

    def write(client: httpx2.Client) -> None:
        with contextlib.suppress(httpx2.TransportError):
            while True:
                answer = client.post("/events", json=EVENT)
                if answer.status_code != 201:
                    return
                acknowledged.append(answer.json()["_id"])

    threads = [threading.Thread(target=write, args=(server.sign_in("alice"),)) for _ in range(8)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    assert server.stop() == 0
    for thread in threads:
        thread.join(30)
    assert len(acknowledged) > 20
    server.start()
    kept = {record["_id"] for record in records(server.sign_in("alice"))}
    assert set(acknowledged) <= kept


def writer(server: Server, number: int, seen: dict[str, str], stop: threading.Event) -> None:
    """Post alice's events, each until it is acknowledged, with its own key, through every crash.

    One client makes all attempts. Making another takes 30 ms, which loads the certificates: eight
    writers that did so while the server is down would leave it no core to start on.
    """
    count = 0
    with httpx2.Client(timeout=30) as client:
        while not stop.is_set():
            key = f"{number}-{count}"
            try:
                if "Authorization" not in client.headers:
                    client.headers["Authorization"] = f"Bearer {server.token('alice', client)}"
                answer = client.post(
                    f"{server.url}/events",
                    json={**EVENT, "detail": key},
                    headers={"Idempotency-Key": key},
                )
                if answer.status_code in {200, 201}:
                    seen[key] = answer.json()["_id"]
                    count += 1
                    continue
            except (httpx2.TransportError, KeyError, json.JSONDecodeError):
                pass
            time.sleep(0.02)


@contextlib.contextmanager
def writing(server: Server, writers: int) -> Iterator[dict[str, str]]:
    """Have events written until the block is left, be it by an error.

    Give the ids of what was acknowledged, by their details.
    """
    seen: dict[str, str] = {}
    stop = threading.Event()
    threads = [
        threading.Thread(target=writer, args=(server, number, seen, stop))
        for number in range(writers)
    ]
    for thread in threads:
        thread.start()
    try:
        yield seen
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def kill_again_and_again(server: Server, kills: int, seconds: float) -> None:
    server.users("add", "alice", "--password-stdin", entered=PASSWORD)
    with writing(server, 8) as seen:
        for _ in range(kills):
            # MongoDB waits a second before it ends what a dead node has left open.
            time.sleep(random.uniform(1.5, seconds))
            server.stop(signal.SIGKILL)
            server.start()
    kept = records(server.sign_in("alice"))
    details = [record["detail"] for record in kept if record["user_id"] == "alice"]
    assert len(seen) > 10 * kills
    assert len(details) == len(set(details))  # none twice
    assert seen.items() <= {record["detail"]: record["_id"] for record in kept}.items()
    assert [record["sequence"] for record in kept] == list(range(len(kept)))


def test_a_killed_server_has_lost_and_doubled_nothing(server: Server) -> None:
    kill_again_and_again(server, kills=2, seconds=2.0)


@pytest.mark.deep
@pytest.mark.timeout(1200)
def test_sixty_kills_lose_and_double_nothing(server: Server) -> None:
    kill_again_and_again(server, kills=60, seconds=3.0)


def test_two_workers_over_mongodb_answer_as_one(mongodb_url: str, tmp_path: Path) -> None:
    server = Server(tmp_path / "data", mongodb_url, ("--workers", "2"))
    server.start()
    try:
        server.users("add", "alice", "--password-stdin", entered=PASSWORD)
        clients = [server.sign_in("alice") for _ in range(6)]
        for _ in range(10):
            for client in clients:
                assert client.post("/events", json=EVENT).status_code == 201
        kept = records(clients[0])
        assert [record["user_id"] for record in kept].count("alice") == 60
        assert [record["sequence"] for record in kept] == list(range(len(kept)))
        # Whichever worker answers, the figures are those of both.
        name = 'auditlog_request_seconds_count{method="POST",route="/events",status="201"} 60.0'
        for _ in range(6):
            assert name in httpx2.get(f"{server.url}/metrics").text.splitlines()
    finally:
        assert server.stop() == 0


def test_a_server_that_cannot_work_says_why_in_a_line(tmp_path: Path) -> None:
    def refused(*arguments: str) -> str:
        done = subprocess.run(
            [COMMAND, "serve", "--port", "0", "--data-dir", str(tmp_path / "data"), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        return done.stderr

    assert "--workers 1" in refused("--workers", "2")
    assert "sqlite:///path/audit.db or mongodb://" in refused("--store", "postgres://x")
    other = tmp_path / "other.db"
    other.write_bytes(b"not a database at all" * 100)
    assert str(other) in refused("--store", f"sqlite:///{other}")
    assert "--port" in refused("--host", "192.0.2.1")


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What the command says for people: the tests may run as root, which it warns of."""
    return [line for line in done.stderr.splitlines() if "runs as root" not in line]


def run_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [COMMAND, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(
    ("content", "mode", "why"),
    [(b"junk", 0o600, "not a private key"), (b"", 0o600, "not a private key"),
     (b"junk", 0o644, "chmod 600")],
)  # fmt: skip
def test_a_bad_token_key_is_one_line_and_exit_1(
    mongodb_url: str, tmp_path: Path, workers: str, content: bytes, mode: int, why: str
) -> None:
    key = tmp_path / "data" / "token-key.pem"
    key.parent.mkdir()
    key.write_bytes(content)
    key.chmod(mode)
    done = run_in(
        tmp_path, "serve", "--port", "0", "--data-dir", str(key.parent), "--store", mongodb_url,
        "--workers", workers,
    )  # fmt: skip
    assert done.returncode == 1
    (complaint,) = complaints(done)
    assert why in complaint


REFUSING = """
from contextlib import asynccontextmanager
from auditlogservice.__main__ import main
from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime import wiring

@asynccontextmanager
async def refuse(*_):
    raise UnsafeSetup("the moon is full")
    yield

wiring.open_services = refuse
main()
"""


def test_a_setup_that_the_application_refuses_at_its_start_is_one_line_too(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", REFUSING, "serve", "--port", "0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, complaints(done)) == (1, ["auditlogservice: the moon is full"])


def open_and_say(url: str, sent: bytes) -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    opened = socket.create_connection((host, int(port)))
    opened.sendall(sent)
    return opened


def test_a_body_that_never_ends_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    server = Server(tmp_path / "data", None)
    server.grace = "2s"
    server.start()
    try:
        head = (
            b"POST /token HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n"
            b"Content-Type: application/x-www-form-urlencoded\r\n\r\nx"
        )
        with open_and_say(server.url, head), open_and_say(server.url, head[:20]):
            time.sleep(0.3)
            begin = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - begin < 2
        assert "Traceback" not in server.errors
        assert "Exception" not in server.errors
    finally:
        server.stop(signal.SIGKILL)


def children_of(pid: int) -> list[int]:
    """The workers: those that were spawned, and not what keeps books of them."""
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int(each.joinpath("stat").read_text().rpartition(")")[2].split()[1])
            if parent == pid and "spawn_main" in each.joinpath("cmdline").read_text():
                found.append(int(each.name))
    return found


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        stat = Path(f"/proc/{pid}/stat").read_text()
        return stat.rpartition(")")[2].split()[0] != "Z"
    return False


def within(seconds: float, found: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found():
            return True
        time.sleep(0.05)
    return found()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="asks /proc")
def test_workers_end_with_their_parent_and_the_figures_of_the_dead_go(
    mongodb_url: str, tmp_path: Path
) -> None:
    server = Server(tmp_path / "data", mongodb_url, ("--workers", "2"))
    server.start()
    try:
        first, other = children_of(server.process.pid)
        os.kill(first, signal.SIGKILL)
        assert within(20, lambda: set(children_of(server.process.pid)) - {first, other} != set())
        assert within(20, lambda: f'pid="{first}"' not in figures(server))
        assert figures(server).count("\nauditlog_info{") == 1
        workers = children_of(server.process.pid)
        assert len(workers) == 2
        server.stop(signal.SIGKILL)
        assert within(10, lambda: not any(is_alive(pid) for pid in workers))
        (left,) = tmp_path.glob("auditlog-workers-*")
        server.start()
        (used,) = tmp_path.glob("auditlog-workers-*")
        assert used != left
        server.stop()
        assert list(tmp_path.glob("auditlog-workers-*")) == []
    finally:
        server.stop(signal.SIGKILL)


def figures(server: Server) -> str:
    return httpx2.get(f"{server.url}/metrics").text


# ---- users on the store itself -------------------------------------------------------------


def test_users_are_managed_beside_a_running_server(server: Server) -> None:
    added = server.users("add", "alice", "--password-stdin", entered=PASSWORD + "\n")
    assert (added.returncode, added.stdout) == (
        0, "added alice to tenant default: events:write events:read events:delete\n",
    )  # fmt: skip
    client = server.sign_in("alice")
    assert client.get("/me").status_code == 200

    assert server.users("disable", "alice").returncode == 0
    time.sleep(1)
    assert client.get("/me").status_code == 401
    assert server.users("enable", "alice").returncode == 0
    assert server.users("scopes", "alice", "events:read").returncode == 0
    assert server.sign_in("alice").get("/me").json()["scopes"] == ["events:read"]
    changed = server.users("passwd", "alice", "--password-stdin", entered="another long one")
    assert changed.returncode == 0
    assert server.sign_in("alice", "another long one").get("/me").status_code == 200
    listed = json.loads(server.users("list", "--json").stdout)
    assert [user["name"] for user in listed] == ["admin", "alice"]
    assert "alice" in server.users("list").stdout
    assert server.users("remove", "alice").returncode == 0
    time.sleep(1)
    assert client.get("/me").status_code == 401


@pytest.mark.parametrize(
    "arguments",
    [("list",), ("disable", "a"), ("enable", "a"), ("passwd", "a", "--password-stdin"),
     ("scopes", "a", "events:read"), ("remove", "a")],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_a_store_that_is_not_there_is_not_made_by_a_look_at_it(
    tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    server = Server(tmp_path / "data")
    done = server.users(*arguments, entered=PASSWORD)
    assert done.returncode == 1
    assert "there is no store at " in done.stderr
    assert done.stderr.count("\n") == 1
    assert not server.folder.exists()


def test_a_bad_user_is_refused_in_a_line(tmp_path: Path) -> None:
    server = Server(tmp_path / "data")
    for arguments, entered, why in [
        (("add", "alice"), "short", "12 to 256"),
        (("add", "a b"), PASSWORD, "name"),
        (("add", "alice", "--scope", "root"), PASSWORD, "events:read"),
        (("add", "alice", "--tenant", "No"), PASSWORD, "tenant"),
        (("disable", "nobody"), "", "no user"),
    ]:
        stdin = ("--password-stdin",) if arguments[0] == "add" else ()
        done = server.users(*arguments, *stdin, entered=entered)
        assert done.returncode == 1
        assert why in done.stderr
        assert "Traceback" not in done.stderr


def test_at_a_terminal_the_password_is_asked_for_twice_and_not_shown(tmp_path: Path) -> None:
    import pty  # noqa: PLC0415 - not on every system

    server = Server(tmp_path / "data")
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(tmp_path)
        arguments = [str(COMMAND), "users", "add", "alice"]
        os.execve(COMMAND, arguments, server.environment())
    shown = ""
    for entered in (PASSWORD, "a slip of the finger", PASSWORD, PASSWORD):
        shown += _until_asked(terminal)
        os.write(terminal, f"{entered}\n".encode())
    with contextlib.suppress(OSError):  # Linux says EIO at the end
        while more := os.read(terminal, 1024):
            shown += more.decode()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert "added alice" in shown
    assert shown.count("Password") == 2
    assert shown.count("Repeat") == 2
    assert PASSWORD not in shown


def _until_asked(terminal: int) -> str:
    shown = ""
    while not shown.endswith(": "):  # the blank comes once the echo is off
        shown += os.read(terminal, 1024).decode()
    return shown
