"""`clients`: programs that may come in. Works on the store itself, server running or not."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from auditlogservice.access import DEFAULT_TENANT, Scope, format_scopes, parse_scopes
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.clients import describe_client
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import administering, open_administration
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.cli.users import (
    DataDirOption,
    JsonOption,
    ScopeOption,
    StoreOption,
)
from auditlogservice.runtime.settings import load_settings
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from pathlib import Path

    from auditlogservice.ledger.identity.clients import Client
    from auditlogservice.runtime.administration import Administration

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
        async with open_administration(load_settings(store=store, data_dir=data_dir)) as here:
            await here.clients.check_new(name, tenant=tenant)
            async with here.self_audit.doing(
                acts.CLIENT_ADDED, operator(tenant), telling.client_added(name, scopes)
            ):
                client = await here.clients.add(name, scopes=frozenset(scopes), tenant=tenant)
            return client, await _new_secret(here, client)

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
        async with administering(store, data_dir) as (_, here):
            return await here.clients.all(tenant)

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
        async with administering(store, data_dir) as (_, here):
            return await here.clients.named(name, tenant=tenant)

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
        async with administering(store, data_dir) as (_, here):
            client = await here.clients.named(name, tenant=tenant)
            async with here.self_audit.doing(
                acts.CLIENT_REMOVED, operator(tenant), telling.client_removed(client)
            ):
                await here.clients.remove(client)

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
        async with administering(store, data_dir) as (_, here):
            client = await here.clients.named(name, tenant=tenant)
            return await _new_secret(here, client, label=label, expires_at=ends)

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
        async with administering(store, data_dir) as (_, here):
            client = await here.clients.named(name, tenant=tenant)
            client.require_secret(secret_id)
            entry = telling.secret_removed(client, secret_id)
            async with here.self_audit.doing(acts.CLIENT_CHANGED, operator(tenant), entry):
                await here.clients.remove_secret(client, secret_id)

    asyncio.run(work())
    typer.echo(f"removed a secret of {name}")


async def _new_secret(
    here: Administration, client: Client, *, label: str = "", expires_at: datetime | None = None
) -> str:
    """Make a secret and put it on record; return its text."""
    secret, text = await here.clients.add_secret(client, label=label, expires_at=expires_at)
    await here.self_audit.made(
        acts.CLIENT_CHANGED,
        operator(client.tenant),
        telling.secret_added(client, secret),
        undo=lambda: here.clients.remove_secret(client, secret.id),
    )
    return text


def _disable(
    name: str, tenant: str, store: str | None, data_dir: Path | None, *, disabled: bool
) -> None:
    async def work() -> None:
        async with administering(store, data_dir) as (_, here):
            client = await here.clients.named(name, tenant=tenant)
            entry = telling.client_changed(client, disabled=disabled)
            async with here.self_audit.doing(acts.CLIENT_CHANGED, operator(tenant), entry):
                await here.clients.change(client, disabled=disabled)

    asyncio.run(work())
