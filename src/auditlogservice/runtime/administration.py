"""A store without a server: what the command line changes in it, and puts on record."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.ledger.identity.accounts import Accounts
from auditlogservice.ledger.identity.clients import Clients
from auditlogservice.ledger.identity.passwords import Passwords
from auditlogservice.ledger.identity.tenants import Tenants
from auditlogservice.ledger.recorder import Recorder
from auditlogservice.ledger.selfaudit.diary import Diary
from auditlogservice.ledger.selfaudit.recording import SelfAudit
from auditlogservice.runtime.observability import Unmeasured
from auditlogservice.runtime.settings import Settings, load_settings
from auditlogservice.runtime.stores import open_store, require_store, utc_now

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.runtime.stores import Store


@dataclass(frozen=True, slots=True)
class Administration:
    """What the command line changes in a store, and how it puts that on record."""

    store: Store
    accounts: Accounts
    clients: Clients
    tenants: Tenants
    self_audit: SelfAudit


@asynccontextmanager
async def open_administration(settings: Settings) -> AsyncIterator[Administration]:
    """A store without a server: what the command line needs."""
    async with AsyncExitStack() as stack:
        store = await open_store(settings)
        stack.push_async_callback(store.close)
        passwords = Passwords()
        stack.callback(passwords.close)
        gauge, entropy = Unmeasured(), secrets.token_bytes
        recorder = Recorder(
            store.events,
            on_commit=lambda _: None,
            kept_for=lambda *_: None,
            redact=lambda _, event: event,
            clock=utc_now,
            entropy=entropy,
            gauge=gauge,
            max_queued_events=settings.queue_events,
            max_queued_bytes=settings.queue_bytes,
        )
        # Waited for here, so that an error of the command is not one of a group of tasks.
        writing = asyncio.create_task(recorder.run())
        stack.push_async_callback(asyncio.wait, [writing])
        stack.callback(recorder.close)
        tenants = open_tenants(store, utc_now)
        yield Administration(
            store=store,
            accounts=Accounts(
                store.accounts,
                tenants=tenants,
                passwords=passwords,
                clock=utc_now,
                entropy=entropy,
            ),
            clients=open_clients(store, utc_now),
            tenants=tenants,
            self_audit=SelfAudit(
                Diary(recorder, clock=utc_now, gauge=gauge),
                mode=settings.self_audit,
                clock=utc_now,
                entropy=entropy,
                gauge=gauge,
            ),
        )


@asynccontextmanager
async def administering(
    store: str | None, data_dir: Path | None
) -> AsyncIterator[tuple[Settings, Administration]]:
    """Open a store that is there already, as the options of a command name it."""
    settings = load_settings(store=store, data_dir=data_dir)
    require_store(settings)
    async with open_administration(settings) as here:
        yield settings, here


def open_clients(store: Store, clock: Clock) -> Clients:
    return Clients(
        store.documents,
        tenants=open_tenants(store, clock),
        clock=clock,
        entropy=secrets.token_bytes,
    )


def open_tenants(store: Store, clock: Clock) -> Tenants:
    return Tenants(store.documents, accounts=store.accounts, ledger=store.ledger, clock=clock)
