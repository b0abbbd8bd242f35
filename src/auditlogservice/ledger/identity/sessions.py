"""Sessions of browsers: what the cookie of somebody who has signed in stands for.

A session is a document in the store, known by the hash of its secret. So it is no bearer token
and none passes as the other, every node knows it, and one that was ended is gone everywhere at
once. Whether a user may still come in is asked each time, as with tokens; somebody from outside
has the scopes of the sign-in until the session ends.
"""

from __future__ import annotations

import asyncio
import base64
import re
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import orjson

from auditlogservice.access import Principal, Scope, format_scopes
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import NotAuthenticated, StoreBroken, Unavailable
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from auditlogservice.access import User
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import AccountStore, DocumentStore

CLEAR_EVERY = 600.0  # seconds between looks for sessions that are over
_KIND: Final = "session"
_SECRET_BYTES = 32
# The tenant says where the document is; only the secret says that it may be used.
_TEXT = re.compile(r"([a-z0-9][a-z0-9-]{0,62})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class Session:
    """One that was just opened. `text` is a secret, for the cookie; `ends_in` is in seconds."""

    principal: Principal
    text: str = field(repr=False)
    ends_in: int


class Sessions:
    def __init__(
        self,
        documents: DocumentStore,
        accounts: AccountStore,
        *,
        clock: Clock,
        entropy: Entropy,
        lifetime: timedelta,
    ) -> None:
        self._documents = documents
        self._accounts = accounts
        self._clock = clock
        self._entropy = entropy
        self._lifetime = lifetime
        self._closed = asyncio.Event()

    async def open_for_user(self, user: User) -> Session:
        """Open a session of a user, which ends at the latest when the password is changed."""
        principal = Principal(
            user_id=user.id, name=user.name, tenant=user.tenant, scopes=user.scopes
        )
        return await self._open(principal, generation=user.generation)

    async def open_for_external(self, principal: Principal) -> Session:
        """Open a session of somebody for whom the external issuer vouches."""
        return await self._open(principal, generation=None)

    async def check(self, text: str) -> Principal:
        """Return whose session it is. Raises NotAuthenticated, never saying more."""
        place = _TEXT.fullmatch(text)
        found = place and await self._documents.get(_KIND, place[1], _id(text))
        if not found:
            raise NotAuthenticated(tried=True)
        kept = _read(found)
        if kept.ends_at <= self._clock():
            raise NotAuthenticated(tried=True)
        if kept.principal.kind == "external":
            return kept.principal
        user = await self._accounts.user_with_id(kept.principal.user_id)
        if user is None or user.disabled or user.generation != kept.generation:
            raise NotAuthenticated(tried=True)
        return Principal(
            user_id=user.id,
            name=user.name,
            tenant=user.tenant,
            scopes=user.scopes,
            token_id=kept.principal.token_id,
        )

    async def end(self, text: str) -> None:
        """End the session, on every node, if there is one."""
        if place := _TEXT.fullmatch(text):
            await self._documents.remove(_KIND, place[1], _id(text))

    def close(self) -> None:
        self._closed.set()

    async def run(self) -> None:
        """Forget the sessions that are over, now and then. Until then nobody can use them."""
        while not self._closed.is_set():
            with suppress(Unavailable):  # the next look finds them too
                await self._clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLEAR_EVERY):
                    await self._closed.wait()

    async def _open(self, principal: Principal, *, generation: int | None) -> Session:
        secret = base64.urlsafe_b64encode(self._entropy(_SECRET_BYTES)).decode().rstrip("=")
        text = f"{principal.tenant}.{secret}"
        body: dict[str, Json] = {
            "user_id": principal.user_id,
            "name": principal.name,
            "kind": principal.kind,
            "scopes": format_scopes(principal.scopes),
            "generation": generation,
            "ends_at": format_utc(self._clock() + self._lifetime),
        }
        await self._documents.put(
            Document(kind=_KIND, tenant=principal.tenant, id=_id(text), body=dump(body))
        )
        return Session(principal, text, int(self._lifetime.total_seconds()))

    async def _clear(self) -> None:
        now = self._clock()
        for found in await self._documents.all(_KIND):
            with suppress(StoreBroken):  # one that cannot be read lets nobody in either
                if _read(found).ends_at <= now:
                    await self._documents.remove(_KIND, found.tenant, found.id)


def _id(text: str) -> str:
    """What is kept of a session's secret; 256 random bits are not found by trying."""
    return sha256(text.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class _Kept:
    principal: Principal
    generation: int | None  # of the user's password
    ends_at: datetime


def _read(document: Document) -> _Kept:
    with reading_back():
        told = orjson.loads(document.body)
        principal = Principal(
            user_id=told["user_id"],
            name=told["name"],
            tenant=document.tenant,
            scopes=frozenset(map(Scope, told["scopes"].split())),
            kind=told["kind"],
            token_id=document.id,
        )
        return _Kept(principal, told["generation"], parse_rfc3339(told["ends_at"]))
