"""Who has tokens, users and clients alike, as they stand now: at most half a second ago.

Every check of a token asks here, so the answers are kept for so short a time, and what changes on
one node holds on all of them within a second.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypeAlias

from auditlogservice.access import Principal
from auditlogservice.ledger.asking import Asking
from auditlogservice.ledger.identity.credentials import find_credentials

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.access import Scope
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.identity.clients import Clients
    from auditlogservice.ledger.identity.credentials import Credentials, OwnerKind
    from auditlogservice.store.port import AccountStore, DocumentStore

    _Key: TypeAlias = tuple[OwnerKind, str]

FRESHNESS = timedelta(seconds=0.5)
_CACHED = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A user or a client, and what it has out in the world.

    A signed token names what it was issued for: `generation`, the number of a user's password, or
    one of `secrets`, the ids of a client's secrets.
    """

    kind: OwnerKind
    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    disabled: bool
    generation: int | None
    secrets: frozenset[str]
    credentials: Credentials

    def speaking(self, scopes: frozenset[Scope], *, token_id: str) -> Principal:
        """Return the owner as a caller whose token was given these scopes."""
        return Principal(
            user_id=self.id,
            name=self.name,
            tenant=self.tenant,
            scopes=self.scopes & scopes,
            kind=self.kind,
            token_id=token_id,
        )


class Owners:
    def __init__(
        self, accounts: AccountStore, documents: DocumentStore, clients: Clients, *, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._documents = documents
        self._clients = clients
        self._asking: Asking[_Key, Owner] = Asking(
            self._look, freshness=FRESHNESS, capacity=_CACHED, clock=clock
        )

    async def find(
        self, kind: OwnerKind, owner_id: str, *, knows: Callable[[Owner], bool]
    ) -> Owner | None:
        """Return the owner; None if it is gone.

        `knows` says whether an owner is one that can have issued the token in question. If what
        was seen here is not, another node knows more, and the store is asked again.
        """
        return await self._asking.find((kind, owner_id), suits=knows)

    def forget(self, kind: OwnerKind, owner_id: str) -> None:
        """Ask the store the next time: something was changed here, and holds here at once."""
        self._asking.forget((kind, owner_id))

    async def _look(self, key: _Key) -> Owner | None:
        kind, owner_id = key
        return await (self._user(owner_id) if kind == "user" else self._client(owner_id))

    async def _user(self, user_id: str) -> Owner | None:
        user, credentials = await asyncio.gather(
            self._accounts.user_with_id(user_id), find_credentials(self._documents, user_id)
        )
        if user is None:
            return None
        return Owner(
            kind="user",
            id=user.id,
            name=user.name,
            tenant=user.tenant,
            scopes=user.scopes,
            disabled=user.disabled,
            generation=user.generation,
            secrets=frozenset(),
            credentials=credentials,
        )

    async def _client(self, client_id: str) -> Owner | None:
        client, credentials = await asyncio.gather(
            self._clients.find(client_id), find_credentials(self._documents, client_id)
        )
        if client is None:
            return None
        return Owner(
            kind="client",
            id=client.id,
            name=client.actor,
            tenant=client.tenant,
            scopes=client.scopes,
            disabled=client.disabled,
            generation=None,
            secrets=frozenset(secret.id for secret in client.secrets),
            credentials=credentials,
        )
