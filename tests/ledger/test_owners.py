"""Who has tokens is asked of the store often enough, and not more often."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope, User
from auditlogservice.ledger.identity.clients import Clients
from auditlogservice.ledger.identity.owners import FRESHNESS, Owner, Owners
from auditlogservice.ledger.identity.tenants import Tenants
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.store.port import AccountStore
    from auditlogservice.store.sqlite import SqliteStore


@dataclass
class World:
    """A store with one user, whose reads of users are counted, and a clock."""

    store: SqliteStore
    asked: list[str] = field(default_factory=list)
    now: datetime = NOON

    def clock(self) -> datetime:
        return self.now

    @property
    def owners(self) -> Owners:
        documents = self.store.documents
        tenants = Tenants(
            documents, accounts=self.store.accounts, ledger=self.store.ledger, clock=self.clock
        )
        clients = Clients(documents, tenants=tenants, clock=self.clock, entropy=bytes)
        return Owners(
            Counting(self.store.accounts, self.asked), documents, clients, clock=self.clock
        )


class Counting:
    def __init__(self, store: AccountStore, asked: list[str]) -> None:
        self._store = store
        self._asked = asked

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def user_with_id(self, user_id: str) -> User | None:
        self._asked.append(user_id)
        return await self._store.user_with_id(user_id)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    store = await open_sqlite(":memory:")
    await store.accounts.add_user(
        User(
            id="1", name="alice", tenant="acme", scopes=frozenset(Scope), password_hash="$",
            disabled=False, created_at=NOON,
        )
    )  # fmt: skip
    yield World(store)
    await store.close()


def all_of(_: Owner) -> bool:
    return True


def none_of(_: Owner) -> bool:
    return False


async def test_an_owner_is_asked_for_once_in_half_a_second(world: World) -> None:
    owners = world.owners
    for _ in range(5):
        assert await owners.find("user", "1", knows=all_of)
    assert world.asked == ["1"]
    world.now += FRESHNESS
    await owners.find("user", "1", knows=all_of)
    assert world.asked == ["1"] * 2


async def test_who_was_just_changed_here_or_is_behind_another_node_is_asked_for_again(
    world: World,
) -> None:
    owners = world.owners
    await owners.find("user", "1", knows=all_of)
    owners.forget("user", "1")
    await owners.find("user", "1", knows=all_of)
    await owners.find("user", "1", knows=none_of)
    assert world.asked == ["1"] * 3


async def test_made_up_owners_do_not_push_out_those_who_are_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("auditlogservice.ledger.identity.owners._CACHED", 2)
    owners = world.owners
    await owners.find("user", "1", knows=all_of)
    for number in range(10):
        assert await owners.find("user", f"made up {number}", knows=all_of) is None
        assert await owners.find("client", "0" * 24, knows=all_of) is None
    await owners.find("user", "1", knows=all_of)
    assert world.asked.count("1") == 1


async def test_a_user_is_no_client_of_its_id(world: World) -> None:
    assert await world.owners.find("client", "1", knows=all_of) is None


def test_what_is_remembered_is_not_older_than_promised() -> None:
    assert timedelta(0) < FRESHNESS < timedelta(seconds=1)
