"""What is measured, started with shipped defaults on free local ports, and ended by its id."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from argon2 import PasswordHasher
from pymongo import MongoClient

import auditlogservice
from auditlogservice.access import Scope
from bench.events import USER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mongod import ReplicaSet

PASSWORD = "correct horse battery staple"  # noqa: S105 - of servers that live for minutes

_ROOT = Path(__file__).parents[1]
_SOURCE = Path(auditlogservice.__file__).parents[1]
_READY = re.compile(r"ready at (\S+)")
_START_SECONDS, _STOP_SECONDS = 120, 60


@dataclass(slots=True)
class Server:
    """One process, with a folder of its own for its data and for what it says."""

    name: str
    folder: Path
    command: Sequence[str]
    settings: dict[str, str] = field(default_factory=dict)
    url: str = ""
    token: str | None = None
    store_pid: int | None = None  # of the mongod that it uses
    _process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None  # noqa: S101 - it runs
        return self._process.pid

    def start(self) -> float:
        """Start it; return the seconds until it answered."""
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / "server.log"
        start = time.perf_counter()
        with log.open("wb") as out:
            self._process = subprocess.Popen(  # noqa: S603 - this very package
                [sys.executable, *self.command],
                env=_environment(self.settings), cwd=self.folder, stdout=out, stderr=out,
            )  # fmt: skip
        while time.perf_counter() < start + _START_SECONDS:
            if self._process.poll() is not None:
                break
            if self._answers(log):
                return time.perf_counter() - start
            time.sleep(0.01)
        raise RuntimeError(f"{self.name} did not start: {log.read_text()[-2_000:]}")

    def _answers(self, log: Path) -> bool:
        if self.url:
            try:
                httpx2.get(self.url, timeout=5)
            except httpx2.TransportError:
                return False
            return True
        # Ours takes a free port by itself, and says so when it is ready.
        ready = _READY.search(log.read_text())
        if ready:
            self.url = ready[1]
        return bool(ready)

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self) -> float:
        """Stop it, start it again; return the seconds until it answered."""
        self.stop()
        if "serve" in self.command:
            self.url = ""
        return self.start()

    def login(self, name: str = USER) -> None:
        form = {"username": name, "password": PASSWORD}
        answer = httpx2.post(f"{self.url}/token", data=form, timeout=30)
        answer.raise_for_status()
        self.token = answer.json()["access_token"]

    def busy_seconds(self) -> float:
        """Return for how long the processes have kept a core busy; 0 where that cannot be told."""
        return sum(map(_busy_seconds, _family(self.pid)))

    def store_busy_seconds(self) -> float:
        """Return for how long its mongod has kept a core busy; 0 if it has none."""
        return _busy_seconds(self.store_pid) if self.store_pid else 0.0

    def resident_mib(self) -> float:
        """Return the memory that the processes have now; 0 where that cannot be told."""
        return sum(map(_resident_mib, _family(self.pid)))


@contextmanager
def running(server: Server, *, users: bool = True) -> Iterator[Server]:
    """Run it, signed in if it has users, until the block is left."""
    try:
        server.start()
        if users:
            server.login()
        yield server
    finally:
        server.stop()


def ours(
    name: str, folder: Path, *, mongo: ReplicaSet | None = None, module: str = "auditlogservice"
) -> Server:
    """Return this service over a store, SQLite in its folder if there is no mongod, with its user.

    The user reads what it has recorded itself, so that most of its questions leave no record.
    The folder names the database in mongod. `module` runs in the place of the service.
    """
    settings = {"AUDITLOG_DATA_DIR": str(folder / "data"), "AUDITLOG_PORT": "0"}
    if mongo is not None:
        settings["AUDITLOG_STORE"] = mongo.url(folder.name)
    folder.mkdir(parents=True, exist_ok=True)
    made = Server(
        name, folder, ("-m", module, "serve"), settings, store_pid=pid_of(mongo) if mongo else None
    )
    add_user(made, USER)
    return made


def add_user(server: Server, name: str, *options: str) -> None:
    """Add a user to one of ours, who may read and write, whether or not it runs."""
    scopes = (Scope.EVENTS_WRITE, Scope.EVENTS_READ, Scope.EVENTS_EXPORT, Scope.LEDGER_READ)
    subprocess.run(  # noqa: S603 - this very package
        [
            sys.executable, "-m", "auditlogservice", "users", "add", name, "--password-stdin",
            *(f"--scope={scope}" for scope in scopes), *options,
        ],
        env=_environment(server.settings), cwd=server.folder, input=PASSWORD.encode(),
        stdout=subprocess.DEVNULL, check=True,
    )  # fmt: skip


def pid_of(mongo: ReplicaSet) -> int:
    """Return the process of its first member."""
    process = mongo.members[0].process
    assert process is not None  # noqa: S101 - it runs
    return process.pid


def naive(folder: Path, mongo: ReplicaSet) -> Server:
    """Return the naive service over a database of the folder's name, which gets its user."""
    database = mongo.url(folder.name)
    with MongoClient[dict[str, object]](database) as client:
        user: dict[str, object] = {
            "username": USER,
            "password_hash": PasswordHasher().hash(PASSWORD),
        }
        client.get_default_database()["users"].insert_one(user)
    port = _free_port()
    return Server(
        "naive", folder, ("-m", "bench.naive", database, str(port)),
        url=f"http://127.0.0.1:{port}", store_pid=pid_of(mongo),
    )  # fmt: skip


def framework(folder: Path) -> Server:
    port = _free_port()
    return Server(
        "framework", folder, ("-m", "bench.limits.framework", str(port)),
        url=f"http://127.0.0.1:{port}",
    )  # fmt: skip


def _family(pid: int) -> list[int]:
    """Return the process and its children, which are the workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children")
    return [pid, *map(int, children.read_text().split())] if children.exists() else [pid]


def _busy_seconds(pid: int) -> float:
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    user, system = stat.read_text().rpartition(")")[2].split()[11:13]  # proc(5): utime, stime
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def _resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return 0.0
    kib = re.search(r"^VmRSS:\s+(\d+)", status.read_text(), re.MULTILINE)
    return int(kib[1]) / 1024 if kib else 0.0


def _environment(settings: dict[str, str]) -> dict[str, str]:
    """Return these settings alone, so that no setting of the user's own changes a figure."""
    path = os.environ["PATH"]  # noqa: TID251 - a process needs it
    return {"PATH": path, "PYTHONPATH": os.pathsep.join((str(_ROOT), str(_SOURCE))), **settings}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
