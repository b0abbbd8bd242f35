"""Failed logins cost time, and never lock anybody out for good."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.errors import TooManyAttempts
from auditlogservice.ledger.identity import backoff
from auditlogservice.ledger.identity.backoff import Backoff
from running import Time

HOME, ELSEWHERE = "192.0.2.1", "198.51.100.7"


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def logins(time: Time) -> Backoff:
    return Backoff(time)


def wait(logins: Backoff, name: str, address: str = HOME) -> int:
    """How many seconds an attempt has to wait now."""
    try:
        logins.check(name, address)
    except TooManyAttempts as error:
        return error.retry_after
    return 0


def fail(logins: Backoff, times: int, name: str = "alice", address: str = HOME) -> None:
    for _ in range(times):
        logins.failed(name, address)


def test_ten_failures_are_free_and_then_the_waits_double_up_to_a_minute(
    logins: Backoff, time: Time
) -> None:
    waits = []
    for _ in range(18):
        logins.failed("alice", HOME)
        waits.append(wait(logins, "alice"))
        time.advance(seconds=waits[-1])
    assert waits == [0] * 9 + [1, 2, 4, 8, 16, 32, 60, 60, 60]


def test_after_the_wait_an_attempt_may_be_made(logins: Backoff, time: Time) -> None:
    fail(logins, 10)
    assert wait(logins, "alice") == 1
    time.advance(seconds=1.001)
    assert wait(logins, "alice") == 0


def test_a_login_that_succeeds_ends_the_waits(logins: Backoff, time: Time) -> None:
    fail(logins, 30)
    time.advance(seconds=61)
    logins.succeeded("alice", HOME)
    fail(logins, 9)
    assert wait(logins, "alice") == 0


def test_a_quarter_of_an_hour_ends_them_too(logins: Backoff, time: Time) -> None:
    fail(logins, 500)
    time.advance(minutes=15)
    assert wait(logins, "alice") == 0
    fail(logins, 1)
    assert wait(logins, "alice") == 0


def test_the_failures_of_one_user_are_not_those_of_another(logins: Backoff) -> None:
    fail(logins, 50, "alice")
    assert wait(logins, "bob") == 0


def test_a_guesser_elsewhere_makes_a_newcomer_wait_five_seconds_at_most(
    logins: Backoff, time: Time
) -> None:
    """Whatever the guesser does: failures from as many addresses as one likes are no lock."""
    for number in range(2_000):
        logins.failed("alice", f"10.0.{number >> 8}.{number & 255}")
    assert wait(logins, "alice") == 5
    time.advance(seconds=5.001)
    assert wait(logins, "alice") == 0


def test_who_has_signed_in_from_an_address_is_not_held_up_by_a_guesser_elsewhere(
    logins: Backoff,
) -> None:
    logins.succeeded("alice", HOME)
    fail(logins, 1_000, "alice", ELSEWHERE)
    assert wait(logins, "alice", HOME) == 0
    assert wait(logins, "alice", "203.0.113.9") == 5


def test_who_has_signed_in_is_not_held_up_by_a_neighbour_who_tries_many_names(
    logins: Backoff,
) -> None:
    logins.succeeded("alice", HOME)
    for number in range(1_000):
        logins.failed(f"name {number}", HOME)
    assert wait(logins, "alice", HOME) == 0
    assert wait(logins, "bob", HOME) == 1  # it could be one name more


def test_a_guesser_with_an_account_of_its_own_is_not_freed_by_signing_in(
    logins: Backoff,
) -> None:
    for number in range(100):
        logins.failed(f"name {number}", HOME)
        logins.succeeded("mallory", HOME)
    assert wait(logins, "one name more", HOME) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::2%eth1"),
    ],
)
def test_addresses_that_one_subscriber_can_choose_from_are_one(
    logins: Backoff, one: str, other: str
) -> None:
    fail(logins, 10, "alice", one)
    assert wait(logins, "alice", other) == 1


@pytest.mark.parametrize("other", ["2001:db8:1:3::1", "192.0.2.2", "", "unix:"])
def test_other_addresses_are_others(logins: Backoff, other: str) -> None:
    fail(logins, 20, "alice", "2001:db8:1:2::1")
    assert wait(logins, "alice", other) == 0


def test_what_is_remembered_is_bounded_whatever_names_and_addresses_come(
    logins: Backoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backoff, "_REMEMBERED", 50)
    for number in range(500):
        fail(logins, 1, f"{number}" + "x" * 10_000, f"10.0.{number >> 8}.{number & 255}")
        logins.succeeded(f"other {number}", HOME)
    for counts in (logins._pairs, logins._accounts, logins._addresses):
        assert len(counts._failures) == 50
        assert max(map(len, counts._failures)) <= 32
    assert len(logins._welcome) == 50


def test_who_goes_on_is_not_forgotten_for_others(
    logins: Backoff, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a guesser would try many names in between, and be free again."""
    monkeypatch.setattr(backoff, "_REMEMBERED", 50)
    for number in range(200):
        fail(logins, 1, "alice")
        fail(logins, 1, f"name {number}")
    assert wait(logins, "alice") > 0


@given(st.text(), st.text())
def test_any_text_is_a_name_and_an_address(name: str, address: str) -> None:
    logins = Backoff(Time())
    fail(logins, 10, name, address)
    assert wait(logins, name, address) == 1


def test_a_clock_that_is_put_back_locks_nobody_out(logins: Backoff, time: Time) -> None:
    fail(logins, 20)
    time.advance(days=-1)
    assert wait(logins, "alice") == 0
