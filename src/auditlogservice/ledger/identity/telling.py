"""What goes on record of a change of users, clients, tenants, tokens and keys.

What was before, and what is then; and never a password, a secret or a token. Who signs in, in
whatever way, is told by `signed_in`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from auditlogservice.access import CLIENT_PREFIX, format_scopes
from auditlogservice.ledger.selfaudit.recording import Entry
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.access import Principal, Scope, Tenant, User
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.identity.clients import Client, ClientSecret
    from auditlogservice.ledger.identity.credentials import ApiToken
    from auditlogservice.ledger.identity.inspected import Inspected
    from auditlogservice.ledger.identity.tokens import IssuedToken


def user_added(name: str, scopes: Iterable[Scope]) -> Entry:
    return Entry(
        detail=f"user {name} was added", kind="user", id=name, data={"scopes": _spelled(scopes)}
    )


def user_changed(
    user: User,
    *,
    password: str | None = None,
    scopes: frozenset[Scope] | None = None,
    disabled: bool | None = None,
) -> Entry:
    """Say what of the user is to be different, as `Accounts.change` is told it."""
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    if scopes is not None:
        before["scopes"], after["scopes"] = _spelled(user.scopes), _spelled(scopes)
    if disabled is not None:
        before["disabled"], after["disabled"] = user.disabled, disabled
    return Entry(
        detail=f"user {user.name} was changed",
        kind="user",
        id=user.name,
        data={"before": before, "after": after, "new_password": password is not None},
    )


def user_removed(user: User) -> Entry:
    return Entry(
        detail=f"user {user.name} was removed",
        kind="user",
        id=user.name,
        data={"scopes": _spelled(user.scopes)},
    )


def signed_in(who: User | Principal, scopes: frozenset[Scope], *, expires_in: int) -> Entry:
    return Entry(
        detail=f"{who.name} signed in",
        kind="user",
        id=who.name,
        data={"scopes": _spelled(scopes), "expires_in": expires_in},
    )


# ---- clients ------------------------------------------------------------------------------


def client_added(name: str, scopes: Iterable[Scope]) -> Entry:
    return _of_client(f"{CLIENT_PREFIX}{name}", "was added", {"scopes": _spelled(scopes)})


def client_changed(
    client: Client, *, scopes: frozenset[Scope] | None = None, disabled: bool | None = None
) -> Entry:
    """Say what of the client is to be different, as `Clients.change` is told it."""
    before: dict[str, Json] = {}
    after: dict[str, Json] = {}
    if scopes is not None:
        before["scopes"], after["scopes"] = _spelled(client.scopes), _spelled(scopes)
    if disabled is not None:
        before["disabled"], after["disabled"] = client.disabled, disabled
    return _of_client(client.actor, "was changed", {"before": before, "after": after})


def secret_added(client: Client, secret: ClientSecret) -> Entry:
    expires_at = None if secret.expires_at is None else format_utc(secret.expires_at)
    told: dict[str, Json] = {"id": secret.id, "label": secret.label, "expires_at": expires_at}
    return _of_client(client.actor, "got a secret", {"secret_added": told})


def secret_removed(client: Client, secret_id: str) -> Entry:
    return _of_client(client.actor, "lost a secret", {"secret_removed": {"id": secret_id}})


def client_removed(client: Client) -> Entry:
    data: dict[str, Json] = {"client_id": client.id, "scopes": _spelled(client.scopes)}
    return _of_client(client.actor, "was removed", data)


def _of_client(actor: str, what: str, data: dict[str, Json]) -> Entry:
    """The target is what the client's own records call it."""
    return Entry(detail=f"{actor} {what}", kind="client", id=actor, data=data)


# ---- tokens and keys ----------------------------------------------------------------------


def token_issued(client: Client, token: IssuedToken) -> Entry:
    data: dict[str, Json] = {"scopes": _spelled(token.scopes), "expires_in": token.expires_in}
    return _of_client(client.actor, "got a token", data)


def api_token_issued(owner: str, token: ApiToken) -> Entry:
    return _of_api_token(f"an API token was made for {owner}", token)


def api_token_revoked(owner: str, token: ApiToken) -> Entry:
    return _of_api_token(f"an API token of {owner} was ended", token)


def _of_api_token(detail: str, token: ApiToken) -> Entry:
    data: dict[str, Json] = {
        "label": token.label,
        "scopes": _spelled(token.scopes),
        "expires_at": format_utc(token.expires_at),
    }
    return Entry(detail=detail, kind="token", id=token.id, data=data)


def token_revoked(found: Inspected) -> Entry:
    """Say which token is to be ended. Those of this service have ids."""
    owner = found.principal
    return Entry(
        detail=f"a token of {owner.name} was ended",
        kind="token",
        id=str(owner.token_id),
        data={
            "owner": owner.name,
            "scopes": _spelled(owner.scopes),
            "expires_at": format_utc(found.expires_at),
        },
    )


def key_rotated(signs: Literal["tokens", "logs"], key_id: str) -> Entry:
    """Of a token key, `key_id` is the one that signs no more; of a log, the one that begins to."""
    return _of_key(f"a key that signs {signs} was rotated", signs, key_id)


def key_retired(signs: Literal["tokens", "logs"], key_id: str) -> Entry:
    return _of_key(f"a key that signs {signs} was retired", signs, key_id)


def _of_key(detail: str, signs: str, key_id: str) -> Entry:
    return Entry(detail=detail, kind="key", id=key_id, data={"signs": signs})


# ---- tenants ------------------------------------------------------------------------------


def tenant_added(name: str) -> Entry:
    return _of_tenant(name, "was added", {})


def tenant_changed(tenant: Tenant, *, suspended: bool) -> Entry:
    return _of_tenant(
        tenant.name,
        "was suspended" if suspended else "was resumed",
        {"before": {"suspended": tenant.suspended}, "after": {"suspended": suspended}},
    )


def tenant_removed(name: str) -> Entry:
    return _of_tenant(name, "was removed", {})


def _of_tenant(name: str, what: str, data: dict[str, Json]) -> Entry:
    return Entry(detail=f"tenant {name} {what}", kind="tenant", id=name, data=data)


def _spelled(scopes: Iterable[Scope]) -> list[Json]:
    return list(format_scopes(scopes).split())
