"""Signing in: what a guesser learns and gets, and what nobody can do to anybody else."""

from __future__ import annotations

import asyncio
import os
import statistics
import sys
import threading
import time
from typing import TYPE_CHECKING

import httpx2
import pytest
from argon2 import PasswordHasher, extract_parameters
from browsing import OWN_PAGE

from auditlogservice.access import Scope
from auditlogservice.runtime.settings import Settings
from auditlogservice.web import logins
from running import PASSWORD, Api, running

if TYPE_CHECKING:
    from pathlib import Path

GUESSER = "192.0.2.9"
ASTRAL = "".join(chr(0x1F600 + number % 64) for number in range(256))


@pytest.fixture(autouse=True)
def _refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logins, "REFUSAL_DELAY", 0.0)


async def sign_in(api: Api, name: str, password: str, address: str = "") -> httpx2.Response:
    """Sign in from an address, by default that of all other requests of a test."""
    form = {"username": name, "password": password}
    if not address:
        return await api.http.post("/token", data=form)
    elsewhere = httpx2.ASGITransport(app=api.app, client=(address, 1))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://test") as http:
        return await http.post("/token", data=form)


async def on_page(api: Api, name: str, password: str, address: str) -> int:
    """Sign in with the page for people; return the status."""
    elsewhere = httpx2.ASGITransport(app=api.app, client=(address, 1))
    async with httpx2.AsyncClient(transport=elsewhere, base_url="http://test") as http:
        form = {"username": name, "password": password}
        return (await http.post("/signin", data=form, headers=OWN_PAGE)).status_code


async def people(api: Api) -> dict[str, tuple[str, str]]:
    """Three who do not come in, with what they try."""
    await api.add("alice")
    shut_out = await api.services.accounts.add("bob", PASSWORD, scopes=frozenset(Scope))
    await api.services.accounts.change(shut_out, disabled=True)
    return {
        "unknown user": ("nobody", PASSWORD),
        "wrong password": ("alice", PASSWORD + "!"),
        "disabled user": ("bob", PASSWORD),
    }


# ---- what a stranger learns -----------------------------------------------------------------


async def test_who_does_not_come_in_learns_nothing_of_why(api: Api) -> None:
    seen = []
    for name, password in (await people(api)).values():
        answer = await sign_in(api, name, password)
        told = {key: value for key, value in answer.json().items() if key != "request_id"}
        seen.append((answer.status_code, told, sorted(answer.headers)))
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][0] == 400


async def test_each_refusal_costs_one_hash_of_the_same_price(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = await people(memory_api)
    await sign_in(memory_api, "nobody", "x")  # the decoy is made for the first one
    verified: list[object] = []
    hashed: list[object] = []
    verify = PasswordHasher.verify

    def overhear(hasher: PasswordHasher, password_hash: str, password: str) -> bool:
        verified.append(extract_parameters(password_hash))
        return verify(hasher, password_hash, password)

    monkeypatch.setattr(PasswordHasher, "verify", overhear)
    monkeypatch.setattr(PasswordHasher, "hash", lambda _, password: hashed.append(password))
    for name, password in tries.values():
        assert (await sign_in(memory_api, name, password)).status_code == 400
    assert len(verified) == 3
    assert len(set(map(str, verified))) == 1
    assert hashed == []


@pytest.mark.deep
async def test_each_refusal_takes_the_same_time(memory_api: Api) -> None:
    """Means within 10 %, of the time that the process works, which others cannot lengthen."""
    tries = await people(memory_api)
    spent: dict[str, list[float]] = {why: [] for why in tries}
    for _ in range(60):
        for why, (name, password) in tries.items():
            memory_api.time.advance(minutes=16)
            start = time.process_time()
            assert (await sign_in(memory_api, name, password)).status_code == 400
            spent[why].append(time.process_time() - start)
    means = [statistics.mean(sorted(each)[5:-5]) for each in spent.values()]
    assert max(means) < 1.1 * min(means), means


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_waits_do_not_tell_whether_a_user_exists(memory_api: Api, name: str) -> None:
    await memory_api.add("alice")
    statuses = [
        (await sign_in(memory_api, name, "wrong", "192.0.2.9")).status_code for _ in range(12)
    ]
    assert statuses == [400] * 10 + [429] * 2


# ---- exactly as given -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "password",
    [
        ASTRAL,
        "nul\0 in the\0 middle",
        "\0\0\0 at the beginning",
        " blanks around them ",
        "Ä\u0308 é e\u0301 \ufb01 of many kinds",
    ],
    ids=["astral", "nul", "nul first", "blanks", "combining"],
)
async def test_a_password_counts_exactly_as_it_is_given(api: Api, password: str) -> None:
    admin = await api.add("admin")
    made = {"name": "alice", "password": password, "scopes": []}
    assert (await api.http.post("/users", json=made, headers=admin)).status_code == 201
    assert (await sign_in(api, "alice", password)).status_code == 200
    others = {
        password[:-1], password + " ", password.strip(), password.replace("\0", ""),
        password.replace("é", "e\u0301"), password.replace("\ufb01", "fi"),
    }  # fmt: skip
    for other in others - {password}:
        assert (await sign_in(api, "alice", other)).status_code == 400


# ---- waits ----------------------------------------------------------------------------------


async def test_a_guesser_has_to_wait_and_is_told_how_long(memory_api: Api) -> None:
    await memory_api.add("alice")
    for _ in range(10):
        assert (await sign_in(memory_api, "alice", "wrong")).status_code == 400
    answer = await sign_in(memory_api, "alice", PASSWORD)  # not looked at: it tells nothing
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "too-many-attempts"
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["ratelimit-policy"] == '"login";q=10;w=900'
    assert answer.headers["ratelimit"] == '"login";r=0;t=1'
    page, _ = memory_api.services.metrics.page()
    assert b'auditlog_limited_total{policy="login"} 1.0' in page
    memory_api.time.advance(seconds=1.1)
    assert (await sign_in(memory_api, "alice", PASSWORD)).status_code == 200
    assert (await sign_in(memory_api, "alice", "wrong")).status_code == 400


async def test_what_has_to_wait_is_not_hashed(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(10):
        await sign_in(memory_api, "alice", "wrong")

    def never(*_: object) -> bool:
        pytest.fail("a password was hashed")

    monkeypatch.setattr(PasswordHasher, "verify", never)
    assert (await sign_in(memory_api, "alice", "wrong")).status_code == 429


async def test_many_guesses_at_the_same_moment_are_no_way_around_the_waits(
    memory_api: Api,
) -> None:
    await memory_api.add("alice")
    answers = await asyncio.gather(
        *(sign_in(memory_api, "alice", f"guess {number}") for number in range(20))
    )
    statuses = sorted(answer.status_code for answer in answers)
    # One more for a second thread, which had begun when the tenth one failed.
    assert 10 <= statuses.count(400) <= 11
    assert set(statuses) == {400, 429}


async def test_many_good_logins_at_the_same_moment_all_succeed(memory_api: Api) -> None:
    await memory_api.add("alice")
    answers = await asyncio.gather(*(sign_in(memory_api, "alice", PASSWORD) for _ in range(15)))
    assert {answer.status_code for answer in answers} == {200}


async def test_a_guesser_elsewhere_does_not_lock_a_user_out(memory_api: Api) -> None:
    await memory_api.add("alice")  # who has now signed in from where tests do
    for number in range(110):
        memory_api.services.accounts._backoff.failed("alice", f"192.0.2.{number}")
    assert (await sign_in(memory_api, "alice", "guess", "192.0.2.200")).status_code == 429
    assert (await sign_in(memory_api, "alice", PASSWORD)).status_code == 200


async def test_a_flood_from_one_address_does_not_starve_another(memory_api: Api) -> None:
    await memory_api.add("alice")
    ends: list[str] = []

    async def attempt(name: str, password: str, address: str) -> None:
        await sign_in(memory_api, name, password, address)
        ends.append(address)

    async with asyncio.TaskGroup() as callers:
        for number in range(60):
            callers.create_task(attempt(f"name {number}", "guess", "192.0.2.9"))
        await asyncio.sleep(0.01)
        callers.create_task(attempt("alice", PASSWORD, "198.51.100.1"))
    # Behind those whose turn came before it was in the line, and not behind all 60.
    assert ends.index("198.51.100.1") <= 30


async def test_the_page_to_sign_in_is_no_way_around_the_waits(memory_api: Api) -> None:
    await memory_api.add("alice")
    for _ in range(10):
        assert (await sign_in(memory_api, "alice", "wrong", GUESSER)).status_code == 400
    assert await on_page(memory_api, "alice", PASSWORD, GUESSER) == 429
    assert await on_page(memory_api, "alice", PASSWORD, "198.51.100.1") == 303


async def test_who_guesses_on_the_page_makes_nobody_elsewhere_wait(memory_api: Api) -> None:
    await memory_api.add("alice")
    for _ in range(10):
        assert await on_page(memory_api, "alice", "wrong", GUESSER) == 400
    assert (await sign_in(memory_api, "alice", PASSWORD, GUESSER)).status_code == 429
    assert await on_page(memory_api, "alice", PASSWORD, "198.51.100.1") == 303


async def test_who_does_not_wait_is_made_to(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else refusals, which cost nothing to ask for, would take the time of everybody's work."""
    monkeypatch.setattr(logins, "REFUSAL_DELAY", 0.2)
    for _ in range(10):
        await sign_in(memory_api, "alice", "wrong")
    start = time.monotonic()
    answers = await asyncio.gather(*(sign_in(memory_api, "alice", "wrong") for _ in range(5)))
    assert {answer.status_code for answer in answers} == {429}
    assert time.monotonic() - start >= 0.2


def test_hashing_has_a_smaller_share_of_the_processor(memory_api: Api) -> None:
    if sys.platform != "linux":
        pytest.skip("threads have no priority of their own elsewhere")
    passwords = memory_api.services.accounts._passwords

    def niceness() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert passwords._threads.submit(niceness).result(5) > niceness()


async def test_behind_a_trusted_proxy_each_caller_has_counts_of_its_own(tmp_path: Path) -> None:
    settings = Settings(
        store="sqlite:///:memory:", data_dir=tmp_path, trusted_proxies="127.0.0.1",
        forwarded_header="x-forwarded-for",
    )  # fmt: skip
    async with running(settings) as api:
        form = {"username": "alice", "password": "wrong"}
        for caller in ("192.0.2.1", "192.0.2.2"):
            headers = {"X-Forwarded-For": caller}
            statuses = [
                (await api.http.post("/token", data=form, headers=headers)).status_code
                for _ in range(11)
            ]
            assert statuses == [400] * 10 + [429]
