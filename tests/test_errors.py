"""The tree of errors that is drawn is the tree that there is."""

from __future__ import annotations

import inspect
import re

import pytest

from auditlogservice import errors
from auditlogservice.errors import (
    AuditLogError,
    Flaw,
    InvalidInput,
    NotAuthenticated,
    TokenRequestRefused,
    Unavailable,
)

CLASSES = {
    name: one
    for name, one in inspect.getmembers(errors, inspect.isclass)
    if issubclass(one, AuditLogError)
}


def _drawn() -> dict[str, str]:
    """Each class of the drawing, and the one that it hangs from."""
    parents: dict[str, str] = {}
    above: list[str] = []
    leaves_of = ""
    drawing = re.findall(r"^    (?!Nothing).*$", errors.__doc__ or "", re.MULTILINE)
    for line in drawing:
        branch = re.match(r"    ([│ ]*)(?:[├└]── )?", line)
        assert branch
        text, depth = line[branch.end() :], (branch.end() - 4) // 4
        head, _, leaves = text.partition(" ── ")
        if not leaves and leaves_of and line.lstrip("│ ")[0] not in "├└":
            leaves, head = text, ""  # leaves that go on from the line before
        if head:
            above[depth:] = [head]
            if depth:
                parents[head] = above[depth - 1]
            leaves_of = head
        names = [name for name in leaves.replace(" ", "").split(",") if name]
        parents |= dict.fromkeys(names, leaves_of)
        leaves_of = leaves_of if text.endswith(",") else ""
    return parents


def test_the_tree_that_is_drawn_is_the_tree_of_the_classes() -> None:
    there = {
        name: one.__bases__[0].__name__
        for name, one in CLASSES.items()
        if one is not AuditLogError
    }
    assert _drawn() == there


def test_each_error_hangs_from_one_other() -> None:
    assert {len(one.__bases__) for one in CLASSES.values()} == {1}


@pytest.mark.parametrize(
    "one",
    [one for one in CLASSES.values() if issubclass(one, Unavailable)],
    ids=lambda e: e.__name__,
)
def test_what_is_not_possible_now_says_when_to_come_back(one: type[Unavailable]) -> None:
    assert 1 <= one.retry_after <= 60


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("InvalidGrant", "invalid_grant"),
        ("InvalidClient", "invalid_client"),
        ("InvalidTokenRequest", "invalid_request"),
        ("InvalidScope", "invalid_scope"),
        ("UnsupportedGrantType", "unsupported_grant_type"),
    ],
)
def test_a_refused_token_request_has_its_code_of_rfc_6749(name: str, code: str) -> None:
    one = CLASSES[name]
    assert issubclass(one, TokenRequestRefused)
    assert one.error == code


def test_the_codes_of_rfc_6749_are_all_tested() -> None:
    assert {one.__name__ for one in TokenRequestRefused.__subclasses__()} == {
        "InvalidGrant", "InvalidClient", "InvalidTokenRequest", "InvalidScope",
        "UnsupportedGrantType",
    }  # fmt: skip


def test_flaws_are_told_in_the_message_too() -> None:
    error = InvalidInput([Flaw("/a", "wrong"), Flaw("", "incomplete")])
    assert str(error) == "/a: wrong; body: incomplete"
    assert error.flaws == (Flaw("/a", "wrong"), Flaw("", "incomplete"))


def test_who_shows_no_token_is_told_so_and_who_shows_a_bad_one_is_told_no_more() -> None:
    assert str(NotAuthenticated(tried=False)) == "a bearer token is needed"
    assert "forged, expired or revoked" in str(NotAuthenticated(tried=True))
