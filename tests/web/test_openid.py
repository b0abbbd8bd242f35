"""Identity from a real OpenID provider: its access tokens, and people who sign in there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlencode, urlsplit

import pytest
from browsing import Browser

from auditlogservice.runtime.settings import Settings
from canaille_server import API, PUBLIC, SCOPE, SECRET, WEB
from running import EVENT, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from canaille_server import Provider
    from running import Api

SIGN_IN = "__Host-signin"


def settings_for(issuer: str, folder: Path, **other: Any) -> Settings:
    told: dict[str, Any] = {
        "store": "sqlite:///:memory:",
        "data_dir": folder,
        "public_url": PUBLIC,
        "oidc_issuer": issuer,
        "oidc_audience": API,
        "oidc_client_id": WEB,
        "oidc_client_secret": SECRET,
        "oidc_scope": SCOPE,
        "oidc_scopes_claim": "groups",
        "oidc_scope_map": "auditors=events:read ledger:read, writers=events:write",
        **other,
    }
    return Settings(**told)


@pytest.fixture
async def outside(provider: Provider, tmp_path: Path) -> AsyncIterator[Api]:
    """The service, with a provider outside; its keys may be asked for at any time."""
    async with running(settings_for(provider.issuer, tmp_path)) as api:
        keys_of(api)._pause = 0
        yield api


def keys_of(api: Api) -> Any:
    found: Any = api.services.callers
    return found._external._keys


async def come_back(api: Api, provider: Provider, return_to: str = "/docs") -> Browser:
    """Sign in at the provider, and return the browser after its way back."""
    browser = Browser(api)
    answer = await begun(browser, provider, return_to)
    page = await browser.get(f"/signin/callback?{urlencode(answer)}")
    assert page.status_code == 200, page.text
    assert f'content="0; url={return_to}"' in page.text
    return browser


async def begun(browser: Browser, provider: Provider, return_to: str = "/") -> dict[str, str]:
    """Go to the provider; return what it sends the browser back with."""
    start = await browser.get(f"/signin/oidc?{urlencode({'return_to': return_to})}")
    assert start.status_code == 302, start.text
    return await provider.answer_to(start.headers["location"])


async def tokens_of(api: Api, provider: Provider) -> tuple[str, str]:
    """An ID token and an access token of the provider, got as any client of it gets them."""
    sign_in = api.services.sign_in
    assert sign_in
    client: Any = sign_in._provider
    started = await sign_in.begin("/")
    answer = await provider.answer_to(started.address)
    verifier = sign_in._opened(started.sealed).verifier
    redirect_uri = sign_in._client.redirect_uri
    tokens: tuple[str, str] = await client.exchange(
        answer["code"], verifier=verifier, redirect_uri=redirect_uri
    )
    return tokens


async def me(api: Api, token: str) -> Any:
    answer = await api.http.get("/me", headers={"Authorization": f"Bearer {token}"})
    return answer.json() if answer.status_code == 200 else answer.status_code


# ---- access tokens ----------------------------------------------------------------------


async def test_an_access_token_of_the_provider_opens_what_its_groups_give(
    outside: Api, provider: Provider
) -> None:
    provider.person("alice", "auditors", "staff")
    _, access = await tokens_of(outside, provider)
    told = {"name": "oidc:alice", "tenant": "default", "scopes": ["events:read", "ledger:read"]}
    assert await me(outside, access) == told
    bearer = {"Authorization": f"Bearer {access}"}
    assert (await outside.http.get("/events", headers=bearer)).status_code == 200
    assert (await outside.http.post("/events", json=EVENT, headers=bearer)).status_code == 403


async def test_a_token_that_gives_nothing_opens_me_and_nothing_else(
    outside: Api, provider: Provider
) -> None:
    provider.person("alice", "staff")
    _, access = await tokens_of(outside, provider)
    assert (await me(outside, access))["scopes"] == []
    answer = await outside.http.get("/events", headers={"Authorization": f"Bearer {access}"})
    assert answer.status_code == 403


async def test_records_say_that_they_were_made_by_somebody_from_outside(
    outside: Api, provider: Provider
) -> None:
    ours = await outside.add("alice")
    provider.person("alice", "writers")
    _, access = await tokens_of(outside, provider)
    theirs = await outside.record({"Authorization": f"Bearer {access}"})
    assert theirs["user_id"] == "oidc:alice"
    assert (await outside.record(ours))["user_id"] == "alice"


async def test_who_is_not_kept_here_has_no_api_tokens_here(
    outside: Api, provider: Provider
) -> None:
    """They would outlive the provider's word."""
    provider.person("alice", "auditors")
    _, access = await tokens_of(outside, provider)
    bearer = {"Authorization": f"Bearer {access}"}
    assert (await outside.http.post("/me/tokens", json={}, headers=bearer)).status_code == 409


async def test_an_id_token_is_no_access_token(outside: Api, provider: Provider) -> None:
    """Canaille gives both of them one type and one audience."""
    provider.person("alice", "auditors")
    identity, access = await tokens_of(outside, provider)
    assert await me(outside, identity) == 401
    assert (await me(outside, access))["name"] == "oidc:alice"


async def test_a_token_for_another_service_is_refused(provider: Provider, tmp_path: Path) -> None:
    provider.person("alice", "auditors")
    settings = settings_for(provider.issuer, tmp_path, oidc_audience="another-api")
    async with running(settings) as api:
        assert await me(api, (await tokens_of(api, provider))[1]) == 401


async def test_where_rfc_9068_is_asked_for_a_plain_jwt_is_refused(
    provider: Provider, tmp_path: Path
) -> None:
    provider.person("alice", "auditors")
    async with running(settings_for(provider.issuer, tmp_path, oidc_typ="at+jwt")) as api:
        assert await me(api, (await tokens_of(api, provider))[1]) == 401


async def test_a_token_ends_with_its_time(outside: Api, provider: Provider) -> None:
    provider.person("alice", "auditors")
    _, access = await tokens_of(outside, provider)
    outside.time.advance(days=11)  # Canaille's are good for ten
    assert await me(outside, access) == 401


async def test_the_provider_can_change_its_key(outside: Api, provider: Provider) -> None:
    provider.person("alice", "auditors")
    _, before = await tokens_of(outside, provider)
    assert await me(outside, before) != 401
    provider.rotate()
    _, after = await tokens_of(outside, provider)
    assert (await me(outside, after))["name"] == "oidc:alice"
    assert await me(outside, before) == 401  # its key is published no longer


async def test_without_the_provider_its_tokens_go_on_and_so_do_our_own(
    outside: Api, provider: Provider
) -> None:
    provider.person("alice", "auditors")
    _, access = await tokens_of(outside, provider)
    assert await me(outside, access) != 401
    keys_of(outside)._source._issuer = "http://localhost:1"
    keys_of(outside)._source._endpoints = None
    assert (await me(outside, access))["name"] == "oidc:alice"
    assert (await outside.http.get("/me", headers=await outside.add("bob"))).status_code == 200


async def test_a_service_that_never_reached_its_provider_says_so(
    provider: Provider, outside: Api, tmp_path: Path
) -> None:
    provider.person("alice", "auditors")
    _, access = await tokens_of(outside, provider)
    settings = settings_for(provider.issuer, tmp_path / "other")
    async with running(settings) as api:
        keys = keys_of(api)
        keys._keys, keys._source = None, Down()
        answer = await api.http.get("/me", headers={"Authorization": f"Bearer {access}"})
        assert answer.status_code == 503
        assert answer.json()["code"] == "issuer-unreachable"
        assert (await api.http.get("/me", headers=await api.add("bob"))).status_code == 200
        page = await Browser(api).get("/signin")
        assert page.status_code == 200


class Down:
    """A provider that does not answer."""

    async def keys(self) -> list[object]:
        from auditlogservice.errors import IssuerUnreachable  # noqa: PLC0415

        raise IssuerUnreachable("it is down")


# ---- sign-in with a browser ---------------------------------------------------------------


async def test_people_sign_in_at_the_provider(outside: Api, provider: Provider) -> None:
    provider.person("alice", "auditors")
    browser = await come_back(outside, provider)
    assert browser.cookies.keys() == {"__Host-session"}
    told = (await browser.get("/me")).json()
    assert told == {
        "name": "oidc:alice", "tenant": "default", "scopes": ["events:read", "ledger:read"],
    }  # fmt: skip
    assert "oidc:alice" in (await browser.get("/signin")).text
    await browser.post("/signout")
    assert (await browser.get("/me")).status_code == 401


async def test_the_provider_is_asked_with_pkce_and_for_this_browser_alone(
    outside: Api, provider: Provider
) -> None:
    browser = Browser(outside)
    page = await browser.get("/signin?return_to=/docs")
    link = re.search(r'href="(/signin/oidc[^"]*)"', page.text)
    assert link
    start = await browser.get(link[1])
    address = urlsplit(start.headers["location"])
    assert f"{address.scheme}://{address.netloc}" == provider.issuer
    asked = {name: values[0] for name, values in parse_qs(address.query).items()}
    assert asked["code_challenge_method"] == "S256"
    assert asked["response_type"] == "code"
    assert asked["redirect_uri"] == f"{PUBLIC}/signin/callback"
    attributes = browser.attributes[SIGN_IN].lower()
    assert all(word in attributes for word in ("httponly", "secure", "samesite=lax", "path=/"))
    again = parse_qs(urlsplit((await browser.get(link[1])).headers["location"]).query)
    for name in ("state", "nonce", "code_challenge"):
        assert len(asked[name]) == 43
        assert again[name] != [asked[name]]
    assert asked["state"] not in browser.cookies[SIGN_IN]


async def test_no_secret_of_a_sign_in_is_in_the_logs(
    outside: Api,
    provider: Provider,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    provider.person("alice", "auditors")
    browser = Browser(outside)
    answer = await begun(browser, provider)
    cookies = dict(browser.cookies)
    assert (await browser.get(f"/signin/callback?{urlencode(answer)}")).status_code == 200
    cookies |= browser.cookies
    # The provider is in this process too, and so is the browser.
    others = ("canaille", "authlib")
    lines = [
        record.getMessage() for record in caplog.records
        if not record.name.startswith(others) and PUBLIC not in record.getMessage()
    ]  # fmt: skip
    written = "\n".join((*capsys.readouterr(), *lines))
    assert "/oauth/token" in written
    assert "keys of the identity provider are known" in written
    for secret in (SECRET, quote(SECRET, safe=""), answer["code"], *cookies.values()):
        assert secret not in written


@pytest.mark.parametrize(
    "change",
    [
        {"state": "x" * 43},
        {"state": ""},
        {"iss": "https://evil.example"},
        {"iss": ""},
    ],
)
async def test_an_answer_that_is_not_to_this_sign_in_signs_nobody_in(
    outside: Api, provider: Provider, change: dict[str, str]
) -> None:
    provider.person("alice", "auditors")
    browser = Browser(outside)
    answer = await begun(browser, provider) | change
    page = await browser.get(f"/signin/callback?{urlencode(answer)}")
    assert page.status_code == 403, page.text
    assert 'role="alert"' in page.text
    assert browser.cookies == {}


async def test_an_answer_counts_in_the_browser_that_asked_and_once(
    outside: Api, provider: Provider
) -> None:
    provider.person("mallory", "auditors")
    victim, mallory = Browser(outside), Browser(outside)
    answer = f"/signin/callback?{urlencode(await begun(mallory, provider))}"
    kept = dict(mallory.cookies)
    assert (await victim.get(answer)).status_code == 403  # she never began
    await victim.get("/signin/oidc")
    assert (await victim.get(answer)).status_code == 403  # she began another
    page = await mallory.get(answer)
    assert page.status_code == 200, page.text
    mallory.cookies = kept
    assert (await mallory.get(answer)).status_code == 403  # the code is used up


async def test_a_sign_in_has_ten_minutes(outside: Api, provider: Provider) -> None:
    provider.person("alice", "auditors")
    browser = Browser(outside)
    answer = await begun(browser, provider)
    outside.time.advance(minutes=11)
    page = await browser.get(f"/signin/callback?{urlencode(answer)}")
    assert page.status_code == 403, page.text
    assert "took too long" in page.text


async def test_what_the_provider_refuses_is_told_without_its_words(
    outside: Api, provider: Provider
) -> None:
    for error, shown in (("access_denied", "access_denied"), ("<b>x</b>", "nothing that is")):
        browser = Browser(outside)
        start = await browser.get("/signin/oidc")
        state = parse_qs(urlsplit(start.headers["location"]).query)["state"][0]
        answer = {"state": state, "iss": provider.issuer, "error": error}
        page = await browser.get(f"/signin/callback?{urlencode(answer)}")
        assert page.status_code == 403
        assert shown in page.text
        assert "<b>" not in page.text


async def test_a_broken_cookie_is_no_sign_in(outside: Api, provider: Provider) -> None:
    provider.person("alice", "auditors")
    for text in ("", "x", "a.b.c.d.e", "a" * 5000):
        browser = Browser(outside)
        answer = await begun(browser, provider)
        browser.cookies[SIGN_IN] = text
        page = await browser.get(f"/signin/callback?{urlencode(answer)}")
        assert page.status_code == 403, text


async def test_who_has_no_tenant_here_is_told_so(provider: Provider, tmp_path: Path) -> None:
    provider.person("alice", "auditors")
    settings = settings_for(provider.issuer, tmp_path, oidc_tenant_claim="organisation")
    async with running(settings) as api:
        browser = Browser(api)
        answer = await begun(browser, provider)
        page = await browser.get(f"/signin/callback?{urlencode(answer)}")
        assert page.status_code == 403
        assert "organisation names no tenant" in page.text


async def test_a_tenant_is_taken_from_the_claim(provider: Provider, tmp_path: Path) -> None:
    provider.person("acme", "auditors")
    settings = settings_for(provider.issuer, tmp_path, oidc_tenant_claim="sub")
    async with running(settings) as api:
        browser = await come_back(api, provider)
        assert (await browser.get("/me")).json()["tenant"] == "acme"


async def test_nobody_from_outside_comes_into_a_suspended_tenant(
    outside: Api, provider: Provider
) -> None:
    provider.person("alice", "auditors")
    browser = await come_back(outside, provider)
    _, access = await tokens_of(outside, provider)
    await outside.services.tenants.suspend("default")
    outside.time.advance(seconds=1)
    assert (await browser.get("/me")).status_code == 401
    assert await me(outside, access) == 401


async def test_any_node_finishes_what_another_began(
    provider: Provider, settings: Settings, tmp_path: Path
) -> None:
    """And a session that one has opened counts on the other, and ends there."""
    provider.person("alice", "auditors")
    told = {name: value for name, value in settings_for(provider.issuer, tmp_path)
            if name.startswith("oidc") or name == "public_url"}  # fmt: skip
    here = settings.model_copy(update=told)
    there = here.model_copy(update={"data_dir": tmp_path / "other"})
    async with running(here) as one, running(there) as other:
        first, second = Browser(one), Browser(other)
        answer = await begun(first, provider)
        second.cookies = dict(first.cookies)
        page = await second.get(f"/signin/callback?{urlencode(answer)}")
        assert page.status_code == 200
        first.cookies = dict(second.cookies)
        assert (await first.get("/me")).json()["name"] == "oidc:alice"
        await second.post("/signout")
        assert (await first.get("/me")).status_code == 401


async def test_while_the_provider_is_away_people_are_told(outside: Api) -> None:
    assert outside.services.sign_in
    client: Any = outside.services.sign_in._provider
    client._issuer, client._endpoints = "http://localhost:1", None
    page = await Browser(outside).get("/signin/oidc")
    assert page.status_code == 503
    assert page.headers["retry-after"] == "10"
    assert "Password" in page.text  # the service's own users can go on
