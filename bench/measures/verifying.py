"""How fast an auditor with nothing but the log's key verifies a whole log over HTTP."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.auditing.proceeding import audit
from auditlogservice.auditing.served import Served
from auditlogservice.client import Client
from auditlogservice.notes import VerifierKey
from bench.calls import calling

if TYPE_CHECKING:
    from bench.field import Field
    from bench.servers import Server

_RATE = 20_000  # the goal


def measure(field: Field) -> None:
    for name, log in field.logs.items():
        with field.book.part(f"verifying, {name}"):
            rate = _verify(log.server)
            field.book.values("verify over HTTP", name, [rate], "events/s")
            field.book.at_least(f"verify over HTTP, {name}", [rate], _RATE, "events/s")


def _verify(server: Server) -> float:
    with calling(server) as caller:
        told = caller.get(f"/ledger/{DEFAULT_TENANT}/keys").body.decode()
    keys = [VerifierKey.parse(line) for line in told.splitlines()]
    start = time.perf_counter()
    with Client(server.url, server.token) as client, client.log(DEFAULT_TENANT) as log:
        report, _ = audit(Served(log), keys=keys)
    spent = time.perf_counter() - start
    if not report.holds:
        raise RuntimeError(f"the log of {server.name} does not hold: {report.findings[:3]}")
    return report.size / spent
