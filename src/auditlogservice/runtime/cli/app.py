"""Puts the commands together. A failure is one line and an exit code, never a traceback.

Exit codes: 0 done, 1 refused or found wrong, 2 usage, 130 ended by Ctrl-C. The server's commands
are imported when they are asked for: the base install has every client command, and none of them
waits for a server's libraries.
"""

from __future__ import annotations

import importlib
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_group

from auditlogservice import __version__
from auditlogservice.client.failures import ClientError, SignInNeeded
from auditlogservice.errors import AuditLogError
from auditlogservice.runtime.cli import (
    exporting,
    figures,
    governing,
    importing,
    listing,
    redaction,
    send,
    session,
    tailing,
    tokens,
    verifying,
)
from auditlogservice.runtime.cli.terminal import complain

_SERVER_PACKAGES = frozenset({
    "apsw", "argon2", "fastapi", "httptools", "joserfc", "multipart", "prometheus_client",
    "pymongo", "python_multipart", "rfc3161_client", "starlette", "structlog", "uvicorn", "uvloop",
})  # fmt: skip
_SERVER_HINT = "this needs the server's packages: pip install 'auditlogservice[server]'"


# ---- commands of the server, imported when asked for ------------------------------------


def _serve(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.serve")
    group.command("serve")(module.serve)


def _users(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.users")
    group.add_typer(module.users_app, name="users")


def _clients(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.clients")
    group.add_typer(module.clients_app, name="clients")


def _tenants(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.tenants")
    group.add_typer(module.tenants_app, name="tenants")


def _ledger(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.ledger")
    group.add_typer(module.ledger_app, name="ledger")


def _fsck(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.checking")
    group.command("fsck")(module.fsck)


def _doctor(group: typer.Typer) -> None:
    module = importlib.import_module("auditlogservice.runtime.cli.doctor")
    group.command("doctor")(module.doctor)


_SERVER_COMMANDS = {
    "serve": _serve,
    "users": _users,
    "clients": _clients,
    "tenants": _tenants,
    "ledger": _ledger,
    "fsck": _fsck,
    "doctor": _doctor,
}


def _imported(name: str) -> Any:
    """Return the command; if its packages are missing, one that takes anything and says so."""
    group = typer.Typer(callback=lambda: None)
    try:
        _SERVER_COMMANDS[name](group)
    except ModuleNotFoundError as error:
        if not _is_of_server(error):
            raise
        anything = {"ignore_unknown_options": True, "allow_extra_args": True}
        group.command(name, context_settings=anything)(_without_server)
    return get_group(group).commands[name]


def _without_server() -> None:
    """Needs the packages of auditlogservice[server], which are not installed."""
    complain(_SERVER_HINT)
    raise typer.Exit(1)


def _is_of_server(error: ModuleNotFoundError) -> bool:
    return (error.name or "").partition(".")[0] in _SERVER_PACKAGES


class _Commands(TyperGroup):
    """All commands, with every failure raised on purpose told in one line."""

    def list_commands(self, ctx: Any) -> list[str]:
        own = [name for name in super().list_commands(ctx) if name not in _SERVER_COMMANDS]
        return [*_SERVER_COMMANDS, *own]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in _SERVER_COMMANDS and cmd_name not in self.commands:
            self.add_command(_imported(cmd_name), cmd_name)
        return super().get_command(ctx, cmd_name)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except SignInNeeded as error:
            complain(f"{error}; sign in with `auditlogservice login`, or set AUDITLOG_TOKEN")
        except (ClientError, AuditLogError) as error:
            complain(str(error))
        except ModuleNotFoundError as error:
            if not _is_of_server(error):
                raise
            complain(_SERVER_HINT)
        raise typer.Exit(1)


# ---- the app --------------------------------------------------------------------------

app = typer.Typer(
    cls=_Commands,
    help="Record events, ask about them, and run the server that keeps them.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # it would print local variables: tokens and passwords
)


def _print_version(value: bool) -> None:  # noqa: FBT001 - typer calls it so
    if value:
        typer.echo(f"auditlogservice {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version.", callback=_print_version, is_eager=True
        ),
    ] = False,
) -> None:
    pass


app.command("login")(session.login)
app.add_typer(tokens.token_app, name="token")
app.command("send")(send.send)
app.command("list")(listing.list_events)
app.command("search")(listing.search)
app.command("tail")(tailing.tail)
app.command("count")(figures.count)
app.command("histogram")(figures.histogram)
app.command("facets")(figures.facets)
app.command("export")(exporting.export)
app.command("import")(importing.import_file)
app.command("verify")(verifying.verify)
app.command("prove")(verifying.prove)
app.command("erase")(governing.erase)
app.add_typer(governing.erasures_app, name="erasures")
app.add_typer(governing.holds_app, name="holds")
app.add_typer(governing.retention_app, name="retention")
app.add_typer(redaction.redaction_app, name="redaction")


def main() -> None:
    app()
