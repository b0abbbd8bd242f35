"""The store: whether it answers, is whole and is closed to others; who signs, and what ends."""

from __future__ import annotations

import shutil
from datetime import UTC
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import apsw

from auditlogservice.errors import AuditLogError, StoreUnreachable, UnsafeSetup
from auditlogservice.ledger.governing.retention import RETENTION
from auditlogservice.ledger.governing.rulebooks import KnownRules
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.runtime.doctor.files import check_file_system, check_room, read_mounts
from auditlogservice.runtime.doctor.findings import Finding, ok, weak, wrong
from auditlogservice.runtime.doctor.reach import is_local
from auditlogservice.runtime.keys import load_ledger_keys
from auditlogservice.runtime.signing import public_of
from auditlogservice.runtime.stores import open_store, require_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.proving.keyring import SignerKey
    from auditlogservice.runtime.settings import Settings
    from auditlogservice.runtime.stores import Store

_SECONDS_APART = 1.0  # of two clocks, so that it is worth a look
_MOST_SECONDS_APART = 5.0
_ANSWER_MS = 5_000
_MEMBERS = 3  # of a replica set that lives through the loss of one


async def check_store(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Open the store as the server does, which refuses what is not durable, and look around."""
    try:
        require_store(settings)
        store = await open_store(settings)
    except AuditLogError as error:
        yield wrong("store", str(error), "Mend that first: nothing behind it could be looked at")
        return
    try:
        yield ok("store", "answers, and its writes are durable")
        for finding in _check_place(settings, clock):
            yield finding
        yield await check_signing(settings.data_dir, store, clock)
        yield await check_retention(store)
    except AuditLogError as error:
        yield wrong("store", str(error), "Run `auditlogservice fsck`")
    finally:
        await store.close()


def _check_place(settings: Settings, clock: Clock) -> Iterator[Finding]:
    url = settings.store_url
    path = Path(url.removeprefix("sqlite:///"))
    if not url.startswith("sqlite:///"):
        yield from check_mongodb_url(url)
        yield from check_mongodb(_hello(url), clock())
    elif str(path) != ":memory:":
        yield check_file_system(path.resolve(), read_mounts())
        yield check_room(shutil.disk_usage(path.parent).free, settings.min_free_bytes)
        yield check_structure(path)


# ---- SQLite -----------------------------------------------------------------------------


def check_structure(path: Path) -> Finding:
    """Let SQLite read its file, the whole of it, beside a server if one runs."""
    try:
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        try:
            (told,), *_ = connection.execute("PRAGMA quick_check(1)")
        finally:
            connection.close()
    except apsw.Error as error:
        told = error
    if told == "ok":
        return ok("structure", "the file is whole")
    return wrong("structure", f"SQLite says: {told}", "Restore a backup (docs/operations.md)")


# ---- MongoDB ----------------------------------------------------------------------------


def check_mongodb_url(url: str) -> Iterator[Finding]:
    """Look at what the address asks for. It is never shown: it may hold a password."""
    parts = urlsplit(url)
    hosts = parts.netloc.rpartition("@")[2].split(",")
    options = {name.lower(): values[-1] for name, values in parse_qs(parts.query).items()}
    encrypted = options.get("tls", options.get("ssl", "")) == "true" or (
        parts.scheme == "mongodb+srv" and options.get("tls") != "false"
    )
    local = all(is_local(_name_of(host)) for host in hosts)
    if encrypted or local:
        yield ok("database connection", "TLS" if encrypted else "within this machine")
    else:
        yield weak(
            "database connection",
            "events and password hashes come from the database in the clear",
            "Put tls=true into AUDITLOG_STORE, unless the network is the database's own",
        )
    if parts.username or options.get("authmechanism") == "MONGODB-X509":
        yield ok("database user", "signs in")
    else:
        yield weak(
            "database user",
            "the database is used without a user: whoever reaches it is an admin of the log",
            "Turn on authorization, and name a user with the role readWrite in AUDITLOG_STORE",
        )


def _name_of(host: str) -> str:
    return host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]


def _hello(url: str) -> Mapping[str, Any]:
    from pymongo import MongoClient  # noqa: PLC0415 - SQLite does without the driver
    from pymongo.errors import PyMongoError  # noqa: PLC0415 - likewise

    try:
        with MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=_ANSWER_MS) as client:
            return client.admin.command("hello")
    except PyMongoError:
        raise StoreUnreachable from None


def check_mongodb(hello: Mapping[str, Any], now: datetime) -> Iterator[Finding]:
    """Look at what the server says of itself (the command `hello`)."""
    members = len(hello.get("hosts", ()))
    if "setName" in hello and members < _MEMBERS:
        yield weak(
            "replica set",
            f"{members} of the members hold data: what is acknowledged is lost with the disk of "
            "one"
            if members == 1
            else f"{members} members stop writing when one is lost",
            f"Add members until there are {_MEMBERS}, on machines of their own",
        )
    else:
        yield ok("replica set", f"{members} members" if members else "a sharded cluster")
    # The driver leaves out that it is UTC.
    yield check_clocks(hello["localTime"].replace(tzinfo=UTC), now)


def check_clocks(there: datetime, here: datetime) -> Finding:
    apart = abs((there - here).total_seconds())
    what = f"that of the database is {apart:.1f} s apart"
    if apart < _SECONDS_APART:
        return ok("clock", what)
    advice = "Let NTP keep both clocks: tokens and claims carry times"
    return (weak if apart < _MOST_SECONDS_APART else wrong)("clock", what, advice)


# ---- what is in it ----------------------------------------------------------------------


async def check_signing(data_dir: Path, store: Store, clock: Clock) -> Finding:
    try:
        here = [public_of(key) for key in load_ledger_keys(data_dir)]
    except UnsafeSetup as error:
        return wrong("signing key", str(error), "The server refuses to start with it")
    return check_keys(here, await Keyring(store.documents, clock=clock).keys())


def check_keys(here: Sequence[bytes], known: Collection[SignerKey]) -> Finding:
    """`here` are the keys on this node's disk, `known` those on which all nodes agree."""
    signing = {key.public for key in known if key.retired is None}
    if known and not signing:
        return wrong("signing key", "every key is retired", "Run `auditlogservice ledger rotate`")
    if not known:
        return weak("signing key", "there is none yet", "The first start of the server makes one")
    if not {key.public for key in known}.issuperset(here):
        return wrong(
            "signing key",
            "a key on this disk is none of this log's",
            "Put the right files into ledger-keys, or remove them and let other nodes sign",
        )
    if not signing.intersection(here):
        return weak(
            "signing key",
            "this node signs nothing",
            "That is right if another one does; if none does, put ledger-keys back",
        )
    return ok("signing key", "this node signs")


async def check_retention(store: Store) -> Finding:
    known = KnownRules(store.documents, RETENTION)
    await known.refresh()
    without = [tenant for tenant in sorted(await store.ledger.sizes()) if not known.rules(tenant)]
    if without:
        return weak(
            "retention",
            f"events are kept for good, of {', '.join(without[:5])}",
            "Say how long they are needed: `auditlogservice retention set`",
        )
    return ok("retention", "every tenant with events has rules")
