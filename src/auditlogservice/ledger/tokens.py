"""Bearer tokens: signed by the node that issues them, believed by every node.

A token is a JWT (RFC 9068) with an Ed25519 signature. Each node signs with a key of its own, that
never leaves its disk, and publishes the public half in the store; so nodes share no secret.

A signature says who the caller was when the token was made. Whether the user may still come in is
looked up in the store, at most half a second ago: disabling or removing a user, giving it a new
password, or taking a scope away, holds on every node within a second.
"""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Generic, TypeVar

from joserfc import jws, jwt
from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from auditlogservice.access import Principal, Scope, User, format_scopes
from auditlogservice.errors import NotAuthenticated, Unavailable
from auditlogservice.store.port import VerificationKey

if TYPE_CHECKING:
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.store.port import AccountStore

ALGORITHM = "Ed25519"  # RFC 9864; no other is accepted
ISSUER = "auditlogservice"  # both `iss` and `aud`: these tokens are for this service alone
TYPE = "at+jwt"  # RFC 9068 §2.1
USER_FRESHNESS = timedelta(seconds=0.5)
_CACHED_TOKENS = 10_000
_CACHED_USERS = 10_000

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A token on its way to its owner."""

    text: str
    expires_in: int  # seconds
    scopes: frozenset[Scope]


@dataclass(frozen=True, slots=True)
class _Claims:
    """What a signature vouches for."""

    token_id: str
    user_id: str
    generation: int  # of the user's password
    scopes: frozenset[Scope]
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class _Seen(Generic[V]):
    value: V
    at: datetime


class _Recent(OrderedDict[K, V]):
    """A map that forgets what was put in first."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._capacity = capacity

    def put(self, key: K, value: V) -> None:
        self[key] = value
        if len(self) > self._capacity:
            self.popitem(last=False)


class Tokens:
    """Issues and checks tokens for one node."""

    def __init__(
        self,
        store: AccountStore,
        *,
        key: OKPKey,
        clock: Clock,
        entropy: Entropy,
        lifetime: timedelta,
    ) -> None:
        self._store = store
        self._key = key
        self._key_id = key.thumbprint()
        self._clock = clock
        self._entropy = entropy
        self._lifetime = lifetime
        self._published_until: datetime | None = None
        self._claims: _Recent[str, _Claims] = _Recent(_CACHED_TOKENS)
        self._users: _Recent[str, _Seen[User | None]] = _Recent(_CACHED_USERS)
        self._keys: dict[str, OKPKey] = {}
        self._questions = 0  # for keys, that were put to the store
        self._answered = 0  # the last one whose answer is in `_keys`
        self._failed = 0  # the last one that failed …
        self._failure: Unavailable | None = None  # … and how
        self._key_lock = asyncio.Lock()

    async def issue(self, user: User, scopes: frozenset[Scope] | None = None) -> IssuedToken:
        """Sign a token for the user, with these of its scopes (None: all)."""
        now = self._clock()
        expires_at = now + self._lifetime
        await self._publish(expires_at)
        # Whoever has just been given a scope is not held to what was known before.
        self._users.pop(user.id, None)
        granted = user.scopes if scopes is None else user.scopes & scopes
        claims = {
            "iss": ISSUER,
            "aud": ISSUER,
            "sub": user.id,
            "client_id": user.name,
            "scope": format_scopes(granted),
            "iat": int(now.timestamp()),
            "exp": int(expires_at.timestamp()),
            "jti": self._entropy(16).hex(),
            "generation": user.generation,
        }
        header = {"alg": ALGORITHM, "typ": TYPE, "kid": self._key_id}
        text = jwt.encode(header, claims, self._key, algorithms=[ALGORITHM])
        return IssuedToken(text, int(self._lifetime.total_seconds()), granted)

    async def check(self, text: str) -> Principal:
        """Return whom the token speaks for. Raises NotAuthenticated, never saying more."""
        claims = self._claims.get(text)
        if claims is None:
            claims = await self._verify(text)
            self._claims.put(text, claims)
        if claims.expires_at <= self._clock():
            raise NotAuthenticated(tried=True)
        user = await self._user(claims)
        if user is None or user.disabled or user.generation != claims.generation:
            raise NotAuthenticated(tried=True)
        return Principal(
            user_id=user.id,
            name=user.name,
            tenant=user.tenant,
            scopes=claims.scopes & user.scopes,
            token_id=claims.token_id,
        )

    # ---- signatures ------------------------------------------------------------

    async def _publish(self, expires_at: datetime) -> None:
        """Let every node know our key for as long as our tokens live; seldom, a day ahead."""
        if self._published_until and expires_at <= self._published_until:
            return
        until = expires_at + timedelta(days=1)
        public = json.dumps(self._key.as_dict(private=False), sort_keys=True)
        await self._store.publish_key(
            VerificationKey(id=self._key_id, public=public, expires_at=until)
        )
        self._published_until = until

    async def _verify(self, text: str) -> _Claims:
        try:
            header = jws.extract_compact(text.encode()).headers()
            key = await self._known_key(header.get("kid"))
            if key is None or header != {"alg": ALGORITHM, "typ": TYPE, "kid": header["kid"]}:
                raise NotAuthenticated(tried=True)
            token = jwt.decode(text, key, algorithms=[ALGORITHM])
            _REQUIRED.validate(token.claims)
            user_id, generation = token.claims["sub"], token.claims["generation"]
            token_id = token.claims["jti"]
            user_id.encode()  # no store takes a lone surrogate
            if type(generation) is not int or type(token_id) is not str:
                raise NotAuthenticated(tried=True)
            return _Claims(
                token_id=token_id,
                user_id=user_id,
                generation=generation,
                scopes=frozenset(
                    Scope(word) for word in token.claims["scope"].split() if word in _SCOPES
                ),
                expires_at=datetime.fromtimestamp(token.claims["exp"], self._clock().tzinfo),
            )
        except (*_UNREADABLE, OverflowError):
            raise NotAuthenticated(tried=True) from None

    async def _known_key(self, key_id: object) -> OKPKey | None:
        """The key of some node. Ids that nobody published ask the store one at a time.

        Raises Unavailable if the store does not answer: one failure is told to all who wait.
        """
        if not isinstance(key_id, str):
            return None
        if key_id not in self._keys:  # else nobody has to wait for the questions of others
            arrived, failed = self._questions, self._failed
            async with self._key_lock:
                if self._failed > failed and self._failure:
                    raise self._failure.with_traceback(None)
                # What was asked after we arrived is the truth; one question answers all who
                # waited. Questions are counted, not timed: clocks stand still and go back.
                if key_id not in self._keys and self._answered <= arrived:
                    await self._ask_for_keys()
        return self._keys.get(key_id)

    async def _ask_for_keys(self) -> None:
        self._questions += 1
        try:
            self._keys = await self._load_keys()
        except Unavailable as error:
            self._failed, self._failure = self._questions, error
            raise
        self._answered = self._questions

    async def _load_keys(self) -> dict[str, OKPKey]:
        now = self._clock()
        kept = [key for key in await self._store.keys() if key.expires_at > now]
        return {key.id: public for key in kept if (public := _read_key(key.public))}

    # ---- users -----------------------------------------------------------------

    async def _user(self, claims: _Claims) -> User | None:
        now = self._clock()
        seen = self._users.get(claims.user_id)
        if seen is not None and timedelta(0) <= now - seen.at < USER_FRESHNESS:
            user = seen.value
            # A token of a later generation than the user that we saw: another node knows more.
            if user is None or user.generation >= claims.generation:
                return user
        user = await self._store.user_with_id(claims.user_id)
        # `now` is from before the question, so that freshness counts from when it was true.
        self._users.put(claims.user_id, _Seen(user, now))
        return user


def _read_key(public: str) -> OKPKey | None:
    """The key, if it is one: an entry that we cannot read must not lock the other nodes out."""
    try:
        return OKPKey.import_key(json.loads(public))
    except _UNREADABLE:
        return None


# What parsing a stranger's JSON, base64 and JOSE may raise.
_UNREADABLE = (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError)
_SCOPES = frozenset(Scope)
# Not expiry: that is judged by our clock, and on every use.
_REQUIRED = jwt.BaseClaimsRegistry(
    iss={"essential": True, "value": ISSUER},
    aud={"essential": True, "value": ISSUER},
    sub={"essential": True},
    exp={"essential": True},
    jti={"essential": True},
    generation={"essential": True, "allow_blank": True},
    scope={"essential": True, "allow_blank": True},
)
