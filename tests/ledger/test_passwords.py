"""Passwords: which are refused, how they are kept, and that a flood of logins stays small."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest
from argon2 import PasswordHasher, Type, extract_parameters
from argon2.exceptions import VerifyMismatchError

from auditlogservice.errors import InvalidInput, Overloaded
from auditlogservice.ledger.identity.passwords import _MAX_WAITING, Passwords, check_password

if TYPE_CHECKING:
    from collections.abc import Iterator

GOOD = "correct horse battery"


@pytest.fixture
def passwords() -> Iterator[Passwords]:
    made = Passwords()
    yield made
    made.close()


@dataclass
class FakeHasher:
    """Hashes by name, counts who is inside, and holds everybody at the gate."""

    gate: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)
    inside: int = 0
    most: int = 0
    hashed: list[str] = field(default_factory=list)
    verified: list[tuple[str, str]] = field(default_factory=list)

    def hash(self, password: str) -> str:
        with self.lock:
            self.hashed.append(password)
        return f"hash of {password}"

    def verify(self, password_hash: str, password: str) -> bool:
        with self.lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
            self.verified.append((password_hash, password))
        self.gate.wait(5)
        with self.lock:
            self.inside -= 1
        if password_hash != f"hash of {password}":
            raise VerifyMismatchError
        return True


@pytest.fixture
def hasher(passwords: Passwords) -> FakeHasher:
    fake = FakeHasher()
    passwords._hasher = fake  # type: ignore[assignment] # a fake
    return fake


# ---- which ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "password", [GOOD, "a1b2c3d4e5f6", "xy" * 128, "пароль-пароль", "😀a" * 6, "😀" * 256]
)
def test_a_password_of_12_to_256_characters_may_be_used(password: str) -> None:
    check_password(password)


@pytest.mark.parametrize("password", ["", "a", "a1b2c3d4e5f", "ab" * 128 + "c", "ab" * 10**6])
def test_a_password_that_is_too_short_or_too_long_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="12 to 256") as caught:
        check_password(password)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/password"]
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize(
    "password",
    [
        "123456789012", "1234567890123", "123456789123", "987654321098", "abcdefghijkl",
        "qwertyuiopasdf", "qwertyuiop123", "aaaaaabbbbbb", "a" * 12, " " * 20, "a1a1a1a1a1a1",
        "P4ssP4ssP4ss", "administrator", "adminadminadmin", "changemechangeme", "PassWord1234",
        "passw0rd1234", "password123!", "passwordpassword", "qwerty123456", "qwertyqwerty",
        "welcome12345", "letmein!!!!!", "!!admin-2024!!", "iloveyou1234",
    ],
)  # fmt: skip
def test_a_password_that_everybody_tries_is_refused_and_not_repeated(password: str) -> None:
    for spelled in (password, password.upper()):
        with pytest.raises(InvalidInput, match="guesser") as caught:
            check_password(spelled)
        assert spelled not in str(caught.value)


@pytest.mark.parametrize(
    "password",
    ["alice.smith!", "Alice.Smith2024", "alice.smithalice.smith", "password-alice.smith"],
)
def test_a_password_that_is_little_more_than_the_name_is_refused(password: str) -> None:
    with pytest.raises(InvalidInput, match="guesser"):
        check_password(password, name="alice.smith")
    check_password("alice.smith walks her dog", name="alice.smith")


def test_a_name_of_one_letter_forbids_nothing() -> None:
    check_password("a-8-a-3-a-5-a-0", name="a")


def test_no_name_makes_a_refusal_slow() -> None:
    """Names and words that overlap could be put together in ways without number."""
    start = time.process_time()
    check_password("testtest" * 31 + "never", name="testtest")
    assert time.process_time() - start < 0.5


# ---- how --------------------------------------------------------------------------------


async def test_a_password_is_kept_as_argon2id_with_the_parameters_of_owasp(
    passwords: Passwords,
) -> None:
    kept = extract_parameters(await passwords.hash(GOOD))
    assert (kept.type, kept.time_cost, kept.memory_cost, kept.parallelism) == (
        Type.ID, 2, 19 * 1024, 1,
    )  # fmt: skip
    assert kept.salt_len >= 16


async def test_the_same_password_is_kept_differently_each_time(passwords: Passwords) -> None:
    one, other = await passwords.hash(GOOD), await passwords.hash(GOOD)
    assert one != other
    assert await passwords.verify(GOOD, one)
    assert await passwords.verify(GOOD, other)


@pytest.mark.parametrize(
    "password", [GOOD + " ", GOOD.upper(), GOOD[:-1], "", "\x00", GOOD + "\x00", "x" * 256]
)
async def test_another_password_is_wrong(passwords: Passwords, password: str) -> None:
    assert not await passwords.verify(password, await passwords.hash(GOOD))


@pytest.mark.parametrize("password", ["nul\x00byte nul", " leading and ", "e\u0301" * 8, "é" * 8])
async def test_a_password_is_taken_exactly_as_it_is_given(
    passwords: Passwords, password: str
) -> None:
    kept = await passwords.hash(password)
    assert await passwords.verify(password, kept)
    for other in (password.strip() + "!", password.replace("\x00", ""), "e\u0301" * 8, "é" * 8):
        assert await passwords.verify(other, kept) == (other == password)


@pytest.mark.parametrize("damaged", ["", "plain text", "$argon2id$", "$2b$12$abcdefghijk"])
async def test_a_damaged_hash_lets_nobody_in(passwords: Passwords, damaged: str) -> None:
    for password in ("", damaged, GOOD, "for those who do not exist"):
        assert not await passwords.verify(password, damaged)


async def test_a_hash_made_with_other_parameters_still_counts(passwords: Passwords) -> None:
    older = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(GOOD)
    assert await passwords.verify(GOOD, older)


# ---- who is not there ---------------------------------------------------------------------


async def test_who_does_not_exist_is_verified_like_everybody_else(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    hasher.gate.set()
    assert not await passwords.verify("one", None)
    assert not await passwords.verify("two", None)
    assert await passwords.verify("three", "hash of three")
    decoy = hasher.verified[0][0]
    assert hasher.verified == [(decoy, "one"), (decoy, "two"), ("hash of three", "three")]
    assert len(hasher.hashed) == 1  # the decoy is made once


async def test_nobody_comes_in_with_the_password_of_the_decoy(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    hasher.gate.set()
    await passwords.verify("x", None)
    assert not await passwords.verify(hasher.hashed[0], None)
    assert hasher.verified[-1] == (f"hash of {hasher.hashed[0]}", hasher.hashed[0])


async def test_the_decoy_costs_what_a_user_costs(passwords: Passwords) -> None:
    await passwords.verify(GOOD, None)
    assert passwords._decoy is not None
    decoy, real = (
        extract_parameters(one) for one in (passwords._decoy, await passwords.hash("x"))
    )
    assert decoy == real


# ---- how many ---------------------------------------------------------------------------


async def test_never_more_than_two_are_hashed_at_once(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as callers:
        for _ in range(20):
            callers.create_task(passwords.verify(GOOD, f"hash of {GOOD}"))
        await _until(lambda: hasher.inside == 2)
        await asyncio.sleep(0.05)
        assert hasher.inside == 2
        hasher.gate.set()
    assert hasher.most == 2
    assert len(hasher.verified) == 20


async def test_more_than_may_wait_are_refused_at_once(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as callers:
        for _ in range(_MAX_WAITING):
            callers.create_task(passwords.verify("x", None))
        await _until(lambda: hasher.inside == 2)
        start = time.monotonic()
        for attempt in (passwords.verify("x", None), passwords.hash(GOOD)):
            with pytest.raises(Overloaded):
                await attempt
        assert time.monotonic() - start < 0.05
        hasher.gate.set()
    assert not await passwords.verify("x", None)


async def test_who_hangs_up_gives_the_place_free_and_is_not_hashed(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as callers:
        for _ in range(2):
            callers.create_task(passwords.verify("first", None))
        await _until(lambda: hasher.inside == 2)
        for _ in range(3):
            flood = [
                callers.create_task(passwords.verify("flood", None))
                for _ in range(_MAX_WAITING - 2)
            ]
            await asyncio.sleep(0)
            for task in flood:
                task.cancel()
            await asyncio.sleep(0)
        last = callers.create_task(passwords.verify("last", None))
        await asyncio.sleep(0)
        hasher.gate.set()
        await last
    assert [password for _, password in hasher.verified] == ["first", "first", "last"]


async def test_a_password_beyond_every_limit_is_not_hashed(
    passwords: Passwords, hasher: FakeHasher
) -> None:
    for password_hash in (None, "hash of x"):
        assert not await passwords.verify("x" * 257, password_hash)
    assert hasher.verified == []


async def _until(condition: object) -> None:
    assert callable(condition)
    while not condition():  # noqa: ASYNC110 - the condition changes in other threads
        await asyncio.sleep(0.001)
