"""docs/security.md names tests for what it claims: each of them is there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
DOCUMENT = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(\w+)`", DOCUMENT)


def functions_in(path: Path) -> set[str]:
    """The tests of a file, without running it."""
    functions = ast.FunctionDef, ast.AsyncFunctionDef
    return {each.name for each in ast.parse(path.read_text()).body if isinstance(each, functions)}


def test_each_test_that_the_document_names_is_there() -> None:
    assert len(NAMED) > 80
    missing = [
        f"{file}::{name}"
        for file, name in NAMED
        if not name.startswith("test_") or name not in functions_in(TESTS / file)
    ]
    assert missing == []


def test_each_actor_and_each_control_names_a_test() -> None:
    _, _, actors = DOCUMENT.partition("## Who can do what")
    sections, _, rest = actors.partition("## Controls")
    for section in sections.split("\n### ")[1:]:
        assert re.search(r"`[\w/]+\.py::test_\w+`", section), section.splitlines()[0]
    rows = [line for line in rest.splitlines() if line.startswith("| ")][2:]
    assert len(rows) > 20
    for row in rows:
        assert "::test_" in row, row
