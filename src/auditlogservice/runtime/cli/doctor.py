"""`doctor`: what is weak or wrong in a deployment, a line for each thing that is looked at."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from auditlogservice.runtime.cli.users import DataDirOption, JsonOption, StoreOption
from auditlogservice.runtime.doctor.examination import NOT_LOOKED_AT, examine
from auditlogservice.runtime.doctor.served import check_served
from auditlogservice.runtime.invisible import visible
from auditlogservice.runtime.settings import load_settings
from auditlogservice.runtime.stores import utc_now

if TYPE_CHECKING:
    from auditlogservice.runtime.doctor.findings import Finding
    from auditlogservice.runtime.settings import Settings


def doctor(
    *,
    url: Annotated[
        str | None,
        typer.Option("--url", help="the address at which others reach it: looked at too"),
    ] = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="exit with 1 also if something is only weak")
    ] = False,
    as_json: JsonOption = False,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """Say what is weak or wrong in this deployment, and what to do about it."""
    settings = load_settings(store=store, data_dir=data_dir)
    findings = []
    for finding in _findings(settings, url):
        findings.append(finding)
        if not as_json:
            typer.echo(visible(str(finding)))
    if as_json:
        told = [finding.to_json() for finding in findings]
        typer.echo(json.dumps({"findings": told, "not_looked_at": NOT_LOOKED_AT}, indent=2))
    else:
        typer.echo(f"Not looked at: {'; '.join(NOT_LOOKED_AT)}.")
    failing = {"wrong", "weak"} if strict else {"wrong"}
    if any(finding.state in failing for finding in findings):
        raise typer.Exit(1)


def _findings(settings: Settings, url: str | None) -> Iterator[Finding]:
    async def all_here() -> list[Finding]:
        return [finding async for finding in examine(settings, utc_now)]

    yield from asyncio.run(all_here())
    if url:
        yield from check_served(url.rstrip("/"), utc_now())
