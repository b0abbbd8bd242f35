"""Failed logins make who comes next wait; nobody is locked out for good.

Who guesses passwords is told apart from who has one by three counts, each forgotten a quarter of
an hour after its last failure:

- of an account from one address: after 10 failures, waits that double from a second to a minute.
  A login that succeeds ends it;
- of an account from everywhere: after 100 failures, one attempt each 5 seconds;
- of an address, over all accounts: after 100 failures, one attempt each second. Who knows one
  password does not end it, since that could be a guesser's own.

The last two do not hold for an account at an address from which it has signed in before: a
stranger who guesses from elsewhere, or at the same proxy, delays newcomers and not who was here.
So the price of a right password is a wait of at most a minute, and a guesser has no more than one
attempt a second from one address, and 12 a minute at one account from all addresses together.

A name is counted whether or not it is a user's, so that the wait does not tell. All this is in
the memory of one process, bounded, and lost when it ends; other processes count for themselves.
"""

from __future__ import annotations

import hashlib
import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv6Address, ip_address
from typing import TYPE_CHECKING, Final

from auditlogservice.budgets import Standing
from auditlogservice.errors import TooManyAttempts

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from auditlogservice.ledger.clock import Clock

_FORGOTTEN_AFTER: Final = timedelta(minutes=15)
_REMEMBERED: Final = 10_000  # of each kind; more, and what was not met for longest is forgotten
_NETWORK_BITS: Final = 64  # of an IPv6 address: what follows is the subscriber's to choose


@dataclass(frozen=True, slots=True)
class _Rule:
    """After `free` failures each one makes the next attempt wait: `first` seconds, then longer."""

    free: int
    first: float
    longest: float

    def wait(self, failures: int) -> timedelta:
        """Return how long after the last failure the next attempt may come."""
        if failures < self.free:
            return timedelta(0)
        doublings = min(failures - self.free, 30)  # beyond that any wait is the longest
        return timedelta(seconds=min(self.first * 2.0**doublings, self.longest))


_PAIR: Final = _Rule(free=10, first=1, longest=60)
_ACCOUNT: Final = _Rule(free=100, first=5, longest=5)
_ADDRESS: Final = _Rule(free=100, first=1, longest=1)


@dataclass(slots=True)
class _Failures:
    count: int
    last: datetime


class _Counts:
    """Failures by key, under one rule."""

    def __init__(self, rule: _Rule) -> None:
        self.rule = rule
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def wait(self, key: str, now: datetime) -> timedelta:
        """Return how long an attempt of this key still has to wait."""
        failures = self._failures.get(key)
        if failures is None or not timedelta(0) <= now - failures.last < _FORGOTTEN_AFTER:
            return timedelta(0)
        return self.rule.wait(failures.count) - (now - failures.last)

    def add(self, key: str, now: datetime) -> None:
        failures = self._failures.pop(key, None)
        if failures is None or now - failures.last >= _FORGOTTEN_AFTER:
            failures = _Failures(0, now)
        self._failures[key] = _Failures(failures.count + 1, now)
        if len(self._failures) > _REMEMBERED:
            self._failures.popitem(last=False)

    def forget(self, key: str) -> None:
        self._failures.pop(key, None)


class Backoff:
    """Who must wait before the next login, by the failures of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._pairs = _Counts(_PAIR)
        self._accounts = _Counts(_ACCOUNT)
        self._addresses = _Counts(_ADDRESS)
        self._welcome: OrderedDict[str, None] = OrderedDict()  # pairs that have signed in

    def check(self, name: str, address: str) -> None:
        """Return if an attempt may be made now. Raises TooManyAttempts if not."""
        now = self._clock()
        account, network = _digest([name]), _network(address)
        pair = _digest([name, network])
        counted = [(self._pairs, pair)]
        if pair not in self._welcome:
            counted += [(self._accounts, account), (self._addresses, network)]
        wait, rule = max(
            ((counts.wait(key, now), counts.rule) for counts, key in counted),
            key=lambda each: each[0],
        )
        if wait > timedelta(0):
            seconds = math.ceil(wait.total_seconds())
            raise TooManyAttempts(
                Standing("login", rule.free, int(_FORGOTTEN_AFTER.total_seconds()), 0, seconds)
            )

    def failed(self, name: str, address: str) -> None:
        now = self._clock()
        network = _network(address)
        self._pairs.add(_digest([name, network]), now)
        self._accounts.add(_digest([name]), now)
        self._addresses.add(network, now)

    def succeeded(self, name: str, address: str) -> None:
        pair = _digest([name, _network(address)])
        self._pairs.forget(pair)
        self._accounts.forget(_digest([name]))
        self._welcome[pair] = None
        self._welcome.move_to_end(pair)
        if len(self._welcome) > _REMEMBERED:
            self._welcome.popitem(last=False)


def _digest(parts: Iterable[str]) -> str:
    """Return a key of fixed size: what is given as a name may be anything, and long."""
    told = "\0".join(parts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(told, digest_size=16).hexdigest()


def _network(address: str) -> str:
    """Return what stands for an address: of IPv6 the network, of which everybody has many."""
    try:
        known = ip_address(address.partition("%")[0])
    except ValueError:
        return _digest([address])
    if isinstance(known, IPv6Address):
        known = known.ipv4_mapped or IPv6Address(
            int(known) >> (128 - _NETWORK_BITS) << (128 - _NETWORK_BITS)
        )
    return str(known)
