"""Failed logins on record: each of them, and no flood of records when there is a flood of them.

Failures are told here without waiting, so that an answer takes as long whether the name is known
or not. `run` puts them on record within a second, and then once a minute for each name and
address, with the number of attempts. While nothing can be recorded they wait, counted.

A name that no user has may be a mistyped password, and an id that no client has a secret; so it is
not kept, and such failures are in the log of the default tenant.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.errors import Unavailable, UserNotFound
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Actor, Origin, actor_named
from auditlogservice.ledger.selfaudit.recording import Caller, Entry

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.identity.accounts import Accounts
    from auditlogservice.ledger.identity.clients import Clients
    from auditlogservice.ledger.selfaudit.recording import SelfAudit

LOOK_EVERY = 1.0  # seconds
TELL_EVERY = timedelta(minutes=1)
MAX_APART = 100  # names and addresses that are told apart in a minute; the rest is counted as one

K = TypeVar("K")


class _Login(NamedTuple):
    """What was shown at the door: the name of a user, or the id of a client, and from where."""

    kind: Literal["user", "client"]
    name: str
    ip: str | None


@dataclass(frozen=True, slots=True)
class _Attempts:
    """How often, and where the first came from."""

    origin: Origin
    count: int = 0


@dataclass(frozen=True, slots=True)
class _Failed:
    """Who could not sign in, and from which address: None is any."""

    name: str | None
    tenant: str
    ip: str | None

    @property
    def actor(self) -> Actor:
        return actor_named(self.name)


_OTHERS = _Failed(None, DEFAULT_TENANT, None)


class FailedLogins:
    """`run` must be running, in a task that its owner waits for."""

    def __init__(
        self, accounts: Accounts, clients: Clients, audit: SelfAudit, *, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._clients = clients
        self._audit = audit
        self._clock = clock
        self._new: dict[_Login, _Attempts] = {}
        self._waiting: dict[_Failed, _Attempts] = {}
        self._told_at: dict[_Failed, datetime] = {}
        self._closing, self._ended = asyncio.Event(), asyncio.Event()

    def tell(self, name: str, origin: Origin) -> None:
        """Count a login of a user that has failed."""
        self._count(_Login("user", name, origin.ip), origin)

    def tell_client(self, client_id: str, origin: Origin) -> None:
        """Count a time that a client has not shown that it is the one of this id."""
        self._count(_Login("client", client_id, origin.ip), origin)

    def _count(self, login: _Login, origin: Origin) -> None:
        if login not in self._new and len(self._new) >= MAX_APART:
            login, origin = _Login("user", "", None), Origin()
        _add(self._new, login, _Attempts(origin, 1))

    async def close(self) -> None:
        """Return when all that was told is on record, or cannot be."""
        self._closing.set()
        await self._ended.wait()

    async def run(self) -> None:
        try:
            while not self._closing.is_set():
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_EVERY):
                        await self._closing.wait()
                with suppress(Unavailable):  # it waits, and is recorded later
                    await self._record()
        finally:
            self._ended.set()

    async def _record(self) -> None:
        await self._sort_out()
        now = self._clock()
        self._told_at = {
            failed: at for failed, at in self._told_at.items() if now - at < TELL_EVERY
        }
        due = [
            failed
            for failed in self._waiting
            if failed not in self._told_at or self._closing.is_set()
        ]
        for failed in due:
            attempts = self._waiting[failed]
            origin = attempts.origin if attempts.count == 1 else Origin(ip=failed.ip)
            caller = Caller(actor=failed.actor, tenant=failed.tenant, origin=origin)
            await self._audit.record(
                acts.LOGIN_FAILED, caller, _entry(failed, attempts.count), outcome="failure"
            )
            del self._waiting[failed]
            self._told_at[failed] = now

    async def _sort_out(self) -> None:
        """Find out whose names they are."""
        while self._new:
            login = next(iter(self._new))
            failed = await self._failed(login)
            known = self._waiting.keys() | self._told_at.keys()
            if failed not in known and len(known) >= MAX_APART:
                failed = _OTHERS
            _add(self._waiting, failed, self._new.pop(login))

    async def _failed(self, login: _Login) -> _Failed:
        if login.kind == "client":
            client = await self._clients.find(login.name)
            known = client and (client.actor, client.tenant)
        else:
            known = await self._user(login.name)
        name, tenant = known or (None, DEFAULT_TENANT)
        return _Failed(name, tenant, login.ip)

    async def _user(self, name: str) -> tuple[str, str] | None:
        try:
            user = await self._accounts.user(name)
        except UserNotFound:
            return None
        return user.name, user.tenant


def _add(counts: dict[K, _Attempts], key: K, more: _Attempts) -> None:
    known = counts.get(key, more)
    counts[key] = _Attempts(
        known.origin, more.count if known is more else known.count + more.count
    )


def _entry(failed: _Failed, attempts: int) -> Entry:
    who = failed.name or "somebody"
    target = (failed.actor.type, failed.name) if failed.name else ("tenant", failed.tenant)
    return Entry(
        detail=f"{who} could not sign in",
        kind=target[0],
        id=target[1],
        data={"attempts": attempts, "known": failed.name is not None},
    )
