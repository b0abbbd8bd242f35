"""A provider over HTTP is asked within limits, and only what it says of itself properly counts."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import httpx2
import pytest

from auditlogservice.client import foreign
from auditlogservice.client.provider import HttpProvider
from auditlogservice.errors import IssuerUnreachable, SignInRefused, UnsafeSetup

ISSUER = "https://id.example/realms/staff"
DISCOVERY = "/realms/staff/.well-known/openid-configuration"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": "https://id.example/authorize",
    "token_endpoint": "https://id.example/token",
    "jwks_uri": "https://id.example/keys",
}


@dataclass
class Site:
    """What is at each path: a status and a value, or a status and a text."""

    pages: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[httpx2.Request] = field(default_factory=list)

    def client(self, **client: str) -> HttpProvider:
        http = httpx2.AsyncClient(transport=httpx2.MockTransport(self._answer))
        return HttpProvider(http, ISSUER, **client)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        status, value = self.pages.get(request.url.path, (404, {}))
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        headers = {"Location": "https://evil.example/"} if status in {301, 302, 307} else {}
        return httpx2.Response(status, headers=headers, stream=httpx2.ByteStream(body))


def site(document: Any = DOCUMENT, **pages: tuple[int, Any]) -> Site:
    there = {f"/{name}": page for name, page in pages.items()}
    return Site({DISCOVERY: (200, document), **there})


@pytest.mark.parametrize(
    "issuer",
    [
        "http://id.example", "http://10.0.0.1", "http://localhost.evil.example", "ftp://id.example",
        "id.example", "https://", "http://[::2]", "http://[", "file:///etc/passwd",
        "https://id.example#a",
    ],
)  # fmt: skip
async def test_a_provider_is_asked_over_tls(issuer: str) -> None:
    with pytest.raises(UnsafeSetup):
        HttpProvider(httpx2.AsyncClient(), issuer)


@pytest.mark.parametrize(
    "issuer", ["https://id.example", "http://localhost:1", "http://127.0.0.2", "http://[::1]:80"]
)
async def test_or_on_this_machine(issuer: str) -> None:
    HttpProvider(httpx2.AsyncClient(), issuer)  # raises nothing


async def test_keys_are_where_the_discovery_document_says() -> None:
    there = site(keys=(200, {"keys": [{"kid": "a"}, 7]}))
    assert await there.client().keys() == [{"kid": "a"}, 7]
    assert [request.url.path for request in there.asked] == [DISCOVERY, "/keys"]


async def test_the_discovery_document_is_not_read_each_time() -> None:
    there = site(keys=(200, {"keys": []}))
    client = there.client()
    await client.keys()
    await client.keys()
    assert [request.url.path for request in there.asked] == [DISCOVERY, "/keys", "/keys"]


@pytest.mark.parametrize(
    ("there", "why"),
    [
        (Site(), "404"),
        (Site({DISCOVERY: (302, {})}), "302"),
        (Site({DISCOVERY: (503, {})}), "503"),
        (site(b"<html>"), "no JSON object"),
        (site(b"\xff"), "no JSON object"),
        (site(b"[" * 50_000), "no JSON object"),
        (site([]), "no JSON object"),
        (site(b"{" + b" " * foreign.MAX_ANSWER + b"}"), "more than"),
        (site({**DOCUMENT, "issuer": f"{ISSUER}/"}), "calls itself"),
        (site({**DOCUMENT, "issuer": None}), "calls itself"),
        (site({**DOCUMENT, "jwks_uri": "http://id.example/keys"}), "jwks_uri"),
        (site({**DOCUMENT, "jwks_uri": None}), "jwks_uri"),
        *[
            (site({**DOCUMENT, "jwks_uri": f"https://{address}"}), "jwks_uri")
            for address in ("\udcff", "a\0b", "id.example:port", "id.example:99999", "[::", "①.x")
        ],
        (site({**DOCUMENT, "token_endpoint": "file:///a"}), "token_endpoint"),
        (site(keys=(404, {})), "404"),
        (site(keys=(307, {})), "307"),
        (site(keys=(200, {"keys": {}})), "key set"),
        (site(keys=(200, {})), "key set"),
    ],
)
async def test_what_is_no_provider_says_why(there: Site, why: str) -> None:
    with pytest.raises(IssuerUnreachable, match=why):
        await there.client().keys()
    assert "evil.example" not in {request.url.host for request in there.asked}


async def exchange(there: Site, **client: str) -> tuple[str, str]:
    return await there.client(**client).exchange("c", verifier="v", redirect_uri="https://a/b")


async def test_a_code_is_exchanged_with_the_secret_in_the_way_that_the_provider_takes() -> None:
    tokens = (200, {"id_token": "i", "access_token": "a"})
    there = site(token=tokens)
    assert await exchange(there, client_id="us", secret="a b:%") == ("i", "a")
    asked = there.asked[-1]
    told = base64.b64decode(asked.headers["authorization"].removeprefix("Basic "))
    assert told == b"us:a%20b%3A%25"
    form = {name: value[0] for name, value in parse_qs(asked.content.decode()).items()}
    assert form == {
        "grant_type": "authorization_code", "code": "c", "code_verifier": "v",
        "redirect_uri": "https://a/b",
    }  # fmt: skip
    methods = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    for document, secret, expected in (
        ({**DOCUMENT, **methods}, "s", {"client_id": ["us"], "client_secret": ["s"]}),
        (DOCUMENT, "", {"client_id": ["us"]}),
    ):
        there = site(document, token=tokens)
        await exchange(there, client_id="us", secret=secret)
        asked = there.asked[-1]
        assert "authorization" not in asked.headers
        assert expected.items() <= parse_qs(asked.content.decode()).items()


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ((400, {"error": "invalid_grant"}), SignInRefused),
        ((401, {"error": "invalid_client"}), SignInRefused),
        ((200, {"access_token": "a"}), SignInRefused),
        ((200, {"id_token": "i", "access_token": 7}), SignInRefused),
        ((307, {}), IssuerUnreachable),
        ((429, {}), IssuerUnreachable),
        ((500, {}), IssuerUnreachable),
        ((200, b"{"), IssuerUnreachable),
    ],
)
async def test_a_code_that_is_not_taken_signs_nobody_in(
    answer: tuple[int, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await exchange(site(token=answer), client_id="us", secret="s")
