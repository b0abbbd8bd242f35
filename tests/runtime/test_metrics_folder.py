"""The folder of the workers' metrics goes with its parent, or at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from auditlogservice.runtime.metrics_folder import metrics_folder

pytestmark = pytest.mark.skipif(os.name != "posix", reason="folders cannot be locked here")

HOLDER = """
import sys
from auditlogservice.runtime.metrics_folder import metrics_folder
with metrics_folder() as folder:
    (folder / "counter_1.db").touch()
    print(folder, flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A place of this test for what is temporary, here and in the processes that it starts."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def hold() -> tuple[subprocess.Popen[str], Path]:
    """Start a process that holds a folder with something in it."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout
    return holder, Path(holder.stdout.readline().strip())


def test_it_is_empty_at_first_and_gone_at_the_end(temporary: Path) -> None:
    with metrics_folder() as folder:
        assert folder.parent == temporary
        assert list(folder.iterdir()) == []
        (folder / "counter_1.db").touch()
    assert list(temporary.iterdir()) == []


def test_what_a_killed_process_left_goes_at_the_next_start_and_nothing_else(
    temporary: Path,
) -> None:
    foreign = temporary / "metrics"
    foreign.mkdir()
    (foreign / "kept").touch()
    (temporary / "auditlog-workers-link").symlink_to(foreign)
    living, used = hold()
    killed, left = hold()
    with living, killed:
        killed.send_signal(signal.SIGKILL)
        killed.wait(timeout=30)
        assert left.exists()
        with metrics_folder():
            assert not left.exists()
            assert (used / "counter_1.db").exists()
            assert (foreign / "kept").exists()
        living.communicate(timeout=30)
    assert not used.exists()
