"""Logs and metrics: what an operator sees of the process.

One JSON line an event, in ASCII; on a terminal, lines for people. Whatever callers or files wrote,
it stays text: what is invisible is written out in both. Nothing here is given an event, a token or
a password, so none can end up in a log; a question only where it cannot be put on record.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

import structlog
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from auditlogservice import __version__
from auditlogservice.errors import Unavailable
from auditlogservice.runtime.invisible import visible

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.runtime.settings import Settings

_SLOW_SECONDS = 1.0
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_EVENTS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 10_000)


def configure_logs(settings: Settings) -> None:
    """Send our lines, and those of every library, to standard error in one form."""
    json_lines = settings.log_format == "json" or (
        settings.log_format == "auto" and not sys.stderr.isatty()
    )
    shared: list[structlog.types.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()  # json.dumps, which escapes all but ASCII
        if json_lines
        else structlog.dev.ConsoleRenderer()
    )
    last = [renderer] if json_lines else [_write_out, renderer]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level.upper(), force=True)
    # A library's chatter is worth a line only when something is wrong with it; and an address
    # that is called, such as that of a timestamp authority, may have a password in it.
    for library in ("pymongo", "uvicorn", "asyncio", "python_multipart", "httpx2", "httpcore2"):
        logging.getLogger(library).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def forget_worker(pid: int | None) -> None:
    """Take the gauges of a worker that has died out of the figures."""
    multiprocess.mark_process_dead(pid)  # type: ignore[no-untyped-call] # it has no types


def _write_out(_: object, __: str, event: structlog.types.EventDict) -> structlog.types.EventDict:
    """Write out what is invisible.

    A traceback keeps its lines, each indented: the message of an error can have lines too, and
    none of them may pass for one of the log.
    """
    kept = {name: visible(told) if isinstance(told, str) else told for name, told in event.items()}
    if trace := event.get("exception"):
        kept["exception"] = "\n".join("    " + visible(line) for line in str(trace).split("\n"))
    return kept


def logger(name: str) -> structlog.stdlib.BoundLogger:
    bound: structlog.stdlib.BoundLogger = structlog.get_logger(name)
    return bound


class AccessLines:
    """One line a request: what went wrong or was slow at `info` and above, the rest at `debug`."""

    def __init__(self) -> None:
        self._log = logger("access")
        self._lines = logging.getLogger("access")

    def dropped(self, *, path: str, request_id: str) -> None:
        self._log.warning("dropped", why="slow reader", path=path, request_id=request_id)

    def defect(self, error: Exception, *, request_id: str) -> None:
        self._log.error("defect", request_id=request_id, exc_info=error)

    def request(
        self,
        *,
        method: str,
        path: str,
        status: int,
        seconds: float,
        request_id: str,
        client: str | None,
    ) -> None:
        if status < 400 and seconds < _SLOW_SECONDS:  # noqa: PLR2004 - HTTP's classes of status
            if not self._lines.isEnabledFor(logging.DEBUG):
                return
            write = self._log.debug
        else:
            write = self._log.error if status == 500 else self._log.info  # noqa: PLR2004
        write(
            "request",
            method=method,
            path=path,
            status=status,
            ms=round(seconds * 1000, 2),
            request_id=request_id,
            client=client,
        )


class SignerLines:
    """What the signer has to say to operators."""

    def __init__(self) -> None:
        self._log = logger("ledger")

    def refuses(self, tenant: str, why: str) -> None:
        self._log.error("refuses to sign", tenant=tenant, why=why)

    def signs_again(self, tenant: str) -> None:
        self._log.warning("signs again", tenant=tenant)


class AnchorLines:
    """What is wrong with witnesses and timestamp authorities."""

    def __init__(self) -> None:
        self._log = logger("anchors")

    def fails(self, anchor: str, tenant: str, why: str) -> None:
        self._log.warning("anchor fails", anchor=anchor, tenant=tenant, why=why)

    def disputes(self, witness: str, tenant: str, why: str) -> None:
        self._log.critical("witness disputes the log", witness=witness, tenant=tenant, why=why)

    def works_again(self, anchor: str, tenant: str) -> None:
        self._log.warning("anchor works again", anchor=anchor, tenant=tenant)


class IssuerLines:
    """How the external issuer does."""

    def __init__(self) -> None:
        self._log = logger("issuer")

    def keys_unknown(self, why: str) -> None:
        self._log.warning("keys of the identity provider cannot be fetched", why=why)

    def keys_known(self, number: int) -> None:
        self._log.info("keys of the identity provider are known", keys=number)


class Unmeasured:
    """For a command that records: nobody asks it for figures, and it tells failures itself."""

    def queued(self, events: int) -> None: ...

    def committed(self, *, events: int, seconds: float) -> None: ...

    def failed(self, error: BaseException) -> None: ...

    def recorded(self, event_type: str) -> None: ...

    def unrecorded(self, act: str, *, caller: str | None, tenant: str, question: str) -> None: ...


class PrometheusMetrics:
    """Counts for `/metrics`; over all workers if PROMETHEUS_MULTIPROC_DIR is set."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._log = logger("recorder")
        self._requests = Histogram(
            "auditlog_request_seconds",
            "How long answers took.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._answers: dict[tuple[str, str, int], Histogram] = {}
        self._group_events = Histogram(
            "auditlog_commit_events",
            "How many events shared one commit.",
            buckets=_EVENTS,
            registry=self._registry,
        )
        self._group_seconds = Histogram(
            "auditlog_commit_seconds",
            "How long a commit took.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._failures = Counter(
            "auditlog_commit_failures",
            "Commits that failed, by the class of the error.",
            ("error",),
            registry=self._registry,
        )
        info = Gauge(
            "auditlog_info",
            "The version that runs.",
            ("version",),
            registry=self._registry,
            multiprocess_mode="max",  # one for all workers: each would have its pid otherwise
        )
        info.labels(__version__).set(1)
        self._limited = Counter(
            "auditlog_limited",
            "Requests that were refused with 429, by the policy that refused them.",
            ("policy",),
            registry=self._registry,
        )
        self._queued = Gauge(
            "auditlog_queued_events",
            "Events that wait to be written, or are being written.",
            registry=self._registry,
            multiprocess_mode="livesum",
        )

        self._own = Counter(
            "auditlog_own_records",
            "Records of what the service itself did, by type.",
            ("event_type",),
            registry=self._registry,
        )
        self._unrecorded = Counter(
            "auditlog_unrecorded_reads",
            "Reads that were answered and are not on record: the log is damaged.",
            ("event_type",),
            registry=self._registry,
        )
        self._access = logger("access")
        self._signing_lag = Histogram(
            "auditlog_sealing_lag_seconds",
            "How long the oldest record that a new checkpoint covers had waited for one.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._signing = Histogram(
            "auditlog_signing_seconds",
            "How long it took to check a tree and sign it.",
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._signed = Counter(
            "auditlog_signed_records",
            "Records that a checkpoint of this node covered first.",
            registry=self._registry,
        )
        self._refused = Gauge(
            "auditlog_unsigned_logs",
            "Tenants for whom this node refuses to sign; its log says why.",
            registry=self._registry,
            multiprocess_mode="livemax",
        )

        self._anchored = Gauge(
            "auditlog_anchored_time_seconds",
            "When a witness or a timestamp authority last gave what it was asked for.",
            ("anchor",),
            registry=self._registry,
            multiprocess_mode="max",
        )
        self._disputed = Gauge(
            "auditlog_disputed_logs",
            "Tenants whose logs do not extend what a witness has cosigned; the log says why.",
            ("witness",),
            registry=self._registry,
            multiprocess_mode="livemax",
        )

    def limited(self, policy: str) -> None:
        self._limited.labels(policy).inc()

    def queued(self, events: int) -> None:
        self._queued.set(events)

    def answered(self, *, method: str, route: str, status: int, seconds: float) -> None:
        told = (method, route, status)
        answers = self._answers.get(told)
        if answers is None:
            # To find them takes longer than to count, and each answer is counted.
            answers = self._answers[told] = self._requests.labels(*told)
        answers.observe(seconds)

    def committed(self, *, events: int, seconds: float) -> None:
        self._group_events.observe(events)
        self._group_seconds.observe(seconds)

    def failed(self, error: BaseException) -> None:
        self._failures.labels(type(error).__name__).inc()
        defect = None if isinstance(error, Unavailable) else error
        self._log.error("commit failed", error=type(error).__name__, exc_info=defect)

    def recorded(self, event_type: str) -> None:
        self._own.labels(event_type).inc()

    def unrecorded(self, act: str, *, caller: str | None, tenant: str, question: str) -> None:
        self._unrecorded.labels(act).inc()
        self._access.warning(
            "not on record", act=act, caller=caller, tenant=tenant, question=question
        )

    def signed(self, *, records: int, lag: float, seconds: float) -> None:
        self._signed.inc(records)
        self._signing.observe(seconds)
        if records:
            self._signing_lag.observe(lag)

    def refused(self, tenants: int) -> None:
        self._refused.set(tenants)

    def anchored(self, anchor: str, *, at: datetime) -> None:
        self._anchored.labels(anchor).set(at.timestamp())

    def disputed(self, witness: str, tenants: int) -> None:
        self._disputed.labels(witness).set(tenants)

    def work_failed(self, work: str, error: Exception) -> None:
        self._log.error("work failed", work=work, error=type(error).__name__, exc_info=error)

    def page(self) -> tuple[bytes, str]:
        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            registry = CollectorRegistry()
            multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no types
        return generate_latest(registry), CONTENT_TYPE_LATEST
