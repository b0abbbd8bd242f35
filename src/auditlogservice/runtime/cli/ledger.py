"""`ledger`: the keys that sign the logs. Works on the store itself, server running or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from auditlogservice.access import DEFAULT_TENANT, check_tenant_name
from auditlogservice.errors import NotFound
from auditlogservice.ledger.keyring import Keyring
from auditlogservice.ledger.signer import origin_of
from auditlogservice.runtime.cli.users import DataDirOption, StoreOption
from auditlogservice.runtime.keys import load_ledger_key
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.signing import public_of
from auditlogservice.runtime.signing import rotate as add_key
from auditlogservice.runtime.wiring import open_store, require_store, utc_now

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from auditlogservice.runtime.settings import Settings

T = TypeVar("T")

ledger_app = typer.Typer(
    help="The keys that sign the logs, for the store that the settings name.",
    no_args_is_help=True,
)

TenantOption = Annotated[str, typer.Option("--tenant", help="whose log")]


@ledger_app.command()
def vkey(
    *,
    tenant: TenantOption = DEFAULT_TENANT,
    every: Annotated[
        bool,
        typer.Option("--all", help="also those that were retired, which old checkpoints need"),
    ] = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Print the verifier key of a tenant's log: what an auditor needs to trust nobody else."""
    check_tenant_name(tenant)

    async def work(settings: Settings, keyring: Keyring) -> list[str]:
        origin = origin_of(settings.ledger_host, tenant)
        keys = [key for key in await keyring.keys() if every or not key.retired]
        if not keys:
            raise NotFound("no key has been made yet; the first start of the server makes one")
        return [str(key.verifier(origin)) for key in keys]

    for line in _run(work, store, data_dir):
        typer.echo(line)


@ledger_app.command()
def rotate(*, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Make a further key. From the next start on, checkpoints carry both signatures."""

    async def work(settings: Settings, keyring: Keyring) -> Path:
        return await add_key(settings.data_dir, keyring)

    path = _run(work, store, data_dir)
    typer.echo(
        f"made {path}; restart the server, and copy the folder to the other nodes that sign"
    )
    typer.echo("Hand out the new `ledger vkey`. When all verifiers have it, retire the old key.")


@ledger_app.command()
def retire(
    key_file: Annotated[Path, typer.Argument(help="the file of the key, in `ledger-keys`")],
    *,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Let a key sign no more, and delete its file. What it has signed can still be verified."""

    async def work(_: Settings, keyring: Keyring) -> None:
        await keyring.retire(public_of(load_ledger_key(key_file)))

    _run(work, store, data_dir)
    key_file.unlink()
    typer.echo(f"retired and deleted {key_file}; restart the server")


def _run(
    work: Callable[[Settings, Keyring], Awaitable[T]], store: str | None, data_dir: Path | None
) -> T:
    async def with_store() -> T:
        settings = load_settings(store=store, data_dir=data_dir)
        require_store(settings)
        opened = await open_store(settings)
        try:
            return await work(settings, Keyring(opened.documents, clock=utc_now))
        finally:
            await opened.close()

    return asyncio.run(with_store())
