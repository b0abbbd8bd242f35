"""Passwords: what is accepted, and how they are kept (Argon2id, RFC 9106).

Hashing is slow on purpose, so it runs in threads of its own, two at most: a flood of logins can
neither take the cores from the recorder nor memory without bound.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auditlogservice.errors import Flaw, InvalidInput, Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
_AT_ONCE: Final = 2
_MAX_WAITING: Final = 256

# Long enough to pass the length rule, and first on every list of guesses.
_COMMON: Final = frozenset({
    "123456789012", "1234567890123", "12345678901234", "123456789123", "1234567891234",
    "abcdefghijkl", "administrator", "adminadminadmin", "changemechangeme", "iloveyouiloveyou",
    "letmeinletmein", "passw0rd1234", "password1234", "password12345", "password123456",
    "password123!", "passwordpassword", "qwerty123456", "qwertyqwerty", "qwertyuiop123",
    "qwertyuiopasdf", "welcome12345", "welcome123456",
})  # fmt: skip


def check_password(password: str) -> None:
    """Return if the password may be used; raise InvalidInput, without repeating it, if not."""
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise _refused(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if password.lower() in _COMMON or len(set(password)) == 1:
        raise _refused("this password is one of the first that a guesser tries")


def _refused(why: str) -> InvalidInput:
    return InvalidInput([Flaw("/password", why)])


class Passwords:
    """Hashes and checks, with OWASP's parameters: 19 MiB, 2 passes, 1 lane."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="argon2")
        self._waiting = 0
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash in PHC form, with a new salt."""
        return await self._run(self._hasher.hash, password)

    async def verify(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the one; without a hash the answer is no, in the same time."""
        if len(password) > MAX_LENGTH:
            return False
        return await self._run(self._verify, password, password_hash)

    def _verify(self, password: str, password_hash: str | None) -> bool:
        if self._decoy is None:
            self._decoy = self._hasher.hash("for those who do not exist")
        try:
            self._hasher.verify(self._decoy if password_hash is None else password_hash, password)
        except (VerificationError, InvalidHashError):
            return False
        return password_hash is not None

    async def _run(self, work: Callable[..., T], *arguments: str | None) -> T:
        if self._waiting >= _MAX_WAITING:
            raise Overloaded
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(
                self._threads, work, *arguments
            )
        finally:
            self._waiting -= 1

    def close(self) -> None:
        self._threads.shutdown()
