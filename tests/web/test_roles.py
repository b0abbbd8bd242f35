"""The recipes of docs/access.md: each role can do what its column says, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from test_access import SCOPED, call, made, made_last

from auditlogservice.access import Scope

if TYPE_CHECKING:
    from running import Api

DOCUMENT = (Path(__file__).parents[2] / "docs" / "access.md").read_text()
COMMAND = re.compile(
    r"^auditlogservice users add (\S+) --tenant \S+((?: +--scope \S+)+)$", re.MULTILINE
)
ROLES = {
    name: frozenset(map(Scope, re.findall(r"--scope (\S+)", scopes)))
    for name, scopes in COMMAND.findall(DOCUMENT.replace("\\\n", ""))
}


def told(document: str) -> dict[str, set[str]]:
    """What the table says: for each role, the calls that it can make."""
    head, _, *rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in document.splitlines()
        if line.startswith("|")
    ]
    return {
        role: {cells[0] for cells in rows if cells[column] == "yes"}
        for column, role in enumerate(head)
        if column
    }


def spelled(route: tuple[str, str]) -> str:
    """The call as the document writes it."""
    return " ".join(route).replace(":path", "")


def test_each_recipe_has_its_column() -> None:
    assert list(told(DOCUMENT)) == list(ROLES)
    assert len(ROLES) == 5


@pytest.mark.parametrize("role", ROLES)
async def test_a_role_can_do_what_the_document_says_and_nothing_else(
    memory_api: Api, role: str
) -> None:
    owner = await memory_api.add("owner")
    names = await made(memory_api, owner)
    headers = await memory_api.add(role, *ROLES[role])
    own = await memory_api.http.post("/me/tokens", json={"label": "own"}, headers=headers)
    names["own_token_id"] = own.json()["id"]
    can = set()
    for route in sorted(SCOPED, key=made_last):
        answer = await call(memory_api, route, headers, names)
        if answer.status_code < 300:
            can.add(spelled(route))
        else:
            assert answer.status_code == 403, (route, answer.text)
    assert can == told(DOCUMENT)[role]
