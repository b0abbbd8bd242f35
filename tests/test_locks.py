"""The lock files are what pyproject.toml asks for. Runs in `make check`; needs no network."""

from __future__ import annotations

import re
import tomllib
from itertools import takewhile
from pathlib import Path
from typing import TypeAlias

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
LOCKS = ("build", "dev", "server")

Asked: TypeAlias = "list[str | dict[str, str]]"


def lock(name: str) -> str:
    return (ROOT / "requirements" / f"{name}.txt").read_text()


def pins(text: str) -> dict[str, str]:
    """The versions in a lock file, by the name of the package."""
    found = re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==(\S+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def unhashed(text: str) -> list[str]:
    """The pins of a lock file that no hash follows."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    return [
        line
        for number, line in enumerate(lines)
        if "==" in line
        and not any(
            "--hash=sha256:" in follower
            for follower in takewhile(lambda one: one.startswith(" "), lines[number + 1 :])
        )
    ]


def unmet(asked: list[Requirement], locked: dict[str, str]) -> list[str]:
    """The requirements that the locked versions do not meet."""
    return [
        str(requirement)
        for requirement in asked
        if not requirement.specifier.contains(
            locked.get(canonicalize_name(requirement.name), "0.dev0"), prereleases=False
        )
    ]


def asked_of(name: str) -> list[Requirement]:
    """What pyproject.toml wants in this lock file."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups: dict[str, Asked] = project["dependency-groups"]
    extras: dict[str, list[str]] = project["project"]["optional-dependencies"]
    server: list[str] = [
        *project["project"]["dependencies"],
        *extras["server"],
        *extras["mongodb"],
    ]
    texts = {
        "build": _expand(groups, "build"),
        "dev": server + _expand(groups, "dev"),
        "server": server,
    }[name]
    return [one for text in texts if (one := Requirement(text)).name != "auditlogservice"]


def _expand(groups: dict[str, Asked], name: str) -> list[str]:
    texts: list[str] = []
    for entry in groups[name]:
        texts += [entry] if isinstance(entry, str) else _expand(groups, entry["include-group"])
    return texts


@pytest.mark.parametrize("name", LOCKS)
def test_lock_pins_all_that_pyproject_asks_for(name: str) -> None:
    assert unmet(asked_of(name), pins(lock(name))) == []


@pytest.mark.parametrize("name", LOCKS)
def test_each_locked_version_has_a_hash(name: str) -> None:
    assert unhashed(lock(name)) == []


@pytest.mark.parametrize("name", LOCKS)
def test_lock_names_no_host(name: str) -> None:
    assert re.findall(r"://|--(?:extra-)?index-url|--find-links", lock(name)) == []


def test_locks_agree_so_that_one_environment_holds_all() -> None:
    dev = pins(lock("dev"))
    assert {**dev, **pins(lock("server")), **pins(lock("build"))} == dev


def test_missing_and_outdated_pins_and_hashes_are_noticed() -> None:
    text = "a==1.0\nb==2.0 \\\n    --hash=sha256:00\n"
    asked = [Requirement("a>=1.1"), Requirement("b>=1"), Requirement("c")]
    assert unmet(asked, pins(text)) == ["a>=1.1", "c"]
    assert unhashed(text) == ["a==1.0"]
