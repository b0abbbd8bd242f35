"""Who is asking, and what they may do. Pure values; how they prove it is `ledger/identity`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Literal

from auditlogservice.errors import Flaw, InsufficientScope, InvalidInput
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


class Scope(StrEnum):
    """One permission. None of them implies another: a write-only source cannot read."""

    EVENTS_WRITE = "events:write"
    EVENTS_READ = "events:read"
    EVENTS_EXPORT = "events:export"
    EVENTS_DELETE = "events:delete"
    LEDGER_READ = "ledger:read"
    USERS_MANAGE = "users:manage"
    STREAMS_MANAGE = "streams:manage"
    TENANTS_MANAGE = "tenants:manage"
    ADMIN = "admin"


# What `users add` gives when told nothing: the rights that every user of the old service had,
# which could not take everything home in one go.
DEFAULT_SCOPES = frozenset({Scope.EVENTS_WRITE, Scope.EVENTS_READ, Scope.EVENTS_DELETE})
DEFAULT_TENANT = "default"
CLIENT_PREFIX = "client:"  # of the names of clients in records; no user's name has a colon

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Someone, or something, that may sign in. `id` outlives no removal: names can be reused.

    `generation` counts the passwords: a token is good for the one that it was issued under.
    """

    id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    password_hash: str = field(repr=False)
    disabled: bool
    created_at: datetime
    generation: int = 0


def describe_user(user: User) -> dict[str, str | list[str] | bool]:
    """Return what may be told of a user, to a program: nothing that follows from its password."""
    return {
        "name": user.name,
        "tenant": user.tenant,
        "scopes": format_scopes(user.scopes).split(),
        "disabled": user.disabled,
        "created_at": format_utc(user.created_at),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """Users with a log of their own, apart from all others.

    `created_at` is None if that was never written down. `events` counts the records of the log,
    those that were erased too. While it is `suspended` none of its users and clients comes in.
    """

    name: str
    created_at: datetime | None
    suspended: bool
    events: int
    users: int
    clients: int


def describe_tenant(tenant: Tenant) -> dict[str, str | int | bool | None]:
    """Return what may be told of a tenant, to a program."""
    return {
        "name": tenant.name,
        "created_at": format_utc(tenant.created_at) if tenant.created_at else None,
        "suspended": tenant.suspended,
        "events": tenant.events,
        "users": tenant.users,
        "clients": tenant.clients,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Principal:
    """A caller whose token was checked, with the scopes that the token and its owner both have.

    `kind` says what `user_id` is the id of: a user, a client, or a subject of an external issuer.
    `token_id` is that of the token (`jti`, RFC 7519 §4.1.7), None if it has none.
    """

    user_id: str
    name: str
    tenant: str
    scopes: frozenset[Scope]
    kind: Literal["user", "client", "external"] = "user"
    token_id: str | None = None

    @property
    def source(self) -> tuple[str, str]:
        """Who it is among all tenants: what has its own part where many want the same."""
        return self.tenant, self.user_id

    def require(self, scope: Scope) -> None:
        """Return if the caller has `scope`; raise InsufficientScope if not."""
        if scope not in self.scopes:
            raise InsufficientScope(scope)


def parse_scopes(words: Iterable[str], *, pointer: str) -> frozenset[Scope]:
    """Return the scopes with these names; raise InvalidInput for any other."""
    try:
        return frozenset(Scope(word) for word in words)
    except ValueError as error:
        known = " ".join(Scope)
        raise InvalidInput([Flaw(pointer, f"{error}; the scopes are {known}")]) from None


def format_scopes(scopes: Iterable[Scope]) -> str:
    """Return the scopes as RFC 6749 §3.3 spells them: blank-separated, here in a fixed order."""
    return " ".join(scope for scope in Scope if scope in frozenset(scopes))


def check_user_name(name: str) -> None:
    _check_name(name, "user")


def check_client_name(name: str) -> None:
    _check_name(name, "client")


def _check_name(name: str, kind: str) -> None:
    if not _NAME.fullmatch(name):
        rule = "1 to 128 letters, digits and . _ @ + -, the first a letter or a digit"
        raise InvalidInput([Flaw("/name", f"a {kind}'s name is {rule}")])


def check_tenant_name(name: str) -> None:
    if not _TENANT.fullmatch(name):
        rule = "1 to 63 lower-case letters, digits and -, the first not a -"
        raise InvalidInput([Flaw("/tenant", f"a tenant's name is {rule}")])
