"""How far those reach who manage others: as far as their own scopes do, and no further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.access import parse_scopes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.access import Principal, Scope


def grantable(caller: Principal, words: Iterable[str]) -> frozenset[Scope]:
    """Return the scopes with these names. Raises InsufficientScope if the caller lacks one."""
    scopes = parse_scopes(words, pointer="/scopes")
    require_all(caller, scopes)
    return scopes


def require_all(caller: Principal, scopes: frozenset[Scope]) -> None:
    """Raise InsufficientScope if the caller lacks one of these.

    Whoever sets a user's password can sign in as that user, so a manager reaches only as far as
    their own scopes do.
    """
    for scope in sorted(scopes):
        caller.require(scope)
