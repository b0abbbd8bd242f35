"""From a URL to a database that can keep the promises; anything else is refused in a sentence.

What is checked is what the server says of itself, not what the URL hopes for.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pymongo import AsyncMongoClient, ReadPreference, WriteConcern
from pymongo.errors import OperationFailure, PyMongoError, ServerSelectionTimeoutError
from pymongo.read_concern import ReadConcern
from pymongo.server_type import SERVER_TYPE

from auditlogservice.errors import StoreUnreachable, UnsafeSetup
from auditlogservice.store.mongodb.schema import Document

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pymongo.asynchronous.database import AsyncDatabase

DEFAULT_DATABASE = "auditlog"
OLDEST_SERVER = (6, 0)
_SCHEMES = ("mongodb://", "mongodb+srv://")

DURABLE = WriteConcern("majority", j=True)
AGREED = ReadConcern("majority")

_REFUSED_CREDENTIALS = frozenset({13, 18})  # Unauthorized, AuthenticationFailed
_HOW_TO_INITIATE = (
    "Start each mongod with --replSet rs0, run rs.initiate() once in mongosh, and use "
    "mongodb://HOST:27017/auditlog?replicaSet=rs0 (or the mongodb+srv:// URL of a hosted cluster)"
)


@dataclass(frozen=True, slots=True)
class Connection:
    """A client, and the database as this service uses it: durable writes, agreed reads."""

    client: AsyncMongoClient[Document]
    database: AsyncDatabase[Document]


async def connect(url: str) -> Connection:
    """Return a connection whose server and options were checked.

    Raises UnsafeSetup if they do not do; StoreUnreachable if no server answers in time.
    """
    client = _client(url)
    try:
        await _check(client)
        return Connection(client, _database(client))
    except BaseException:
        await client.close()
        raise


def application(database: str) -> str:
    """Return the name under which the server lists our sessions: one per database."""
    return f"auditlogservice:{database}"


async def _check(client: AsyncMongoClient[Document]) -> None:
    try:
        await client.aconnect()  # only now are the options of a mongodb+srv URL known
        _check_write_concern(client.write_concern.document)
        check_topology(await client.admin.command("hello"))
        check_version((await client.admin.command("buildInfo"))["versionArray"])
    except ServerSelectionTimeoutError:
        raise _why_no_server(client) from None
    except OperationFailure as error:
        if error.code in _REFUSED_CREDENTIALS:
            raise UnsafeSetup(
                "MongoDB refuses the user of the URL: check its name, its password and "
                "authSource, and give it the role readWrite on the database"
            ) from None
        raise


def _client(url: str) -> AsyncMongoClient[Document]:
    try:
        return _read(url)
    except (PyMongoError, ValueError, TypeError, UserWarning):
        # The driver's text could repeat the password.
        raise UnsafeSetup(
            "the MongoDB URL cannot be read: it must look like "
            "mongodb://USER:PASSWORD@HOST:27017/auditlog?replicaSet=rs0, with : / ? # @ in the "
            "user or the password percent-encoded, and with no option that the driver ignores"
        ) from None


def _read(url: str) -> AsyncMongoClient[Document]:
    if not url.startswith(_SCHEMES):  # the driver takes any text for the name of a host
        raise ValueError(_SCHEMES)
    with warnings.catch_warnings():
        # The driver only warns of an option that it does not know, such as a misspelt one.
        warnings.simplefilter("error", UserWarning)
        probe = AsyncMongoClient[Document](url, connect=False)
        name = probe.get_default_database(DEFAULT_DATABASE).name
        return AsyncMongoClient[Document](
            url,
            appname=application(name),
            retryWrites=True,
            retryReads=True,
            tz_aware=True,
        )


def _database(client: AsyncMongoClient[Document]) -> AsyncDatabase[Document]:
    """Return the URL's database. Every concern is explicit: none is left to the URL."""
    return client.get_default_database(
        DEFAULT_DATABASE,
        read_preference=ReadPreference.PRIMARY,
        write_concern=DURABLE,
        read_concern=AGREED,
    )


# ---- what is refused ------------------------------------------------------------


def _check_write_concern(asked: Mapping[str, object]) -> None:
    """Refuse a URL that asks for less than is promised, instead of overruling it silently."""
    if asked.get("w", "majority") != "majority" or asked.get("j", True) is not True:
        raise UnsafeSetup(
            "the MongoDB URL asks for writes that are not durable: every write must reach the "
            "journal of a majority. Remove w= and journal= from the URL, or write "
            "w=majority&journal=true"
        )


def check_topology(hello: Mapping[str, object]) -> None:
    """Return if the server that said this is part of a replica set or a sharded cluster."""
    if "setName" not in hello and hello.get("msg") != "isdbgrid":
        raise UnsafeSetup(
            "MongoDB runs as a standalone server, which has no transactions: what it "
            f"acknowledges could be half there. One machine can be a replica set. "
            f"{_HOW_TO_INITIATE}"
        )


def check_version(version: list[int]) -> None:
    """Return if this version of the server is one whose transactions are known to do."""
    if tuple(version[:2]) < OLDEST_SERVER:
        there, needed = (".".join(map(str, each)) for each in (version[:3], OLDEST_SERVER))
        raise UnsafeSetup(f"MongoDB is version {there}: upgrade every member to {needed} or later")


def _why_no_server(client: AsyncMongoClient[Document]) -> UnsafeSetup | StoreUnreachable:
    """Tell a set that was never initiated, or has another name, from one that is down."""
    topology = client.topology_description
    servers = topology.server_descriptions().values()
    if any(server.server_type == SERVER_TYPE.RSGhost for server in servers):
        return UnsafeSetup(
            f"MongoDB has --replSet, and the replica set was never initiated. {_HOW_TO_INITIATE}"
        )
    if not servers and topology.replica_set_name:
        return UnsafeSetup(
            f"no server of the MongoDB URL is a member of the replica set "
            f"{topology.replica_set_name!r}: correct replicaSet= in the URL. {_HOW_TO_INITIATE}"
        )
    return StoreUnreachable()
