"""`auditlogservice tenants`, on the store itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner, Result

from auditlogservice.runtime.cli.app import app
from auditlogservice.runtime.settings import Settings
from running import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path


class Line:
    """The command line of one machine."""

    def __init__(self, settings: Settings) -> None:
        self._environment = {
            "AUDITLOG_STORE": settings.store_url,
            "AUDITLOG_DATA_DIR": str(settings.data_dir),
            "AUDITLOG_MIN_FREE_BYTES": "0",
        }

    def __call__(self, *arguments: str, entered: str = "") -> Result:
        return CliRunner().invoke(app, arguments, input=entered, env=self._environment)

    def tenants(self) -> dict[str, tuple[bool, int]]:
        listed = json.loads(self("tenants", "list", "--json").output)
        return {each["name"]: (each["suspended"], each["users"]) for each in listed}


@pytest.fixture
def line(settings: Settings) -> Line:
    made = Line(settings)
    add = ("users", "add", "alice", "--tenant", "acme", "--password-stdin")
    assert made(*add, entered=PASSWORD).exit_code == 0
    return made


def test_a_tenant_comes_to_be_with_its_first_user_or_by_itself(line: Line) -> None:
    assert line.tenants() == {"acme": (False, 1)}
    assert line("tenants", "add", "zeta").output == "added zeta\n"
    assert line.tenants() == {"acme": (False, 1), "zeta": (False, 0)}
    (told, _) = json.loads(line("tenants", "list", "--json").output)
    assert told["created_at"].endswith("Z")
    table = line("tenants", "list").output
    assert "acme" in table
    assert "zeta" in table


def test_a_tenant_is_suspended_and_resumed(line: Line) -> None:
    assert line("tenants", "suspend", "acme").output == "suspended acme\n"
    assert line.tenants() == {"acme": (True, 1)}
    assert "suspended" in line("tenants", "list").output
    assert line("tenants", "resume", "acme").output == "resumed acme\n"
    assert line.tenants() == {"acme": (False, 1)}


def test_a_tenant_is_removed_as_long_as_nobody_has_ever_been_in_it(line: Line) -> None:
    """After that its log has records, if only of who was let in."""
    assert line("tenants", "add", "empty").exit_code == 0
    assert line("tenants", "remove", "empty").output == "removed empty\n"
    assert line("users", "remove", "alice").exit_code == 0
    refused = line("tenants", "remove", "acme")
    assert refused.exit_code == 1
    assert "suspend it instead" in " ".join(refused.stderr.split())
    assert line.tenants() == {"acme": (False, 0)}


def test_a_store_that_is_not_there_is_not_made_by_a_look_at_it(tmp_path: Path) -> None:
    missing = Settings(store=f"sqlite:///{tmp_path}/audit.db", data_dir=tmp_path / "node")
    assert Line(missing)("tenants", "list").exit_code == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["suspend", "resume", "remove"])
def test_a_tenant_that_is_not_there_is_refused(line: Line, command: str) -> None:
    assert line("tenants", command, "nobody").exit_code == 1
    assert line.tenants() == {"acme": (False, 1)}
