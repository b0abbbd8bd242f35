"""API tokens: bearers that live for months, for what cannot ask for a new token every day.

The text names its owner, so that one read tells whether it is good; the store keeps a digest of
it. A token is never wider than its owner is now, and a user's ends with the password that it was
made under.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from auditlogservice.access import format_scopes
from auditlogservice.errors import (
    Conflict,
    InsufficientScope,
    NotAuthenticated,
    NotFound,
    Unavailable,
)
from auditlogservice.ledger.clock import new_id
from auditlogservice.ledger.identity.credentials import (
    ApiToken,
    Credentials,
    change_credentials,
    find_credentials,
    forget_credentials,
)
from auditlogservice.ledger.identity.inspected import Inspected
from auditlogservice.ledger.identity.labels import (
    API_TOKEN_DAYS,
    MAX_API_TOKEN_DAYS,
    USE_NOTED_EVERY,
    check_expiry,
    check_label,
)
from auditlogservice.ledger.identity.opaque import (
    API_TOKEN,
    SECRET_BYTES,
    digest,
    is_of,
    read,
    spell,
    width,
)
from auditlogservice.ledger.recent import Recent
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from auditlogservice.access import Principal, Scope
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.identity.credentials import OwnerKind
    from auditlogservice.ledger.identity.owners import Owner, Owners
    from auditlogservice.store.port import DocumentStore

MAX_ACTIVE = 2  # of one owner and label: the one in use, and its successor
MAX_API_TOKENS = 100  # of one owner, whatever their labels
_KINDS: dict[bytes, OwnerKind] = {b"u": "user", b"c": "client"}
_LETTERS = {kind: letter for letter, kind in _KINDS.items()}
_ID_BYTES = 12
_NAMED = 1 + 2 * _ID_BYTES  # the kind of the owner, its id, and the token's id
_CACHED = 10_000


def describe_api_token(token: ApiToken) -> dict[str, Any]:
    """Return what may be told of a token: nothing that follows from its secret."""
    return {
        "id": token.id,
        "label": token.label,
        "prefix": token.prefix,
        "scopes": format_scopes(token.scopes).split(),
        "created_at": format_utc(token.created_at),
        "expires_at": format_utc(token.expires_at),
        "last_used_at": format_utc(token.last_used_at) if token.last_used_at else None,
    }


class ApiTokens:
    def __init__(
        self,
        documents: DocumentStore,
        owners: Owners,
        *,
        issuer: str,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        self._documents = documents
        self._owners = owners
        self._issuer = issuer
        self._clock = clock
        self._entropy = entropy
        self._noted: Recent[str, datetime] = Recent(_CACHED)  # when a use was written down last

    async def issue(
        self,
        kind: OwnerKind,
        owner_id: str,
        *,
        scopes: frozenset[Scope],
        label: str = "",
        expires_at: datetime | None = None,
    ) -> tuple[ApiToken, str]:
        """Make a token; return what is kept of it, and its text, which nobody is told again.

        Without `expires_at` it is good for API_TOKEN_DAYS. Raises InvalidInput for a bad label or
        moment, InsufficientScope for a scope that the owner lacks, NotFound if the owner is gone
        or disabled, Conflict if there are too many. Those that have ended go.
        """
        now = self._clock()
        check_label(label)
        expires_at = expires_at or now + timedelta(days=API_TOKEN_DAYS)
        check_expiry(expires_at, now=now, most=timedelta(days=MAX_API_TOKEN_DAYS))
        owner = await self._owner(kind, owner_id)
        for scope in sorted(scopes - owner.scopes):
            raise InsufficientScope(scope)
        token_id = new_id(now, self._entropy)
        named = _LETTERS[kind] + bytes.fromhex(owner_id) + bytes.fromhex(token_id)
        text = spell(API_TOKEN, named, self._entropy(SECRET_BYTES))
        token = ApiToken(
            id=token_id,
            label=label,
            prefix=text[: len(API_TOKEN) + width(_NAMED)],
            digest=digest(text),
            scopes=scopes,
            created_at=now,
            expires_at=expires_at,
            generation=owner.generation,
        )

        def change(credentials: Credentials) -> Credentials:
            alive = tuple(each for each in credentials.tokens if _is_good(each, owner, now))
            _require_room(alive, label)
            return replace(credentials, tokens=(*alive, token))

        await change_credentials(self._documents, owner_id, change)
        self._owners.forget(kind, owner_id)
        return token, text

    async def all(self, kind: OwnerKind, owner_id: str) -> list[ApiToken]:
        """Return the tokens of an owner that are good, the oldest first. Raises NotFound."""
        owner, now = await self._owner(kind, owner_id), self._clock()
        return [token for token in owner.credentials.tokens if _is_good(token, owner, now)]

    async def get(self, owner_id: str, token_id: str) -> ApiToken:
        """Return a token of this owner. Raises NotFound."""
        token = (await find_credentials(self._documents, owner_id)).token(token_id)
        if token is None:
            raise NotFound("no API token has this id")
        return token

    async def remove(self, kind: OwnerKind, owner_id: str, token_id: str) -> None:
        """End a token for good, on every node. It is no mistake if it is gone."""
        await change_credentials(
            self._documents, owner_id, lambda credentials: credentials.without(token_id)
        )
        self._owners.forget(kind, owner_id)

    async def forget(self, owner_id: str) -> None:
        """Remove what is kept of the tokens of an owner who is gone."""
        await forget_credentials(self._documents, owner_id)

    # ---- what a text is worth ----------------------------------------------------

    async def check(self, text: str) -> Principal:
        """Return whom the token speaks for. Raises NotAuthenticated, never saying more."""
        owner, token = await self._find(text)
        await self._note_use(owner, token)
        return owner.speaking(token.scopes, token_id=token.id)

    async def inspect(self, text: str) -> Inspected:
        """Return what the token is; looking at it is no use of it. Raises NotAuthenticated."""
        owner, token = await self._find(text)
        return Inspected(
            principal=owner.speaking(token.scopes, token_id=token.id),
            issuer=self._issuer,
            issued_at=token.created_at,
            expires_at=token.expires_at,
        )

    async def revoke(self, text: str) -> None:
        """End the token. Raises NotAuthenticated if it is none that is good."""
        owner, token = await self._find(text)
        await self.remove(owner.kind, owner.id, token.id)

    async def _find(self, text: str) -> tuple[Owner, ApiToken]:
        parts = read(API_TOKEN, text, _NAMED, SECRET_BYTES)
        kind = _KINDS.get(parts[0][:1]) if parts else None
        if parts is None or kind is None:
            raise NotAuthenticated(tried=True)
        owner_id, token_id = parts[0][1 : 1 + _ID_BYTES].hex(), parts[0][1 + _ID_BYTES :].hex()
        owner = await self._owners.find(
            kind, owner_id, knows=lambda owner: owner.credentials.token(token_id) is not None
        )
        token = owner.credentials.token(token_id) if owner else None
        if owner is None or token is None or not is_of(text, token.digest):
            raise NotAuthenticated(tried=True)
        if owner.disabled or not _is_good(token, owner, self._clock()):
            raise NotAuthenticated(tried=True, of=(owner.name, owner.tenant))
        return owner, token

    async def _owner(self, kind: OwnerKind, owner_id: str) -> Owner:
        """Return the owner as it is in the store now."""
        self._owners.forget(kind, owner_id)
        owner = await self._owners.find(kind, owner_id, knows=lambda _: True)
        if owner is None or owner.disabled:
            raise NotFound("who is to have the token is gone, or disabled")
        return owner

    async def _note_use(self, owner: Owner, token: ApiToken) -> None:
        """Write down when the token was used; seldom, and never in the way of its use."""
        now = self._clock()
        last = max(filter(None, (token.last_used_at, self._noted.get(token.id))), default=None)
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted.put(token.id, now)  # before it is done: the next ones need not do it too

        def change(credentials: Credentials) -> Credentials:
            tokens = (
                replace(each, last_used_at=now) if each.id == token.id else each
                for each in credentials.tokens
            )
            return replace(credentials, tokens=tuple(tokens))

        try:
            await change_credentials(self._documents, owner.id, change)
        except Unavailable:
            return


def _is_good(token: ApiToken, owner: Owner, now: datetime) -> bool:
    return now < token.expires_at and token.generation == owner.generation


def _require_room(alive: tuple[ApiToken, ...], label: str) -> None:
    if sum(token.label == label for token in alive) >= MAX_ACTIVE:
        raise Conflict(f"there are {MAX_ACTIVE} API tokens of this label; remove one first")
    if len(alive) >= MAX_API_TOKENS:
        raise Conflict(f"there are {MAX_API_TOKENS} API tokens already; remove some first")
