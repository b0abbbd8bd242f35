"""Which server a command talks to, and with which token: the options that all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from auditlogservice.client.calls import Client
from auditlogservice.client.retries import Patience
from auditlogservice.runtime.cli import credentials
from auditlogservice.runtime.cli.terminal import note

if TYPE_CHECKING:
    from auditlogservice.client.failures import ClientError

DEFAULT_URL = "http://127.0.0.1:8080"

Url = Annotated[
    str | None,
    typer.Option(
        "--url",
        envvar="AUDITLOG_URL",
        help=f"The server's address. By default where you signed in last, or {DEFAULT_URL}.",
    ),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        envvar="AUDITLOG_TOKEN",
        help="A token, instead of signing in. Others can see command lines: use the variable.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for machines.")]

# A person waits at the terminal: two repetitions, within a second.
HASTY = Patience(attempts=3, first_wait=0.2, longest_wait=2.0)
# An import shall live through a restart of the server.
PATIENT = Patience(attempts=9, first_wait=0.5, longest_wait=15.0)


def address(url: str | None) -> str:
    return (url or credentials.recall().url or DEFAULT_URL).rstrip("/")


def connect(url: str | None, token: str | None, patience: Patience = HASTY) -> Client:
    """Return a client of the server that is meant, with the token that belongs to it."""
    where = address(url)
    kept = credentials.recall().tokens.get(where)
    return Client(where, token or kept, patience=patience, on_wait=_say_wait)


def _say_wait(why: ClientError, seconds: float) -> None:
    if seconds >= 1:
        note(f"{why}; trying again in {seconds:.0f} s")
