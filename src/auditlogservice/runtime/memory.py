"""The last checkpoint that this node signed of each log, in files: outside of the database."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from auditlogservice.checkpoints import Checkpoint
from auditlogservice.notes import Note

if TYPE_CHECKING:
    from collections.abc import Iterator

try:
    import fcntl
except ImportError:  # pragma: no cover - Windows, where one process serves
    fcntl = None  # type: ignore[assignment] # the platform has none


class CheckpointFiles:
    """One file for each tenant, replaced whole. The processes of a node share them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def recall(self, tenant: str) -> bytes | None:
        try:
            return self._path(tenant).read_bytes()
        except FileNotFoundError:
            return None

    def remember(self, tenant: str, note: bytes) -> bool:
        """Keep the note, durably, in the place of one of a smaller tree, or of the same one.

        Return whether that was done: whatever else is there was signed meanwhile, and stays.
        """
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._locked():
            there, new = self.recall(tenant), _checkpoint(note)
            if there is not None:
                old = _checkpoint(there)
                if old != new and old.size >= new.size:
                    return False
            if there != note:
                self._replace(self._path(tenant), note)
        return True

    def _replace(self, path: Path, note: bytes) -> None:
        handle, draft = tempfile.mkstemp(dir=self._folder, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(note)
                file.flush()
                os.fsync(file.fileno())
            Path(draft).replace(path)
        except OSError:
            Path(draft).unlink(missing_ok=True)
            raise
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name too must survive a loss of power
        finally:
            os.close(folder)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._folder / ".lock"
        path.touch(mode=0o600)  # whoever could open it could hold it, and no checkpoint be kept
        with path.open("w") as lock:
            if fcntl is not None:
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _path(self, tenant: str) -> Path:
        return self._folder / f"{tenant}.checkpoint"


def _checkpoint(note: bytes) -> Checkpoint:
    return Checkpoint.parse(Note.parse(note).text)
