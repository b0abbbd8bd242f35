"""Passwords: what is accepted, and how they are kept (Argon2id, RFC 9106).

Hashing is slow on purpose, so it runs in threads of its own, two at most, and with a smaller share
of the processor than others: a flood of logins can neither take the cores from the recorder nor
memory without bound. Who waits is hashed in fair order (`sharing`), so that one address that
floods does not keep the others out.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from auditlogservice.errors import Flaw, InvalidInput
from auditlogservice.ledger.sharing.fairness import Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")

MIN_LENGTH: Final = 12
MAX_LENGTH: Final = 256
_AT_ONCE: Final = 2
_MAX_WAITING: Final = 256  # or being hashed
_PATIENCE: Final = 20.0  # seconds that somebody waits
# A third of the share of any other thread. Less would do harm: between two hashes this thread
# holds the interpreter's lock, and others wait for that until it has been given a processor.
_NICENESS: Final = 5

# What guessers begin with: such words, with digits and signs around them; neighbours on the
# keyboard or in the alphabet; a few characters again and again.
_WORDS: Final = (
    "abc", "access", "admin", "administrator", "audit", "baseball", "changeme", "computer",
    "default", "dragon", "flower", "football", "guest", "hello", "iloveyou", "letmein", "login",
    "master", "monkey", "p@ssw0rd", "p@ssword", "passw0rd", "password", "princess", "qwerty",
    "root", "secret", "shadow", "sunshine", "superman", "test", "trustno1", "user", "welcome",
)  # fmt: skip
_ROWS: Final = (
    "abcdefghijklmnopqrstuvwxyz", "qwertyuiopasdfghjklzxcvbnm", "12345678901",
)  # fmt: skip
_NEIGHBOURS: Final = frozenset(
    pair for row in _ROWS for one, other in pairwise(row) for pair in (one + other, other + one)
)
_REPEATED: Final = re.compile(r"([ -~]{1,4})\1+")
_LONGEST_PATTERN: Final = 32  # guessers try the short ones
_LEAST_NAME: Final = 3
_JUMPS: Final = 3  # where so many characters are no neighbours of the one before, it is no pattern


def check_password(password: str, *, name: str = "") -> None:
    """Return if the user of this name may use the password.

    Raises InvalidInput, without repeating the password, if not.
    """
    if not MIN_LENGTH <= len(password) <= MAX_LENGTH:
        raise _refused(f"a password has {MIN_LENGTH} to {MAX_LENGTH} characters")
    if _is_common(password.lower(), name.lower()):
        raise _refused("this password is one of the first that a guesser tries")


def _is_common(password: str, name: str) -> bool:
    words = _WORDS if len(name) < _LEAST_NAME else (name, *_WORDS)
    # The longest first, since nothing is tried a second time, so that no name makes this slow.
    known = "|".join(map(re.escape, sorted(words, key=len, reverse=True)))
    if re.fullmatch(rf"[\W\d_]*+(?:(?>{known})[\W\d_]*+)++", password):
        return True
    if len(password) > _LONGEST_PATTERN:
        return False
    jumps = sum(
        one != other and one + other not in _NEIGHBOURS for one, other in pairwise(password)
    )
    return jumps < _JUMPS or _REPEATED.fullmatch(password) is not None


def _refused(why: str) -> InvalidInput:
    return InvalidInput([Flaw("/password", why)])


class Passwords:
    """Hashes and checks, with OWASP's parameters: 19 MiB, 2 passes, 1 lane."""

    def __init__(self, *, at_once: int = _AT_ONCE) -> None:
        self._hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
        self._threads = ThreadPoolExecutor(
            at_once, thread_name_prefix="argon2", initializer=_yield_to_others
        )
        self._turns = Turns(at_once, waiting=_MAX_WAITING - at_once, seconds=_PATIENCE)
        self._decoy: str | None = None

    async def hash(self, password: str) -> str:
        """Return the hash in PHC form, with a new salt. Raises Overloaded if too many wait."""
        async with self._turns.take(None):
            return await self._run(self._hasher.hash, password)

    async def verify(
        self,
        password: str,
        password_hash: str | None,
        *,
        source: Hashable = None,
        before: Callable[[], None] = lambda: None,
    ) -> bool:
        """Whether the password is the one; without a hash the answer is no, in the same time.

        `source` is who asks, for a fair order. `before` is called when its turn has come, and
        what it raises ends the attempt. Raises Overloaded if too many wait.
        """
        if len(password) > MAX_LENGTH:
            return False
        async with self._turns.take(source):
            before()
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
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *arguments)

    def close(self) -> None:
        self._threads.shutdown()


def _yield_to_others() -> None:
    """Make the present thread one that others come before."""
    if sys.platform == "linux":  # elsewhere this would be the priority of the whole process
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
