"""The folder in which the workers of one parent keep their metrics.

It is locked for as long as its parent lives. A parent that was killed leaves it behind without
the lock, so that the next start knows it for abandoned, whatever process has that number by
then, and removes it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "auditlog-workers-"


@contextmanager
def metrics_folder() -> Iterator[Path]:
    """Give a new folder, and remove it at the end; first, those that killed processes left."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX)))
        if os.name == "posix":  # elsewhere folders cannot be locked, and what is left stays
            _lock(stack.enter_context(_opened(folder)))
            for other in folder.parent.glob(f"{_PREFIX}*"):
                _remove_if_abandoned(other)
        yield folder


def _remove_if_abandoned(folder: Path) -> None:
    # What is gone, another user's or locked is none of our business. What is empty may be about
    # to be locked: nobody writes into it before that.
    with suppress(OSError), _opened(folder) as descriptor:
        if os.fstat(descriptor).st_uid == os.getuid() and any(folder.iterdir()):
            _lock(descriptor)
            shutil.rmtree(folder)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    """Take the lock, which ends with this process. Raises OSError if another holds it."""
    import fcntl  # noqa: PLC0415 - not on every system

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
