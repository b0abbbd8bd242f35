"""A question as it is typed: words for the search box, FIELD=VALUE, and the time it is about.

What is wrong with it is shown under the place where it is wrong.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer
from rich.cells import cell_len

from auditlogservice.client.failures import Refused
from auditlogservice.client.retries import Patience
from auditlogservice.runtime.cli.connection import HASTY, connect
from auditlogservice.runtime.cli.terminal import complain, note
from auditlogservice.runtime.invisible import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from auditlogservice.client.calls import Client

Words = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="QUERY|FIELD=VALUE",
        help="A query as for a search box, in quotes, and matches as in actor.id=alice or "
        r"'event_data.n\[gte]=10'. What has a blank, a colon, a quote or a parenthesis before its "
        "first = is a query.",
        show_default=False,
    ),
]
Since = Annotated[
    str | None, typer.Option(help="Received since then: RFC 3339, a day, or 15m, 2h, 7d.")
]
Until = Annotated[str | None, typer.Option(help="Received before then.")]

_FILTER = re.compile(r"[^\s:\"'()=]+=.*", re.DOTALL)
_COLUMN = re.compile(r"\bcolumn (\d{1,6})\b")
_BEFORE, _WIDTH = 40, 72  # of a query that is too long to show, around the place


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of a question, and the text for the search box that is among them."""

    parameters: list[tuple[str, str]]
    text: str = ""


def read_words(words: Sequence[str] | None, *, since: str | None, until: str | None) -> Asked:
    """Read a query, if there is one in front, and filters."""
    first, *others = words or [""]
    text = "" if _FILTER.fullmatch(first) else first
    return ask(text, (words or []) if not text else others, since=since, until=until)


def ask(text: str, filters: Sequence[str], *, since: str | None, until: str | None) -> Asked:
    told = (("q", text), ("since", since), ("until", until))
    parameters = [(name, value) for name, value in told if value]
    return Asked([*parameters, *map(_filter, filters)], text)


def _filter(words: str) -> tuple[str, str]:
    field, equals, value = words.partition("=")
    if not (field and equals):
        raise typer.BadParameter(
            f"{words!r} is no filter: expected field=value; a query stands in front, as one word"
        )
    return field, value


@contextmanager
def answering(
    asked: Asked, url: str | None, token: str | None, patience: Patience = HASTY
) -> Iterator[Client]:
    """Give a client; if the server does not understand the query, show where."""
    try:
        with connect(url, token, patience) as client:
            yield client
    except Refused as error:
        details = [flaw.detail for flaw in error.problem.flaws] or [str(error)]
        found = next((place for each in details if (place := _COLUMN.search(each))), None)
        if not (asked.text and found):
            raise
        complain(str(error))
        for line in pointed(asked.text, int(found[1])):
            note(line)
        raise typer.Exit(1) from None


def pointed(text: str, column: int) -> tuple[str, str]:
    """Return the text, or the part of it around the column, and a line that points there."""
    at = min(max(column - 1, 0), len(text))
    start = max(0, at - _BEFORE) if len(text) > _WIDTH else 0
    before, behind = visible(text[start:at]), visible(text[at : start + _WIDTH])
    return f"  {before}{behind}", " " * (2 + cell_len(before)) + "^"
