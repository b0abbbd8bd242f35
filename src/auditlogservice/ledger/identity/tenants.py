"""Tenants: made, suspended, resumed and removed; and the question whether one is suspended.

A document says since when a tenant is there, and whether it is suspended. A tenant that has users,
clients or a log is there without one, too: what an earlier release has made, or what comes to be
while the tenant is being removed.

Whether a tenant is suspended is looked up in the store, at most half a second ago; so its users
are out on every node within a second.
"""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import orjson

from auditlogservice.access import Tenant, check_tenant_name
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import Conflict, Flaw, InvalidInput, NotFound
from auditlogservice.ledger.asking import Asking
from auditlogservice.ledger.identity.clients import count_clients
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import AccountStore, DocumentStore, LedgerStore

FRESHNESS = timedelta(seconds=0.5)
_KIND: Final = "tenant"
_STATE = "state"  # the id of the document: a tenant has one
_ATTEMPTS = 5
_CACHED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _State:
    """What is written down of a tenant. Version 0: nothing yet."""

    created_at: datetime | None = None
    suspended: bool = False
    version: int = 0

    def to_document(self, name: str) -> Document:
        """Return the document that follows the one of this version."""
        created_at = format_utc(self.created_at) if self.created_at else None
        body = dump({"created_at": created_at, "suspended": self.suspended})
        return Document(kind=_KIND, tenant=name, id=_STATE, body=body, version=self.version + 1)


def _read(document: Document | None) -> _State:
    if document is None:
        return _State()
    with reading_back():
        told: dict[str, Any] = orjson.loads(document.body)
        created_at = told["created_at"]
        return _State(
            created_at=None if created_at is None else parse_rfc3339(created_at),
            suspended=told["suspended"],
            version=document.version,
        )


class Tenants:
    def __init__(
        self,
        documents: DocumentStore,
        *,
        accounts: AccountStore,
        ledger: LedgerStore,
        clock: Clock,
    ) -> None:
        self._documents = documents
        self._accounts = accounts
        self._ledger = ledger
        self._clock = clock
        self._suspended: Asking[str, bool] = Asking(
            self._look, freshness=FRESHNESS, capacity=_CACHED, clock=clock
        )

    # ---- which there are ----------------------------------------------------------------

    async def all(self) -> list[Tenant]:
        """Return every tenant, in order of name."""
        states = {each.tenant: _read(each) for each in await self._documents.all(_KIND)}
        sizes = await self._ledger.sizes()
        users = Counter(user.tenant for user in await self._accounts.users(None))
        clients = await count_clients(self._documents)
        return [
            _tenant(
                name,
                states.get(name, _State()),
                events=sizes.get(name, 0),
                users=users[name],
                clients=clients[name],
            )
            for name in sorted({*states, *sizes, *users, *clients})
        ]

    async def get(self, name: str) -> Tenant:
        """Return a tenant. Raises NotFound."""
        return await self._shown(name, await self._state(name))

    async def _shown(self, name: str, state: _State) -> Tenant:
        events = await self._ledger.size(name)
        users = len(await self._accounts.users(name))
        clients = (await count_clients(self._documents))[name]
        if not (state.version or events or users or clients):
            raise NotFound("no tenant has this name")
        return _tenant(name, state, events=events, users=users, clients=clients)

    # ---- changes --------------------------------------------------------------------------

    async def add(self, name: str) -> Tenant:
        """Make a tenant. Raises InvalidInput for a bad name, Conflict if it is there."""
        await self.check_new(name)
        if await self.ensure(name):
            return await self.get(name)
        raise _exists()

    async def check_new(self, name: str) -> None:
        """Raise what `add` would raise, as far as that can be told before."""
        _check_name(name)
        with suppress(NotFound):
            await self.get(name)
            raise _exists()

    async def ensure(self, name: str) -> bool:
        """Write down that the tenant is there; return whether that had not been done before."""
        state = _State(created_at=self._clock())
        return await self._documents.put(state.to_document(name))

    async def suspend(self, name: str) -> Tenant:
        """Keep all its users out. Raises NotFound. Its log stays, and stays signed."""
        return await self._set(name, suspended=True)

    async def resume(self, name: str) -> Tenant:
        """Let its users in again, with the tokens that they had. Raises NotFound."""
        return await self._set(name, suspended=False)

    async def remove(self, name: str) -> None:
        """Forget a tenant that has no records, users and clients. Raises NotFound, Conflict."""
        await self.check_empty(name)
        await self._documents.remove(_KIND, name, _STATE)
        self._suspended.forget(name)

    async def check_empty(self, name: str) -> None:
        """Raise NotFound or Conflict if `remove` would."""
        tenant = await self.get(name)
        if tenant.events or tenant.users or tenant.clients:
            raise Conflict(
                f"the tenant is not empty (records: {tenant.events:,}, users: {tenant.users:,}, "
                f"clients: {tenant.clients:,}); what is on record stays, so suspend it instead"
            )

    async def _set(self, name: str, *, suspended: bool) -> Tenant:
        for _ in range(_ATTEMPTS):
            state = await self._state(name)
            tenant = await self._shown(name, state)
            document = replace(state, suspended=suspended).to_document(name)
            if await self._documents.put(document):
                self._suspended.forget(name)
                return replace(tenant, suspended=suspended)
        raise Conflict("others are changing this tenant; try again")

    # ---- suspension -----------------------------------------------------------------------

    async def is_suspended(self, name: str) -> bool:
        """Whether the users of the tenant are to be kept out, as of half a second ago."""
        return bool(await self._suspended.find(name))

    async def _look(self, name: str) -> bool:
        return (await self._state(name)).suspended

    async def _state(self, name: str) -> _State:
        return _read(await self._documents.get(_KIND, name, _STATE))


def _exists() -> Conflict:
    return Conflict("a tenant with this name exists already")


def _tenant(name: str, state: _State, *, events: int, users: int, clients: int) -> Tenant:
    return Tenant(
        name=name,
        created_at=state.created_at,
        suspended=state.suspended,
        events=events,
        users=users,
        clients=clients,
    )


def _check_name(name: str) -> None:
    """Raise InvalidInput, with a pointer into a body that makes a tenant."""
    try:
        check_tenant_name(name)
    except InvalidInput as error:
        raise InvalidInput([Flaw("/name", error.flaws[0].detail)]) from None
