"""`list`: the records that match, as a table for people or as their exact bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from auditlogservice.runtime.cli.connection import AsJson, Token, Url, connect
from auditlogservice.runtime.cli.terminal import (
    note,
    print_json_lines,
    table_console,
    visible,
)

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.client.answers import Answer

_OUTCOME_STYLES = {"success": "green", "failure": "red"}
_SECONDS = len("2026-01-31T23:59:59")


def list_events(  # noqa: PLR0913 - an option each
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...",
            help="Exact matches, as in actor.id=alice. A field repeated means or.",
        ),
    ] = None,
    *,
    since: Annotated[
        str | None, typer.Option(help="Received since then: RFC 3339, or 15m, 2h, 7d.")
    ] = None,
    until: Annotated[str | None, typer.Option(help="Received before then.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")] = 100,
    sort: Annotated[
        Literal["timestamp", "-timestamp"],
        typer.Option(help="-timestamp has the newest first, timestamp the oldest."),
    ] = "-timestamp",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List events, the newest first. With --json each record is a line, byte for byte."""
    query = [_filter(words) for words in filters or []]
    query += [(key, value) for key, value in (("since", since), ("until", until)) if value]
    with connect(url, token) as client:
        answers = client.events(query, limit=limit or None, sort=sort)
        if as_json:
            print_json_lines(answer.raw for answer in answers)
        else:
            _print_table(list(answers), limit)


def _filter(words: str) -> tuple[str, str]:
    field, equals, value = words.partition("=")
    if not (field and equals):
        raise typer.BadParameter(f"{words!r} is no filter: expected field=value")
    return field, value


def _print_table(answers: list[Answer], limit: int) -> None:
    table = Table("Received", "Type", "Who", "Outcome", "What", "Id", box=None, pad_edge=False)
    for column in (table.columns[0], table.columns[-1]):
        column.no_wrap = True
    for answer in answers:
        table.add_row(*_cells(answer.record))
    table_console().print(table)
    more = "; there may be more: raise --limit, or 0 for all" if len(answers) == limit else ""
    note(f"{len(answers):,} event{'' if len(answers) == 1 else 's'}{more}")


def _cells(record: dict[str, Json]) -> list[Text]:
    outcome = _words(record.get("outcome"))
    return [
        Text(_words(record.get("timestamp"))[:_SECONDS].replace("T", " ")),
        Text(_words(record.get("event_type"))),
        Text(_who(record)),
        Text(outcome, style=_OUTCOME_STYLES.get(outcome, "")),
        Text(_words(record.get("detail")) or _words(record.get("name"))),
        Text(_words(record.get("_id"))),
    ]


def _who(record: dict[str, Json]) -> str:
    actor = record.get("actor")
    known = actor if isinstance(actor, dict) else {}
    return _words(known.get("name")) or _words(known.get("id")) or _words(record.get("user_id"))


def _words(value: Json) -> str:
    return visible(value) if isinstance(value, str) else ""
