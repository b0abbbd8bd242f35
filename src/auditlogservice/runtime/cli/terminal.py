"""Text for people: what a server or a file says never moves a cursor or hides a word.

Control characters (C0, C1, escape), bidirectional marks and other invisible characters are
written out wherever a text reaches a terminal.
"""

from __future__ import annotations

import unicodedata
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

# Control, format (bidirectional and zero-width marks), surrogates, line and paragraph ends.
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_PIPE_WIDTH = 200  # columns of a table that goes to a file or to another program


def visible(text: str) -> str:
    r"""Return the text with everything invisible written out, as \x1b or \u202e."""
    if text.isprintable():
        return text
    return "".join(_escape(sign) if _is_invisible(sign) else sign for sign in text)


def visible_json(text: str) -> str:
    """Return JSON text with everything invisible as JSON escapes: the value stays the same."""
    if text.isprintable():
        return text
    return "".join(_json_escape(sign) if _is_invisible(sign) else sign for sign in text)


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


def _is_invisible(sign: str) -> bool:
    return unicodedata.category(sign) in _INVISIBLE


def _escape(sign: str) -> str:
    code = ord(sign)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"  # noqa: PLR2004 - Latin-1


def _json_escape(sign: str) -> str:
    units = sign.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at]:02x}{units[at + 1]:02x}" for at in range(0, len(units), 2))
