"""`import`: a file of foreign or own records into a server, with a progress bar by bytes.

Run again after an interruption, the same command stores nothing twice.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from enum import StrEnum
from itertools import islice
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from auditlogservice.canonical import dump, parse
from auditlogservice.client.failures import ClientError
from auditlogservice.client.importing import (
    MAX_BATCH,
    Plan,
    Ready,
    Tally,
    Unfit,
    UnknownShape,
    import_source,
    prepare,
)
from auditlogservice.client.shapes.known import BY_NAME
from auditlogservice.client.shapes.rules import Rule, parse_rule
from auditlogservice.client.sources import Source, open_source
from auditlogservice.errors import InputRefused
from auditlogservice.events import read_event
from auditlogservice.runtime.cli.connection import PATIENT, AsJson, Token, Url, connect
from auditlogservice.runtime.cli.terminal import complain, note, print_json_lines, progress_console
from auditlogservice.runtime.invisible import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditlogservice.canonical import Json

_SHOWN_EVENTS = 5  # of a dry run
_SHOWN_REASONS = 10


class Format(StrEnum):
    """The names that --format takes; a test compares them with the shapes."""

    AUTO = "auto"
    NATIVE = "native"
    CLOUDEVENTS = "cloudevents"
    KUBERNETES = "kubernetes"
    CLOUDTRAIL = "cloudtrail"
    AUDITD = "auditd"
    WINDOWS = "windows"


def import_file(  # noqa: PLR0913 - an option each
    file: Annotated[
        str, typer.Argument(help="NDJSON, JSON, CSV or auditd lines; gzip, zstd; - is stdin.")
    ],
    *,
    format: Annotated[  # noqa: A002 - the option's name
        Format, typer.Option("--format", help="What the records are; auto looks at each.")
    ] = Format.AUTO,
    rules: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="FIELD=PATH",
            help="Take a field of the event from a dotted path of the record; FIELD==TEXT sets "
            "it. Repeatable: --map name=action --map actor.id=user.login",
        ),
    ] = None,
    batch_size: Annotated[
        int, typer.Option(min=1, max=MAX_BATCH, help="Events in one request.")
    ] = 1_000,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Send nothing; show what the first would become.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Import a file. Bad records are reported with their line and do not stop the others."""
    plan = Plan(BY_NAME.get(format), tuple(_rule(words) for words in rules or []))
    tally = Tally()
    with _opened(file) as source:
        prepared = _prepared(source, plan)
        if dry_run:
            _rehearse(source, prepared, tally, as_json=as_json)
        else:
            with connect(url, token, PATIENT) as client, _stop_kindly(tally), _bar(source) as bar:
                import_source(client, prepared, tally=tally, batch_size=batch_size, progress=bar)
    _report(tally, as_json=as_json, dry_run=dry_run)
    if tally.refused:
        raise typer.Exit(1)


def _rule(words: str) -> Rule:
    try:
        return parse_rule(words)
    except InputRefused as error:
        raise typer.BadParameter(f"--map {error}") from None


@contextmanager
def _opened(file: str) -> Iterator[Source]:
    with ExitStack() as opened:
        try:
            source = opened.enter_context(open_source(file, typer.get_binary_stream("stdin")))
        except OSError as error:
            raise typer.BadParameter(f"{file}: {error.strerror or error}") from None
        yield source


def _prepared(source: Source, plan: Plan) -> Iterator[Ready | Unfit]:
    now = datetime.now(UTC)
    try:
        yield from prepare(source, plan, now=now)
    except UnknownShape as error:
        complain(f"the first record cannot be imported: {error.flaws[0].detail}")
        raise typer.Exit(1) from None


# ---- progress -----------------------------------------------------------------------


@contextmanager
def _bar(source: Source) -> Iterator[Callable[[int], None]]:
    console = progress_console()
    columns = (
        TextColumn("importing"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("import", total=source.size)
        yield lambda consumed: progress.update(task, completed=consumed)


@contextmanager
def _stop_kindly(tally: Tally) -> Iterator[None]:
    """Whatever ends the import early: say how far it came, and that it can go on."""
    try:
        yield
    except (ClientError, KeyboardInterrupt):
        note(_counts(tally))
        note("stopped before the end; the same command goes on, and stores nothing twice")
        raise


# ---- a dry run ------------------------------------------------------------------------


def _rehearse(
    source: Source, prepared: Iterable[Ready | Unfit], tally: Tally, *, as_json: bool
) -> None:
    now = datetime.now(UTC)
    with _bar(source) as bar:
        shown = list(islice(_judged(prepared, tally, bar, now=now), _SHOWN_EVENTS))
        for _ in _judged(prepared, tally, bar, now=now):
            pass
    if as_json:
        print_json_lines(dump(event) for _, event in shown)
        return
    for place, event in shown:
        typer.echo(f"{visible(place)}:")
        for key, value in event.items():
            typer.echo(f"  {key}: {_shown(key, value)}")


def _judged(
    prepared: Iterable[Ready | Unfit],
    tally: Tally,
    bar: Callable[[int], None],
    *,
    now: datetime,
) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield the events that a server would take, judged by the rules that it has."""
    for item in prepared:
        tally.read += 1
        bar(item.consumed)
        if isinstance(item, Unfit):
            tally.refuse(item.place, item.reason)
            continue
        event = parse(item.line)
        assert isinstance(event, dict)  # noqa: S101 - it was made of one; this tells mypy
        del event["idempotency_key"]
        try:
            read_event(event, now=now)
        except InputRefused as error:
            tally.refuse(item.place, str(error))
            continue
        yield item.place, event


def _shown(key: str, value: Json) -> str:
    if key == "event_data" and isinstance(value, dict):
        return f"the complete record, {len(value)} fields"
    return visible(value if isinstance(value, str) else orjson.dumps(value).decode())


# ---- the end --------------------------------------------------------------------------


def _counts(tally: Tally) -> str:
    return (
        f"read {tally.read:,}, stored {tally.stored:,}, "
        f"already there {tally.already_there:,}, refused {tally.refused:,}"
    )


def _report(tally: Tally, *, as_json: bool, dry_run: bool) -> None:
    reasons = sorted(tally.reasons.items(), key=lambda item: -item[1].count)
    if as_json and not dry_run:
        print_json_lines(
            [
                orjson.dumps(
                    {
                        "read": tally.read,
                        "stored": tally.stored,
                        "already_there": tally.already_there,
                        "refused": tally.refused,
                        "reasons": [
                            {"reason": reason, "count": found.count, "places": found.places}
                            for reason, found in reasons
                        ],
                    }
                )
            ]
        )
        return
    ready = tally.read - tally.refused
    counts = f"read {tally.read:,}, ready {ready:,}, refused {tally.refused:,}; nothing was sent"
    typer.echo(counts if dry_run else _counts(tally), err=as_json)
    for reason, found in reasons[:_SHOWN_REASONS]:
        places = ", ".join(found.places) + (", …" if found.count > len(found.places) else "")
        note(f"  {found.count:,} x {reason} ({places})")
    if len(reasons) > _SHOWN_REASONS:
        note(f"  and {len(reasons) - _SHOWN_REASONS} more reasons; --json has them all")
