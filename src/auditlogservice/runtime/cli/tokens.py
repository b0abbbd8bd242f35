"""`token`: a token for scripts, API tokens of one's own, and the keys that sign tokens.

`token NAME` is short for `token get NAME`, and was there first.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from auditlogservice.client.entering import ClientCredentials
from auditlogservice.runtime.cli.connection import AsJson, Token, Url, connect
from auditlogservice.runtime.cli.session import PasswordStdin, read_password
from auditlogservice.runtime.cli.terminal import print_table
from auditlogservice.runtime.invisible import visible
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from auditlogservice.client.tokens import ApiToken

SECRET = "AUDITLOG_CLIENT_SECRET"  # noqa: S105 - the name of the variable
_DAY = 86_400  # seconds


class _GetIsMeant(TyperGroup):
    """Takes a name, or an option, for what `get` is to be asked."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, "--help"}:
            args = ["get", *args]
        return super().parse_args(ctx, args)


token_app = typer.Typer(
    cls=_GetIsMeant,
    help="Get a token for scripts, manage your API tokens, rotate the keys that sign tokens.",
    no_args_is_help=True,
)

StoreOption = Annotated[
    str | None, typer.Option("--store", help="sqlite:///path/audit.db or mongodb://host/database")
]
DataDirOption = Annotated[Path | None, typer.Option("--data-dir", help="folder of the key")]


@token_app.command()
def get(
    username: Annotated[str | None, typer.Argument()] = None,
    *,
    client_id: Annotated[
        str | None,
        typer.Option(
            "--client-id",
            help=f"Sign in as this client; its secret is {SECRET}, or on standard input.",
        ),
    ] = None,
    scope: Annotated[
        list[str] | None, typer.Option("--scope", help="One of the client's; may be repeated.")
    ] = None,
    password_stdin: PasswordStdin = False,
    url: Url = None,
) -> None:
    """Print a token, for scripts. Nothing is kept."""
    if (username is None) == (client_id is None):
        raise typer.BadParameter("give the name of a user, or a --client-id")
    with connect(url, None) as client:
        if client_id is not None:
            wanted = ClientCredentials(client_id, _secret(), tuple(scope or ()))
            typer.echo(client.get_token(wanted).access_token)
        elif username is not None:
            password = read_password(from_stdin=password_stdin)
            typer.echo(client.login(username, password).access_token)


@token_app.command()
def create(
    *,
    label: Annotated[str, typer.Option(help="What it is for.")] = "",
    scope: Annotated[
        list[str] | None,
        typer.Option("--scope", help="One of yours, instead of all; may be repeated."),
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="For how long it is good.")] = 90,
    url: Url = None,
    token: Token = None,
) -> None:
    """Make an API token of your own, and print it: it is not shown again."""
    with connect(url, token) as client:
        made = client.api_tokens.create(label=label, scopes=scope, expires_in=days * _DAY)
    typer.echo(made.text)


@token_app.command("list")
def list_tokens(*, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List your API tokens."""
    with connect(url, token) as client:
        found = client.api_tokens.all()
    if as_json:
        typer.echo(json.dumps([_described(each) for each in found], indent=2))
        return
    rows = []
    for each in found:
        until = format_utc(each.expires_at)[:10]
        used = format_utc(each.last_used_at)[:16] if each.last_used_at else "never"
        rows.append((each.id, each.label, each.prefix, " ".join(each.scopes), until, used))
    print_table(("Id", "Label", "Begins with", "Scopes", "Good until", "Last used"), rows)


@token_app.command()
def revoke(
    token_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    url: Url = None,
    token: Token = None,
) -> None:
    """End one of your API tokens, on every node."""
    with connect(url, token) as client:
        client.api_tokens.revoke(token_id)
    typer.echo(f"revoked {visible(token_id)}")


@token_app.command("rotate-key")
def rotate_key(*, store: StoreOption = None, data_dir: DataDirOption = None) -> None:
    """Sign with a new key from now on; the server may run. What the old one signed stays good."""
    import asyncio  # noqa: PLC0415 - slow, and no command of a client needs it

    from auditlogservice.runtime.cli import keys  # noqa: PLC0415 - has the server's packages

    old, new = asyncio.run(keys.rotate_key(store, data_dir))
    typer.echo(f"tokens are signed with {new} from now on, and no more with {old}")


@token_app.command("retire-key")
def retire_key(
    key_id: Annotated[
        str, typer.Argument(metavar="ID", help="`kid` in `/.well-known/jwks.json`.")
    ],
    *,
    store: StoreOption = None,
    data_dir: DataDirOption = None,
) -> None:
    """End all tokens of a stolen key at once, on every node; works on the store itself."""
    import asyncio  # noqa: PLC0415 - slow, and no command of a client needs it

    from auditlogservice.runtime.cli import keys  # noqa: PLC0415 - has the server's packages

    asyncio.run(keys.retire_key(store, data_dir, key_id))
    typer.echo(f"no token that {visible(key_id)} signed is good any more")


def _secret() -> str:
    kept = os.environ.get(SECRET)
    return kept or read_password(from_stdin=True)


def _described(token: ApiToken) -> dict[str, Any]:
    return {
        "id": token.id,
        "label": token.label,
        "prefix": token.prefix,
        "scopes": list(token.scopes),
        "expires_at": format_utc(token.expires_at),
        "last_used_at": format_utc(token.last_used_at) if token.last_used_at else None,
    }
