"""`users`: who may come in. Works on the store itself, whether a server runs or not."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from auditlogservice.access import (
    DEFAULT_SCOPES,
    DEFAULT_TENANT,
    describe_user,
    format_scopes,
    parse_scopes,
)
from auditlogservice.ledger.identity.credentials import forget_credentials
from auditlogservice.ledger.identity.passwords import check_password
from auditlogservice.ledger.identity.telling import user_added, user_changed, user_removed
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import administering, open_administration
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.settings import load_settings
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from auditlogservice.access import Scope, User

users_app = typer.Typer(
    help="Users of the store that the settings name, server running or not.", no_args_is_help=True
)

StoreOption = Annotated[
    str | None, typer.Option("--store", help="sqlite:///path/audit.db or mongodb://host/database")
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="folder of the database")]
StdinOption = Annotated[
    bool, typer.Option("--password-stdin", help="read the password from standard input")
]
JsonOption = Annotated[bool, typer.Option("--json", help="for machines")]
ScopeOption = Annotated[
    list[str] | None,
    typer.Option("--scope", help="a scope; may be repeated", show_default=False),
]


@users_app.command()
def add(
    name: str,
    *,
    scope: ScopeOption = None,
    tenant: Annotated[str, typer.Option(help="whose events the user sees")] = DEFAULT_TENANT,
    password_stdin: StdinOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Add a user. Asks for the password twice, unseen."""
    scopes = parse_scopes(scope, pointer="--scope") if scope else DEFAULT_SCOPES
    password = _password(from_stdin=password_stdin)

    async def work() -> User:
        settings = load_settings(store=store, data_dir=data_dir)
        async with open_administration(settings) as here:
            await here.accounts.check_new(name, password, tenant=tenant)
            async with here.self_audit.doing(
                acts.USER_ADDED, operator(tenant), user_added(name, scopes)
            ):
                return await here.accounts.add(name, password, scopes=scopes, tenant=tenant)

    user = asyncio.run(work())
    typer.echo(f"added {user.name} to tenant {user.tenant}: {format_scopes(user.scopes)}")


@users_app.command("list")
def list_users(
    *,
    tenant: Annotated[str | None, typer.Option(help="only of this tenant")] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """List the users."""

    async def work() -> list[User]:
        async with administering(store, data_dir) as (_, here):
            return await here.accounts.users(tenant)

    users = asyncio.run(work())
    if as_json:
        typer.echo(json.dumps([describe_user(user) for user in users], indent=2))
        return
    table = Table("name", "tenant", "scopes", "state", "since")
    for user in users:
        state = "disabled" if user.disabled else "active"
        since = format_utc(user.created_at)[:10]
        table.add_row(user.name, user.tenant, format_scopes(user.scopes), state, since)
    Console().print(table)


@users_app.command()
def disable(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Keep a user out: its tokens stop working within a second."""
    _change(name, store, data_dir, disabled=True)
    typer.echo(f"disabled {name}")


@users_app.command()
def enable(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Let a user in again."""
    _change(name, store, data_dir, disabled=False)
    typer.echo(f"enabled {name}")


@users_app.command()
def passwd(
    name: str,
    *,
    password_stdin: StdinOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Set a new password. Asks for it twice, unseen."""
    _change(name, store, data_dir, password=_password(from_stdin=password_stdin))
    typer.echo(f"the password of {name} is changed")


@users_app.command()
def scopes(
    name: str,
    scope: Annotated[list[str], typer.Argument(help="all scopes that the user is to have")],
    *,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Set what a user may do."""
    wanted = parse_scopes(scope, pointer="scope")
    _change(name, store, data_dir, scopes=wanted)
    typer.echo(f"{name} has now: {format_scopes(wanted)}")


@users_app.command()
def remove(name: str, *, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Remove a user; its events stay, its tokens stop working within a second."""

    async def work() -> None:
        async with administering(store, data_dir) as (_, here):
            user = await here.accounts.user(name)
            async with here.self_audit.doing(
                acts.USER_REMOVED, operator(user.tenant), user_removed(user)
            ):
                await here.accounts.remove(user)
                await forget_credentials(here.store.documents, user.id)

    asyncio.run(work())
    typer.echo(f"removed {name}")


def _change(
    name: str,
    store: str | None,
    data_dir: Path | None,
    *,
    password: str | None = None,
    scopes: frozenset[Scope] | None = None,
    disabled: bool | None = None,
) -> None:
    async def work() -> None:
        if password is not None:
            check_password(password)
        async with administering(store, data_dir) as (_, here):
            user = await here.accounts.user(name)
            entry = user_changed(user, password=password, scopes=scopes, disabled=disabled)
            async with here.self_audit.doing(acts.USER_CHANGED, operator(user.tenant), entry):
                await here.accounts.change(
                    user, password=password, scopes=scopes, disabled=disabled
                )

    asyncio.run(work())


def _password(*, from_stdin: bool) -> str:
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True))
