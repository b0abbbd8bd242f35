"""What the claims of an external issuer mean here: who it is, of which tenant, with which scopes.

Nobody outside can be taken for a user of this service, or for the service itself: ids and names
begin with a prefix that no user's name can have, and come from the issuer's claims behind it.
Whether claims can be believed is `external.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TypeAlias, TypeGuard

from auditlogservice.access import (
    DEFAULT_TENANT,
    Principal,
    Scope,
    check_tenant_name,
    parse_scopes,
)
from auditlogservice.errors import InvalidInput, MalformedInput

Claims: TypeAlias = Mapping[str, object]

PREFIX = "oidc:"  # users' names have no colon
_LONGEST_NAME = 255  # OpenID Connect Core §2: so long may `sub` be
# What a scope's name opens by itself, where no map says otherwise. Power over others is given on
# purpose or not at all: an issuer's own role `admin` is not this service's.
_SELF_EVIDENT = frozenset(scope for scope in Scope if scope.startswith(("events:", "ledger:")))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClaimRules:
    """Which claims count. A claim's name, or a path to it with dots, as in `realm_access.roles`.

    With a `scope_map`, what it names gives these scopes and nothing else gives any. Without a
    `tenant_claim`, everybody is of the default tenant.
    """

    scopes_claim: str = "scope"
    scope_map: Mapping[str, frozenset[Scope]] = field(default_factory=dict)
    tenant_claim: str = ""
    name_claim: str = "preferred_username"


def parse_scope_map(text: str) -> dict[str, frozenset[Scope]]:
    """Return the scopes for each word of a claim: `auditors=events:read ledger:read, …`.

    Raises MalformedInput for what is no pair, and InvalidInput for a scope that does not exist.
    """
    scopes: dict[str, frozenset[Scope]] = {}
    for pair in text.split(","):
        if not pair.strip():
            continue
        word, equals, names = (part.strip() for part in pair.rpartition("="))
        if not equals or not word or not names or word in scopes:
            raise MalformedInput(f"`{pair.strip()}` is not `word=scope scope`, each word once")
        scopes[word] = parse_scopes(names.split(), pointer=word)
    return scopes


def principal_of(claims: Claims, *, issuer: str, rules: ClaimRules) -> Principal:
    """Return whom the claims speak of. Raises MalformedInput if that cannot be told."""
    subject = claims.get("sub")
    if not _is_name(subject):
        raise MalformedInput("the identity has no usable subject")
    name = _claim(claims, rules.name_claim)
    token_id = claims.get("jti")
    return Principal(
        user_id=PREFIX + _digest(issuer, subject),
        name=f"{PREFIX}{name if _is_name(name) else subject}",
        tenant=_tenant(claims, rules),
        scopes=_scopes(claims, rules),
        kind="external",
        token_id=token_id if _is_name(token_id) else None,
    )


def _digest(issuer: str, subject: object) -> str:
    """One text for each subject of each issuer: JSON keeps the two apart."""
    return sha256(json.dumps([issuer, subject]).encode()).hexdigest()[:32]


def _is_name(value: object) -> TypeGuard[str]:
    """Whether people can read it and mean one thing: no control or formatting characters."""
    return isinstance(value, str) and 0 < len(value) <= _LONGEST_NAME and value.isprintable()


def _tenant(claims: Claims, rules: ClaimRules) -> str:
    if not rules.tenant_claim:
        return DEFAULT_TENANT
    tenant = _claim(claims, rules.tenant_claim)
    try:
        if isinstance(tenant, str):
            check_tenant_name(tenant)
            return tenant
    except InvalidInput:
        pass
    # Never the default one: who lacks the claim would be let in among others.
    raise MalformedInput(f"the identity's claim {rules.tenant_claim} names no tenant")


def _scopes(claims: Claims, rules: ClaimRules) -> frozenset[Scope]:
    words = _words(_claim(claims, rules.scopes_claim))
    if not rules.scope_map:
        return frozenset(scope for scope in _SELF_EVIDENT if scope in words)
    return frozenset().union(*(rules.scope_map.get(word, frozenset()) for word in words))


def _words(value: object) -> list[str]:
    """What a claim lists: words with blanks between (RFC 6749 §3.3), or an array of texts."""
    match value:
        case str():
            return value.split()
        case list():
            return [word for word in value if isinstance(word, str)]
        case _:
            return []


def _claim(claims: Claims, name: str) -> object:
    """The claim of this name, dots and all, or what a path of this name leads to."""
    if name in claims:
        return claims[name]
    value: object = claims
    for step in name.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(step)
    return value
