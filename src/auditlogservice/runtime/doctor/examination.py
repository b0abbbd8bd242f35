"""All checks, in the order in which they are told."""

from __future__ import annotations

import os
import ssl
import sys
from importlib import metadata
from typing import TYPE_CHECKING

from auditlogservice.runtime.doctor.files import check_files, check_folder
from auditlogservice.runtime.doctor.keeping import check_store
from auditlogservice.runtime.doctor.machine import (
    check_openssl,
    check_packages,
    check_python,
    check_user,
)
from auditlogservice.runtime.doctor.reach import check_reach

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from auditlogservice.ledger.clock import Clock
    from auditlogservice.runtime.doctor.findings import Finding
    from auditlogservice.runtime.settings import Settings

NOT_LOOKED_AT = (
    "whether there are backups, and whether one was ever restored",
    "whether NTP keeps the clock",
    "whether `admin` still has its first password",
    "who may read the service's own logs",
)


async def examine(settings: Settings, clock: Clock) -> AsyncIterator[Finding]:
    """Yield what is found on this machine, for a server with these settings."""
    now = clock()
    yield check_user(os.geteuid() if hasattr(os, "geteuid") else None)
    yield check_python(sys.version_info[:2], now.date())
    yield check_openssl(ssl.OPENSSL_VERSION_INFO, ssl.OPENSSL_VERSION)
    yield check_packages(metadata.requires("auditlogservice") or (), _version_of)
    for finding in check_reach(settings, now):
        yield finding
    yield check_folder(settings.data_dir)
    yield check_files(settings.data_dir)
    async for finding in check_store(settings, clock):
        yield finding


def _version_of(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
