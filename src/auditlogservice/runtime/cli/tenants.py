"""`tenants`: whose logs are here. Works on the store itself, whether a server runs or not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from auditlogservice.access import describe_tenant
from auditlogservice.runtime.cli.users import DataDirOption, JsonOption, StoreOption
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.wiring import open_tenants, require_store
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from auditlogservice.access import Tenant
    from auditlogservice.ledger.tenants import Tenants

T = TypeVar("T")

tenants_app = typer.Typer(
    help="Tenants of the store that the settings name, server running or not.",
    no_args_is_help=True,
)


@tenants_app.command("list")
def list_tenants(
    *, as_json: JsonOption = False, store: StoreOption = None, data_dir: DataDirOption = None
) -> None:
    """List the tenants."""
    tenants = _run(store, data_dir, lambda tenants: tenants.all())
    if as_json:
        typer.echo(json.dumps([describe_tenant(tenant) for tenant in tenants], indent=2))
        return
    Console().print(_table(tenants))


def _table(tenants: list[Tenant]) -> Table:
    table = Table("name", "state", "records", "users", "since")
    for tenant in tenants:
        state = "suspended" if tenant.suspended else "active"
        since = format_utc(tenant.created_at)[:10] if tenant.created_at else ""
        table.add_row(tenant.name, state, f"{tenant.events:,}", f"{tenant.users:,}", since)
    return table


@tenants_app.command()
def add(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Add a tenant. One that is not there comes to be with its first user, too."""
    tenant = _run(store, data_dir, lambda tenants: tenants.add(name))
    typer.echo(f"added {tenant.name}")


@tenants_app.command()
def suspend(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Keep all users of a tenant out, within a second; its log stays, and stays signed."""
    _run(store, data_dir, lambda tenants: tenants.suspend(name))
    typer.echo(f"suspended {name}")


@tenants_app.command()
def resume(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Let the users of a tenant in again."""
    _run(store, data_dir, lambda tenants: tenants.resume(name))
    typer.echo(f"resumed {name}")


@tenants_app.command()
def remove(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Remove a tenant that has neither users nor records."""
    _run(store, data_dir, lambda tenants: tenants.remove(name))
    typer.echo(f"removed {name}")


def _run(store: str | None, data_dir: Path | None, work: Callable[[Tenants], Awaitable[T]]) -> T:
    """Return what comes of working on the tenants of a store that is there already."""

    async def opened() -> T:
        settings = load_settings(store=store, data_dir=data_dir)
        require_store(settings)
        async with open_tenants(settings) as tenants:
            return await work(tenants)

    return asyncio.run(opened())
