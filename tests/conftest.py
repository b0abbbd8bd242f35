"""Fixtures that many tests share: real servers, and a database for each test."""

from __future__ import annotations

import shutil
import signal
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest
from hypothesis import HealthCheck, settings
from pymongo import MongoClient

from auditlogservice.store.mongodb import open_mongodb
from auditlogservice.store.sqlite import open_sqlite
from mongod import ReplicaSet, find_mongod, is_required, why_missing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from auditlogservice.runtime.stores import Store

pytest_plugins = ["authority", "canaille_server", "goverifier", "running", "stub", "watching"]

# ---- hypothesis -----------------------------------------------------------------------

# A store answers in its own time; what is slow is no flaw in a strategy.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("suite")

# ---- the process, and a flaw of the driver ---------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    """Have interrupts heard, and one flaw of the driver passed over."""
    # A shell lets what it runs in the background ignore them, and so would all that is started.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _let_sockets_pass(config)


def _let_sockets_pass(config: pytest.Config) -> None:
    """Let pass a socket that PyMongo forgets when it is closed while it is still connecting.

    `_async_create_connection` closes it on an OSError and not on a cancellation (4.20). It is
    one that never connected, or that has just done so, to a server of `replica_set`. All other
    sockets that are left open stay errors.
    """
    _let_pass(config, r"laddr=[^>r]*")


def _let_pass(config: pytest.Config, addresses: str) -> None:
    forgotten = rf"Exception ignored in. <socket.socket fd=\d+, [^>]*{addresses}>"
    config.addinivalue_line(
        "filterwarnings", f"ignore:{forgotten}:pytest.PytestUnraisableExceptionWarning"
    )


# ---- servers --------------------------------------------------------------------------


_ROOM_FOR_SERVERS = 4 * 2**30


@pytest.fixture(scope="session")
def mongod_binary() -> Path:
    """A real mongod. Where CI is set it must be there; elsewhere its tests are skipped."""
    binary = find_mongod()
    if binary is None:
        if is_required():
            pytest.fail(why_missing())
        pytest.skip(why_missing())
    return binary


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where servers keep their data: in memory where there is room, since none of these tests
    cuts the power, and making a database syncs the disk a dozen times.
    """
    memory = Path("/dev/shm")
    if not memory.is_dir() or shutil.disk_usage(memory).free < _ROOM_FOR_SERVERS:
        yield tmp_path_factory.mktemp("servers")
        return
    with TemporaryDirectory(prefix="auditlog-", dir=memory) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def replica_set(
    mongod_binary: Path, server_folder: Path, pytestconfig: pytest.Config
) -> Iterator[ReplicaSet]:
    """A replica set of one, for the whole session. Do not stop it: start your own for that."""
    members = ReplicaSet.create(mongod_binary, server_folder / "one")
    for member in members.members:
        _let_pass(pytestconfig, rf"raddr=\('127.0.0.1', {member.port}\)")
    try:
        members.start()
        yield members
    finally:
        members.stop()


@pytest.fixture(scope="session")
def mongo(replica_set: ReplicaSet) -> Iterator[MongoClient[dict[str, Any]]]:
    """The server as an operator sees it, beside the service."""
    with MongoClient[dict[str, Any]](replica_set.url()) as client:
        yield client


@pytest.fixture
def mongodb_url(replica_set: ReplicaSet, mongo: MongoClient[dict[str, Any]]) -> Iterator[str]:
    """The URL of a new database, which goes when the test ends."""
    database = f"test_{uuid.uuid4().hex[:12]}"
    yield replica_set.url(database)
    # A node that a test has killed may leave a transaction open; dropping would wait for its end.
    mongo.admin.command({"killAllSessions": []})
    mongo.drop_database(database)


@pytest.fixture(scope="session")
def new_replica_set(
    mongod_binary: Path, server_folder: Path
) -> Iterator[Callable[[int], ReplicaSet]]:
    """Make replica sets that a test may break; all are gone at the end of the session."""
    made: list[ReplicaSet] = []

    def make(size: int) -> ReplicaSet:
        members = ReplicaSet.create(mongod_binary, server_folder / f"set {len(made)}", size=size)
        made.append(members)
        members.start()
        return members

    try:
        yield make
    finally:
        for members in made:
            members.stop()


# ---- stores ---------------------------------------------------------------------------


Open: TypeAlias = "Callable[[], Awaitable[Store]]"


def _opening(kind: str, request: pytest.FixtureRequest, folder: Path) -> Open:
    if kind == "mongodb":
        url: str = request.getfixturevalue("mongodb_url")
        return lambda: open_mongodb(url)
    path = ":memory:" if kind == "sqlite-memory" else str(folder / "audit.db")
    return lambda: open_sqlite(path)


@pytest.fixture(params=["sqlite-memory", "sqlite", "mongodb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of each kind."""
    opened = await _opening(request.param, request, tmp_path)()
    yield opened
    await opened.close()


@pytest.fixture(params=["sqlite", "mongodb"])
async def nodes(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[tuple[Store, Store]]:
    """Two stores over one database, as two processes would have them."""
    open_node = _opening(request.param, request, tmp_path)
    one, other = await open_node(), await open_node()
    yield one, other
    await one.close()
    await other.close()
