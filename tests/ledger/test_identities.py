"""What claims of an issuer give here, and what they never give."""

from __future__ import annotations

from typing import Any

import pytest

from auditlogservice.access import Scope, check_user_name
from auditlogservice.errors import InvalidInput, MalformedInput
from auditlogservice.ledger.identity.identities import ClaimRules, parse_scope_map, principal_of

R, W, L, A = Scope.EVENTS_READ, Scope.EVENTS_WRITE, Scope.LEDGER_READ, Scope.ADMIN
MAP = {"auditors": frozenset({R, L}), "/a b": frozenset({W}), "root": frozenset({A})}


def scopes(claims: dict[str, Any], **rules: Any) -> set[Scope]:
    told = {"sub": "1", **claims}
    return set(principal_of(told, issuer="i", rules=ClaimRules(**rules)).scopes)


@pytest.mark.parametrize(
    ("claims", "rules", "given"),
    [
        ({"scope": "events:read other"}, {}, {R}),
        ({"scope": "admin users:manage ledger:read"}, {}, {L}),
        ({"scope": "events:read auditors"}, {"scope_map": MAP}, {R, L}),
        ({"scope": "events:write"}, {"scope_map": MAP}, set()),
        ({"groups": ["/a b", "root", 7, None]}, {"scopes_claim": "groups", "scope_map": MAP},
         {W, A}),
        ({"realm_access": {"roles": ["auditors"]}},
         {"scopes_claim": "realm_access.roles", "scope_map": MAP}, {R, L}),
        ({"https://x.example/roles": ["root"]},
         {"scopes_claim": "https://x.example/roles", "scope_map": MAP}, {A}),
        ({}, {}, set()),
        ({"scope": {"events:read": True}}, {}, set()),
        ({"scope": 7}, {}, set()),
        ({"a": "b"}, {"scopes_claim": "a.b.c", "scope_map": MAP}, set()),
    ],
)  # fmt: skip
def test_claims_give_what_the_map_says_and_nothing_else(
    claims: dict[str, Any], rules: dict[str, Any], given: set[Scope]
) -> None:
    assert scopes(claims, **rules) == given


def test_a_map_reads_as_it_is_written() -> None:
    text = "auditors=events:read ledger:read, /a b = events:write,x=y=admin,"
    assert parse_scope_map(text) == {
        "auditors": {R, L}, "/a b": {W}, "x=y": {A},
    }  # fmt: skip


@pytest.mark.parametrize("text", ["auditors", "=admin", "a=", "a=admin,a=admin"])
def test_what_is_no_map_is_refused(text: str) -> None:
    with pytest.raises(MalformedInput):
        parse_scope_map(text)


def test_a_map_gives_no_scope_that_does_not_exist() -> None:
    with pytest.raises(InvalidInput):
        parse_scope_map("a=everything")


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"preferred_username": "alice"}, "oidc:alice"),
        ({"preferred_username": "Ä b"}, "oidc:Ä b"),
        ({"preferred_username": "@auditlogservice"}, "oidc:@auditlogservice"),
        *[
            ({"preferred_username": bad}, "oidc:7")
            for bad in ("", "a\nb", "\u202ex", "x" * 256, 5)
        ],
        ({}, "oidc:7"),
    ],
)
def test_nobody_from_outside_has_the_name_of_a_user(claims: dict[str, Any], name: str) -> None:
    principal = principal_of({"sub": "7", **claims}, issuer="i", rules=ClaimRules())
    assert principal.name == name
    assert principal.kind == "external"
    for told in (principal.name, principal.user_id):
        with pytest.raises(InvalidInput):
            check_user_name(told)


def test_an_id_is_of_one_subject_of_one_issuer() -> None:
    ids = {
        principal_of({"sub": sub}, issuer=issuer, rules=ClaimRules()).user_id
        for issuer, sub in (("a", "b"), ("ab", "c"), ("a", "bc"), ("b", "a"))
    }
    assert len(ids) == 4
    again = principal_of({"sub": "b", "name": "x"}, issuer="a", rules=ClaimRules()).user_id
    assert again in ids


@pytest.mark.parametrize("subject", [None, "", 7, "a\x00", "\ud800", ["a"]])
def test_who_has_no_subject_is_nobody(subject: object) -> None:
    with pytest.raises(MalformedInput):
        principal_of({"sub": subject}, issuer="i", rules=ClaimRules())


def test_the_tenant_is_the_claim_exactly() -> None:
    rules = ClaimRules(tenant_claim="org.id")
    principal = principal_of({"sub": "1", "org": {"id": "acme"}}, issuer="i", rules=rules)
    assert principal.tenant == "acme"


@pytest.mark.parametrize("tenant", [None, "", "Acme", "acme ", "a/b", ["acme"], "x" * 64])
def test_who_names_no_tenant_is_in_none(tenant: object) -> None:
    rules = ClaimRules(tenant_claim="org")
    with pytest.raises(MalformedInput):
        principal_of({"sub": "1", "org": tenant}, issuer="i", rules=rules)
