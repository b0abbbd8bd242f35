"""The service's own logs, as they would go to standard error."""

from __future__ import annotations

import io
import logging
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

import structlog

from auditlogservice.runtime.observability import configure_logs
from auditlogservice.runtime.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def logged(form: Literal["json", "console"]) -> Iterator[io.StringIO]:
    """Write all lines, down to the least, into what this gives; then let logs be as before."""
    root, error = logging.getLogger(), sys.stderr
    handlers, level = list(root.handlers), root.level
    before = structlog.get_config()
    sys.stderr = written = io.StringIO()
    try:
        configure_logs(Settings(log_format=form, log_level="debug"))
        yield written
    finally:
        sys.stderr = error
        root.handlers[:] = handlers
        root.setLevel(level)
        structlog.configure(**before)
