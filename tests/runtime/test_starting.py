"""What `serve` does before it serves: it closes its files to others, and says who it runs as."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from auditlogservice.runtime.cli import serve
from auditlogservice.runtime.cli.app import app
from logged import logged

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from auditlogservice.runtime.settings import Settings


@pytest.fixture
def shut_mask() -> Iterator[None]:
    """Give the mask back that the tests run with."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("shut_mask")
def test_whatever_it_makes_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def make(_: Settings, listener: object) -> None:
        del listener
        (tmp_path / "made").touch()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(serve, "_serve_one", make)
    with logged("json"):
        done = CliRunner().invoke(app, ["serve", "--port", "0", "--data-dir", "data"])
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE((tmp_path / "made").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "data").stat().st_mode) == 0o700


@pytest.mark.parametrize(("uid", "warned"), [(0, True), (1000, False)])
def test_root_is_warned_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
    uid: int,
    warned: bool,  # noqa: FBT001 - the expected value
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: uid)
    with logged("json") as written:
        serve._warn_of_root()
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    assert [line["level"] for line in lines] == (["warning"] if warned else [])


@pytest.mark.usefixtures("shut_mask")
def test_a_mistake_in_tls_ends_the_start_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUDITLOG_TLS_CERT", "nowhere.pem")
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with logged("json"):
        done = CliRunner().invoke(app, ["serve", "--port", "0"])
    assert done.exit_code == 1
    why = "nowhere.pem cannot be read: No such file or directory"
    assert done.output == f"auditlogservice: {why}\n"
    assert not (tmp_path / "auditlog-data").exists()
