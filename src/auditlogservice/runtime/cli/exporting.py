"""`export`: all that matches, into a file that has its name only when it is complete.

Until then the file is FILE.part, beside it. One in NDJSON says itself how far it came: its last
complete line has a sequence, behind which `--resume` goes on.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, BinaryIO

import orjson
import typer
from rich.filesize import decimal
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from auditlogservice.client.failures import BrokenOff, ClientError, UnexpectedAnswer
from auditlogservice.runtime.cli.asking import Since, Until, Words, answering, read_words
from auditlogservice.runtime.cli.connection import Token, Url
from auditlogservice.runtime.cli.terminal import note, progress_console, writing
from auditlogservice.runtime.cli.verifying import make_bundle
from auditlogservice.runtime.invisible import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import TypeAlias

    from rich.console import Console

    from auditlogservice.client.calls import Client
    from auditlogservice.client.following import Download

    Parameters: TypeAlias = list[tuple[str, str]]

_BLOCK = 65_536


class Format(StrEnum):
    """What a file can be."""

    NDJSON = "ndjson"
    CSV = "csv"
    PARQUET = "parquet"
    CEF = "cef"
    OCSF = "ocsf"
    ECS = "ecs"


@dataclass(slots=True)
class Lines:
    """What has been seen of a file of records, one a line, up to the last complete line."""

    records: int = 0
    sequence: int = -1
    size: int = 0
    rest: bytes = b""  # behind it

    def add(self, chunk: bytes) -> None:
        """Raises ValueError if the last line is no record."""
        text = self.rest + chunk
        end = text.rfind(b"\n")
        self.rest = text[end + 1 :]
        if end >= 0:
            self.records += text.count(b"\n", 0, end + 1)
            self.size += end + 1
            self.sequence = _sequence_of(text[text.rfind(b"\n", 0, end) + 1 : end])


def _sequence_of(line: bytes) -> int:
    value = orjson.loads(line)
    sequence = value.get("sequence") if isinstance(value, dict) else None
    if not isinstance(sequence, int):
        raise ValueError("no sequence")  # noqa: TRY004 - what a line that is no JSON raises, too
    return sequence


def export(  # noqa: PLR0913 - an option each
    words: Words = None,
    *,
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="FILE", help="Where to; - is standard output."),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            "--bundle",
            metavar="FILE",
            help="Instead, the whole log with all that proves it, to verify without a server.",
        ),
    ] = None,
    vkey: Annotated[
        Path | None,
        typer.Option(
            "--vkey", metavar="FILE", exists=True, dir_okay=False, help="For --bundle: its keys."
        ),
    ] = None,
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", help="ndjson has each record byte for byte.")
    ] = Format.NDJSON,
    since: Since = None,
    until: Until = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with FILE.part, asking the same question; only for ndjson."
        ),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace FILE, and begin FILE.part anew.")
    ] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Export all events that match, the oldest first, as they are at this moment."""
    if bundle is not None:
        if vkey is None or words or output or since or until or resume:
            raise typer.BadParameter(
                "--bundle takes all of the log: it needs --vkey, and no query"
            )
        _check_free(bundle, bundle, resume=False, force=force)
        make_bundle(bundle, vkey=vkey, url=url, token=token)
        return
    if output is None:
        raise typer.BadParameter("say where to, with --output or --bundle")
    asked = read_words(words, since=since, until=until)
    if resume and (format is not Format.NDJSON or output == "-"):
        raise typer.BadParameter("--resume needs a file, and --format ndjson")
    with answering(asked, url, token) as client:
        if output == "-":
            _to_standard_output(client, asked.parameters, format)
            return
        target = Path(output)
        part = target.with_name(f"{target.name}.part")
        _check_free(target, part, resume=resume, force=force)
        with writing(part):
            seen = _to_file(client, asked.parameters, format, part, resume=resume)
            size = part.stat().st_size
            part.replace(target)
    records = f"{seen.records:,} records, " if format is Format.NDJSON else ""
    note(f"{records}{decimal(size)}, in {target}")


# ---- into a file ----------------------------------------------------------------------


def _check_free(target: Path, part: Path, *, resume: bool, force: bool) -> None:
    if target.exists() and not force:
        raise typer.BadParameter(f"{target} is there already; --force replaces it")
    if part.exists() and not (resume or force):
        raise typer.BadParameter(
            f"{part} is there already, of an export that was stopped; "
            "--resume goes on with one in ndjson, --force begins anew"
        )


def _to_file(
    client: Client, parameters: Parameters, kind: Format, part: Path, *, resume: bool
) -> Lines:
    """Write and sync the file. It is not touched before the server has agreed to answer."""
    seen = read_part(part) if resume and part.exists() else Lines()
    after = seen.sequence if seen.records else None
    if after is not None:
        note(f"going on behind {seen.records:,} records, at sequence {after}")
    with (
        client.export(parameters, kind=kind, after=after) as download,
        part.open("ab" if resume else "wb") as file,
        _stop_kindly(part, kind),
    ):
        file.truncate(seen.size)
        _copy(client, download, file.write, kind, seen, progress_console())
        file.flush()
        os.fsync(file.fileno())
    return seen


def read_part(part: Path) -> Lines:
    """Return how far a file came, up to the end of its last complete line."""
    seen = Lines()
    with part.open("rb") as file:
        while chunk := file.read(_BLOCK):
            try:
                seen.add(chunk)
            except ValueError:
                raise typer.BadParameter(f"{part} is no export in ndjson") from None
    seen.rest = b""
    return seen


@contextmanager
def _stop_kindly(part: Path, kind: Format) -> Iterator[None]:
    """Whatever ends the export early: say what is there, and how to go on."""
    try:
        yield
    except (ClientError, OSError, KeyboardInterrupt):
        how = "--resume goes on" if kind is Format.NDJSON else "--force begins anew"
        note(
            f"stopped before the end; {part} has what came until then: the same command with {how}"
        )
        raise


# ---- to standard output ---------------------------------------------------------------


def _to_standard_output(client: Client, parameters: Parameters, kind: Format) -> None:
    stream = typer.get_binary_stream("stdout")
    console = progress_console()
    console.quiet = stream.isatty()  # a bar would move through the lines
    if not stream.isatty():
        write: Callable[[bytes], object] = stream.write
    elif kind is Format.PARQUET:
        raise typer.BadParameter("parquet is not for a terminal: name a file")
    else:
        write = Visible(stream, _VISIBLE.get(kind, visible)).write
    with client.export(parameters, kind=kind) as download:
        _copy(client, download, write, kind, Lines(), console)
    stream.flush()


class Visible:
    """Lines for a terminal; what has not ended in a line yet waits."""

    def __init__(self, stream: BinaryIO, spell: Callable[[str], str]) -> None:
        self._stream = stream
        self._spell = spell
        self._rest = b""

    def write(self, chunk: bytes) -> None:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            text = line.removesuffix(b"\r").decode(errors="replace")
            self._stream.write(self._spell(text).encode() + b"\n")


_VISIBLE = dict.fromkeys((Format.NDJSON, Format.OCSF, Format.ECS), visible_json)


# ---- both -----------------------------------------------------------------------------


def _copy(
    client: Client,
    download: Download,
    write: Callable[[bytes], object],
    kind: Format,
    seen: Lines,
    console: Console,
) -> None:
    """Write all of it; in ndjson count the records, and see that the last one is complete."""
    start = seen.sequence
    total = None if download.end is None else download.end - 1 - start
    with _progress(console, kind, total) as show:
        for chunk in download.chunks:
            write(chunk)
            if kind is Format.NDJSON:
                _add(client, seen, chunk)
                show(seen.sequence - start, seen.records)
            else:
                seen.size += len(chunk)
                show(seen.size, 0)
        if seen.rest:
            raise BrokenOff(client.url, "in the middle of a record")


def _add(client: Client, seen: Lines, chunk: bytes) -> None:
    try:
        seen.add(chunk)
    except ValueError:
        raise UnexpectedAnswer(client.url, "a line of the export is no record") from None


@contextmanager
def _progress(
    console: Console, kind: Format, total: int | None
) -> Iterator[Callable[[int, int], None]]:
    """Show it on standard error: by sequence where that is known, or else by bytes."""
    columns: list[ProgressColumn] = [TextColumn("exporting"), BarColumn()]
    if kind is Format.NDJSON:
        columns += [TaskProgressColumn(), TextColumn("{task.fields[records]:,} records")]
        columns += [TimeRemainingColumn()]
    else:
        columns += [DownloadColumn(), TransferSpeedColumn()]
        total = None
    with Progress(
        *columns, console=console, disable=console.quiet or not console.is_terminal
    ) as progress:
        task = progress.add_task("export", total=total, records=0)
        yield lambda done, records: progress.update(task, completed=done, records=records)
        progress.update(task, completed=total)  # what is behind the last record does not match
