"""Rules that a command is given in a file, or on its standard input."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import typer

from auditlogservice.errors import InputRefused
from auditlogservice.runtime.cli.terminal import complain

if TYPE_CHECKING:
    from collections.abc import Callable

Rules = TypeVar("Rules")


def rules_in(file: str, read: Callable[[bytes], Rules]) -> Rules:
    """Return what `read` makes of the file; `-` is standard input.

    Ends the command with 1 if it cannot be read, with 2 if no rules are in it.
    """
    try:
        raw = typer.get_binary_stream("stdin").read() if file == "-" else Path(file).read_bytes()
        return read(raw)
    except OSError as error:
        complain(f"{file}: {error.strerror or error}")
        raise typer.Exit(1) from None
    except InputRefused as error:
        raise typer.BadParameter(f"{file} has no rules: {error}") from None
