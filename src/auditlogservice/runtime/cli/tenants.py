"""`tenants`: whose logs are here. Works on the store itself, whether a server runs or not."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, TypeVar

import typer
from rich.console import Console
from rich.table import Table

from auditlogservice.access import DEFAULT_TENANT, describe_tenant
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.suspensions import set_suspended
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import administering
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.cli.users import DataDirOption, JsonOption, StoreOption
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from auditlogservice.access import Tenant
    from auditlogservice.runtime.administration import Administration

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
    tenants = _run(store, data_dir, lambda here: here.tenants.all())
    if as_json:
        typer.echo(json.dumps([describe_tenant(tenant) for tenant in tenants], indent=2))
        return
    Console().print(_table(tenants))


def _table(tenants: list[Tenant]) -> Table:
    table = Table("name", "state", "records", "users", "clients", "since")
    for tenant in tenants:
        state = "suspended" if tenant.suspended else "active"
        since = format_utc(tenant.created_at)[:10] if tenant.created_at else ""
        figures = (f"{figure:,}" for figure in (tenant.events, tenant.users, tenant.clients))
        table.add_row(tenant.name, state, *figures, since)
    return table


@tenants_app.command()
def add(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Add a tenant. One that is not there comes to be with its first user, too."""

    async def work(here: Administration) -> Tenant:
        await here.tenants.check_new(name)
        async with here.self_audit.doing(
            acts.TENANT_ADDED, operator(DEFAULT_TENANT), telling.tenant_added(name)
        ):
            return await here.tenants.add(name)

    typer.echo(f"added {_run(store, data_dir, work).name}")


@tenants_app.command()
def suspend(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Keep all users of a tenant out, within a second; its log stays, and stays signed."""
    _set(name, store, data_dir, suspended=True)
    typer.echo(f"suspended {name}")


@tenants_app.command()
def resume(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Let the users of a tenant in again."""
    _set(name, store, data_dir, suspended=False)
    typer.echo(f"resumed {name}")


@tenants_app.command()
def remove(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Remove a tenant that has no users, clients and records."""

    async def work(here: Administration) -> None:
        await here.tenants.check_empty(name)
        async with here.self_audit.doing(
            acts.TENANT_REMOVED, operator(DEFAULT_TENANT), telling.tenant_removed(name)
        ):
            await here.tenants.remove(name)

    _run(store, data_dir, work)
    typer.echo(f"removed {name}")


def _set(name: str, store: str | None, data_dir: Path | None, *, suspended: bool) -> None:
    _run(
        store,
        data_dir,
        lambda here: set_suspended(
            here.tenants, here.self_audit, operator(DEFAULT_TENANT), name, suspended=suspended
        ),
    )


def _run(
    store: str | None, data_dir: Path | None, work: Callable[[Administration], Awaitable[T]]
) -> T:
    """Return what comes of working on the tenants of a store that is there already."""

    async def opened() -> T:
        async with administering(store, data_dir) as (_, here):
            return await work(here)

    return asyncio.run(opened())
