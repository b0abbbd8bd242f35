"""`fsck`: the logs in a store, checked where they lie. No server need run; one may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from auditlogservice.ledger.proving.auditor import check_store
from auditlogservice.runtime.cli.users import DataDirOption, JsonOption, StoreOption
from auditlogservice.runtime.cli.verifying import print_report, progress, read_keys
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.stores import open_store, require_store

if TYPE_CHECKING:
    from auditlogservice.auditing.findings import Report
    from auditlogservice.auditing.proceeding import Progress
    from auditlogservice.notes import VerifierKey
    from auditlogservice.runtime.settings import Settings


def fsck(
    *,
    vkey: Annotated[
        Path | None,
        typer.Option(
            "--vkey",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="verifier keys, one a line: the signatures of their logs are checked too",
        ),
    ] = None,
    as_json: JsonOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Check every log in the store, its indexes, and the store itself."""
    settings = load_settings(store=store, data_dir=data_dir)
    require_store(settings)
    keys = read_keys(vkey) if vkey else []
    with progress() as say:
        reports, own = asyncio.run(_check(settings, keys, say))
    if as_json:
        told = {tenant: report.to_json() for tenant, report in reports.items()}
        holds = own.holds and all(report.holds for report in reports.values())
        everything = {"holds": holds, "store": own.to_json()["findings"], "logs": told}
        typer.echo(json.dumps(everything, indent=2))
    else:
        for report in reports.values():
            print_report(report)
        if not own.holds:
            print_report(own)
    if not (own.holds and all(report.holds for report in reports.values())):
        raise typer.Exit(1)


async def _check(
    settings: Settings, keys: list[VerifierKey], say: Progress
) -> tuple[dict[str, Report], Report]:
    opened = await open_store(settings)
    try:
        return await check_store(opened.ledger, keys=keys, progress=say)
    finally:
        await opened.close()
