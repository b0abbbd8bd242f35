"""`ledger`: the keys that sign the logs. Works on the store itself, server running or not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditlogservice.access import DEFAULT_TENANT, check_tenant_name
from auditlogservice.errors import NotFound
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.ledger.proving.signer import origin_of
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import administering
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.cli.users import DataDirOption, StoreOption
from auditlogservice.runtime.keys import draft_ledger_key, load_ledger_key
from auditlogservice.runtime.signing import public_of
from auditlogservice.runtime.signing import rotate as add_key
from auditlogservice.runtime.stores import utc_now

if TYPE_CHECKING:
    from auditlogservice.runtime.stores import Store

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

    async def work() -> list[str]:
        async with administering(store, data_dir) as (settings, here):
            known = await _keyring(here.store).keys()
        origin = origin_of(settings.ledger_host, tenant)
        keys = [key for key in known if every or not key.retired]
        if not keys:
            raise NotFound("no key has been made yet; the first start of the server makes one")
        return [str(key.verifier(origin)) for key in keys]

    for line in asyncio.run(work()):
        typer.echo(line)


@ledger_app.command()
def rotate(*, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Make a further key. From the next start on, checkpoints carry both signatures."""

    async def work() -> Path:
        async with administering(store, data_dir) as (settings, here):
            # The same as `add_key` goes on with: a draft is kept until a key comes of it.
            key, _ = draft_ledger_key(settings.data_dir)
            entry = telling.key_rotated("logs", public_of(key).hex())
            async with here.self_audit.doing(acts.KEY_ROTATED, operator(DEFAULT_TENANT), entry):
                return await add_key(settings.data_dir, _keyring(here.store))

    path = asyncio.run(work())
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

    async def work() -> None:
        public = public_of(load_ledger_key(key_file))
        async with administering(store, data_dir) as (_, here):
            keyring = _keyring(here.store)
            await keyring.check_retires(public)
            entry = telling.key_retired("logs", public.hex())
            async with here.self_audit.doing(acts.KEY_RETIRED, operator(DEFAULT_TENANT), entry):
                await keyring.retire(public)

    asyncio.run(work())
    key_file.unlink()
    typer.echo(f"retired and deleted {key_file}; restart the server")


def _keyring(store: Store) -> Keyring:
    return Keyring(store.documents, clock=utc_now)
