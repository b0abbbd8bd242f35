"""How fast a log is verified over HTTP: a server of its own on this machine, and an auditor.

python bench/verifying.py [--events 100000] [--store mongodb://…]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time

from auditlogservice.auditing.proceeding import audit
from auditlogservice.auditing.served import Served
from auditlogservice.client import Client
from auditlogservice.notes import VerifierKey

PASSWORD = "correct horse battery staple"  # noqa: S105 - of a server that lives for a minute
BATCH = 2_000


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--events", type=int, default=100_000)
    options.add_argument("--store")
    told = options.parse_args()
    with tempfile.TemporaryDirectory(prefix="auditlog-bench-") as folder:
        environment = {
            **os.environ,  # noqa: TID251 - where Python finds the package
            "AUDITLOG_DATA_DIR": folder,
            "AUDITLOG_MIN_FREE_BYTES": "0",
            "AUDITLOG_LOG_LEVEL": "error",
        }
        if told.store:
            environment["AUDITLOG_STORE"] = told.store
        measure(environment, told.events)


def measure(environment: dict[str, str], events: int) -> None:
    command = [sys.executable, "-m", "auditlogservice"]
    scopes = [f"--scope={each}" for each in ("events:write", "events:read", "ledger:read")]
    subprocess.run(  # noqa: S603 - this very program
        [*command, "users", "add", "auditor", *scopes, "--password-stdin"],
        env=environment, input=PASSWORD.encode(), check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    server = subprocess.Popen(  # noqa: S603
        [*command, "serve", "--port", "0"], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout  # noqa: S101 - it is a pipe; this tells mypy
        url = next(line for line in server.stdout if "ready at" in line).split()[-1]
        with Client(url) as client:
            client.login("auditor", PASSWORD)
            fill(client, events)
            verify(client, command, environment)
    finally:
        server.terminate()
        server.wait()


def fill(client: Client, events: int) -> None:
    for first in range(0, events, BATCH):
        client.send_lines([
            json.dumps({
                "idempotency_key": str(n), "name": "User Logged In", "event_type": "auth.login",
                "detail": f"number {n}", "actor": {"id": f"user-{n % 999}", "type": "user"},
                "outcome": "success", "context": {"ip": "192.0.2.7", "request_id": f"r{n}"},
                "event_data": {"n": n, "method": "password", "roles": ["reader", "writer"]},
            }).encode()
            for n in range(first, min(first + BATCH, events))
        ])  # fmt: skip


def verify(client: Client, command: list[str], environment: dict[str, str]) -> None:
    time.sleep(2)  # the last checkpoint is signed within a second
    printed = subprocess.run(  # noqa: S603
        [*command, "ledger", "vkey"], env=environment, check=True, capture_output=True, text=True
    )
    keys = [VerifierKey.parse(printed.stdout.strip())]
    started, used = time.perf_counter(), time.process_time()
    with client.log("default") as log:
        report, _ = audit(Served(log), keys=keys)
    seconds, used = time.perf_counter() - started, time.process_time() - used
    assert report.holds, report.findings  # noqa: S101 - else the figure means nothing
    print(
        f"{report.size:,} events verified in {seconds:.1f} s: {report.size / seconds:,.0f}/s; "
        f"the auditor was busy for {used:.1f} s"
    )


if __name__ == "__main__":
    main()
