"""People with a browser: who gets a session, what it opens, and which requests it counts in."""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import AsyncMock

import pytest
from browsing import ORIGIN, OWN_PAGE, Browser

from auditlogservice.access import Scope
from running import EVENT, PASSWORD

if TYPE_CHECKING:
    from running import Api

SESSION = "__Host-session"


async def signed_in(api: Api, name: str = "alice", *scopes: Scope) -> Browser:
    await api.add(name, *scopes)
    browser = Browser(api)
    answer = await browser.post("/signin", username=name, password=PASSWORD)
    assert answer.status_code == 303, answer.text
    return browser


async def status(browser: Browser, headers: dict[str, str], method: str = "GET") -> int:
    """What the API answers to a request with the session and these headers."""
    address = "/me" if method == "GET" else "/users/nobody"
    return (await browser.send(method, address, headers=headers)).status_code


async def test_who_signs_in_has_a_session_that_scripts_and_other_sites_cannot_reach(
    api: Api,
) -> None:
    browser = await signed_in(api)
    attributes = {each.strip() for each in browser.attributes[SESSION].split(";")}
    assert attributes == {"HttpOnly", "Max-Age=3600", "Path=/", "SameSite=strict", "Secure"}
    me = await browser.get("/me")
    assert me.json()["name"] == "alice"
    assert "alice" in (await browser.get("/signin")).text


async def test_a_session_opens_what_its_owner_may_do(memory_api: Api) -> None:
    browser = await signed_in(memory_api, "alice", Scope.EVENTS_READ)
    assert (await browser.get("/events")).json() == []
    assert (await browser.get("/users")).status_code == 403


async def test_signing_in_goes_on_to_where_the_page_was_asked_to_lead(memory_api: Api) -> None:
    await memory_api.add("alice")
    browser = Browser(memory_api)
    page = await browser.get("/signin?return_to=/docs%3Fa%3D1")
    assert 'name="return_to" value="/docs?a=1"' in page.text
    answer = await browser.post(
        "/signin", username="alice", password=PASSWORD, return_to="/docs?a=1"
    )
    assert answer.headers["location"] == "/docs?a=1"


ELSEWHERE = (
    "//evil.example", "/\\evil.example", "\\/evil.example", "https://evil.example",
    "javascript:alert(1)", "", "docs", "/a\r\nSet-Cookie: x=y", "/\t/evil.example", "/a b",
    "/" + "a" * 1001, "/é",
)  # fmt: skip


async def test_signing_in_never_leads_elsewhere(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await memory_api.services.accounts.add("alice", PASSWORD, scopes=frozenset())
    # Hashing is not what this is about, and takes its time.
    monkeypatch.setattr(memory_api.services.accounts, "sign_in", AsyncMock(return_value=user))
    browser = Browser(memory_api)
    for path in ELSEWHERE:
        form = {"username": "alice", "password": PASSWORD, "return_to": path}
        answer = await browser.post("/signin", **form)
        assert answer.headers["location"] == "/signin", path


async def test_a_path_is_text_on_a_page(memory_api: Api) -> None:
    page = await Browser(memory_api).get('/signin?return_to=/"><script>')
    assert "<script" not in page.text


async def test_a_wrong_password_gets_the_page_again_and_nothing_of_it(memory_api: Api) -> None:
    await memory_api.add("alice")
    browser = Browser(memory_api)
    for name in ("alice", "nobody", "<script>"):
        answer = await browser.post("/signin", username=name, password="<b>not the one</b>")
        assert answer.status_code == 400
        assert answer.headers["content-type"].startswith("text/html")
        assert "the username or the password is not right" in answer.text
        assert "not the one" not in answer.text
        assert "<script" not in answer.text
    assert (await browser.post("/signin", username="alice")).status_code == 400
    assert browser.cookies == {}


# What a browser says of a request that another site has made it send, or what nobody says.
FOREIGN: tuple[dict[str, str], ...] = (
    {},
    {"Sec-Fetch-Site": "cross-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "same-site", "Origin": ORIGIN},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "https://evil.example"},
    {"Origin": "https://audit.test.evil.example"},
    {"Origin": "https://audit.test:444"},
    {"Origin": "null"},
    {"Origin": "audit.test"},
    {"Referer": f"{ORIGIN}/signin"},
)


async def test_what_changes_something_has_to_come_from_a_page_of_the_service(
    memory_api: Api,
) -> None:
    browser = await signed_in(memory_api)
    form = {"username": "alice", "password": PASSWORD}
    for headers in FOREIGN:
        assert await status(browser, headers, "DELETE") == 403, headers
        for address in ("/signin", "/signout"):
            answer = await browser.send("POST", address, headers=headers, form=form)
            assert answer.status_code == 403, headers
            assert answer.json()["code"] == "csrf"
    assert (await browser.get("/me")).status_code == 200
    for headers in (
        OWN_PAGE,
        {"Origin": ORIGIN},
        {"Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},  # Chromium, of a form on our pages
    ):
        assert await status(browser, headers, "DELETE") == 404, headers  # there is no such user


async def test_reading_has_to_be_asked_by_the_service_or_by_the_person(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    assert await status(browser, {}) == 200
    for site in ("none", "same-origin"):
        assert await status(browser, {"Sec-Fetch-Site": site}) == 200
    for site in ("same-site", "cross-site", "?"):
        assert await status(browser, {"Sec-Fetch-Site": site}) == 403


async def test_a_token_counts_before_a_session(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    bob = await memory_api.add("bob")
    answer = await browser.get("/me", **bob, **{"Sec-Fetch-Site": "cross-site"})
    assert answer.json()["name"] == "bob"
    assert (await browser.get("/me", Authorization="Bearer x")).status_code == 401


async def test_neither_passes_as_the_other(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    session = browser.cookies[SESSION]
    answer = await memory_api.http.get("/me", headers={"Authorization": f"Bearer {session}"})
    assert answer.status_code == 401
    token = await memory_api.sign_in("alice")
    browser.cookies[SESSION] = token["Authorization"].removeprefix("Bearer ")
    assert (await browser.get("/me")).status_code == 401


async def test_a_made_up_session_is_none(memory_api: Api) -> None:
    for text in ("", "x", "default.", "default." + "a" * 43, "../a." + "a" * 43, "a" * 5000):
        browser = Browser(memory_api)
        browser.cookies[SESSION] = text
        assert (await browser.get("/me")).status_code == 401
        assert "Password" in (await browser.get("/signin")).text
        assert (await browser.post("/signout")).status_code == 303


async def test_signing_out_ends_the_session_also_for_who_has_kept_it(api: Api) -> None:
    browser = await signed_in(api)
    kept = dict(browser.cookies)
    answer = await browser.post("/signout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/signin")
    assert browser.cookies == {}
    browser.cookies = kept
    assert (await browser.get("/me")).status_code == 401


async def test_signing_in_again_ends_the_session_before(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    before = dict(browser.cookies)
    await browser.post("/signin", username="alice", password=PASSWORD)
    assert (await browser.get("/me")).status_code == 200
    browser.cookies = before
    assert (await browser.get("/me")).status_code == 401


async def test_a_session_ends_with_its_time(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    memory_api.time.advance(minutes=59)
    assert (await browser.get("/me")).status_code == 200
    memory_api.time.advance(minutes=2)
    assert (await browser.get("/me")).status_code == 401


async def test_sessions_that_are_over_are_forgotten(api: Api) -> None:
    await signed_in(api)
    sessions = api.services.sessions
    api.time.advance(hours=2)
    await signed_in(api, "bob")
    await sessions._clear()
    (left,) = await sessions._documents.all("session")
    assert b'"bob"' in left.body


@pytest.mark.parametrize("way", ["disabled", "removed", "given a new password"])
async def test_a_user_who_is_shut_out_has_no_session_any_more(api: Api, way: str) -> None:
    browser = await signed_in(api)
    accounts = api.services.accounts
    user = await accounts.user("alice")
    match way:
        case "disabled":
            await accounts.change(user, disabled=True)
        case "removed":
            await accounts.remove(user)
        case _:
            await accounts.change(user, password=PASSWORD + "!")
    assert (await browser.get("/me")).status_code == 401


async def test_a_scope_that_is_taken_away_is_taken_from_the_session(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    user = await memory_api.services.accounts.user("alice")
    await memory_api.services.accounts.change(user, scopes=frozenset({Scope.EVENTS_WRITE}))
    assert (await browser.get("/events")).status_code == 403


async def test_the_store_has_nothing_by_which_to_take_over_a_session(api: Api) -> None:
    browser = await signed_in(api)
    secret = browser.cookies[SESSION].partition(".")[2]
    (kept,) = await api.services.sessions._documents.all("session")
    assert secret not in kept.id + kept.body.decode()


async def test_a_session_records_in_the_name_of_its_owner(memory_api: Api) -> None:
    browser = await signed_in(memory_api)
    answer = await memory_api.http.post(
        f"{ORIGIN}/events",
        json=EVENT,
        headers={**OWN_PAGE, "Cookie": f"{SESSION}={browser.cookies[SESSION]}"},
    )
    assert answer.json()["user_id"] == "alice"


async def test_without_a_provider_there_is_no_way_to_it(memory_api: Api) -> None:
    browser = Browser(memory_api)
    assert "/signin/oidc" not in (await browser.get("/signin")).text
    for address in ("/signin/oidc", "/signin/callback?state=a&code=b"):
        assert (await browser.get(address)).status_code == 404


async def test_pages_have_no_script_and_cannot_be_framed(memory_api: Api) -> None:
    answer = await Browser(memory_api).get("/signin")
    assert "<script" not in answer.text
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
