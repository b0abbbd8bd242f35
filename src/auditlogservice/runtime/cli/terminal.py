"""Text for people: what a server or a file says never moves a cursor or hides a word.

What is invisible is written out (`runtime/invisible.py`) wherever a text reaches a terminal.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from auditlogservice.runtime.invisible import visible, visible_json

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from pathlib import Path

_PIPE_WIDTH = 200  # columns of a table that goes to a file or to another program


def complain(message: str) -> None:
    """Say in one line, on standard error, what went wrong."""
    typer.echo(f"auditlogservice: {visible(message)}", err=True)


@contextmanager
def writing(file: Path) -> Iterator[None]:
    """End with 1, and say which file and why, if what is done here cannot be written."""
    try:
        yield
    except OSError as error:
        complain(f"{error.filename or file}: {error.strerror or error}")
        raise typer.Exit(1) from None


def note(message: str) -> None:
    typer.echo(visible(message), err=True)


def table_console() -> Console:
    """Standard output, wide enough for a table where it is no terminal."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    return console


def print_table(
    head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str] = ()
) -> None:
    """Print rows under their head. `numbers` are those of the head that go to the right."""
    table = Table(box=None, pad_edge=False)
    for name in head:
        table.add_column(name, justify="right" if name in numbers else "left")
    for row in rows:
        # As `Text`, since in a mere string `[red]` or `[/]` would be taken for markup.
        table.add_row(*(Text(visible(cell)) for cell in row))
    table_console().print(table)


def print_json_lines(lines: Iterable[bytes]) -> None:
    """Print each JSON text on its line: byte for byte into a pipe, made visible on a terminal."""
    stream = typer.get_binary_stream("stdout")
    for line in lines:
        shown = visible_json(line.decode()).encode() if stream.isatty() else line
        stream.write(shown + b"\n")
    stream.flush()


def progress_console() -> Console:
    """Standard error, where progress is shown: never mixed with what is asked for."""
    return Console(stderr=True)
