"""The private key of a node: made once, readable by its owner only."""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from joserfc.jwk import OKPKey

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.keys import TokenKeyFile, load_token_key, rotate_token_key
from auditlogservice.runtime.stores import utc_now

if TYPE_CHECKING:
    from pathlib import Path


def test_a_key_is_made_at_first_and_kept_ever_after(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "deep"
    first = load_token_key(folder)
    assert load_token_key(folder).thumbprint() == first.thumbprint()
    assert first.is_private
    (file,) = folder.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666, 0o620])
def test_a_key_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    load_token_key(tmp_path)
    (tmp_path / "token-key.pem").chmod(mode)
    with pytest.raises(UnsafeSetup, match="chmod 600"):
        load_token_key(tmp_path)


PUBLIC = OKPKey.generate_key("Ed25519").as_pem(private=False)


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\n", PUBLIC])
def test_a_file_that_is_no_key_is_refused_and_kept(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "token-key.pem"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(UnsafeSetup, match="not a private key"):
        load_token_key(tmp_path)
    assert path.read_bytes() == content


def test_what_a_process_that_was_killed_left_behind_is_in_nobodys_way(tmp_path: Path) -> None:
    """In a container the next process has the same number."""
    left = tmp_path / f".token-key.pem.{os.getpid()}"
    left.write_bytes(b"half of a k")
    assert load_token_key(tmp_path).is_private


def test_a_key_that_cannot_be_written_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        load_token_key(tmp_path)
    assert list(tmp_path.iterdir()) == []


def _thumbprint(folder: Path) -> str:
    return str(load_token_key(folder).thumbprint())


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        assert len(set(pool.map(_thumbprint, [tmp_path] * 8))) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["token-key.pem"]


# ---- one key follows the other ------------------------------------------------------------


@dataclass
class Now:
    """A clock that says what it is told."""

    at: datetime = field(default_factory=utc_now)

    def __call__(self) -> datetime:
        return self.at


def key_file(folder: Path, now: Now | None = None) -> TokenKeyFile:
    return TokenKeyFile(folder, lifetime=timedelta(days=90), clock=now or Now())


def test_a_key_of_the_old_layout_is_the_key(tmp_path: Path) -> None:
    old = load_token_key(tmp_path)
    assert key_file(tmp_path).current().thumbprint() == old.thumbprint()


def test_a_process_that_runs_signs_with_the_key_that_was_put_in_the_place_of_its_own(
    tmp_path: Path,
) -> None:
    one, other = key_file(tmp_path), key_file(tmp_path)
    old = one.current().thumbprint()
    before, new = rotate_token_key(tmp_path)
    assert before == old != new
    assert [file.current().thumbprint() for file in (one, other)] == [new, new]
    (file,) = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_key_is_followed_when_it_is_too_old_and_once_by_all_processes(tmp_path: Path) -> None:
    now = Now()
    one, other = key_file(tmp_path, now), key_file(tmp_path, now)
    old = one.current().thumbprint()
    now.at += timedelta(days=89)
    assert one.current().thumbprint() == old
    now.at += timedelta(days=1, minutes=1)
    new = one.current().thumbprint()
    assert new != old
    assert other.current().thumbprint() == new
    now.at += timedelta(days=89)
    assert one.current().thumbprint() == new


def test_a_key_is_renewed_in_the_name_of_the_one_that_is_meant_alone(tmp_path: Path) -> None:
    one, other = key_file(tmp_path), key_file(tmp_path)
    old = one.current().thumbprint()
    new = one.renew(old).thumbprint()
    assert new != old
    assert other.renew(old).thumbprint() == new  # it was done already


def test_there_is_no_key_to_rotate_in_a_folder_that_is_none_of_a_node(tmp_path: Path) -> None:
    with pytest.raises(UnsafeSetup, match="no token key"):
        rotate_token_key(tmp_path / "nowhere")
    assert list(tmp_path.iterdir()) == []


def test_a_running_process_refuses_a_key_that_others_may_read(tmp_path: Path) -> None:
    file = key_file(tmp_path)
    rotate_token_key(tmp_path)
    (tmp_path / "token-key.pem").chmod(0o644)
    with pytest.raises(UnsafeSetup, match="chmod 600"):
        file.current()
