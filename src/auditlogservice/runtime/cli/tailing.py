"""`tail`: the newest records that match, and with -f each one that comes in, once and in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from auditlogservice.canonical import parse
from auditlogservice.client.retries import Patience
from auditlogservice.runtime.cli.asking import Words, answering, read_words
from auditlogservice.runtime.cli.connection import AsJson, Token, Url
from auditlogservice.runtime.cli.listing import cells
from auditlogservice.runtime.cli.terminal import print_json_lines, table_console

if TYPE_CHECKING:
    from collections.abc import Iterator

    from auditlogservice.client.calls import Client

# Shall live through a restart of the server, and go on soon after it.
_WATCHFUL = Patience(attempts=3, first_wait=0.2, longest_wait=10.0)
_GAP = "  "


def tail(
    words: Words = None,
    *,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes in, until Ctrl-C.")
    ] = False,
    lines: Annotated[
        int, typer.Option("--lines", "-n", min=0, help="How many of the newest to begin with.")
    ] = 10,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show the newest events, the newest last. With -f show each further one as it comes in.

    A connection that is lost is made again, and no event is missed or shown twice. Ctrl-C ends
    it with exit code 130. With --json each record is a line, byte for byte.
    """
    asked = read_words(words, since=None, until=None)
    with answering(asked, url, token, _WATCHFUL) as client:
        for record in _records(client, asked.parameters, lines, follow=follow):
            if as_json:
                print_json_lines([record])
            else:
                _print_line(record)


def _records(
    client: Client, parameters: list[tuple[str, str]], lines: int, *, follow: bool
) -> Iterator[bytes]:
    # Asked for first: whatever comes in between is in the list or behind this place, or both.
    end = client.end() if follow else 0
    newest = list(client.events(parameters, limit=lines, sort="-timestamp")) if lines else []
    for answer in reversed(newest):
        yield answer.raw
    if follow:
        after = max([end, *(answer.sequence for answer in newest)])
        for _, record in client.stream(parameters, after=after):
            yield record


def _print_line(record: bytes) -> None:
    value = parse(record)
    shown = cells(value if isinstance(value, dict) else {})[:-1]
    line = Text(_GAP).join(cell for cell in shown if cell)
    table_console().print(line, soft_wrap=True)
