"""What goes on record of a change of users: what was before, and what is then. No password."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.access import format_scopes
from auditlogservice.ledger.selfaudit import Entry

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.access import Principal, Scope, User
    from auditlogservice.canonical import Json


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


def _spelled(scopes: Iterable[Scope]) -> list[Json]:
    return list(format_scopes(scopes).split())


def signed_in(who: User | Principal, scopes: frozenset[Scope], *, expires_in: int) -> Entry:
    return Entry(
        detail=f"{who.name} signed in",
        kind="user",
        id=who.name,
        data={"scopes": _spelled(scopes), "expires_in": expires_in},
    )
