"""`list` and `search`: the records that match, as a table for people or as their exact bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table
from rich.text import Text

from auditlogservice.runtime.cli.asking import Since, Until, answering, ask
from auditlogservice.runtime.cli.connection import AsJson, Token, Url
from auditlogservice.runtime.cli.terminal import note, print_json_lines, table_console
from auditlogservice.runtime.invisible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.canonical import Json
    from auditlogservice.client.answers import Answer

_OUTCOME_STYLES = {"success": "green", "failure": "red"}
_SECONDS = len("2026-01-31T23:59:59")


Limit = Annotated[int, typer.Option(min=0, help="At most so many; 0 for all.")]


def list_events(  # noqa: PLR0913 - an option each
    filters: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FIELD=VALUE]...",
            help="Exact matches, as in actor.id=alice. A field repeated means or.",
        ),
    ] = None,
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    sort: Annotated[
        Literal["timestamp", "-timestamp"],
        typer.Option(help="-timestamp has the newest first, timestamp the oldest."),
    ] = "-timestamp",
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """List events, the newest first. With --json each record is a line, byte for byte."""
    asked = ask("", filters or [], since=since, until=until)
    with answering(asked, url, token) as client:
        answers = client.events(asked.parameters, limit=limit or None, sort=sort)
        _print(answers, limit, as_json=as_json)


def search(  # noqa: PLR0913 - an option each
    query: Annotated[
        str,
        typer.Argument(
            help='As in a search box: words, "a phrase", actor.id:bob, -outcome:success, '
            "event_type:login*, event_data.n:>=10, OR, parentheses.",
        ),
    ],
    filters: Annotated[
        list[str] | None,
        typer.Argument(metavar="[FIELD=VALUE]...", help="Further conditions, as for list."),
    ] = None,
    *,
    since: Since = None,
    until: Until = None,
    limit: Limit = 100,
    newest: Annotated[bool, typer.Option("--newest/--oldest", help="Which come first.")] = True,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Search events, the newest first. With --json each record is a line, byte for byte."""
    asked = ask(query, filters or [], since=since, until=until)
    sort = "-timestamp" if newest else "timestamp"
    with answering(asked, url, token) as client:
        answers = client.events(asked.parameters, limit=limit or None, sort=sort)
        _print(answers, limit, as_json=as_json)


def _print(answers: Iterable[Answer], limit: int, *, as_json: bool) -> None:
    if as_json:
        print_json_lines(answer.raw for answer in answers)
    else:
        _print_table(list(answers), limit)


def _print_table(answers: list[Answer], limit: int) -> None:
    table = Table("Received", "Type", "Who", "Outcome", "What", "Id", box=None, pad_edge=False)
    for column in (table.columns[0], table.columns[-1]):
        column.no_wrap = True
    for answer in answers:
        table.add_row(*cells(answer.record))
    table_console().print(table)
    more = "; there may be more: raise --limit, or 0 for all" if len(answers) == limit else ""
    note(f"{len(answers):,} event{'' if len(answers) == 1 else 's'}{more}")


def cells(record: dict[str, Json]) -> list[Text]:
    """Return when it was received, its type, who did it, how it ended, what it was, its id."""
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
