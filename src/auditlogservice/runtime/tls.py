"""TLS of the server's own: the certificate, who may connect, and renewals without a restart.

The files are looked at when somebody connects, at most once a minute: a renewed certificate is
used from then on, in every worker, and no task has to run for it. One that cannot be used is
told in the log, and the one before goes on.
"""

from __future__ import annotations

import os
import ssl
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.observability import logger

if TYPE_CHECKING:
    from auditlogservice.runtime.settings import Settings

LOOK_SECONDS = 60.0
_OTHERS = stat.S_IRWXO | stat.S_IWGRP  # a group may read: so distributions share keys
# The suites of TLS 1.2 with forward secrecy and authenticated encryption (RFC 9325 §4.2). Those
# of TLS 1.3 are all of that kind, and stand beside this list.
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"


def check_tls(settings: Settings) -> None:
    """Raise UnsafeSetup, in a sentence, if files are missing or no good, or the key is exposed."""
    if settings.tls_cert:
        server_context(settings)
    elif settings.tls_key or settings.tls_client_ca:
        raise UnsafeSetup("AUDITLOG_TLS_KEY and AUDITLOG_TLS_CLIENT_CA need AUDITLOG_TLS_CERT")


def server_context(settings: Settings, *_: object) -> ssl.SSLContext:
    """Return what the server of these settings, which have a certificate, speaks TLS with.

    What follows is what uvicorn gives. Raises UnsafeSetup as `check_tls` does.
    """
    certificate = Path(settings.tls_cert)
    key = Path(settings.tls_key or settings.tls_cert)  # one file may hold both
    client_ca = Path(settings.tls_client_ca) if settings.tls_client_ca else None
    return _Renewal(certificate, key, client_ca).current


class _Renewal:
    """The newest context of these files. `current` is the first; it hands over to newer ones."""

    def __init__(self, certificate: Path, key: Path, client_ca: Path | None) -> None:
        self._certificate = certificate
        self._key = key
        self._client_ca = client_ca
        self._seen = self._marks()
        self._next_look = time.monotonic() + LOOK_SECONDS
        self.current = self._load()
        self.current.sni_callback = self._on_hello

    def _on_hello(self, connection: ssl.SSLObject, _: str | None, __: ssl.SSLContext) -> None:
        """Give the connection the newest certificate. Called also if the client sends no name."""
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._look()
        connection.context = self.current

    def _look(self) -> None:
        try:
            marks = self._marks()
            if marks != self._seen:
                self.current = self._load()
                self._seen = marks
                logger("tls").info("certificate renewed", file=str(self._certificate))
        except UnsafeSetup as error:  # such as a key that is not yet beside its certificate
            logger("tls").error("certificate not renewed", why=str(error))

    def _marks(self) -> list[tuple[int, int, int]]:
        """Return what differs if a file was written, or another one put in its place."""
        files = [path for path in (self._certificate, self._key, self._client_ca) if path]
        found = map(_stat, files)
        return [(each.st_mtime_ns, each.st_ino, each.st_size) for each in found]

    def _load(self) -> ssl.SSLContext:
        _refuse_exposed(self._key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(_CIPHERS)
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self._certificate, self._key, _no_password)
        except (OSError, ValueError):  # of which ssl.SSLError is one; it names neither file
            raise UnsafeSetup(
                f"{self._certificate} and {self._key} are not a certificate and its key, in PEM "
                "and without a password"
            ) from None
        if self._client_ca:
            _require_clients(context, self._client_ca)
        return context


def _require_clients(context: ssl.SSLContext, authority: Path) -> None:
    """Let only those connect whose certificates this authority has signed (mutual TLS)."""
    try:
        context.load_verify_locations(authority)
    except (OSError, ValueError):
        raise UnsafeSetup(f"{authority} has no certificate of an authority, in PEM") from None
    context.verify_mode = ssl.CERT_REQUIRED
    # A resumed session would not show its certificate again, be it revoked or run out.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _no_password() -> str:
    """Answer in the place of OpenSSL, which would ask at the terminal, and wait."""
    raise ValueError("the key has a password")


def _refuse_exposed(path: Path) -> None:
    if os.name == "posix" and _stat(path).st_mode & _OTHERS:
        raise UnsafeSetup(f"others may read or change {path}; run: chmod o=,g-w {path}")


def _stat(path: Path) -> os.stat_result:
    try:
        return path.stat()
    except OSError as error:
        raise UnsafeSetup(f"{path} cannot be read: {error.strerror}") from None
