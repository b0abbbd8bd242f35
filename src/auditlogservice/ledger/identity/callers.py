"""Whom a bearer token speaks for: one door, whoever issued the token.

A token is looked at only as far as it takes to tell who issued it; that issuer's part of the
service then checks it. Nothing that the token says is believed here.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Protocol

from joserfc import jws
from joserfc.errors import JoseError

from auditlogservice.errors import NotAuthenticated
from auditlogservice.ledger.identity.opaque import API_TOKEN

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.ledger.identity.inspected import Inspected

MAX_TOKEN_BYTES = 4096


class Checker(Protocol):
    """Who knows the tokens of one kind."""

    async def check(self, text: str) -> Principal:
        """Return whom the token speaks for.

        MUST raise NotAuthenticated for any text that is no good token, whatever is in it, and
        Unavailable if that cannot be told now.
        """
        ...


class External(Checker, Protocol):
    """Another service whose tokens are accepted here."""

    @property
    def issuer(self) -> str:
        """What its tokens have as `iss`."""
        ...


class OwnTokens(Checker, Protocol):
    """Who issues tokens of one kind, and can therefore tell more of them, and end them."""

    async def inspect(self, text: str) -> Inspected:
        """Return what the token is. MUST raise as `check` does."""
        ...

    async def revoke(self, text: str) -> None:
        """End the token, on every node within a second. MUST raise as `check` does."""
        ...


class Callers:
    def __init__(
        self, tokens: OwnTokens, api_tokens: OwnTokens, *, external: External | None = None
    ) -> None:
        self._tokens = tokens
        self._api_tokens = api_tokens
        self._external = external

    async def check(self, text: str) -> Principal:
        """Return whom the token speaks for.

        Raises NotAuthenticated, never saying more, and Unavailable if nobody can tell now.
        """
        _require_token(text)
        if self._external is not None and _claimed_issuer(text) == self._external.issuer:
            return await self._external.check(text)
        return await self._own(text).check(text)

    async def inspect(self, text: str) -> Inspected:
        """Return what a token of this service is. Raises as `check` does, for all others too."""
        _require_token(text)
        return await self._own(text).inspect(text)

    async def revoke(self, text: str) -> None:
        """End a token of this service. Raises as `check` does, for all others too."""
        _require_token(text)
        await self._own(text).revoke(text)

    def _own(self, text: str) -> OwnTokens:
        return self._api_tokens if text.startswith(API_TOKEN) else self._tokens


def _require_token(text: str) -> None:
    if len(text) > MAX_TOKEN_BYTES or not text.isascii():
        raise NotAuthenticated(tried=True)


def _claimed_issuer(text: str) -> object:
    """Return what the text says of its issuer, if it is a JWT. It may be a lie."""
    try:
        claims = json.loads(jws.extract_compact(text.encode()).payload)
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None  # whatever parsing a stranger's base64 and JSON may raise
    return claims.get("iss") if isinstance(claims, dict) else None
