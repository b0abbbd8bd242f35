"""The documents say what the code does, and nothing is left half done."""

from __future__ import annotations

import json
import re
from datetime import timedelta
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from typer import Context
from typer.main import get_group

import auditlogservice
from auditlogservice.runtime.cli.app import app
from auditlogservice.runtime.settings import Settings
from auditlogservice.runtime.wiring import build_app
from auditlogservice.web.problems import ALL
from auditlogservice.web.routes.limits import read_limits

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "auditlogservice"
README = (ROOT / "README.md").read_text()
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
DECISIONS = sorted((ROOT / "docs" / "decisions").glob("*.md"))

OPTIONS = ("store", "data_dir", "host", "port", "workers")  # of `serve`, as the README says


def section(text: str, heading: str) -> str:
    """What stands under a heading, up to the next one of the same rank."""
    rank = heading.split(maxsplit=1)[0]
    return f"\n{text}".split(f"\n{heading}\n")[1].split(f"\n{rank} ", maxsplit=1)[0]


def table(text: str) -> list[list[str]]:
    """The rows of the first table, without its head."""
    after = dropwhile(lambda line: not line.startswith("|"), text.splitlines())
    lines = list(takewhile(lambda line: line.startswith("|"), after))
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


# ---- settings -------------------------------------------------------------------


def spell(value: object) -> str:
    """A default as a person would write it into the environment."""
    if not isinstance(value, timedelta):
        return str(value)
    length = value // timedelta(milliseconds=1)
    unit, size = next(one for one in UNITS if length % one[1] == 0)
    return f"{length // size}{unit}"


UNITS = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1))


def settings_rows() -> Iterator[list[str]]:
    for name, field in Settings.model_fields.items():
        default = spell(field.default)
        yield [
            f"`AUDITLOG_{name.upper()}`",
            f"`--{name.replace('_', '-')}`" if name in OPTIONS else "",
            f"`{default}`" if default else "",
            " ".join((field.description or "").split()),
        ]


def test_readme_lists_each_setting_with_its_default_and_meaning() -> None:
    assert table(section(README, "## Configuration")) == list(settings_rows())


# ---- the command line -----------------------------------------------------------


def test_readme_lists_the_commands_that_exist() -> None:
    group = get_group(app)
    listed = re.findall(r"^\| `auditlogservice ([a-z]+)`", README, re.MULTILINE)
    assert listed == group.list_commands(Context(group))


def test_the_first_settings_are_options_of_serve() -> None:
    group = get_group(app)
    serve = group.get_command(Context(group), "serve")
    assert serve
    options = [name for parameter in serve.params for name in parameter.opts]
    assert options == [f"--{name.replace('_', '-')}" for name in OPTIONS]


# ---- the API --------------------------------------------------------------------


API = (ROOT / "docs" / "api.md").read_text()


def test_api_document_lists_each_call_with_its_scope(tmp_path: Path) -> None:
    document = build_app(Settings(data_dir=tmp_path)).openapi()
    calls = {
        (f"`{method.upper()} {path}`", scope_of(operation))
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    }
    assert {(call, scope) for call, scope, _ in table(section(API, "# The HTTP API"))} == calls


def scope_of(operation: dict[str, Any]) -> str:
    match operation.get("security"):
        case None:
            return "none"
        case [{"OAuth2PasswordBearer": []}]:
            return "any"
        case [{"OAuth2PasswordBearer": [*scopes]}]:
            return ", ".join(f"`{scope}`" for scope in scopes)
        case other:
            pytest.fail(f"unexpected: {other}")


async def test_api_document_lists_each_limit() -> None:
    limits = json.loads(bytes((await read_limits()).body))
    assert [row[:2] for row in table(section(API, "## Limits"))] == [
        [f"`{name}`", f"{value:,}"] for name, value in limits.items()
    ]


def test_api_document_lists_each_problem() -> None:
    assert table(section(API, "## Errors")) == [
        [str(each.status), f"`{each.code}`", each.title]
        for each in sorted(ALL.values(), key=lambda one: (one.status, one.code))
    ]


# ---- documents ------------------------------------------------------------------


def modules_of(folder: Path) -> set[str]:
    return {
        path.stem
        for path in folder.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists())
        and not path.name.startswith("__")
    }


def test_the_map_names_each_module() -> None:
    mapped = re.findall(r"^- `(\w+)`:", auditlogservice.__doc__ or "", re.MULTILINE)
    assert sorted(mapped) == sorted(modules_of(PACKAGE))


def test_the_layers_of_the_architecture_name_each_module() -> None:
    drawing = (ROOT / "docs" / "architecture.md").read_text().split("```")[1]
    named = set(re.findall(r"[a-z]+", drawing))
    modules = modules_of(PACKAGE) | modules_of(PACKAGE / "ledger") | modules_of(PACKAGE / "store")
    assert modules - named == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_in_documents_lead_somewhere(document: Path) -> None:
    links = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text())
    assert [link for link in links if not (document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_documents_name_exist(document: Path) -> None:
    named = re.findall(
        r"`((?:src|tests|docs|deploy|requirements)/[\w./-]+|[a-z]+/[a-z_/]+\.py)`",
        document.read_text(),
    )
    roots = (ROOT, PACKAGE)
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []


@pytest.mark.parametrize("decision", DECISIONS, ids=lambda path: path.stem)
def test_each_decision_says_why_what_and_what_holds_it(decision: Path) -> None:
    text = decision.read_text()
    number = decision.stem.split("-")[0]
    assert re.match(rf"# {int(number)}\. \S", text)
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == [
        "Context", "Decision", "Consequences", "What holds it",
    ]  # fmt: skip
    assert len(text.splitlines()) <= 60


def test_decisions_are_numbered_without_gaps() -> None:
    assert [int(path.stem.split("-")[0]) for path in DECISIONS] == list(
        range(1, len(DECISIONS) + 1)
    )


def test_changelog_has_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert f"## [{auditlogservice.__version__}]" in changelog


# ---- nothing half done or hidden ------------------------------------------------------------


def test_no_marker_of_unfinished_work() -> None:
    words = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "NotImplemented" + "Error")
    markers = re.compile("|".join(words))
    files = [
        path
        for folder in ("src", "tests", "deploy", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]
    assert [path.name for path in files if markers.search(path.read_text())] == []


def test_each_type_ignore_says_why() -> None:
    unexplained = re.compile(r"type: " + r"ignore(?!\[[\w, -]+\] # \S)")
    folders = (ROOT / name for name in ("src", "tests", "bench"))
    files = [path for folder in folders for path in folder.rglob("*.py")]
    assert [path.name for path in files if unexplained.search(path.read_text())] == []
