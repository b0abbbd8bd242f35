"""`serve`: run the HTTP server until it is told to stop."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn
from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from auditlogservice.access import DEFAULT_TENANT, Scope
from auditlogservice.errors import UnsafeSetup
from auditlogservice.ledger.identity.accounts import FIRST_ADMIN
from auditlogservice.ledger.identity.telling import user_added
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import open_administration
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.http import BoundedHttp
from auditlogservice.runtime.interpreter import switch_often
from auditlogservice.runtime.keys import load_token_key
from auditlogservice.runtime.lifespan import KeptStart
from auditlogservice.runtime.metrics_folder import metrics_folder
from auditlogservice.runtime.observability import configure_logs, forget_worker, logger
from auditlogservice.runtime.settings import Settings, load_settings
from auditlogservice.runtime.tls import check_tls, server_context
from auditlogservice.runtime.wiring import build_app, settle_ledger_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import ASGIApp


def serve(
    store: Annotated[
        str | None,
        typer.Option(
            help="sqlite:///path/audit.db or mongodb://host/database", show_default=False
        ),
    ] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="folder for keys and database", show_default=False)
    ] = None,
    host: Annotated[str | None, typer.Option(help="address to listen on")] = None,
    port: Annotated[int | None, typer.Option(help="port to listen on; 0 takes a free one")] = None,
    workers: Annotated[
        int | None, typer.Option(help="processes; above 1 with MongoDB only")
    ] = None,
) -> None:
    """Run the server. Options win over AUDITLOG_* in the environment; README.md lists them all."""
    settings = load_settings(store=store, data_dir=data_dir, host=host, port=port, workers=workers)
    if settings.workers > 1 and not settings.store_url.startswith("mongodb"):
        raise UnsafeSetup("SQLite is written by one process; use --workers 1, or a MongoDB store")
    os.umask(0o077)
    configure_logs(settings)
    _warn_of_root()
    check_tls(settings)  # now, since a mistake is told best before the start
    listener = _listen(settings)
    asyncio.run(_greet_first_admin(settings, _address(listener, settings)))
    load_token_key(settings.data_dir)  # now, for the same reason
    if settings.workers == 1:
        _serve_one(settings, listener)
    else:
        asyncio.run(settle_ledger_keys(settings))
        _serve_many(settings, listener)


def _warn_of_root() -> None:
    """Say that root serves: whoever breaks into the server has the machine."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        logger("serve").warning("runs as root, and needs no right of root's; give it a user")


async def _greet_first_admin(settings: Settings, url: str) -> None:
    """Make the first user of an empty store, and show its password this once."""
    async with open_administration(settings) as here:
        if await here.accounts.users(None):
            return
        # Before it is done, as always; once, since several nodes may start over an empty store.
        entry, who = user_added(FIRST_ADMIN, Scope), operator(DEFAULT_TENANT)
        await here.self_audit.once(acts.USER_ADDED, who, entry, what="the first user")
        made = await here.accounts.add_first_admin()
    if made is None:
        return
    name, password = made
    sys.stdout.write(
        "\nThis store was empty, so here is its first user. The password is shown only now;\n"
        f"`auditlogservice users passwd {name}` sets another.\n\n"
        f"    name      {name}\n    password  {password}\n\n"
        "Get a token:\n\n"
        f"    curl --form 'username=\"{name}\"' --form 'password=\"{password}\"' {url}/token\n\n"
    )
    sys.stdout.flush()


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((settings.host, settings.port))
    except OSError as error:
        listener.close()
        raise UnsafeSetup(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
            "choose another with --port"
        ) from error
    listener.set_inheritable(True)
    return listener


def _address(listener: socket.socket, settings: Settings) -> str:
    scheme = "https" if settings.tls_cert else "http"
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - to call, not bind
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"


def _config(app: ASGIApp | str, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        factory=isinstance(app, str),
        workers=settings.workers,
        http=BoundedHttp,
        access_log=False,
        log_config=None,
        lifespan="on",
        ws="none",
        server_header=False,
        proxy_headers=False,
        backlog=2048,
        ssl_context_factory=partial(server_context, settings) if settings.tls_cert else None,
        # The last second is for what was accepted: it is written when all requests have ended.
        timeout_graceful_shutdown=max(int(settings.shutdown_grace.total_seconds()) - 1, 0),
    )


class _Server(uvicorn.Server):
    """One process, which says when it is ready and ends with 0 when it was asked to stop."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        _say_ready(self._address)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        with super().capture_signals():
            yield
            # Uvicorn would now raise the signal again, and the process would die of it.
            self._captured_signals.clear()


def _serve_one(settings: Settings, listener: socket.socket) -> None:
    switch_often()
    app = KeptStart(build_app(settings))
    try:
        _Server(_config(app, settings), _address(listener, settings)).run([listener])
    except SystemExit:
        if app.error:
            raise app.error from None
        raise


def _serve_many(settings: Settings, listener: socket.socket) -> None:
    """Several processes on one socket. They are told the settings by their environment."""
    with metrics_folder() as folder:
        os.environ |= {"PROMETHEUS_MULTIPROC_DIR": str(folder), **_environment(settings)}
        app = "auditlogservice.runtime.wiring:app_from_environment"
        supervisor = _Supervisor(_config(app, settings), [listener], _address(listener, settings))
        supervisor.run()
    if any(process.exitcode == STARTUP_FAILURE for process in supervisor.processes):
        raise UnsafeSetup("a worker could not start; it has said why")


def _environment(settings: Settings) -> dict[str, str]:
    """Return the variables from which a worker reads the same settings."""
    return {
        f"AUDITLOG_{name.upper()}": _spell(getattr(settings, name))
        for name in Settings.model_fields
    }


def _spell(value: object) -> str:
    """Return the text that the settings read back as this value."""
    return f"PT{value.total_seconds():f}S" if isinstance(value, timedelta) else str(value)


class _Supervisor(Multiprocess):
    """The parent of the workers, which says when all of them are ready."""

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], address: str) -> None:
        self._address = address  # first: the processes may be made before this returns
        super().__init__(config, sockets)

    def init_processes(self) -> None:
        super().init_processes()
        if all(process.wait_until_ready(_START_SECONDS) for process in self.processes):
            _say_ready(self._address)

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            forget_worker(pid)


def _say_ready(address: str) -> None:
    sys.stdout.write(f"auditlogservice is ready at {address}\n")
    sys.stdout.flush()


_START_SECONDS = 60
