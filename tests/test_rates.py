"""Rates: written as people write them, in one spelling."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.budgets import Rate


@given(st.integers(1, 10**12 - 1), st.sampled_from([1, 60, 3_600, 86_400]))
def test_a_rate_that_is_written_can_be_read(amount: int, seconds: int) -> None:
    rate = Rate(amount, seconds)
    assert Rate.from_text(rate.to_text()) == rate


def test_a_rate_is_a_number_in_a_second_a_minute_an_hour_or_a_day() -> None:
    read = [Rate.from_text(f"5/{unit}").seconds for unit in "smhd"]
    assert read == [1, 60, 3_600, 86_400]


@pytest.mark.parametrize(
    "text", ["", "5", "5/", "/s", "0/s", "05/s", "-5/s", "5/w", "5/s ", "1\u0665/s"]
)
def test_anything_else_is_no_rate(text: str) -> None:
    with pytest.raises(ValueError, match="rate"):
        Rate.from_text(text)
