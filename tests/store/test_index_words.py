"""The words of SQLite's index: spelled together as one by one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.store.sqlite.searching import word, words


@given(st.lists(st.text(max_size=8)), st.integers(1, 99))
def test_words_spelled_together_are_those_spelled_one_by_one(
    terms: list[str], tenant: int
) -> None:
    assert words(tenant, terms) == " ".join(word(tenant, term) for term in terms)


@pytest.mark.parametrize("terms", [[], [""], ["\x1f"], ["a\x1fb", "c"], ["a b", "naïve\x00"]])
def test_what_stands_between_words_may_be_in_a_term(terms: list[str]) -> None:
    assert words(7, terms) == " ".join(word(7, term) for term in terms)
