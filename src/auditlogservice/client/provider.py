"""An OpenID provider over HTTP: its discovery document, its keys, and codes exchanged for tokens.

All is spoken over TLS, except to a provider on this machine.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
from base64 import b64encode
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit

import httpx2

from auditlogservice.client.foreign import Answer, get, post
from auditlogservice.errors import IssuerUnreachable, SignInRefused, UnsafeSetup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.anchors import Refused, Unreachable

_OK = 200
_REFUSED = (400, 401)  # RFC 6749 §5.2
_FORM = "application/x-www-form-urlencoded"
_KEPT_FOR = 300.0  # seconds that the discovery document is not asked for again


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Of a discovery document (OpenID Connect Discovery §3), what is used here.

    `says_who` tells that its answers in a browser carry `iss` (RFC 9207).
    """

    authorization: str
    token: str
    keys: str
    says_who: bool
    secret_in_form: bool


class HttpProvider:
    """`issuer` is an address; the discovery document below it has to name exactly this one."""

    def __init__(
        self, http: httpx2.AsyncClient, issuer: str, *, client_id: str = "", secret: str = ""
    ) -> None:
        """Raise UnsafeSetup if the address is one that must not be asked."""
        if not _may_be_asked(issuer):
            raise UnsafeSetup("AUDITLOG_OIDC_ISSUER is an https address, or http on this machine")
        self._http = http
        self._issuer = issuer
        self._client_id = client_id
        self._secret = secret
        self._endpoints: Endpoints | None = None
        self._read_at = float("-inf")

    async def keys(self) -> Sequence[object]:
        """Return its JWK set (RFC 7517 §5). Raises IssuerUnreachable."""
        found = await self.endpoints()
        keys = _read(await get(self._http, found.keys), "its key set").get("keys")
        if not isinstance(keys, list):
            raise IssuerUnreachable("the key set of the identity provider is none")
        return keys

    async def endpoints(self) -> Endpoints:
        """Return where to send people and codes. Raises IssuerUnreachable."""
        now = asyncio.get_running_loop().time()
        if self._endpoints is None or now - self._read_at > _KEPT_FOR:
            where = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
            told = _read(await get(self._http, where), "its discovery document")
            self._endpoints, self._read_at = _endpoints(told, self._issuer), now
        return self._endpoints

    async def exchange(self, code: str, *, verifier: str, redirect_uri: str) -> tuple[str, str]:
        """Return the ID token and the access token for a code (RFC 6749 §4.1.3, RFC 7636 §4.5).

        Raises SignInRefused if the provider takes the code for none, and IssuerUnreachable.
        """
        found = await self.endpoints()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {"Accept": "application/json"}
        if not self._secret:
            form["client_id"] = self._client_id
        elif found.secret_in_form:
            form |= {"client_id": self._client_id, "client_secret": self._secret}
        else:
            headers["Authorization"] = _basic(self._client_id, self._secret)
        answer = await post(
            self._http, found.token, urlencode(form).encode(), media_type=_FORM, headers=headers
        )
        if isinstance(answer, Answer) and answer.status in _REFUSED:
            raise SignInRefused("the identity provider does not take its own code back")
        told = _read(answer, "its answer to a code")
        id_token, access_token = told.get("id_token"), told.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise SignInRefused("the identity provider does not say who has signed in")
        return id_token, access_token


def _endpoints(told: dict[str, Any], issuer: str) -> Endpoints:
    if told.get("issuer") != issuer:
        # Discovery §4.3. Often a slash at the end is all that is different.
        raise IssuerUnreachable(f"the identity provider calls itself {told.get('issuer')!r}")
    methods = told.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    return Endpoints(
        authorization=_address(told, "authorization_endpoint"),
        token=_address(told, "token_endpoint"),
        keys=_address(told, "jwks_uri"),
        says_who=told.get("authorization_response_iss_parameter_supported") is True,
        secret_in_form=isinstance(methods, list) and "client_secret_basic" not in methods,
    )


def _address(told: dict[str, Any], name: str) -> str:
    url = told.get(name)
    if not isinstance(url, str) or not _may_be_asked(url):
        raise IssuerUnreachable(f"the identity provider's {name} is no https address")
    return url


def _may_be_asked(url: str) -> bool:
    try:
        parts = httpx2.URL(url)
        _ = urlsplit(url).port  # of one that no port can have, only asking would tell
    except (httpx2.InvalidURL, ValueError):
        return False
    if parts.scheme == "https":
        return bool(parts.host) and not parts.fragment
    return parts.scheme == "http" and _is_here(parts.host)


def _is_here(host: str) -> bool:
    """Whether the host is this machine, whatever a name server says."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # RFC 6761 §6.3


def _basic(client_id: str, secret: str) -> str:
    """RFC 6749 §2.3.1: both are encoded as in a form first."""
    told = f"{quote(client_id, safe='')}:{quote(secret, safe='')}"
    return f"Basic {b64encode(told.encode()).decode()}"


def _read(answer: Answer | Refused | Unreachable, what: str) -> dict[str, Any]:
    """Return the JSON object that the answer is. Raises IssuerUnreachable if it is none."""
    if not isinstance(answer, Answer):
        raise IssuerUnreachable(f"the identity provider: {answer.why}")
    if answer.status != _OK:
        raise IssuerUnreachable(f"the identity provider answers {answer.status} for {what}")
    try:
        told = json.loads(answer.content)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise IssuerUnreachable(f"the identity provider gives no JSON object for {what}")
    return told
