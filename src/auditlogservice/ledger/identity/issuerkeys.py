"""The keys of the external issuer, as this process knows them.

They are fetched in the background, and once more when a token names one that is not known. The
issuer being down changes nothing for keys that are known.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from joserfc.errors import JoseError
from joserfc.jwk import ECKey, OKPKey, RSAKey

from auditlogservice.errors import IssuerUnreachable

if TYPE_CHECKING:
    from collections.abc import Sequence

PublicKey: TypeAlias = RSAKey | ECKey | OKPKey

REFRESH_EVERY = 300.0  # seconds: so long does a key count at most that the issuer has withdrawn
PAUSE = 10.0  # seconds between two questions, however many unknown keys are named
_MOST_KEYS = 100
# A secret that is published is none, so there are no symmetric ones.
_CLASSES: dict[str, type[PublicKey]] = {"RSA": RSAKey, "EC": ECKey, "OKP": OKPKey}
_RSA_DIGITS = 342  # of base64url, for 2,048 bits: RFC 7518 §3.3 wants no fewer


class KeySource(Protocol):
    """Where the issuer publishes its keys."""

    async def keys(self) -> Sequence[object]:
        """Return the keys of its JWK set (RFC 7517 §5), as parsed JSON that is not checked yet.

        MUST raise IssuerUnreachable if it does not tell.
        """
        ...


class KeyJournal(Protocol):
    """Who writes down how the issuer does."""

    def keys_unknown(self, why: str) -> None:
        """Say that the keys could not be fetched."""
        ...

    def keys_known(self, number: int) -> None:
        """Say that they could, for the first time or again."""
        ...


class IssuerKeys:
    """The keys by their id. `run` keeps them fresh."""

    def __init__(self, source: KeySource, *, journal: KeyJournal, pause: float = PAUSE) -> None:
        self._source = source
        self._journal = journal
        self._pause = pause
        self._keys: dict[str | None, PublicKey] | None = None  # None: nothing was ever fetched
        self._well = False  # what the journal was told last
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()
        self._closed = asyncio.Event()

    async def find(self, key_id: str | None) -> PublicKey | None:
        """Return the key with this id, or the only one for None; None if there is none.

        Raises IssuerUnreachable if no key was ever known. An unknown id is a question to the
        issuer, one for all who wait and at most one in each pause.
        """
        if self._keys is None or (key_id is not None and key_id not in self._keys):
            with suppress(IssuerUnreachable):  # told below, if nothing is known
                await self._ask()
        if self._keys is None:
            raise IssuerUnreachable("the keys of the identity provider are not known yet")
        if key_id is None:  # RFC 7515 §4.1.4: an issuer with one key need not name it
            return next(iter(self._keys.values())) if len(self._keys) == 1 else None
        return self._keys.get(key_id)

    def close(self) -> None:
        self._closed.set()

    async def run(self) -> None:
        while not self._closed.is_set():
            with suppress(IssuerUnreachable):  # the journal has it, and known keys stay
                await self._ask()
            with suppress(TimeoutError):
                # What is not known at all is asked for again soon.
                async with asyncio.timeout(REFRESH_EVERY if self._keys else self._pause):
                    await self._closed.wait()

    async def _ask(self) -> None:
        async with self._asking:
            now = asyncio.get_running_loop().time()
            if now - self._asked_at < self._pause:
                return
            self._asked_at = now
            try:
                keys = _readable(await self._source.keys())
            except IssuerUnreachable as error:
                self._well = False
                self._journal.keys_unknown(str(error))
                raise
            if not self._well:
                self._journal.keys_known(len(keys))
            self._well, self._keys = True, keys


def _readable(published: Sequence[object]) -> dict[str | None, PublicKey]:
    """The keys that can verify a signature. One that cannot be read does not hide the others."""
    keys: dict[str | None, PublicKey] = {}
    for told in published[:_MOST_KEYS]:
        if isinstance(told, dict) and (key := _read(told)):
            keys[key.kid] = key
    return keys


def _read(told: dict[str, Any]) -> PublicKey | None:
    try:
        if told.get("use", "sig") != "sig":
            return None
        if told["kty"] == "RSA" and len(told["n"]) < _RSA_DIGITS:
            return None
        key = _CLASSES[told["kty"]].import_key(told)
        key.check_key_op("verify")
    except (JoseError, ValueError, KeyError, TypeError):
        return None
    return key
