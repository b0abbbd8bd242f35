"""Rates that an operator sets: for each client, for all clients of a tenant, each budget apart.

A bucket holds the amount of its rate, and fills up again evenly. Whoever finds anything in it is
served, also if that costs more than is there: then it owes the rest, and waits until that is paid.
So no legal batch is too large for a bucket, and the rate holds over time all the same. Without a
rate nothing is counted. Each process counts for itself.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from auditlogservice.budgets import Standing
from auditlogservice.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping

    from auditlogservice.access import Principal
    from auditlogservice.budgets import Budget, Rate

_REMEMBERED: Final = 10_000  # buckets of one rate; one that was not touched for longest is full


@dataclass(slots=True)
class _Bucket:
    level: float
    at: float


class _Buckets:
    """The buckets of all who have the same rate."""

    def __init__(self, policy: str, rate: Rate, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._rate = rate
        self._clock = clock
        self._buckets: OrderedDict[Hashable, _Bucket] = OrderedDict()

    def look(self, key: Hashable) -> tuple[_Bucket, Standing]:
        """Return the bucket as it is now, and what that means to its owner."""
        now = self._clock()
        full = float(self._rate.amount)
        bucket = self._buckets.setdefault(key, _Bucket(full, now))
        self._buckets.move_to_end(key)
        if len(self._buckets) > _REMEMBERED:
            self._buckets.popitem(last=False)
        per_second = self._rate.amount / self._rate.seconds
        bucket.level = min(bucket.level + (now - bucket.at) * per_second, full)
        bucket.at = now
        return bucket, self.standing(bucket)

    def standing(self, bucket: _Bucket) -> Standing:
        rate = self._rate
        lacking = rate.amount - bucket.level
        return Standing(
            self._policy,
            rate.amount,
            rate.seconds,
            max(math.floor(bucket.level), 0),
            math.ceil(lacking * rate.seconds / rate.amount),
        )

    def seconds_until_one(self, bucket: _Bucket) -> int:
        return max(math.ceil((1 - bucket.level) * self._rate.seconds / self._rate.amount), 1)


class Limiter:
    """Counts what callers use. `client` and `tenant` give the rates of the budgets that have one.

    `clock` gives seconds that never go back.
    """

    def __init__(
        self,
        *,
        client: Mapping[Budget, Rate],
        tenant: Mapping[Budget, Rate],
        clock: Callable[[], float],
    ) -> None:
        self._of_client = {
            budget: _Buckets(budget.value, rate, clock) for budget, rate in client.items()
        }
        self._of_tenant = {
            budget: _Buckets(f"{budget.value}-tenant", rate, clock)
            for budget, rate in tenant.items()
        }

    def begin(self, budget: Budget, caller: Principal) -> list[Standing]:
        """Take one from what the caller and its tenant have; return where they stand then.

        Raises RateLimited, and takes nothing, if either has nothing left.
        """
        return self._take(self._buckets(budget, caller), least=1, amount=1)

    def add(self, budget: Budget, caller: Principal, amount: int) -> list[Standing]:
        """Take so much more for what was begun. Whoever is served may owe it."""
        return self._take(self._buckets(budget, caller), least=None, amount=amount)

    def begin_unknown(self, budget: Budget, address: str) -> list[Standing]:
        """Do as `begin` for who has not yet shown who they are; an address stands for a client."""
        buckets = self._of_client.get(budget)
        return self._take([(buckets, address)] if buckets else [], least=1, amount=1)

    def _buckets(self, budget: Budget, caller: Principal) -> list[tuple[_Buckets, Hashable]]:
        found: list[tuple[_Buckets, Hashable]] = []
        if budget in self._of_client:
            found.append((self._of_client[budget], caller.source))
        if budget in self._of_tenant:
            found.append((self._of_tenant[budget], caller.tenant))
        return found

    def _take(
        self, owned: list[tuple[_Buckets, Hashable]], *, least: int | None, amount: int
    ) -> list[Standing]:
        looked = [(buckets, *buckets.look(key)) for buckets, key in owned]
        for buckets, bucket, standing in looked:
            if least is not None and bucket.level < least:
                raise RateLimited(standing, retry_after=buckets.seconds_until_one(bucket))
        for _, bucket, _ in looked:
            bucket.level -= amount
        return [buckets.standing(bucket) for buckets, bucket, _ in looked]
