"""What an owner, a user or a client, has out in the world besides passwords and client secrets.

These are its API tokens, and the signed tokens that were revoked before their end. They are one
document for each owner, changed by compare-and-swap: so that "at most so many" holds across all
nodes, and one read tells all that a check needs to know.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import orjson

from auditlogservice.access import Scope, format_scopes
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import Unavailable
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, from_micros, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable

    from auditlogservice.store.port import DocumentStore

OwnerKind: TypeAlias = Literal["user", "client"]

MAX_REVOKED = 1_000  # signed tokens that one owner revoked one by one, and that have not ended
_KIND: Literal["credentials"] = "credentials"
_LONG_AGO = from_micros(0)
_OF_ALL = ""  # found by the owner's id alone, before anybody knows its tenant


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """A long-lived token as it is kept: all but its text. `prefix` is how the text begins."""

    id: str
    label: str
    prefix: str
    digest: str = field(repr=False)
    scopes: frozenset[Scope]
    created_at: datetime
    expires_at: datetime
    last_used_at: datetime | None = None
    generation: int | None = None  # of its user's password, which it ends with


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """The API tokens of one owner, and which of its signed tokens were revoked.

    `revoked` are their ids, and when each would have ended. Every signed token from before
    `revoked_before` counts as revoked: so does the oldest, when there are too many to name.
    """

    tokens: tuple[ApiToken, ...] = ()
    revoked: dict[str, datetime] = field(default_factory=dict)
    revoked_before: datetime = _LONG_AGO

    def token(self, token_id: str) -> ApiToken | None:
        return next((token for token in self.tokens if token.id == token_id), None)

    def without(self, token_id: str) -> Credentials:
        return replace(self, tokens=tuple(each for each in self.tokens if each.id != token_id))

    def revoke(self, token_id: str, *, ends: datetime, now: datetime) -> Credentials:
        """Return these, with one more signed token revoked.

        Beyond MAX_REVOKED all signed tokens that there are now end: who revokes so many cannot
        make the list, which each check reads, grow without end.
        """
        alive = {each: end for each, end in self.revoked.items() if end > now}
        alive[token_id] = ends
        if len(alive) <= MAX_REVOKED:
            return replace(self, revoked=alive)
        # Tokens tell the second they were made in; those of this second have to be among them.
        second = now.replace(microsecond=0) + timedelta(seconds=1)
        return replace(self, revoked={}, revoked_before=second)

    def has_revoked(self, token_id: str, *, issued_at: datetime) -> bool:
        return token_id in self.revoked or issued_at < self.revoked_before


async def find_credentials(documents: DocumentStore, owner_id: str) -> Credentials:
    found = await documents.get(_KIND, _OF_ALL, owner_id)
    return _read(found.body) if found else Credentials()


async def change_credentials(
    documents: DocumentStore, owner_id: str, change: Callable[[Credentials], Credentials]
) -> Credentials:
    """Keep what `change` makes of the credentials as they are then; return it.

    It is asked again if another was quicker, so it must not act.
    """
    while True:
        found = await documents.get(_KIND, _OF_ALL, owner_id)
        before = _read(found.body) if found else Credentials()
        after = change(before)
        if after == before:
            return after
        document = Document(
            kind=_KIND,
            tenant=_OF_ALL,
            id=owner_id,
            body=_write(after),
            version=found.version + 1 if found else 1,
        )
        if await documents.put(document):
            return after


async def forget_credentials(documents: DocumentStore, owner_id: str) -> None:
    """Remove all that a removed owner has left; without an owner it is good for nothing.

    So it is no failure of the removal if that cannot be done now.
    """
    with suppress(Unavailable):
        await documents.remove(_KIND, _OF_ALL, owner_id)


def _write(credentials: Credentials) -> bytes:
    return dump(
        {
            "tokens": [
                {
                    "id": token.id,
                    "label": token.label,
                    "prefix": token.prefix,
                    "digest": token.digest,
                    "scopes": format_scopes(token.scopes),
                    "created_at": format_utc(token.created_at),
                    "expires_at": format_utc(token.expires_at),
                    "last_used_at": format_utc(token.last_used_at) if token.last_used_at else None,
                    "generation": token.generation,
                }
                for token in credentials.tokens
            ],
            "revoked": {each: format_utc(end) for each, end in credentials.revoked.items()},
            "revoked_before": format_utc(credentials.revoked_before),
        }
    )


def _read(body: bytes) -> Credentials:
    with reading_back():
        told: dict[str, Any] = orjson.loads(body)
        return Credentials(
            tokens=tuple(_read_token(each) for each in told["tokens"]),
            revoked={each: parse_rfc3339(end) for each, end in told["revoked"].items()},
            revoked_before=parse_rfc3339(told["revoked_before"]),
        )


def _read_token(told: dict[str, Any]) -> ApiToken:
    used = told["last_used_at"]
    return ApiToken(
        id=told["id"],
        label=told["label"],
        prefix=told["prefix"],
        digest=told["digest"],
        scopes=frozenset(map(Scope, told["scopes"].split())),
        created_at=parse_rfc3339(told["created_at"]),
        expires_at=parse_rfc3339(told["expires_at"]),
        last_used_at=parse_rfc3339(used) if used else None,
        generation=told["generation"],
    )
