"""`verify` and `prove`: whether a log is what it was, for who trusts nothing but its key.

Exit codes: 0 if all is right or lawfully erased, 1 if anything is wrong, 2 for usage.
"""

from __future__ import annotations

import json
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from auditlogservice.auditing.proceeding import audit, read_checkpoint
from auditlogservice.auditing.served import Served
from auditlogservice.checkpoints import EntryProof
from auditlogservice.client.bundles import Bundle, BundleWriter
from auditlogservice.client.failures import ClientError
from auditlogservice.errors import MalformedInput, ProofInvalid
from auditlogservice.merkle import leaf_hash
from auditlogservice.notes import VerifierKey
from auditlogservice.runtime.cli.connection import AsJson, Token, Url, connect
from auditlogservice.runtime.cli.terminal import (
    complain,
    note,
    print_table,
    progress_console,
    writing,
)
from auditlogservice.runtime.invisible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from auditlogservice.auditing.findings import Report
    from auditlogservice.auditing.proceeding import Progress as Say
    from auditlogservice.checkpoints import Checkpoint

SIGNING_LOOKS = 10  # once a second, at the end, if the checkpoint does not cover what is there
SHOWN = 100  # findings, for people; --json has more

VkeyFile = Annotated[
    Path,
    typer.Option(
        "--vkey",
        metavar="FILE",
        exists=True,
        dir_okay=False,
        help="The log's verifier keys, one a line, from someone you trust: `ledger vkey`.",
    ),
]
Tenant = Annotated[
    str | None, typer.Option("--tenant", help="Whose log; by default the one the key names.")
]


def verify(  # noqa: PLR0913 - an option each
    *,
    vkey: VkeyFile,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Verify this file of `export --bundle`, without a server.",
        ),
    ] = None,
    since: Annotated[
        Path | None,
        typer.Option(
            "--since",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="A checkpoint that was saved before: the log must extend what it was then.",
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Where to keep the checkpoint, if all is right."
        ),
    ] = None,
    proof: Annotated[
        Path | None,
        typer.Option(
            "--proof",
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="Verify only this file of `prove`, and the --entry that it is about.",
        ),
    ] = None,
    entry: Annotated[
        Path | None,
        typer.Option("--entry", metavar="FILE", exists=True, dir_okay=False, help="See --proof."),
    ] = None,
    tell: Annotated[
        bool,
        typer.Option("--report", help="Have the result put on record in the log itself."),
    ] = False,
    as_json: AsJson = False,
    tenant: Tenant = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Verify a whole log: each record, the tree, the signature, and that nothing was rewritten."""
    keys = read_keys(vkey)
    if proof or entry:
        if not (proof and entry) or bundle or since or save or tell:
            raise typer.BadParameter("--proof and --entry go together, and with --vkey alone")
        _verify_proof(proof, entry, keys)
        return
    before = _read_since(since, keys) if since else None
    tenant = tenant or tenant_of(keys)
    with progress() as say:
        if bundle:
            with Bundle(bundle) as files:
                report, seen = audit(Served(files), keys=keys, since=before, progress=say)
        else:
            with connect(url, token) as client, client.log(tenant or tenant_of(keys)) as log:
                report, seen = audit(
                    Served(log), keys=keys, since=before, progress=say, wait=_patience()
                )
    if tell:
        _tell(tenant, report, url, token)
    finish(report, as_json=as_json)
    if save:
        with writing(save):
            save.write_bytes(seen)


def _tell(tenant: str, report: Report, url: str | None, token: str | None) -> None:
    """Report to the server, and if that fails, show the report all the same."""
    try:
        with connect(url, token) as client:
            client.tell_verification(tenant, report)
    except ClientError:
        print_report(report)
        raise


def make_bundle(target: Path, *, vkey: Path, url: str | None, token: str | None) -> None:
    """Write a log into one file, which is verified meanwhile."""
    keys = read_keys(vkey)
    part = target.with_name(f"{target.name}.part")
    with (
        writing(part),
        connect(url, token) as client,
        client.log(tenant_of(keys)) as log,
        progress() as say,
    ):
        with BundleWriter(log, part) as files:
            report, _ = audit(Served(files), keys=keys, progress=say)
        part.replace(target)
    note(f"{report.size:,} records, in {target}")
    finish(report, as_json=False)


def prove(
    event_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="Where the proof goes.")
    ],
    entry: Annotated[
        Path | None,
        typer.Option("--entry", metavar="FILE", help="Where the entry goes that it proves."),
    ] = None,
    url: Url = None,
    token: Token = None,
) -> None:
    """Get the proof that an event is in the log (c2sp.org/tlog-proof); it holds for ever."""
    with connect(url, token) as client:
        proof = client.prove(event_id)
    with writing(output):
        output.write_bytes(proof.text)
        if entry:
            entry.write_bytes(proof.entry)
    note(f"the proof of {event_id} is in {output}")


def _verify_proof(proof: Path, entry: Path, keys: list[VerifierKey]) -> None:
    parsed = EntryProof.parse(proof.read_bytes())
    leaf, flaw = leaf_hash(entry.read_bytes()), ""
    for key in keys:
        try:
            checkpoint = parsed.verify(leaf, key)
        except ProofInvalid as error:
            flaw = flaw or str(error)
        else:
            typer.echo(
                f"It is record {parsed.index:,} of {visible(checkpoint.origin)}, "
                f"in its tree of {checkpoint.size:,}."
            )
            return
    complain(flaw)
    raise typer.Exit(1)


# ---- what is trusted ------------------------------------------------------------------


def read_keys(file: Path) -> list[VerifierKey]:
    """Return the keys of a file, one a line."""
    try:
        keys = [VerifierKey.parse(line) for line in file.read_text().split()]
    except (MalformedInput, UnicodeDecodeError) as error:
        raise typer.BadParameter(f"{file} has no verifier key: {error}") from None
    if not keys:
        raise typer.BadParameter(f"{file} has no verifier key")
    return keys


def tenant_of(keys: list[VerifierKey]) -> str:
    """Return the tenant that the name of the keys has at its end."""
    return keys[0].name.rpartition("/")[2]


def _read_since(file: Path, keys: list[VerifierKey]) -> Checkpoint:
    try:
        return read_checkpoint(file.read_bytes(), keys)
    except (MalformedInput, ProofInvalid) as error:
        raise typer.BadParameter(f"{file} is no checkpoint of this log: {error}") from None


# ---- a checkpoint that is late --------------------------------------------------------


def _patience() -> Callable[[], bool]:
    """Return what waits for a moment, and says whether it did: so often, and then no more.

    A node signs a few times a second, so this is longer than any that signs would need.
    """
    left = iter(range(SIGNING_LOOKS))

    def wait() -> bool:
        if next(left, None) is None:
            return False
        time.sleep(1.0)
        return True

    return wait


# ---- what is told ---------------------------------------------------------------------


def finish(report: Report, *, as_json: bool) -> None:
    """Print the report, and end with the code that it means."""
    if as_json:
        typer.echo(json.dumps(report.to_json(), indent=2))
    else:
        print_report(report)
    if not report.holds:
        raise typer.Exit(1)


def print_report(report: Report) -> None:
    states = [(state, f"{count:,}") for state, count in sorted(report.states.items())]
    print_table(("State", "Records"), states, numbers=("Records",))
    for finding in report.findings[:SHOWN]:
        typer.echo(visible(str(finding)))
    if report.found > SHOWN:
        typer.echo(f"… and {report.found - SHOWN:,} more")
    if report.behind:
        note(f"{report.behind:,} more records lie behind the checkpoint; they are signed later")
    said = "all is right" if report.holds else f"{report.found:,} findings"
    typer.echo(f"{visible(report.origin) or 'log'}, {report.size:,} records: {said}")


@contextmanager
def progress() -> Iterator[Say]:
    console = progress_console()
    columns = (
        TextColumn("verifying"), BarColumn(), TaskProgressColumn(), MofNCompleteColumn(),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("verify", total=None)
        yield lambda done, whole: bar.update(task, completed=done, total=whole)
