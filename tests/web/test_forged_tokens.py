"""Whatever is shown as a token and is none is 401, on every kind of call, and never a 5xx.

`tests/ledger/test_tokens.py` has more of them; these go the whole way, over both stores. The
forger of some of them even has the key of a node, and still gets no further than a token goes
that the service itself would make.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from joserfc import jws
from joserfc.jwk import OKPKey

from auditlogservice.ledger.identity.opaque import API_TOKEN, spell
from auditlogservice.store.port import VerificationKey
from bearers import bearing, get, text_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from running import Api

HUGE = 10**30
ISSUER = "http://localhost:8080"


def encode(part: object) -> str:
    raw = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass
class Forger:
    """Has a good token, the key that signed it, a key of its own, and an API token."""

    good: str
    key: OKPKey
    api_token: str
    now: int

    def __post_init__(self) -> None:
        self.head, self.body, self.tail = self.good.split(".")
        token = jws.extract_compact(self.good.encode())
        self.header: dict[str, Any] = dict(token.headers())
        self.claims: dict[str, Any] = json.loads(token.payload)
        self.mine = OKPKey.generate_key("Ed25519")

    def signed(self, header: object, claims: object, key: OKPKey | None = None) -> str:
        text = f"{encode(header)}.{encode(claims)}"
        private = (key or self.key).private_key
        assert isinstance(private, Ed25519PrivateKey)
        return f"{text}.{encode(private.sign(text.encode()))}"

    def told(self, **claims: Any) -> str:
        """Rightly signed, with other claims; None leaves one out."""
        changed = {**self.claims, **claims}
        return self.signed(
            self.header, {name: value for name, value in changed.items() if value is not None}
        )

    def headed(self, key: OKPKey | None = None, **header: Any) -> str:
        return self.signed({**self.header, **header}, self.claims, key)

    def mac(self, secret: bytes) -> str:
        text = f"{encode({**self.header, 'alg': 'HS256'})}.{self.body}"
        return f"{text}.{encode(hmac.digest(secret, text.encode(), hashlib.sha256))}"

    @property
    def public(self) -> dict[str, Any]:
        return dict(self.mine.as_dict(private=False))


FORGED: dict[str, Callable[[Forger], str]] = {
    # no signature, or one of another kind
    "alg none": lambda f: f"{encode({**f.header, 'alg': 'none'})}.{f.body}.",
    "alg none, the signature left": lambda f: f"{encode({'alg': 'none'})}.{f.body}.{f.tail}",
    "HS256 with the public key": lambda f: f.mac(f.key.as_pem(private=False)),
    "HS256 with an empty key": lambda f: f.mac(b""),
    "a signature that is cut": lambda f: f.good[:-4],
    "a signature with padding": lambda f: f.good + "==",
    "a signature of another token": lambda f: (
        f"{f.head}.{encode({**f.claims, 'sub': 'x'})}.{f.tail}"
    ),
    "no signature": lambda f: f"{f.head}.{f.body}.",
    "detached payload": lambda f: f"{f.head}..{f.tail}",
    "encrypted": lambda _: f"{encode({'alg': 'dir', 'enc': 'A128GCM'})}..AAAA.AAAA.AAAA",
    # the header
    "typ of an id token": lambda f: f.headed(typ="JWT"),
    "crit": lambda f: f.headed(crit=["exp"]),
    "unencoded payload": lambda f: f.headed(b64=False, crit=["b64"]),
    "kid that is a path": lambda f: f.headed(f.mine, kid="../../../../dev/null"),
    "kid that is SQL": lambda f: f.headed(f.mine, kid="x' UNION SELECT 'y' --"),
    "kid that is an address": lambda f: f.headed(f.mine, kid="https://attacker.example/key"),
    "kid that is a list": lambda f: f.headed(kid=[f.header["kid"]]),
    "kid that is an operator": lambda f: f.headed(f.mine, kid={"$ne": ""}),
    "kid of somebody else": lambda f: f.headed(f.mine),
    "jku": lambda f: f.headed(f.mine, jku="https://attacker.example/jwks"),
    "x5u": lambda f: f.headed(f.mine, x5u="https://attacker.example/cert"),
    "jwk": lambda f: f.headed(f.mine, jwk=f.public),
    "a name twice in the header": lambda f: f.signed(
        json.dumps(f.header)[:-1].encode() + b',"alg":"none"}', f.claims
    ),
    "a header that is a list": lambda f: f.signed([f.header], f.claims),
    # the claims, rightly signed
    "another issuer": lambda f: f.told(iss="https://attacker.example"),
    "the issuer of before": lambda f: f.told(iss="auditlogservice"),
    "another audience": lambda f: f.told(aud="https://other.example"),
    "expired": lambda f: f.told(exp=f.now - 1),
    "no exp": lambda f: f.told(exp=None),
    "exp as text": lambda f: f.told(exp=str(f.claims["exp"])),
    "exp beyond all dates": lambda f: f.told(exp=HUGE),
    "exp in a hundred years": lambda f: f.told(exp=f.now + 100 * 31_536_000),
    "exp before all dates": lambda f: f.told(exp=-HUGE),
    "made tomorrow": lambda f: f.told(iat=f.now + 86_400),
    "no iat": lambda f: f.told(iat=None),
    "good from tomorrow": lambda f: f.told(nbf=f.now + 86_400),
    "a generation that is text": lambda f: f.told(generation=str(f.claims["generation"])),
    "a generation that is true": lambda f: f.told(generation=False),
    "a generation to come": lambda f: f.told(generation=f.claims["generation"] + 1),
    "of a user and of a client": lambda f: f.told(secret="0" * 24),
    "of a client that a user is": lambda f: f.told(generation=None, secret="0" * 24),
    "of nobody": lambda f: f.told(sub="0" * 24),
    "of an operator": lambda f: f.told(sub={"$ne": ""}),
    "claims that are a list": lambda f: f.signed(f.header, [f.claims]),
    "claims that are no JSON": lambda f: f.signed(f.header, b"{"),
    "a lone surrogate": lambda f: f.told(sub="\ud800"),
    # the text
    "a blank inside": lambda f: f"{f.head}. {f.body}.{f.tail}",
    "a line inside": lambda f: f"{f.head}.{f.body}\t.{f.tail}",
    "more than 4 KiB": lambda f: f.told(x="x" * 5_000),
    "base64 of a token": lambda f: encode(f.good.encode()),
    "two tokens": lambda f: f"{f.good} {f.good}",
    "nothing": lambda _: "",
    "dots": lambda _: "." * 100,
    # API tokens
    "an API token with a wrong checksum": lambda f: f.api_token[:-1] + (
        "0" if f.api_token[-1] != "0" else "1"
    ),
    "an API token with another secret": lambda f: spell(
        API_TOKEN, _named(f.api_token), b"\x01" * 32
    ),
    "an API token of nobody": lambda _: spell(API_TOKEN, b"u" + b"\x01" * 24, b"\x01" * 32),
    "an API token of another kind": lambda f: spell(
        API_TOKEN, b"c" + _named(f.api_token)[1:], b"\x01" * 32
    ),
    "an API token of no kind": lambda _: spell(API_TOKEN, b"x" + b"\x01" * 24, b"\x01" * 32),
    "an API token that is cut": lambda f: f.api_token[:-10],
    "an API token in capitals": lambda f: f.api_token.upper(),
}  # fmt: skip


def _named(text: str) -> bytes:
    """The part of an API token that says whose it is."""
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    number = 0
    for digit in text[4:38]:
        number = number * 62 + digits.index(digit)
    return number.to_bytes(25)


async def forger(api: Api) -> Forger:
    user = await api.add("alice")
    api_token = await get(api, user)
    key = api.services.tokens._keys._own.current()
    return Forger(text_of(user), key, api_token["token"], int(api.time().timestamp()))


async def test_no_forged_token_is_let_in_and_none_breaks_anything(api: Api) -> None:
    assert len(FORGED) >= 40
    at_work = await forger(api)
    for text in (at_work.good, at_work.told(), at_work.headed(), at_work.api_token):
        headers = {"Authorization": f"Bearer {text}"}  # the forger knows how it is done
        assert (await api.http.get("/me", headers=headers)).status_code == 200
    for name, forge in FORGED.items():
        text = forge(at_work)
        headers = {"Authorization": f"Bearer {text}"}
        answer = await api.http.get("/events", headers=headers)
        assert answer.status_code == 401, name
        assert 'error="invalid_token"' in answer.headers["www-authenticate"], name
        assert text not in answer.text or not text, name
        for path, ended in (("/revoke", 200), ("/introspect", 200)):
            told = await api.http.post(
                path, data={"token": text}, headers={"Authorization": f"Bearer {at_work.good}"}
            )
            assert told.status_code == ended, (name, path)
            assert path == "/revoke" or told.json() == {"active": False}, name
    alive = {"Authorization": f"Bearer {at_work.good}"}
    assert (await api.http.get("/me", headers=alive)).status_code == 200


async def test_what_was_good_once_is_good_for_nothing_when_it_has_ended(api: Api) -> None:
    user = await api.add("alice")
    ended, token = await api.sign_in("alice"), bearing(await get(api, user))
    for headers in (ended, token):
        await api.http.post("/revoke", data={"token": text_of(headers)})
        answer = await api.http.get("/events", headers=headers)
        assert answer.status_code == 401
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_the_key_of_a_node_that_is_gone_lets_nobody_in(api: Api) -> None:
    at_work = await forger(api)
    accounts = api.services.tokens._keys._accounts
    gone = OKPKey.generate_key("Ed25519")
    await accounts.publish_key(
        VerificationKey(
            id=gone.thumbprint(),
            public=json.dumps(gone.as_dict(private=False)),
            expires_at=api.time() - timedelta(seconds=1),
        )
    )
    text = at_work.headed(gone, kid=gone.thumbprint())
    headers = {"Authorization": f"Bearer {text}"}
    assert (await api.http.get("/events", headers=headers)).status_code == 401


@pytest.mark.parametrize("text", ["tökén", "\x00", "a" * 7_000, "\xff\xfe"])
async def test_bytes_that_are_no_token_are_refused_unread(memory_api: Api, text: str) -> None:
    headers = [(b"authorization", b"Bearer " + text.encode())]
    assert (await memory_api.http.get("/events", headers=headers)).status_code == 401
