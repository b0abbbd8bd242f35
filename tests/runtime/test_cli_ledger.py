"""`auditlogservice ledger`: the keys of the log, on the store itself."""

from __future__ import annotations

import asyncio
import base64
import stat
from typing import TYPE_CHECKING

import pytest

from auditlogservice.notes import VerifierKey
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.stores import open_store
from auditlogservice.runtime.wiring import settle_ledger_keys
from stub import run

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a node that has been started once."""
    asyncio.run(settle_ledger_keys(Settings(data_dir=tmp_path)))
    return tmp_path


def ledger(folder: Path, *arguments: str) -> list[str]:
    done = run("ledger", *arguments, "--data-dir", str(folder))
    assert done.exit_code == 0, done.output
    return done.stdout.splitlines()


def refused(folder: Path, *arguments: str) -> str:
    done = run("ledger", *arguments, "--data-dir", str(folder))
    assert done.exit_code == 1
    return " ".join(done.stderr.split())


def key_files(folder: Path) -> list[str]:
    return sorted(file.name for file in (folder / "ledger-keys").iterdir())


def test_the_verifier_key_is_printed_for_each_log(folder: Path) -> None:
    (line,) = ledger(folder, "vkey")
    (other,) = ledger(folder, "vkey", "--tenant", "other")
    key, theirs = VerifierKey.parse(line), VerifierKey.parse(other)
    assert (key.name, theirs.name) == ("localhost/ledger/default", "localhost/ledger/other")
    assert key.public == theirs.public


def test_keys_are_added_and_retired(folder: Path) -> None:
    (old,) = ledger(folder, "vkey")
    told = ledger(folder, "rotate")
    assert "0002.pem" in told[0]
    new, second = ledger(folder, "vkey")
    assert second == old
    assert stat.S_IMODE((folder / "ledger-keys" / "0002.pem").stat().st_mode) == 0o600
    ledger(folder, "retire", str(folder / "ledger-keys" / "0001.pem"))
    assert key_files(folder) == ["0002.pem"]
    assert ledger(folder, "vkey") == [new]
    assert ledger(folder, "vkey", "--all") == [new, old]


def test_the_only_key_is_not_retired_and_its_file_stays(folder: Path) -> None:
    assert "only key" in refused(folder, "retire", str(folder / "ledger-keys" / "0001.pem"))
    assert key_files(folder) == ["0001.pem"]


def test_a_file_that_is_no_key_of_the_log_is_not_deleted(folder: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    asyncio.run(settle_ledger_keys(Settings(data_dir=other)))
    file = other / "ledger-keys" / "0001.pem"
    assert "no such key" in refused(folder, "retire", str(file))
    assert file.exists()
    assert "there is no key" in refused(folder, "retire", str(tmp_path / "nothing"))


def test_an_exposed_key_is_not_used(folder: Path) -> None:
    file = folder / "ledger-keys" / "0001.pem"
    file.chmod(0o644)
    assert "chmod 600" in refused(folder, "retire", str(file))


def test_where_there_is_no_store_none_is_made(tmp_path: Path) -> None:
    for arguments in (["vkey"], ["rotate"]):
        assert "there is no store" in refused(tmp_path / "new", *arguments)
    assert not (tmp_path / "new").exists()


def test_before_the_first_start_there_is_no_key(tmp_path: Path) -> None:
    asyncio.run(make_store(Settings(data_dir=tmp_path)))
    assert "no key has been made yet" in refused(tmp_path, "vkey")


async def make_store(settings: Settings) -> None:
    await (await open_store(settings)).close()


def test_the_spelling_of_a_key_is_that_of_signed_notes(folder: Path) -> None:
    name, key_id, encoded = ledger(folder, "vkey")[0].split("+", 2)
    typed = base64.b64decode(encoded)
    assert (name, len(key_id), typed[0], len(typed)) == ("localhost/ledger/default", 8, 1, 33)
