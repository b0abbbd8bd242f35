"""Scopes, and the names of users and tenants."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.access import (
    DEFAULT_SCOPES,
    DEFAULT_TENANT,
    Principal,
    Scope,
    check_tenant_name,
    check_user_name,
    format_scopes,
    parse_scopes,
)
from auditlogservice.errors import InsufficientScope, InvalidInput

scope_sets = st.frozensets(st.sampled_from(list(Scope)))


@pytest.mark.parametrize("needed", Scope)
@pytest.mark.parametrize("owned", Scope)
def test_no_scope_implies_another(owned: Scope, needed: Scope) -> None:
    caller = Principal(user_id="1", name="a", tenant="t", scopes=frozenset({owned}))
    if owned == needed:
        caller.require(needed)
    else:
        with pytest.raises(InsufficientScope) as caught:
            caller.require(needed)
        assert caught.value.scope == needed


@pytest.mark.parametrize("needed", Scope)
def test_who_has_no_scope_may_do_nothing(needed: Scope) -> None:
    with pytest.raises(InsufficientScope):
        Principal(user_id="1", name="a", tenant="t", scopes=frozenset()).require(needed)


def test_a_new_user_neither_exports_nor_manages_anything_unless_told_so() -> None:
    assert set(Scope) - DEFAULT_SCOPES == {
        Scope.EVENTS_EXPORT, Scope.LEDGER_READ, Scope.USERS_MANAGE, Scope.STREAMS_MANAGE,
        Scope.TENANTS_MANAGE, Scope.ADMIN,
    }  # fmt: skip


@given(scope_sets)
def test_scopes_that_are_written_can_be_read(scopes: frozenset[Scope]) -> None:
    assert parse_scopes(format_scopes(scopes).split(), pointer="") == scopes


@given(st.permutations(list(Scope)))
def test_a_set_of_scopes_has_one_spelling(scopes: list[Scope]) -> None:
    assert format_scopes(scopes) == (
        "events:write events:read events:export events:delete ledger:read users:manage "
        "streams:manage tenants:manage admin"
    )


def test_no_scopes_are_spelled_as_nothing() -> None:
    assert not format_scopes([])


@pytest.mark.parametrize(
    "word", ["", "events", "events:*", "EVENTS:READ", "events:read ", "root", "events:read,x"]
)
def test_a_scope_that_does_not_exist_is_refused_with_those_that_do(word: str) -> None:
    with pytest.raises(InvalidInput, match="events:delete ledger:read") as caught:
        parse_scopes(["events:read", word], pointer="/scopes")
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/scopes"]


@pytest.mark.parametrize("name", ["a", "7", "Alice.B_c@d+e-f", "x" * 128])
def test_a_user_may_have_this_name(name: str) -> None:
    check_user_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 129, ".a", "-a", "_a", "a b", "a/b", "a\n", "a\x00", "é", "$ne", "a:b", "٣", "<a>"],
    ids=repr,
)
def test_a_user_may_not_have_this_name(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_user_name(name)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/name"]


@pytest.mark.parametrize("name", ["a", "0", "acme-eu-1", "x" * 63, DEFAULT_TENANT])
def test_a_tenant_may_have_this_name(name: str) -> None:
    check_tenant_name(name)


@pytest.mark.parametrize(
    "name",
    ["", "x" * 64, "-a", "Acme", "a.b", "a_b", "a b", "a\n", "é", "$where", "a:b"],
    ids=repr,
)
def test_a_tenant_may_not_have_this_name(name: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        check_tenant_name(name)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/tenant"]
