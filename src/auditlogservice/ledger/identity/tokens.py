"""Signed tokens: made by one node, believed by every node.

A token is a JWT (RFC 9068) with an Ed25519 signature. Each node signs with a key of its own, that
never leaves its disk, and publishes the public half in the store; so nodes share no secret.

A signature says who the caller was when the token was made. Whether its owner may still come in is
looked up in the store, at most half a second ago: disabling or removing the owner, giving a user a
new password, removing a client's secret, taking a scope away or revoking the token holds on every
node within a second.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import JoseError

from auditlogservice.access import Scope, format_scopes
from auditlogservice.errors import NotAuthenticated
from auditlogservice.ledger.identity.credentials import change_credentials
from auditlogservice.ledger.identity.inspected import Inspected
from auditlogservice.ledger.identity.tokenkeys import ALGORITHM
from auditlogservice.ledger.recent import Recent

if TYPE_CHECKING:
    from auditlogservice.access import Principal, User
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.identity.clients import Client, ClientSecret
    from auditlogservice.ledger.identity.credentials import OwnerKind
    from auditlogservice.ledger.identity.owners import Owner, Owners
    from auditlogservice.ledger.identity.tokenkeys import TokenKeys
    from auditlogservice.store.port import DocumentStore

TYPE = "at+jwt"  # RFC 9068 §2.1
LONGEST_LIFETIME = timedelta(days=30)
CLOCK_SKEW = timedelta(minutes=5)  # how far the clock of the node that signed may be ahead
_CACHED = 10_000


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token on its way to its owner."""

    text: str = field(repr=False)
    expires_in: int  # seconds
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Claims:
    """What a signature vouches for, and the key that made it.

    `under` is what the token was issued for: the number of a user's password, or the id of a
    client's secret.
    """

    key_id: str
    token_id: str
    kind: OwnerKind
    owner_id: str
    under: int | str
    scopes: frozenset[Scope]
    issued_at: datetime
    expires_at: datetime

    def may_be_of(self, owner: Owner) -> bool:
        """Whether the owner, as it was seen, has issued what this token was issued for."""
        if isinstance(self.under, int):
            return owner.generation is not None and owner.generation >= self.under
        return self.under in owner.secrets

    def are_of(self, owner: Owner) -> bool:
        """Whether the owner still has what the token was issued for, and did not revoke it."""
        if owner.credentials.has_revoked(self.token_id, issued_at=self.issued_at):
            return False
        return self.under == owner.generation or self.under in owner.secrets


class Tokens:
    """Issues and checks tokens for one node."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        documents: DocumentStore,
        owners: Owners,
        keys: TokenKeys,
        *,
        issuer: str,
        clock: Clock,
        entropy: Entropy,
        lifetime: timedelta,
    ) -> None:
        self._documents = documents
        self._owners = owners
        self._keys = keys
        self._issuer = issuer
        self._required = _required(issuer)
        self._clock = clock
        self._entropy = entropy
        self._lifetime = lifetime
        self._claims: Recent[str, _Claims] = Recent(_CACHED)

    async def issue(self, user: User, scopes: frozenset[Scope] | None = None) -> IssuedToken:
        """Sign a token for the user, with these of its scopes (None: all)."""
        granted = user.scopes if scopes is None else user.scopes & scopes
        # Whoever has just been given a scope is not held to what was known before.
        self._owners.forget("user", user.id)
        about = {"sub": user.id, "client_id": user.name, "generation": user.generation}
        return await self._sign(about, granted)

    async def issue_to_client(
        self, client: Client, secret: ClientSecret, scopes: frozenset[Scope] | None = None
    ) -> IssuedToken:
        """Sign a token for the client that has shown this secret, with which the token ends."""
        granted = client.scopes if scopes is None else client.scopes & scopes
        self._owners.forget("client", client.id)
        about = {"sub": client.id, "client_id": client.id, "secret": secret.id}
        return await self._sign(about, granted)

    async def _sign(self, about: dict[str, Any], granted: frozenset[Scope]) -> IssuedToken:
        now = self._clock()
        expires_at = now + self._lifetime
        key = await self._keys.signing(expires_at)
        claims = {
            **about,
            "iss": self._issuer,
            "aud": self._issuer,
            "scope": format_scopes(granted),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": self._entropy(16).hex(),
        }
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": key.thumbprint()}
        text = jwt.encode(header, claims, key, algorithms=[ALGORITHM])
        return IssuedToken(text, int(self._lifetime.total_seconds()), granted)

    async def check(self, text: str) -> Principal:
        """Return whom the token speaks for. Raises NotAuthenticated, never saying more."""
        owner, claims = await self._find(text)
        return owner.speaking(claims.scopes, token_id=claims.token_id)

    async def inspect(self, text: str) -> Inspected:
        """Return what the token is. Raises NotAuthenticated if it is none that is good."""
        owner, claims = await self._find(text)
        return Inspected(
            principal=owner.speaking(claims.scopes, token_id=claims.token_id),
            issuer=self._issuer,
            issued_at=claims.issued_at,
            expires_at=claims.expires_at,
        )

    async def revoke(self, text: str) -> None:
        """End the token on every node. Raises NotAuthenticated if it is none that is good.

        What is remembered of it goes when it would have ended by itself.
        """
        owner, claims = await self._find(text)
        now = self._clock()
        await change_credentials(
            self._documents,
            owner.id,
            lambda kept: kept.revoke(claims.token_id, ends=claims.expires_at, now=now),
        )
        self._owners.forget(owner.kind, owner.id)

    async def public_keys(self) -> list[dict[str, Any]]:
        """Return the keys with which anybody can check these tokens, as JWKs (RFC 7517)."""
        return await self._keys.public(self._clock() + self._lifetime)

    async def _find(self, text: str) -> tuple[Owner, _Claims]:
        claims = self._claims.get(text)
        if claims is None:
            claims = await self._verify(text)
            self._claims.put(text, claims)
        if claims.expires_at <= self._clock() or await self._keys.is_retired(claims.key_id):
            raise NotAuthenticated(tried=True)
        owner = await self._owners.find(claims.kind, claims.owner_id, knows=claims.may_be_of)
        if owner is None:
            raise NotAuthenticated(tried=True)
        if owner.disabled or not claims.are_of(owner):
            raise NotAuthenticated(tried=True, of=(owner.name, owner.tenant))
        return owner, claims

    # ---- signatures ------------------------------------------------------------

    async def _verify(self, text: str) -> _Claims:
        try:
            header = jws.extract_compact(text.encode()).headers()
            key = await self._keys.find(header.get("kid"))
            if key is None or header != {"alg": ALGORITHM, "typ": TYPE, "kid": header["kid"]}:
                raise NotAuthenticated(tried=True)
            token = jwt.decode(text, key, algorithms=[ALGORITHM])
            self._required.validate(token.claims)
            claims = self._read(header["kid"], token.claims)
        except (*_UNREADABLE, OverflowError):
            raise NotAuthenticated(tried=True) from None
        if claims is None:
            raise NotAuthenticated(tried=True)
        return claims

    def _read(self, key_id: str, told: dict[str, Any]) -> _Claims | None:
        """Return the claims that a right signature stands under, if they make sense together."""
        under = _issued_for(told)
        if under is None or not all(type(told[name]) is str for name in ("sub", "jti")):
            return None
        told["sub"].encode()  # no store takes a lone surrogate
        zone, soon = self._clock().tzinfo, self._clock() + CLOCK_SKEW
        issued_at = datetime.fromtimestamp(told["iat"], zone)
        expires_at = datetime.fromtimestamp(told["exp"], zone)
        starts_at = datetime.fromtimestamp(told.get("nbf", told["iat"]), zone)
        if max(issued_at, starts_at) > soon or expires_at > issued_at + LONGEST_LIFETIME:
            return None
        return _Claims(
            key_id=key_id,
            token_id=told["jti"],
            kind="user" if isinstance(under, int) else "client",
            owner_id=told["sub"],
            under=under,
            scopes=frozenset(Scope(word) for word in told["scope"].split() if word in _SCOPES),
            issued_at=issued_at,
            expires_at=expires_at,
        )


def _issued_for(told: dict[str, Any]) -> int | str | None:
    """Return the number of the password or the id of the secret: one of them, never both."""
    match told:
        case {"generation": _, "secret": _}:
            return None
        case {"generation": generation} if type(generation) is int:
            return generation
        case {"secret": str() as secret}:
            return secret
        case _:
            return None


# What parsing a stranger's JSON, base64 and JOSE may raise.
_UNREADABLE = (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_SCOPES = frozenset(Scope)


def _required(issuer: str) -> jwt.BaseClaimsRegistry:
    # Not expiry: that is judged by our clock, and on every use.
    return jwt.BaseClaimsRegistry(
        iss={"essential": True, "value": issuer},
        aud={"essential": True, "value": issuer},
        sub={"essential": True},
        iat={"essential": True},
        exp={"essential": True},
        jti={"essential": True},
        scope={"essential": True, "allow_blank": True},
    )
