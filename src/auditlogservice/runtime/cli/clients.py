"""`clients`: programs that may come in. Works on the store itself, server running or not."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from auditlogservice.access import DEFAULT_TENANT, Scope, format_scopes, parse_scopes
from auditlogservice.ledger.clients import describe_client
from auditlogservice.runtime.cli.users import (
    DataDirOption,
    JsonOption,
    ScopeOption,
    StoreOption,
)
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.wiring import open_clients, require_store
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from auditlogservice.ledger.clients import Client, Clients

clients_app = typer.Typer(
    help="Programs that may come in, in the store that the settings name, server running or not.",
    no_args_is_help=True,
)
secret_app = typer.Typer(help="The secrets of a client: two at most.", no_args_is_help=True)
clients_app.add_typer(secret_app, name="secret")

TenantOption = Annotated[str, typer.Option(help="whose client it is")]
DaysOption = Annotated[int | None, typer.Option(min=1, help="for how long the secret is good")]


@clients_app.command()
def add(
    name: str,
    *,
    scope: ScopeOption = None,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Add a client, and print its id and its secret, this once.

    Without --scope it may record events, and nothing else.
    """
    scopes = parse_scopes(scope, pointer="--scope") if scope else {Scope.EVENTS_WRITE}

    async def work() -> tuple[Client, str]:
        async with open_clients(load_settings(store=store, data_dir=data_dir)) as clients:
            client = await clients.add(name, scopes=frozenset(scopes), tenant=tenant)
            _, text = await clients.add_secret(client)
            return client, text

    client, text = asyncio.run(work())
    typer.echo(f"added {client.name} to tenant {client.tenant}: {format_scopes(client.scopes)}")
    typer.echo(f"client_id {client.id}")
    typer.echo(f"client_secret {text}")


@clients_app.command("list")
def list_clients(
    *,
    tenant: Annotated[str | None, typer.Option(help="only of this tenant")] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the clients."""

    async def work() -> list[Client]:
        async with _clients(store, data_dir) as clients:
            return await clients.all(tenant)

    found = asyncio.run(work())
    if as_json:
        typer.echo(json.dumps([describe_client(client) for client in found], indent=2))
        return
    table = Table("id", "name", "tenant", "scopes", "state", "secrets")
    for client in found:
        state = "disabled" if client.disabled else "active"
        scopes, secrets = format_scopes(client.scopes), str(len(client.secrets))
        table.add_row(client.id, client.name, client.tenant, scopes, state, secrets)
    Console().print(table)


@clients_app.command()
def show(
    name: str,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Show a client, and which secrets it has, as JSON."""

    async def work() -> Client:
        async with _clients(store, data_dir) as clients:
            return await clients.named(name, tenant=tenant)

    typer.echo(json.dumps(describe_client(asyncio.run(work())), indent=2))


@clients_app.command()
def disable(
    name: str,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Keep a client out: its tokens stop working within a second."""
    _disable(name, tenant, store, data_dir, disabled=True)
    typer.echo(f"disabled {name}")


@clients_app.command()
def enable(
    name: str,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Let a client in again."""
    _disable(name, tenant, store, data_dir, disabled=False)
    typer.echo(f"enabled {name}")


@clients_app.command()
def remove(
    name: str,
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove a client; its events stay, its tokens stop working within a second."""

    async def work() -> None:
        async with _clients(store, data_dir) as clients:
            await clients.remove(await clients.named(name, tenant=tenant))

    asyncio.run(work())
    typer.echo(f"removed {name}")


@secret_app.command("add")
def add_secret(
    name: str,
    *,
    label: Annotated[str, typer.Option(help="what it is for")] = "",
    days: DaysOption = None,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Add a secret, and print it, this once. The other one stays good."""
    ends = datetime.now(UTC) + timedelta(days=days) if days else None

    async def work() -> str:
        async with _clients(store, data_dir) as clients:
            client = await clients.named(name, tenant=tenant)
            _, text = await clients.add_secret(client, label=label, expires_at=ends)
            return text

    text = asyncio.run(work())
    until = f", good until {format_utc(ends)[:10]}" if ends else ""
    typer.echo(f"added a secret to {name}{until}")
    typer.echo(f"client_secret {text}")


@secret_app.command("remove")
def remove_secret(
    name: str,
    secret_id: Annotated[str, typer.Argument(metavar="ID", help="as `clients show` has it")],
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Remove a secret; tokens that were got with it stop working within a second."""

    async def work() -> None:
        async with _clients(store, data_dir) as clients:
            client = await clients.named(name, tenant=tenant)
            await clients.remove_secret(client, secret_id)

    asyncio.run(work())
    typer.echo(f"removed a secret of {name}")


def _disable(
    name: str, tenant: str, store: str | None, data_dir: Path | None, *, disabled: bool
) -> None:
    async def work() -> None:
        async with _clients(store, data_dir) as clients:
            client = await clients.named(name, tenant=tenant)
            await clients.change(client, disabled=disabled)

    asyncio.run(work())


@asynccontextmanager
async def _clients(store: str | None, data_dir: Path | None) -> AsyncIterator[Clients]:
    """The clients of a store that is there already."""
    settings = load_settings(store=store, data_dir=data_dir)
    require_store(settings)
    async with open_clients(settings) as clients:
        yield clients
