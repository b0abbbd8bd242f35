"""Who may come in, and that a stranger learns nothing from being refused."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import DEFAULT_TENANT, Scope
from auditlogservice.errors import (
    InvalidGrant,
    InvalidInput,
    StoreUnreachable,
    UserExists,
    UserNotFound,
)
from auditlogservice.ledger.identity.accounts import FIRST_ADMIN, Accounts
from auditlogservice.ledger.identity.passwords import Passwords
from auditlogservice.ledger.identity.tenants import Tenants
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable
    from datetime import datetime

    from auditlogservice.store.port import Document
    from auditlogservice.store.sqlite import SqliteStore

GOOD = "correct horse battery"
SCOPES = frozenset({Scope.EVENTS_READ})


@dataclass
class FakePasswords(Passwords):
    """Real rules, no real work: the hash of a password is the password with a mark."""

    asked: list[tuple[str, str | None]] = field(default_factory=list)

    async def hash(self, password: str) -> str:
        await asyncio.sleep(0)
        return f"hash of {password}"

    async def verify(
        self,
        password: str,
        password_hash: str | None,
        *,
        source: Hashable = None,  # noqa: ARG002 - nobody waits here
        before: Callable[[], None] = lambda: None,
    ) -> bool:
        before()
        self.asked.append((password, password_hash))
        return password_hash == f"hash of {password}"


@dataclass
class World:
    store: SqliteStore
    passwords: FakePasswords
    tenants: Tenants
    accounts: Accounts


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = await open_sqlite(":memory:")
    passwords = FakePasswords()
    tenants = _tenants(store)
    yield World(store, passwords, tenants, _accounts(store, passwords, tenants))
    await store.close()


def _noon() -> datetime:
    return NOON


def _tenants(store: SqliteStore) -> Tenants:
    return Tenants(store.documents, accounts=store.accounts, ledger=store.ledger, clock=_noon)


def _accounts(
    store: SqliteStore, passwords: Passwords, tenants: Tenants | None = None
) -> Accounts:
    return Accounts(
        store.accounts,
        tenants=tenants or _tenants(store),
        passwords=passwords,
        clock=_noon,
        entropy=secrets.token_bytes,
    )


# ---- signing in ---------------------------------------------------------------------------


async def test_who_has_the_password_comes_in(world: World) -> None:
    alice = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    assert await world.accounts.sign_in("alice", GOOD) == alice


async def test_everyone_who_is_refused_is_refused_in_one_way_after_the_same_work(
    world: World,
) -> None:
    bob = await world.accounts.add("bob", GOOD, scopes=SCOPES)
    await world.accounts.change(bob, disabled=True)
    await world.accounts.add("alice", GOOD, scopes=SCOPES)
    await world.accounts.add("carol", GOOD, scopes=SCOPES, tenant="acme")
    await world.tenants.suspend("acme")
    told = set()
    for name, password in (
        ("alice", "wrong"), ("alice", ""), ("Alice", GOOD), ("nobody", GOOD), ("bob", GOOD),
        ("bob", "wrong"), ("", ""), ("alice\x00", GOOD), ("' OR 1=1 --", GOOD),
        ("a" * 10_000, GOOD), ("carol", GOOD), ("carol", "wrong"),
    ):  # fmt: skip
        before = len(world.passwords.asked)
        with pytest.raises(InvalidGrant) as caught:
            await world.accounts.sign_in(name, password)
        told.add(str(caught.value))
        (asked,) = world.passwords.asked[before:]
        assert asked[0] == password
    assert told == {"the username or the password is not right"}


# ---- adding -------------------------------------------------------------------------------


async def test_a_new_user_is_kept_with_everything_but_the_password(world: World) -> None:
    alice = await world.accounts.add("alice", GOOD, scopes=SCOPES, tenant="acme")
    assert (alice.name, alice.tenant, alice.scopes, alice.disabled, alice.created_at) == (
        "alice", "acme", SCOPES, False, NOON,
    )  # fmt: skip
    assert alice.password_hash == f"hash of {GOOD}"
    assert await world.accounts.users("acme") == [alice]


async def test_a_user_is_of_the_default_tenant_if_nothing_else_is_said(world: World) -> None:
    assert (await world.accounts.add("alice", GOOD, scopes=SCOPES)).tenant == DEFAULT_TENANT


async def test_a_tenant_comes_to_be_with_its_first_user(world: World) -> None:
    await world.accounts.add("alice", GOOD, scopes=SCOPES, tenant="acme")
    tenant = await world.tenants.get("acme")
    assert (tenant.created_at, tenant.users, tenant.suspended) == (NOON, 1, False)


async def test_a_user_is_kept_also_if_its_tenant_cannot_be_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the answer would say that nothing was kept."""

    async def fail(_: Document) -> bool:
        raise StoreUnreachable

    monkeypatch.setattr(world.store.documents, "put", fail)
    await world.accounts.add("alice", GOOD, scopes=SCOPES, tenant="acme")
    tenant = await world.tenants.get("acme")
    assert (tenant.created_at, tenant.users) == (None, 1)


@pytest.mark.parametrize(
    ("name", "password", "tenant", "pointer"),
    [
        ("no blanks", GOOD, "acme", "/name"),
        ("alice", "short", "acme", "/password"),
        ("alice", "password1234", "acme", "/password"),
        ("alice", GOOD, "ACME", "/tenant"),
    ],
)
async def test_a_bad_name_password_or_tenant_is_refused_and_nobody_is_added(
    world: World, name: str, password: str, tenant: str, pointer: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await world.accounts.add(name, password, scopes=SCOPES, tenant=tenant)
    assert [flaw.pointer for flaw in caught.value.flaws] == [pointer]
    assert await world.accounts.users(None) == []


async def test_a_name_is_taken_once(world: World) -> None:
    alice = await world.accounts.add("alice", GOOD, scopes=SCOPES, tenant="acme")
    with pytest.raises(UserExists):
        await world.accounts.add("alice", GOOD, scopes=frozenset(Scope), tenant="other")
    assert await world.accounts.users(None) == [alice]


# ---- the first admin ------------------------------------------------------------------------


async def test_an_empty_store_gets_an_admin_with_every_scope_and_a_password_of_its_own(
    world: World,
) -> None:
    made = await world.accounts.add_first_admin()
    assert made is not None
    name, password = made
    assert (name, len(password)) == (FIRST_ADMIN, 24)
    admin = await world.accounts.sign_in(name, password)
    assert (admin.scopes, admin.tenant) == (frozenset(Scope), DEFAULT_TENANT)


async def test_the_admins_password_is_made_of_120_random_bits(world: World) -> None:
    asked: list[int] = []

    def chance(length: int) -> bytes:
        asked.append(length)
        return bytes(range(length))

    world.accounts._entropy = chance
    made = await world.accounts.add_first_admin()
    assert made == (FIRST_ADMIN, "aaaqeayeaudaocajbifqydio")
    assert asked[0] * 8 == 120


async def test_a_store_with_users_gets_no_admin(world: World) -> None:
    alice = await world.accounts.add("alice", GOOD, scopes=frozenset())
    assert await world.accounts.add_first_admin() is None
    assert await world.accounts.users(None) == [alice]


async def test_of_nodes_that_start_at_once_one_makes_the_admin(world: World) -> None:
    nodes = [_accounts(world.store, world.passwords) for _ in range(8)]
    made = await asyncio.gather(*(node.add_first_admin() for node in nodes))
    (first,) = [one for one in made if one]
    await world.accounts.sign_in(*first)


# ---- looking up and changing ------------------------------------------------------------------


async def test_a_user_of_another_tenant_is_not_there(world: World) -> None:
    alice = await world.accounts.add("alice", GOOD, scopes=SCOPES, tenant="acme")
    assert await world.accounts.user("alice") == alice
    assert await world.accounts.user("alice", tenant="acme") == alice
    for name, tenant in (("alice", "other"), ("nobody", "acme"), ("nobody", None)):
        with pytest.raises(UserNotFound):
            await world.accounts.user(name, tenant=tenant)


async def test_what_is_not_given_stays_as_it_is(world: World) -> None:
    user = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    other = "another password"
    for change, expected in (
        ({}, user),
        ({"disabled": True}, replace(user, disabled=True)),
        ({"scopes": frozenset(Scope)}, replace(user, scopes=frozenset(Scope))),
        ({"scopes": frozenset()}, replace(user, scopes=frozenset())),
        ({"password": other}, replace(user, password_hash=f"hash of {other}", generation=1)),
    ):
        changed = await world.accounts.change(user, **change)
        assert changed == expected
        assert await world.accounts.user("alice") == expected
        await world.accounts.remove(user)
        await world.store.accounts.add_user(user)


@pytest.mark.parametrize(
    "slow",
    [{"password": "another password"}, {"scopes": frozenset(Scope)}],
    ids=lambda change: next(iter(change)),
)
async def test_a_change_does_not_undo_what_is_changed_meanwhile(
    world: World, slow: dict[str, Any]
) -> None:
    """Both have read the user; hashing takes its time, and a disable is done in between."""
    user = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    hashed = world.passwords.hash

    async def hash_slowly(password: str) -> str:
        await world.accounts.change(user, disabled=True)
        return await hashed(password)

    world.passwords.hash = hash_slowly  # type: ignore[method-assign] # a fault
    if "password" not in slow:
        await world.accounts.change(user, disabled=True)
    changed = await world.accounts.change(user, **slow)
    assert changed.disabled
    assert (await world.accounts.user("alice")).disabled


async def test_a_user_who_is_enabled_again_comes_in_again(world: World) -> None:
    user = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    user = await world.accounts.change(user, disabled=True)
    user = await world.accounts.change(user, disabled=False)
    assert await world.accounts.sign_in("alice", GOOD) == user


async def test_a_bad_new_password_changes_nothing(world: World) -> None:
    user = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    with pytest.raises(InvalidInput):
        await world.accounts.change(user, password="short", disabled=True)
    assert await world.accounts.user("alice") == user


async def test_who_is_removed_is_gone_and_cannot_be_changed_or_removed(world: World) -> None:
    user = await world.accounts.add("alice", GOOD, scopes=SCOPES)
    await world.accounts.remove(user)
    with pytest.raises(InvalidGrant):
        await world.accounts.sign_in("alice", GOOD)
    with pytest.raises(UserNotFound):
        await world.accounts.change(user, disabled=False)
    with pytest.raises(UserNotFound):
        await world.accounts.remove(user)


async def test_real_passwords_work_end_to_end() -> None:
    store, passwords = await open_sqlite(":memory:"), Passwords()
    accounts = _accounts(store, passwords)
    made = await accounts.add_first_admin()
    assert made
    assert (await accounts.sign_in(*made)).name == FIRST_ADMIN
    for name, password in ((made[0], "wrong"), ("nobody", made[1])):
        with pytest.raises(InvalidGrant):
            await accounts.sign_in(name, password)
    passwords.close()
    await store.close()
