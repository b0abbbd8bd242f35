"""The folder of the node, and the disk under it."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import TYPE_CHECKING

from auditlogservice.runtime.doctor.findings import Finding, ok, weak, wrong

if TYPE_CHECKING:
    from collections.abc import Iterable

_OTHERS = stat.S_IRWXG | stat.S_IRWXO
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
# File systems of other machines, whose locks and shared memory are not those that SQLite needs.
_REMOTE = frozenset({
    "9p", "afs", "ceph", "cifs", "fuse.glusterfs", "fuse.s3fs", "fuse.sshfs", "glusterfs",
    "lustre", "ncpfs", "nfs", "nfs4", "smb3", "smbfs", "virtiofs",
})  # fmt: skip
_MOUNTS = Path("/proc/self/mounts")
_MIB = 1024 * 1024


def check_folder(folder: Path) -> Finding:
    if not folder.is_dir():
        return wrong("folder", f"{folder} is not there", "Start the server once, or name another")
    mode = folder.stat().st_mode
    if mode & _OTHERS_WRITE:
        return wrong(
            "folder",
            f"others may put keys and checkpoints of their own into {folder}",
            f"Run: chmod 700 {folder}",
        )
    if mode & _OTHERS:
        return weak("folder", f"others may look into {folder}", f"Run: chmod 700 {folder}")
    return ok("folder", f"{folder} is its owner's alone")


def check_files(folder: Path) -> Finding:
    """Look at every file below: keys, checkpoints, and the database with its log."""
    open_to_others = [
        path.name
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.stat().st_mode & _OTHERS
    ]
    if open_to_others:
        return wrong(
            "files",
            f"others may read or change {', '.join(open_to_others[:5])}",
            f"Run: chmod -R go= {folder}",
        )
    return ok("files", "each is its owner's alone")


def read_mounts() -> list[tuple[str, str]]:
    """Return where what kind of file system is mounted; nothing where the system does not say."""
    if not _MOUNTS.is_file():
        return []
    lines = (line.split() for line in _MOUNTS.read_text().splitlines())
    return [(_unescaped(where), kind) for _, where, kind, *_ in lines]


def _unescaped(where: str) -> str:
    return where.replace(r"\040", " ").replace(r"\011", "\t").replace(r"\134", "\\")


def check_file_system(path: Path, mounts: Iterable[tuple[str, str]]) -> Finding:
    above = [(where, kind) for where, kind in mounts if path.is_relative_to(where)]
    if not above:
        return ok("file system", "this system does not say which it is")
    where, kind = max(above, key=lambda mount: len(mount[0]))
    if kind in _REMOTE:
        return wrong(
            "file system",
            f"{where} is {kind}, which is no local disk: SQLite can lose and mix up writes",
            "Move the database to a local disk, or use MongoDB",
        )
    return ok("file system", kind)


def check_room(free: int, kept_free: int) -> Finding:
    """`free` bytes are there, of which events may not use the last `kept_free`."""
    what = f"{free // _MIB:,} MiB are free"
    if free < kept_free:
        return wrong("room", f"{what}, and events are refused", "Make room on the disk")
    if free < 2 * kept_free:
        return weak("room", what, f"Make room: below {kept_free // _MIB:,} events are refused")
    return ok("room", what)
