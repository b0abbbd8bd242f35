"""Clients: programs that may come in (RFC 6749 §2), and the secrets that they show for it.

A client has the rights of one tenant, as a user has. It is named in records as `client:` and its
name, which is no user's name, and which it shares with no other client of its tenant.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Protocol

import orjson

from auditlogservice.access import (
    CLIENT_PREFIX,
    DEFAULT_TENANT,
    Scope,
    check_client_name,
    check_tenant_name,
    format_scopes,
)
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import (
    ClientExists,
    ClientNotFound,
    Conflict,
    InvalidClient,
    NotFound,
    Unavailable,
)
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.identity.credentials import forget_credentials
from auditlogservice.ledger.identity.labels import USE_NOTED_EVERY, check_expiry, check_label
from auditlogservice.ledger.identity.opaque import (
    CLIENT_SECRET,
    SECRET_BYTES,
    digest,
    is_of,
    spell,
)
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import DocumentStore

MAX_SECRETS = 2  # the one in use, and its successor
_KIND: Literal["client"] = "client"
_NAME: Literal["client-name"] = "client-name"
_OF_ALL = ""  # found by its id alone: who asks for a token does not say of which tenant it is
_ID = re.compile("[0-9a-f]{24}")
_DECOY = digest("")  # takes the place of a secret that there is not, so that time tells nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientSecret:
    """A secret as it is kept: all but its text. None as `expires_at` is: never."""

    id: str
    label: str
    digest: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    last_used_at: datetime | None = None

    def is_active(self, now: datetime) -> bool:
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """A program that may come in. Its id is its `client_id` in OAuth, and never used again."""

    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    created_at: datetime
    disabled: bool = False
    secrets: tuple[ClientSecret, ...] = ()

    @property
    def actor(self) -> str:
        """What it is called in records."""
        return f"{CLIENT_PREFIX}{self.name}"

    def require_secret(self, secret_id: str) -> None:
        """Raise NotFound if the client has no secret of this id."""
        if all(secret.id != secret_id for secret in self.secrets):
            raise NotFound("the client has no secret of this id")


def describe_client(client: Client) -> dict[str, Any]:
    """Return what may be told of a client, to a program."""
    return {
        "id": client.id,
        "name": client.name,
        "tenant": client.tenant,
        "scopes": format_scopes(client.scopes).split(),
        "disabled": client.disabled,
        "created_at": format_utc(client.created_at),
        "secrets": [describe_secret(secret) for secret in client.secrets],
    }


def describe_secret(secret: ClientSecret) -> dict[str, Any]:
    """Return what may be told of a secret: nothing that follows from its text."""
    return {
        "id": secret.id,
        "label": secret.label,
        "created_at": format_utc(secret.created_at),
        "expires_at": _format(secret.expires_at),
        "last_used_at": _format(secret.last_used_at),
    }


async def count_clients(documents: DocumentStore) -> Counter[str]:
    """Return how many clients each tenant has that has any."""
    return Counter(_client(document).tenant for document in await documents.all(_KIND))


class TheirTenants(Protocol):
    """What clients need of `Tenants`, which in turn counts clients."""

    async def ensure(self, name: str) -> bool: ...

    async def is_suspended(self, name: str) -> bool: ...


class Clients:
    def __init__(
        self, documents: DocumentStore, *, tenants: TheirTenants, clock: Clock, entropy: Entropy
    ) -> None:
        self._documents = documents
        self._tenants = tenants
        self._clock = clock
        self._entropy = entropy

    async def add(
        self, name: str, *, scopes: frozenset[Scope], tenant: str = DEFAULT_TENANT
    ) -> Client:
        """Keep a new client, without a secret. Raises InvalidInput for a bad name, ClientExists.

        The client is there before it has its name, so that the name is never that of nobody for
        long: whoever finds a name whose client is gone, takes it over.
        """
        _check(name, tenant)
        now = self._clock()
        client = Client(
            id=new_id(now, self._entropy), name=name, tenant=tenant, scopes=scopes, created_at=now
        )
        await self._documents.put(_document(client, version=1))
        if not await self._take_name(client):
            await self._documents.remove(_KIND, _OF_ALL, client.id)
            raise ClientExists
        # The client is there, and shows its tenant; only since when may stay unknown.
        with suppress(Unavailable):
            await self._tenants.ensure(tenant)
        return client

    async def check_new(self, name: str, *, tenant: str) -> None:
        """Raise what `add` would raise, as far as that can be told before."""
        _check(name, tenant)
        with suppress(ClientNotFound):
            await self.named(name, tenant=tenant)
            raise ClientExists

    async def _take_name(self, client: Client) -> bool:
        found = await self._documents.get(_NAME, client.tenant, client.name)
        if found and await self.find(found.body.decode()):
            return False
        return await self._documents.put(
            Document(
                kind=_NAME,
                tenant=client.tenant,
                id=client.name,
                body=client.id.encode(),
                version=found.version + 1 if found else 1,
            )
        )

    async def find(self, client_id: str) -> Client | None:
        if not _ID.fullmatch(client_id):
            return None
        found = await self._documents.get(_KIND, _OF_ALL, client_id)
        return _client(found) if found else None

    async def get(self, client_id: str, *, tenant: str | None = None) -> Client:
        """Return the client, if it is of `tenant` (None: any). Raises ClientNotFound."""
        client = await self.find(client_id)
        if client is None or tenant not in {None, client.tenant}:
            raise ClientNotFound
        return client

    async def named(self, name: str, *, tenant: str) -> Client:
        """Return the client of this name in the tenant. Raises ClientNotFound."""
        found = await self._documents.get(_NAME, tenant, name)
        if found is None:
            raise ClientNotFound
        return await self.get(found.body.decode(), tenant=tenant)

    async def all(self, tenant: str | None) -> list[Client]:
        """Return the clients of a tenant, or all of them, in order of name."""
        found = [_client(document) for document in await self._documents.all(_KIND)]
        ours = [client for client in found if tenant in {None, client.tenant}]
        return sorted(ours, key=lambda client: (client.name, client.tenant))

    async def change(
        self,
        client: Client,
        *,
        scopes: frozenset[Scope] | None = None,
        disabled: bool | None = None,
    ) -> Client:
        """Change what is given; return the client as it is then. Raises ClientNotFound."""

        def change(now: Client) -> Client:
            return replace(
                now,
                scopes=now.scopes if scopes is None else scopes,
                disabled=now.disabled if disabled is None else disabled,
            )

        return await self._change(client.id, change)

    async def remove(self, client: Client) -> None:
        """Forget the client, and all that it has. Raises ClientNotFound."""
        if not await self._documents.remove(_KIND, _OF_ALL, client.id):
            raise ClientNotFound
        await forget_credentials(self._documents, client.id)

    # ---- secrets ---------------------------------------------------------------

    async def add_secret(
        self, client: Client, *, label: str = "", expires_at: datetime | None = None
    ) -> tuple[ClientSecret, str]:
        """Make a secret; return what is kept of it, and its text, which nobody is told again.

        Raises Conflict if there are MAX_SECRETS that are active. Those that have ended go.
        """
        now = self._clock()
        check_label(label)
        if expires_at is not None:
            check_expiry(expires_at, now=now)
        text = spell(CLIENT_SECRET, self._entropy(SECRET_BYTES))
        secret = ClientSecret(
            id=new_id(now, self._entropy),
            label=label,
            digest=digest(text),
            created_at=now,
            expires_at=expires_at,
        )

        def change(client: Client) -> Client:
            active = tuple(each for each in client.secrets if each.is_active(now))
            if len(active) >= MAX_SECRETS:
                raise Conflict(f"a client has at most {MAX_SECRETS} secrets; remove one first")
            return replace(client, secrets=(*active, secret))

        await self._change(client.id, change)
        return secret, text

    async def remove_secret(self, client: Client, secret_id: str) -> None:
        """Forget a secret; the tokens that it was good for end. Raises NotFound."""

        def change(client: Client) -> Client:
            client.require_secret(secret_id)
            kept = tuple(each for each in client.secrets if each.id != secret_id)
            return replace(client, secrets=kept)

        await self._change(client.id, change)

    async def sign_in(self, client_id: str, secret: str) -> tuple[Client, ClientSecret]:
        """Return the client, and which of its secrets this is.

        Raises InvalidClient, whatever is wrong, after as many comparisons as of a good one.
        """
        now = self._clock()
        client = await self.find(client_id)
        barred = await self._tenants.is_suspended(client.tenant if client else DEFAULT_TENANT)
        kept = client.secrets if client else ()
        decoys = (_DECOY,) * (MAX_SECRETS - len(kept))
        right = [is_of(secret, each) for each in (*(each.digest for each in kept), *decoys)]
        good = [
            each
            for each, matches in zip(kept, right, strict=False)
            if matches and each.is_active(now)
        ]
        if client is None or client.disabled or barred or not good:
            raise InvalidClient
        await self._note_use(client, good[0], now)
        return client, good[0]

    async def _note_use(self, client: Client, used: ClientSecret, now: datetime) -> None:
        """Write down when the secret was used; seldom, and never in the way of its use."""
        if used.last_used_at and now - used.last_used_at < USE_NOTED_EVERY:
            return

        def change(client: Client) -> Client:
            return replace(
                client,
                secrets=tuple(
                    replace(each, last_used_at=now) if each.id == used.id else each
                    for each in client.secrets
                ),
            )

        try:
            await self._change(client.id, change)
        except (Unavailable, ClientNotFound):
            return

    async def _change(self, client_id: str, change: Callable[[Client], Client]) -> Client:
        while True:
            found = await self._documents.get(_KIND, _OF_ALL, client_id)
            if found is None:
                raise ClientNotFound
            before = _client(found)
            after = change(before)
            if after == before or await self._documents.put(
                _document(after, version=found.version + 1)
            ):
                return after


def _check(name: str, tenant: str) -> None:
    check_client_name(name)
    check_tenant_name(tenant)


def _document(client: Client, *, version: int) -> Document:
    body = dump(
        {
            "name": client.name,
            "tenant": client.tenant,
            "scopes": format_scopes(client.scopes),
            "created_at": format_utc(client.created_at),
            "disabled": client.disabled,
            "secrets": [
                {**describe_secret(secret), "digest": secret.digest} for secret in client.secrets
            ],
        }
    )
    return Document(kind=_KIND, tenant=_OF_ALL, id=client.id, body=body, version=version)


def _client(document: Document) -> Client:
    with reading_back():
        told: dict[str, Any] = orjson.loads(document.body)
        return Client(
            id=document.id,
            name=told["name"],
            tenant=told["tenant"],
            scopes=frozenset(map(Scope, told["scopes"].split())),
            created_at=parse_rfc3339(told["created_at"]),
            disabled=told["disabled"],
            secrets=tuple(_secret(each) for each in told["secrets"]),
        )


def _secret(told: dict[str, Any]) -> ClientSecret:
    return ClientSecret(
        id=told["id"],
        label=told["label"],
        digest=told["digest"],
        created_at=parse_rfc3339(told["created_at"]),
        expires_at=_parse(told["expires_at"]),
        last_used_at=_parse(told["last_used_at"]),
    )


def _format(moment: datetime | None) -> str | None:
    return None if moment is None else format_utc(moment)


def _parse(text: str | None) -> datetime | None:
    return None if text is None else parse_rfc3339(text)
