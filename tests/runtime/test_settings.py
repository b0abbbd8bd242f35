"""Settings come from options, environment, .env and file, in that order, and say what is wrong."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.cli.serve import _environment
from auditlogservice.runtime.settings import load_settings

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_without_anything_the_defaults_hold() -> None:
    settings = load_settings()
    assert settings.store_url == "sqlite:///auditlog-data/audit.db"
    assert (settings.host, settings.port, settings.workers) == ("127.0.0.1", 8080, 1)
    assert settings.token_ttl == timedelta(hours=12)
    assert settings.min_free_bytes == 512 * 2**20


def test_options_win_over_environment_over_env_file_over_toml(
    an_empty_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = "host = 'toml'\nport = 1\nworkers = 2\ntoken_ttl = '1h'\n"
    (an_empty_folder / "auditlogservice.toml").write_text(toml)
    (an_empty_folder / ".env").write_text("AUDITLOG_PORT=2\nAUDITLOG_HOST=env-file\nOTHER=x\n")
    monkeypatch.setenv("AUDITLOG_HOST", "environment")
    monkeypatch.setenv("AUDITLOG_WORKERS", "3")
    settings = load_settings(workers=4, store=None)
    assert (settings.workers, settings.host, settings.port) == (4, "environment", 2)
    assert settings.token_ttl == timedelta(hours=1)


def test_the_default_database_lies_in_the_data_folder(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path / "data")
    assert settings.store_url == f"sqlite:///{tmp_path}/data/audit.db"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PORT", "abc"), ("PORT", "70000"), ("WORKERS", "0"), ("TOKEN_TTL", "5"),
        ("TOKEN_TTL", "30s"), ("TOKEN_TTL", "31d"), ("LOG_LEVEL", "loud"), ("QUEUE_EVENTS", "0"),
        ("STORE_TIMEOUT", "0s"), ("TOKEN_TTL", "soon"), ("MIN_FREE_BYTES", "-1"),
        ("CHECKPOINT_EVERY", "99ms"), ("TOKEN_KEY_DAYS", "0"), ("ISSUER", "log.example"),
        ("ISSUER", "https://log.example/"), ("ISSUER", "https://log.example/?a=b"),
        ("ALLOWED_HOSTS", "https://a"),
        ("TRUSTED_PROXIES", "proxy"), ("FORWARDED_HEADER", "x-real-ip"),
    ],
)  # fmt: skip
def test_a_value_that_cannot_be_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"AUDITLOG_{name}", value)
    with pytest.raises(UnsafeSetup, match=f"AUDITLOG_{name}"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (".env", b"AUDITLOG_PORT=\xff\n"),
        ("auditlogservice.toml", b"port = = 1\n"),
        ("auditlogservice.toml", b"host = '\xff'\n"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(
    an_empty_folder: Path, name: str, content: bytes
) -> None:
    (an_empty_folder / name).write_bytes(content)
    with pytest.raises(UnsafeSetup, match=f"^{name} cannot be read: ") as caught:
        load_settings()
    assert "\n" not in str(caught.value)


def test_a_setting_of_the_file_that_does_not_exist_is_named(an_empty_folder: Path) -> None:
    (an_empty_folder / "auditlogservice.toml").write_text("prot = 1\n[server]\nport = 2\n")
    with pytest.raises(UnsafeSetup, match="do not exist: prot, server"):
        load_settings()


@pytest.mark.parametrize("seconds", [0.5, 0.000001, 1, 43_200.25])
def test_a_worker_reads_the_settings_of_its_parent_from_its_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seconds: float
) -> None:
    span = timedelta(seconds=seconds)
    told = load_settings(
        store="mongodb://db/a?replicaSet=rs0", data_dir=tmp_path, workers=2, host="::1", port=0,
        store_timeout=span, shutdown_grace=span, token_ttl=timedelta(days=30), log_level="debug",
    )  # fmt: skip
    for name, value in _environment(told).items():
        monkeypatch.setenv(name, value)
    assert load_settings() == told
