"""Where figures were found: the machine, the versions, and what else it was doing."""

from __future__ import annotations

import os
import platform
import ssl
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from statistics import median

import apsw

from auditlogservice import __version__

_ROOT = Path(__file__).parents[1]
_SYNCS = 20
_PACKAGES = ("fastapi", "starlette", "uvicorn", "uvloop", "httptools", "pydantic", "pymongo")


def describe(folder: Path) -> dict[str, str]:
    """Return what is to be known about this machine, and about the disk under `folder`."""
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",  # noqa: TID251 - a report has a date
        "commit": f"{commit()}, version {__version__}",
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "memory": f"{_memory_gib():.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "load before": load(),
        "disk": f"{_file_system(folder)}, a sync of 4 KiB takes {_sync_ms(folder):.2f} ms",
        "Python": f"{platform.python_version()}, {ssl.OPENSSL_VERSION}",
        "SQLite": f"{apsw.sqlite_lib_version()}, APSW {apsw.apsw_version()}",
        "packages": packages,
    }


def load() -> str:
    """Return how many processes wanted the cores in the last 1, 5 and 15 minutes."""
    return " ".join(f"{each:.2f}" for each in os.getloadavg())


def commit() -> str:
    """Return the commit that is measured, and whether files differ from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],  # noqa: S607
            cwd=_ROOT, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def _cpu() -> str:
    told = _proc("cpuinfo")
    names = [line.partition(":")[2].strip() for line in told if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    kib = [int(line.split()[1]) for line in _proc("meminfo") if line.startswith("MemTotal")]
    return kib[0] / 2**20 if kib else 0.0


def _file_system(folder: Path) -> str:
    """Return the kind of the file system: a sync in memory would cost nothing."""
    mounts = (line.split()[1:3] for line in _proc("mounts"))
    here = str(folder.resolve())
    under = [
        (len(point), kind)
        for point, kind in mounts
        if point == "/" or f"{here}/".startswith(f"{point}/")
    ]
    return max(under)[1] if under else "unknown file system"


def _sync_ms(folder: Path) -> float:
    spent = []
    with (folder / "sync").open("wb") as file:
        for _ in range(_SYNCS):
            file.write(bytes(4096))
            file.flush()
            start = time.perf_counter()
            os.fsync(file.fileno())
            spent.append(time.perf_counter() - start)
    (folder / "sync").unlink()
    return median(spent) * 1e3


def _proc(name: str) -> list[str]:
    path = Path("/proc") / name
    return path.read_text().splitlines() if path.exists() else []
