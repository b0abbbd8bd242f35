"""The keys that sign tokens: this node's own, and the public halves of all nodes' in the store.

A key that has had its day is followed by another; what it signed stays good, since its public
half stays known until its last token has ended. A key that was stolen is retired instead: from
then on no node believes anything that it signed, or publishes it again.
"""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, Protocol

from joserfc.errors import JoseError
from joserfc.jwk import OKPKey

from auditlogservice.errors import NotFound, Unavailable
from auditlogservice.ledger.asking import Asking
from auditlogservice.store.port import Document, VerificationKey
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.store.port import AccountStore, DocumentStore

ALGORITHM = "Ed25519"  # RFC 9864; no other is accepted
RETIRED_FRESHNESS = timedelta(seconds=0.5)
_KIND: Literal["retired-key"] = "retired-key"
_OF_ALL = ""


class OwnKey(Protocol):
    """Where this node keeps its private key."""

    def current(self) -> OKPKey:
        """Return the key to sign with now: another one than before, if it was replaced."""
        ...

    def renew(self, key_id: str) -> OKPKey:
        """Put a new key in the place of the one with this id, unless that was done already."""
        ...


class TokenKeys:
    def __init__(
        self, accounts: AccountStore, documents: DocumentStore, own: OwnKey, *, clock: Clock
    ) -> None:
        self._accounts = accounts
        self._documents = documents
        self._own = own
        self._clock = clock
        self._published: dict[str, datetime] = {}  # own keys, and until when they are known
        self._keys: dict[str, OKPKey] = {}
        self._retired: Asking[str, frozenset[str]] = Asking(
            self._look_for_retired, freshness=RETIRED_FRESHNESS, capacity=1, clock=clock
        )
        self._questions = 0  # for keys, that were put to the store
        self._answered = 0  # the last one whose answer is in `_keys`
        self._failed = 0  # the last one that failed …
        self._failure: Unavailable | None = None  # … and how
        self._lock = asyncio.Lock()

    async def signing(self, until: datetime) -> OKPKey:
        """Return this node's key, which every node knows at least until then."""
        key = self._own.current()
        if key.thumbprint() in (await self._retired.ask(_OF_ALL) or ()):
            key = self._own.renew(key.thumbprint())
        await self._publish(key, until)
        return key

    async def find(self, key_id: object) -> OKPKey | None:
        """Return the key of some node. Ids that nobody published ask the store one at a time.

        Raises Unavailable if the store does not answer: one failure is told to all who wait.
        """
        if not isinstance(key_id, str):
            return None
        if key_id not in self._keys:  # else nobody has to wait for the questions of others
            arrived, failed = self._questions, self._failed
            async with self._lock:
                if self._failed > failed and self._failure:
                    raise self._failure.with_traceback(None)
                # What was asked after we arrived is the truth; one question answers all who
                # waited. Questions are counted, not timed: clocks stand still and go back.
                if key_id not in self._keys and self._answered <= arrived:
                    await self._ask_for_keys()
        return self._keys.get(key_id)

    async def is_retired(self, key_id: str) -> bool:
        """Whether nothing may be believed that the key signed; known half a second ago."""
        return key_id in (await self._retired.find(_OF_ALL) or ())

    async def public(self, until: datetime) -> list[dict[str, Any]]:
        """Return the keys that are believed, as JWKs (RFC 7517), this node's own among them."""
        await self.signing(until)
        retired = await self._retired.ask(_OF_ALL) or ()
        keys = await self._load()
        return [
            {**key.as_dict(private=False), "kid": key_id, "alg": ALGORITHM, "use": "sig"}
            for key_id, key in sorted(keys.items())
            if key_id not in retired
        ]

    async def _publish(self, key: OKPKey, until: datetime) -> None:
        """Let every node know our key for as long as our tokens live; seldom, a day ahead."""
        key_id = key.thumbprint()
        known_until = self._published.get(key_id)
        if known_until and until <= known_until:
            return
        known_until = until + timedelta(days=1)
        public = json.dumps(key.as_dict(private=False), sort_keys=True)
        await self._accounts.publish_key(
            VerificationKey(id=key_id, public=public, expires_at=known_until)
        )
        self._published = {key_id: known_until}

    async def _look_for_retired(self, tenant: str) -> frozenset[str]:
        retired = await self._documents.all(_KIND)
        return frozenset(found.id for found in retired if found.tenant == tenant)

    async def _ask_for_keys(self) -> None:
        self._questions += 1
        try:
            self._keys = await self._load()
        except Unavailable as error:
            self._failed, self._failure = self._questions, error
            raise
        self._answered = self._questions

    async def _load(self) -> dict[str, OKPKey]:
        now = self._clock()
        kept = [key for key in await self._accounts.keys() if key.expires_at > now]
        return {key.id: public for key in kept if (public := _read_key(key.public))}


async def retire(
    accounts: AccountStore, documents: DocumentStore, key_id: str, *, now: datetime
) -> None:
    """Make all tokens that the key signed invalid, for good. Raises NotFound.

    No node publishes the key again: one that has it as its own makes another.
    """
    await require_published(accounts, key_id)
    await documents.put(
        Document(kind=_KIND, tenant=_OF_ALL, id=key_id, body=format_utc(now).encode())
    )


async def require_published(accounts: AccountStore, key_id: str) -> None:
    """Raise NotFound if no node has published a key of this id."""
    if key_id not in {key.id for key in await accounts.keys()}:
        raise NotFound("no node has published a key of this id")


def _read_key(public: str) -> OKPKey | None:
    """The key, if it is one: an entry that we cannot read must not lock the other nodes out."""
    try:
        return OKPKey.import_key(json.loads(public))
    except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
