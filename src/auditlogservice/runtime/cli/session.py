"""`login`: a password becomes a token. The password is never shown nor kept."""

from __future__ import annotations

from typing import Annotated

import typer

from auditlogservice.runtime.cli import credentials
from auditlogservice.runtime.cli.connection import Url, address, connect
from auditlogservice.runtime.invisible import visible

PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input.")
]


def login(
    username: Annotated[str | None, typer.Argument(help="Asked for if it is missing.")] = None,
    *,
    password_stdin: PasswordStdin = False,
    url: Url = None,
) -> None:
    """Sign in, and keep the token for the commands that follow."""
    name = username or typer.prompt("Username", err=True)
    where = address(url)
    with connect(where, None) as client:
        token = client.login(name, read_password(from_stdin=password_stdin))
    file = credentials.keep(where, token.access_token)
    hours = token.expires_in / 3600
    typer.echo(f"Signed in to {visible(where)} as {visible(name)} for {hours:g} h; kept in {file}")


def read_password(*, from_stdin: bool) -> str:
    """Return what is typed unseen, or the first line of standard input."""
    if not from_stdin:
        return str(typer.prompt("Password", hide_input=True, err=True))
    password = typer.get_text_stream("stdin").readline().rstrip("\r\n")
    if not password:
        raise typer.BadParameter("there is no password on standard input")
    return password
