"""Which tenants there are, and who is kept out, on both stores."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from secrets import token_bytes
from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import Tenant, User
from auditlogservice.errors import Conflict, InvalidInput, NotFound, StoreBroken
from auditlogservice.ledger.identity.clients import Clients
from auditlogservice.ledger.identity.tenants import FRESHNESS, Tenants
from auditlogservice.store.port import Document, Submission
from strategies import NOON, draft

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.runtime.stores import Store


@dataclass
class Clock:
    now: datetime = NOON

    def __call__(self) -> datetime:
        return self.now


def tenants_of(store: Store, clock: Clock | None = None) -> Tenants:
    return Tenants(
        store.documents, accounts=store.accounts, ledger=store.ledger, clock=clock or Clock()
    )


async def add_user(store: Store, name: str, tenant: str) -> None:
    user = User(
        id=name,
        name=name,
        tenant=tenant,
        scopes=frozenset(),
        password_hash="",
        disabled=False,
        created_at=NOON,
    )
    await store.accounts.add_user(user)


async def record(store: Store, tenant: str) -> None:
    await store.events.append([Submission((draft(tenant=tenant),))])


ACME = Tenant(name="acme", created_at=NOON, suspended=False, events=0, users=0, clients=0)


async def test_a_new_tenant_has_nothing_in_it(store: Store) -> None:
    tenants = tenants_of(store)
    assert await tenants.all() == []
    assert await tenants.add("acme") == ACME
    assert await tenants.get("acme") == ACME
    assert await tenants.all() == [ACME]


async def test_a_tenant_shows_what_is_in_it_and_nothing_of_others(store: Store) -> None:
    tenants = tenants_of(store)
    for name in ("zeta", "acme"):
        await tenants.add(name)
    for user in ("alice", "bob"):
        await add_user(store, user, "acme")
    await record(store, "zeta")
    shown = [(each.name, each.events, each.users) for each in await tenants.all()]
    assert shown == [("acme", 0, 2), ("zeta", 1, 0)]
    assert [await tenants.get(name) for name in ("acme", "zeta")] == await tenants.all()


async def test_a_tenant_of_which_nothing_is_written_down_shows_all_the_same(store: Store) -> None:
    tenants = tenants_of(store)
    await add_user(store, "alice", "users-only")
    await record(store, "log-only")
    assert [(each.name, each.created_at) for each in await tenants.all()] == [
        ("log-only", None),
        ("users-only", None),
    ]
    for name in ("log-only", "users-only"):
        with pytest.raises(Conflict):
            await tenants.add(name)
        assert (await tenants.suspend(name)).suspended
        assert await tenants.is_suspended(name)


async def test_what_is_written_down_stays_as_it_was(store: Store) -> None:
    clock = Clock()
    tenants = tenants_of(store, clock)
    assert await tenants.ensure("acme")
    clock.now += timedelta(days=1)
    assert not await tenants.ensure("acme")
    with pytest.raises(Conflict, match="exists"):
        await tenants.add("acme")
    await tenants.suspend("acme")
    assert not await tenants.ensure("acme")
    assert await tenants.get("acme") == Tenant(
        name="acme", created_at=NOON, suspended=True, events=0, users=0, clients=0
    )


@pytest.mark.parametrize("name", ["", "Acme", "a b", "a/b", "$ne", "x" * 64, "a\x00"])
async def test_a_tenant_may_not_have_this_name_and_none_has(store: Store, name: str) -> None:
    tenants = tenants_of(store)
    with pytest.raises(InvalidInput) as caught:
        await tenants.add(name)
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/name"]
    with pytest.raises(NotFound):
        await tenants.get(name)
    assert await tenants.all() == []


async def test_only_an_empty_tenant_is_removed(store: Store) -> None:
    tenants = tenants_of(store)
    await tenants.add("acme")
    await add_user(store, "alice", "acme")
    with pytest.raises(Conflict, match="suspend it"):
        await tenants.remove("acme")
    await store.accounts.remove_user("alice")
    await tenants.remove("acme")
    assert await tenants.all() == []
    await tenants.add("acme")
    await record(store, "acme")
    with pytest.raises(Conflict, match=r"records: 1, users: 0.*suspend it"):
        await tenants.remove("acme")
    assert [each.name for each in await tenants.all()] == ["acme"]


async def test_a_tenant_that_has_nothing_but_a_client_shows_and_is_not_removed(
    store: Store,
) -> None:
    tenants = tenants_of(store)
    clients = Clients(store.documents, tenants=tenants, clock=Clock(), entropy=token_bytes)
    client = await clients.add("web-shop", scopes=frozenset(), tenant="acme")
    await store.documents.remove("tenant", "acme", "state")  # as if nothing were written down
    (shown,) = await tenants.all()
    assert (shown.name, shown.users, shown.clients) == ("acme", 0, 1)
    assert await tenants.get("acme") == shown
    with pytest.raises(Conflict, match=r"users: 0, clients: 1.*suspend it"):
        await tenants.remove("acme")
    await clients.remove(client)
    assert await tenants.all() == []


@pytest.mark.parametrize("deed", ["get", "suspend", "resume", "remove"])
async def test_a_tenant_that_is_not_there_is_not_found(store: Store, deed: str) -> None:
    tenants = tenants_of(store)
    await tenants.add("other")
    with pytest.raises(NotFound):
        await getattr(tenants, deed)("acme")
    assert [each.name for each in await tenants.all()] == ["other"]
    assert not await tenants.is_suspended("acme")


async def test_a_suspension_is_known_at_once_here_and_soon_elsewhere(
    nodes: tuple[Store, Store],
) -> None:
    clock = Clock()
    here, there = (tenants_of(store, clock) for store in nodes)
    await here.add("acme")
    await here.add("other")
    for change, suspended in ((here.suspend, True), (here.resume, False)):
        assert await there.is_suspended("acme") is not suspended
        await change("acme")
        assert await here.is_suspended("acme") is suspended
        clock.now += FRESHNESS
        assert await there.is_suspended("acme") is suspended
        assert not await there.is_suspended("other")


async def test_of_two_nodes_that_change_a_tenant_at_once_neither_is_lost_without_a_word(
    nodes: tuple[Store, Store],
) -> None:
    here, there = map(tenants_of, nodes)
    await here.add("acme")
    done = await asyncio.gather(
        *(each for _ in range(4) for each in (here.suspend("acme"), there.suspend("acme"))),
        return_exceptions=True,
    )
    assert {type(each) for each in done} <= {Tenant, Conflict}
    assert any(isinstance(each, Tenant) for each in done)
    assert (await there.get("acme")).suspended


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"created_at":3,"suspended":false}'])
async def test_what_cannot_be_read_is_told_as_damage_and_lets_nobody_in(
    store: Store, body: bytes
) -> None:
    await store.documents.put(Document(kind="tenant", tenant="acme", id="state", body=body))
    with pytest.raises(StoreBroken):
        await tenants_of(store).is_suspended("acme")
