"""Rates that an operator sets: kept over time, apart for each budget, and in bounded memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import Principal
from auditlogservice.budgets import Budget, Rate, Standing
from auditlogservice.errors import RateLimited
from auditlogservice.ledger.sharing import limiter as limiters
from auditlogservice.ledger.sharing.limiter import Limiter

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Clock:
    now: float = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limiter(
    clock: Clock, client: Mapping[Budget, Rate], tenant: Mapping[Budget, Rate] | None = None
) -> Limiter:
    return Limiter(client=client, tenant=tenant or {}, clock=clock)


def caller(name: str, tenant: str = "acme") -> Principal:
    return Principal(user_id=name, name=name, tenant=tenant, scopes=frozenset())


ALICE, BOB, ZOE = caller("alice"), caller("bob"), caller("zoe", "other")
TEN_A_MINUTE = {Budget.INGEST: Rate(10, 60)}


def refusal(limits: Limiter, who: Principal, budget: Budget = Budget.INGEST) -> RateLimited:
    with pytest.raises(RateLimited) as caught:
        limits.begin(budget, who)
    return caught.value


def test_without_a_rate_nothing_is_counted(clock: Clock) -> None:
    limits = limiter(clock, {})
    assert [limits.begin(Budget.INGEST, ALICE) for _ in range(1_000)] == [[]] * 1_000


def test_so_many_at_once_and_then_as_they_become_free(clock: Clock) -> None:
    limits = limiter(clock, TEN_A_MINUTE)
    left = [limits.begin(Budget.INGEST, ALICE)[0].left for _ in range(10)]
    assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    assert refusal(limits, ALICE).retry_after == 6
    clock.now += 6
    assert limits.begin(Budget.INGEST, ALICE) == [Standing("ingest", 10, 60, 0, 60)]
    assert refusal(limits, ALICE).standing == Standing("ingest", 10, 60, 0, 60)


def test_a_batch_may_be_larger_than_what_is_left_and_is_made_up_for(clock: Clock) -> None:
    limits = limiter(clock, TEN_A_MINUTE)
    limits.begin(Budget.INGEST, ALICE)
    assert limits.add(Budget.INGEST, ALICE, 29) == [Standing("ingest", 10, 60, 0, 180)]
    assert refusal(limits, ALICE).retry_after == 126
    clock.now += 126
    limits.begin(Budget.INGEST, ALICE)


def test_what_is_not_used_is_not_saved_up(clock: Clock) -> None:
    limits = limiter(clock, TEN_A_MINUTE)
    clock.now += 10_000
    assert limits.begin(Budget.INGEST, ALICE)[0].left == 9


def test_each_client_and_each_budget_has_its_own(clock: Clock) -> None:
    limits = limiter(clock, {Budget.INGEST: Rate(1, 60), Budget.SEARCH: Rate(1, 60)})
    for who in (ALICE, BOB):
        for budget in (Budget.INGEST, Budget.SEARCH):
            limits.begin(budget, who)
            refusal(limits, who, budget)
    limits.begin(Budget.EXPORT, ALICE)


def test_the_clients_of_a_tenant_share_its_rate_and_no_other_tenant_does(clock: Clock) -> None:
    limits = limiter(clock, {}, {Budget.INGEST: Rate(2, 60)})
    limits.begin(Budget.INGEST, ALICE)
    limits.begin(Budget.INGEST, BOB)
    assert refusal(limits, ALICE).standing.policy == "ingest-tenant"
    limits.begin(Budget.INGEST, ZOE)


def test_what_one_rate_refuses_uses_nothing_of_the_other(clock: Clock) -> None:
    limits = limiter(clock, {Budget.INGEST: Rate(1, 60)}, {Budget.INGEST: Rate(3, 60)})
    limits.begin(Budget.INGEST, ALICE)
    for _ in range(5):
        refusal(limits, ALICE)
    standings = limits.begin(Budget.INGEST, BOB)
    assert [(each.policy, each.left) for each in standings] == [
        ("ingest", 0),
        ("ingest-tenant", 1),
    ]


def test_an_address_stands_for_who_has_not_signed_in(clock: Clock) -> None:
    limits = limiter(clock, {Budget.TOKEN: Rate(1, 60)})
    limits.begin_unknown(Budget.TOKEN, "192.0.2.1")
    limits.begin_unknown(Budget.TOKEN, "192.0.2.2")
    with pytest.raises(RateLimited):
        limits.begin_unknown(Budget.TOKEN, "192.0.2.1")


def test_so_many_clients_are_remembered_and_who_goes_on_among_them(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limiters, "_REMEMBERED", 10)
    limits = limiter(clock, {Budget.INGEST: Rate(100, 60)})
    for number in range(100):
        limits.begin(Budget.INGEST, caller(f"client {number}"))
        limits.begin(Budget.INGEST, ALICE)
    refusal(limits, ALICE)
    assert len(limits._of_client[Budget.INGEST]._buckets) == 10
