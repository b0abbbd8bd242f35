"""A made-up issuer: its keys, and tokens with anything in them."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws, jwt
from joserfc.jwk import ECKey, Key, OKPKey, RSAKey

from auditlogservice.errors import IssuerUnreachable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

NAME = "https://id.example/realms/staff"
AUDIENCE = "auditlog"
CLIENT = "auditlog-web"
NOW = datetime(2026, 6, 1, tzinfo=UTC)

# Made once: an RSA key takes its time.
RSA = RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "ec", "alg": "ES256"})
ED = OKPKey.generate_key("Ed25519", {"kid": "ed"})
STRANGER = OKPKey.generate_key("Ed25519", {"kid": "stranger"})


@dataclass
class Issuer:
    """Publishes these keys, and counts how often it is asked."""

    published: list[Any] = field(
        default_factory=lambda: [key.as_dict(private=False) for key in (RSA, EC, ED)]
    )
    down: bool = False
    asked: int = 0

    async def keys(self) -> Sequence[object]:
        self.asked += 1
        if self.down:
            raise IssuerUnreachable("it is down")
        return self.published


@dataclass
class Lines:
    """What the journal was told."""

    told: list[object] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def keys_unknown(self, why: str) -> None:
        self._tell(why)

    def keys_known(self, number: int) -> None:
        self._tell(number)

    def _tell(self, what: object) -> None:
        self.told.append(what)
        self.changed.set()


def moment(**from_now: float) -> int:
    return int((NOW + timedelta(**from_now)).timestamp())


def access_claims(**other: object) -> dict[str, object]:
    """The claims of a good access token; None takes one away."""
    claims: dict[str, object] = {
        "iss": NAME,
        "aud": AUDIENCE,
        "sub": "42",
        "exp": moment(minutes=5),
        "iat": moment(),
        "scope": "events:read",
        **other,
    }
    return {name: value for name, value in claims.items() if value is not None}


def sign(claims: dict[str, object], key: Key = ED, **header: object) -> str:
    """Sign with what the key is for, unless the header says otherwise; None takes a field away."""
    algorithm = {"RSA": "RS256", "EC": "ES256", "OKP": "Ed25519"}[key.key_type]
    fields = {"alg": algorithm, "kid": key.kid, "typ": "at+jwt", **header}
    told = {name: value for name, value in fields.items() if value is not None}
    registry = jws.JWSRegistry(algorithms=[str(told["alg"])], strict_check_header=False)
    return jwt.encode(told, claims, key, registry=registry, default_type=None)


def sign_under(
    header: Mapping[str, object], claims: Mapping[str, object], secret: bytes | None = None
) -> str:
    """Sign with ED, or with a secret (HS256), under any header: also what no library would."""
    parts = ".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
    key = ED.private_key
    assert isinstance(key, Ed25519PrivateKey)
    told = parts.encode()
    signature = key.sign(told) if secret is None else hmac.digest(secret, told, "sha256")
    return f"{parts}.{_base64(signature)}"


def _base64(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
