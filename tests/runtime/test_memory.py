"""The last checkpoint of each log, in files: it never goes back, and it outlives its processes."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from typing import TYPE_CHECKING

import pytest

from auditlogservice.checkpoints import Checkpoint
from auditlogservice.errors import MalformedInput
from auditlogservice.notes import Note, SigningKey
from auditlogservice.runtime.memory import CheckpointFiles

if TYPE_CHECKING:
    from pathlib import Path

KEY = SigningKey("log.example/ledger/acme", bytes(32))
OTHER_KEY = SigningKey("log.example/ledger/acme", bytes([1]) * 32)


def note(size: int, *, root: bytes = bytes(32), keys: tuple[SigningKey, ...] = (KEY,)) -> bytes:
    text = Checkpoint(KEY.name, size, root).text
    return Note(text, tuple(key.sign(text) for key in keys)).to_bytes()


def test_what_is_remembered_is_recalled_by_another_process(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "checkpoints"
    assert CheckpointFiles(folder).recall("acme") is None
    assert CheckpointFiles(folder).remember("acme", note(5))
    assert CheckpointFiles(folder).recall("acme") == note(5)
    assert CheckpointFiles(folder).recall("other") is None
    assert stat.S_IMODE((folder / "acme.checkpoint").stat().st_mode) == 0o600


def test_a_larger_tree_takes_the_place_of_a_smaller_one_and_never_the_other_way(
    tmp_path: Path,
) -> None:
    files = CheckpointFiles(tmp_path)
    assert files.remember("acme", note(5))
    assert files.remember("acme", note(6))
    assert not files.remember("acme", note(5))
    assert files.recall("acme") == note(6)


def test_another_tree_of_the_same_size_does_not_take_the_place(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path)
    files.remember("acme", note(5))
    assert not files.remember("acme", note(5, root=bytes([1]) * 32))
    assert files.recall("acme") == note(5)


def test_the_same_tree_with_a_further_signature_does(tmp_path: Path) -> None:
    files = CheckpointFiles(tmp_path)
    files.remember("acme", note(5))
    both = note(5, keys=(OTHER_KEY, KEY))
    assert files.remember("acme", both)
    assert files.recall("acme") == both


@pytest.mark.parametrize("content", [b"", b"half of a no", note(5)[:-1]])
def test_a_damaged_file_is_not_written_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "acme.checkpoint").write_bytes(content)
    with pytest.raises(MalformedInput):
        CheckpointFiles(tmp_path).remember("acme", note(9))
    assert CheckpointFiles(tmp_path).recall("acme") == content


def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signer tries again every second: a draft of each try would fill the folder."""
    files = CheckpointFiles(tmp_path)
    files.remember("acme", note(5))
    there = sorted(tmp_path.iterdir())

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        files.remember("acme", note(6))
    assert sorted(tmp_path.iterdir()) == there
    assert files.recall("acme") == note(5)


def _remember(told: tuple[Path, int]) -> bool:
    folder, size = told
    return CheckpointFiles(folder).remember("acme", note(size))


def test_of_processes_that_remember_at_once_the_largest_tree_stays(tmp_path: Path) -> None:
    sizes = [size for low in range(1, 20) for size in (low, 40 - low)]
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        pool.map(_remember, [(tmp_path, size) for size in sizes])
    assert CheckpointFiles(tmp_path).recall("acme") == note(39)
