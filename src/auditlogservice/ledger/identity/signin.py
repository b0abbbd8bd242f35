"""Sign-in of people at the external issuer: a code and PKCE (OpenID Connect Core §3.1, RFC 7636).

What a sign-in under way needs to know goes to the browser and comes back with it, sealed: so any
node can finish what another began, and nothing is kept of those who never come back.
"""

from __future__ import annotations

import base64
import json
import re
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import OctKey

from auditlogservice.errors import MalformedInput, NotAuthenticated, SignInRefused

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlogservice.access import Principal
    from auditlogservice.ledger.clock import Clock, Entropy
    from auditlogservice.ledger.identity.external import ExternalTokens

TIME = timedelta(minutes=10)  # from the first page of the issuer to the last
_SEAL = {"alg": "dir", "enc": "A256GCM"}  # RFC 7518 §4.5, §5.3
_ERROR_CODE = re.compile(r"[a-z_]{1,64}")  # as RFC 6749 §4.1.2.1 and its extensions spell them


class Endpoints(Protocol):
    """Where the provider takes people, and whether it says who it is when they come back."""

    @property
    def authorization(self) -> str: ...

    @property
    def says_who(self) -> bool:
        """Whether its answers carry `iss` (RFC 9207)."""
        ...


class Provider(Protocol):
    """The issuer, as the network shows it to a client of it."""

    async def endpoints(self) -> Endpoints:
        """MUST raise IssuerUnreachable if it does not tell."""
        ...

    async def exchange(self, code: str, *, verifier: str, redirect_uri: str) -> tuple[str, str]:
        """Return the ID token and the access token for a code.

        MUST raise SignInRefused if the code is none, and IssuerUnreachable if nobody answers.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOfIssuer:
    """How the issuer knows this service: its client, and where people come back to.

    `scope` is what is asked of the issuer (OpenID Connect Core §5.4); it decides which claims the
    ID token has.
    """

    client_id: str
    redirect_uri: str
    scope: str


@dataclass(frozen=True, slots=True)
class Begun:
    """Where to send the browser, and what it has to bring back."""

    address: str
    sealed: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Finished:
    """Who has signed in, and where they wanted to go."""

    principal: Principal
    return_to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _UnderWay:
    state: str = field(repr=False)
    nonce: str = field(repr=False)
    verifier: str = field(repr=False)
    return_to: str
    ends: int  # seconds since 1970


class SignIn:
    def __init__(
        self,
        provider: Provider,
        tokens: ExternalTokens,
        client: ClientOfIssuer,
        *,
        secret: bytes,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`secret` seals, 32 bytes that all nodes share."""
        self._provider = provider
        self._tokens = tokens
        self._client = client
        self._seal = OctKey.import_key(secret)
        self._clock = clock
        self._entropy = entropy

    @property
    def issuer(self) -> str:
        return self._tokens.issuer

    async def begin(self, return_to: str) -> Begun:
        """Start a sign-in that shall end at this path. Raises IssuerUnreachable."""
        found = await self._provider.endpoints()
        under_way = _UnderWay(
            state=self._random(),
            nonce=self._random(),
            verifier=self._random(),
            return_to=return_to,
            ends=int((self._clock() + TIME).timestamp()),
        )
        question = {
            "response_type": "code",
            "client_id": self._client.client_id,
            "redirect_uri": self._client.redirect_uri,
            "scope": self._client.scope,
            "state": under_way.state,
            "nonce": under_way.nonce,
            "code_challenge": _challenge(under_way.verifier),
            "code_challenge_method": "S256",
        }
        joint = "&" if "?" in found.authorization else "?"
        sealed = jwe.encrypt_compact({**_SEAL}, json.dumps(asdict(under_way)), self._seal)
        return Begun(f"{found.authorization}{joint}{urlencode(question)}", sealed)

    async def finish(self, sealed: str, answer: Mapping[str, str]) -> Finished:
        """Return who has signed in, by the issuer's answer in the browser's address.

        Raises SignInRefused, and IssuerUnreachable if the code could not be exchanged.
        """
        under_way = self._opened(sealed)
        if not compare_digest(answer.get("state", "").encode(), under_way.state.encode()):
            raise SignInRefused("this is the answer to another sign-in")
        found = await self._provider.endpoints()
        said = answer.get("iss")
        if said != self.issuer and (said is not None or found.says_who):
            raise SignInRefused("the answer comes from another identity provider")
        if "code" not in answer:
            error = answer.get("error", "")
            told = error if _ERROR_CODE.fullmatch(error) else "nothing that is understood"
            raise SignInRefused(f"the identity provider says: {told}")
        id_token, access_token = await self._provider.exchange(
            answer["code"], verifier=under_way.verifier, redirect_uri=self._client.redirect_uri
        )
        try:
            principal = await self._tokens.check_identity(
                id_token, nonce=under_way.nonce, access_token=access_token
            )
        except NotAuthenticated:
            raise SignInRefused("what the identity provider signed is not for here") from None
        except MalformedInput as error:
            raise SignInRefused(str(error)) from None
        return Finished(principal, under_way.return_to)

    def _opened(self, sealed: str) -> _UnderWay:
        try:
            opened = jwe.decrypt_compact(sealed, self._seal, algorithms=list(_SEAL.values()))
            under_way = _UnderWay(**json.loads(opened.plaintext or b""))
        except (JoseError, ValueError, TypeError):
            raise SignInRefused("no sign-in was begun in this browser") from None
        if under_way.ends <= self._clock().timestamp():
            raise SignInRefused("the sign-in took too long")
        return under_way

    def _random(self) -> str:
        return _text(self._entropy(32))


def _challenge(verifier: str) -> str:
    """RFC 7636 §4.2, S256."""
    return _text(sha256(verifier.encode()).digest())


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
