"""Tokens of an external issuer, an OpenID provider: what is signed there and believed here.

Two kinds, and neither passes as the other: access tokens, which are for this service's API (its
audience), and ID tokens, which tell a client of the issuer who has signed in (its client id).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from hashlib import sha256, sha384, sha512
from typing import TYPE_CHECKING, Any

from joserfc import jws, jwt
from joserfc.errors import JoseError

from auditlogservice.errors import MalformedInput, NotAuthenticated
from auditlogservice.ledger.identity.identities import ClaimRules, principal_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from joserfc.jwa import JWSAlgModel

    from auditlogservice.access import Principal
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.identity.issuerkeys import IssuerKeys

LEEWAY = 30  # seconds that two clocks may differ
# Asymmetric ones only: with a secret that both sides know, this side could sign too.
_ALGORITHMS = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519",
    "EdDSA",
)  # fmt: skip
ACCESS_TOKEN = frozenset({"at+jwt"})  # RFC 9068 §2.1
ANY_JWT = ACCESS_TOKEN | {"jwt", ""}  # as providers from before RFC 9068 call them
# Claims of ID tokens (OpenID Connect Core §3.1.3.6, §3.3.2.11) and of logout tokens (Back-Channel
# Logout §2.4), and `cnf` of tokens that are worth something only with a proof that is not asked
# for here (RFC 7800).
_NOT_OF_BEARERS = frozenset({"nonce", "at_hash", "c_hash", "events", "cnf"})


class _Registry(jws.JWSRegistry):
    """What RFC 9864 calls Ed25519 is EdDSA to older issuers; no other curve has that name here."""

    def get_alg(self, name: str) -> JWSAlgModel:
        return super().get_alg("Ed25519" if name == "EdDSA" else name)


# Header parameters that mean nothing here are ignored (RFC 7515 §4), those in `crit` are not.
_REGISTRY = _Registry(algorithms=_ALGORITHMS, strict_check_header=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Whose tokens count, and for whom they have to be made.

    `audience` is this service as the issuer knows it as an API, `client_id` as it knows it as a
    client; either may be empty, and then no token of that kind is good. `types` are the values of
    `typ` that an access token may have, in lower case, the empty text for none.
    """

    issuer: str
    audience: str = ""
    client_id: str = ""
    types: Collection[str] = ANY_JWT


class ExternalTokens:
    def __init__(
        self, keys: IssuerKeys, *, expected: Expected, rules: ClaimRules, clock: Clock
    ) -> None:
        self._keys = keys
        self._expected = expected
        self._rules = rules
        self._clock = clock
        # Where both names are one, only its type tells an access token from an ID token.
        alike = expected.audience == expected.client_id
        self._types = ACCESS_TOKEN if alike else expected.types

    @property
    def issuer(self) -> str:
        return self._expected.issuer

    async def check(self, text: str) -> Principal:
        """Return whom an access token speaks for.

        Raises NotAuthenticated, never saying more, and IssuerUnreachable if no key of the issuer
        was ever known.
        """
        if not self._expected.audience:
            raise NotAuthenticated(tried=True)
        header, claims = await self._signed(text, audience=self._expected.audience)
        # Keycloak gives all its tokens one type in the header, and says here what they are.
        bearer = str(claims.get("typ", "Bearer")).lower() == "bearer"
        if _type_of(header) not in self._types or not bearer or _NOT_OF_BEARERS & claims.keys():
            raise NotAuthenticated(tried=True)
        return self._principal(claims)

    async def check_identity(self, text: str, *, nonce: str, access_token: str) -> Principal:
        """Return who has signed in, by an ID token that the issuer gave for this nonce.

        OpenID Connect Core §3.1.3.7. Raises NotAuthenticated and IssuerUnreachable as `check`,
        and MalformedInput if the token is good and its owner has no place here.
        """
        header, claims = await self._signed(text, audience=self._expected.client_id)
        good = (
            _type_of(header) in {"jwt", ""}
            and claims.get("nonce") == nonce
            and claims.get("azp", self._expected.client_id) == self._expected.client_id
            and claims.get("at_hash") in (None, _half_hash(access_token, header["alg"]))
        )
        if not good:
            raise NotAuthenticated(tried=True)
        return principal_of(claims, issuer=self.issuer, rules=self._rules)

    def _principal(self, claims: dict[str, Any]) -> Principal:
        try:
            return principal_of(claims, issuer=self.issuer, rules=self._rules)
        except MalformedInput:
            raise NotAuthenticated(tried=True) from None

    async def _signed(self, text: str, *, audience: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims, if the issuer signed them for this audience, and for now."""
        try:
            header = jws.extract_compact(text.encode()).headers()
            key_id = header.get("kid")
            if key_id is not None and not isinstance(key_id, str):
                raise NotAuthenticated(tried=True)
            key = await self._keys.find(key_id)
            if key is None or key.get("alg", header["alg"]) != header["alg"]:
                raise NotAuthenticated(tried=True)
            claims = jwt.decode(text, key, registry=_REGISTRY).claims
            self._required(audience).validate(claims)
        except (JoseError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise NotAuthenticated(tried=True) from None
        return header, claims

    def _required(self, audience: str) -> jwt.JWTClaimsRegistry:
        return jwt.JWTClaimsRegistry(
            now=int(self._clock().timestamp()),
            leeway=LEEWAY,
            iss={"essential": True, "value": self.issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
        )


def _type_of(header: dict[str, Any]) -> str:
    """The type in lower case, without the `application/` that may be there (RFC 7515 §4.1.9)."""
    told = header.get("typ", "")
    return told.lower().removeprefix("application/") if isinstance(told, str) else "unreadable"


def _half_hash(text: str, algorithm: str) -> str:
    """The left half of the hash that the algorithm uses (OpenID Connect Core §3.1.3.6)."""
    function = {"256": sha256, "384": sha384}.get(algorithm[-3:], sha512)
    digest = function(text.encode()).digest()
    return base64.urlsafe_b64encode(digest[: len(digest) // 2]).decode().rstrip("=")
