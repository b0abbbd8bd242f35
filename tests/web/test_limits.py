"""Every bound that a caller can meet is told by /limits, from the constant that holds it."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import auditlogservice
from auditlogservice.web.routes import limits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from running import Api

PACKAGE = Path(auditlogservice.__file__).parent

# Bounds of the service's own, which are no number that a caller could keep to.
NOT_TOLD = {
    "web.bodies.MAX_BATCHES": "how much is in the process at once",
    "web.bodies.MAX_PREPARED": "the same",
    "web.bodies.MAX_PAUSE": "a time, and a problem that says it",
    "web.routes.exports.MAX_STALL": "the same",
    "web.routes.follow.MAX_STALL": "the same",
    "ledger.identity.credentials.MAX_REVOKED": "of more, all end",
    "web.forms.MAX_FORM_FIELDS": "far above the four fields that there are",
    "web.routes.exports.MAX_EXPORTS": "how much is done at once",
    "auditing.findings.MAX_FINDINGS": "of a verifier, which counts the others",
    "auditing.proceeding.MAX_LOOKS": "how often a verifier asks again",
    "auditing.proceeding.MAX_ROUNDS": "the same",
    "checkpoints.MAX_PROOF_HASHES": "a bound of the format, far beyond any log",
    "merkle.MAX_SIZE": "the same",
    "notes.MAX_NOTE_BYTES": "notes are made here",
    "notes.MAX_SIGNATURES": "the same",
    "ledger.identity.logins.MAX_APART": "how much is recorded of a flood of them",
    "ledger.selfaudit.reads.MAX_QUESTION": "how much is recorded of a question",
    "ledger.selfaudit.reads.MAX_VALUE": "the same",
    "ledger.selfaudit.reads.MAX_VALUES": "the same",
    "web.callers.MAX_USER_AGENT": "how much is recorded of it",
    "ledger.governing.eraser.MAX_BURIALS": "how much is written at once",
    "ledger.identity.passwords.MAX_LENGTH": "in the OpenAPI document",
    "ledger.recorder.MAX_GROUP_BYTES": "how much is written at once",
    "ledger.recorder.MAX_GROUP_EVENTS": "the same",
    "ledger.records.MAX_SECONDS": "a time, and a problem that says it",
    "ledger.identity.callers.MAX_TOKEN_BYTES": "tokens are made here",
    "terms.MAX_TERMS": "a record with more is kept and found",
}


def bounds() -> Iterator[str]:
    """The constants of the server that are called a bound, by module and name."""
    for path in PACKAGE.rglob("*.py"):
        module = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if module.startswith(("client", "runtime", "store")):
            continue
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            targets = [node.target] if isinstance(node, ast.AnnAssign) else targets
            for target in targets:
                if isinstance(target, ast.Name) and is_bound(target.id):
                    yield f"{module}.{target.id}"


def is_bound(name: str) -> bool:
    return name.startswith("MAX_") or name.endswith("_CAP")


def taken_over() -> Iterator[str]:
    """The constants that the route of /limits imports."""
    for node in ast.parse(Path(limits.__file__).read_text()).body:
        if isinstance(node, ast.ImportFrom) and node.module:
            module = node.module.removeprefix("auditlogservice.")
            yield from (f"{module}.{each.name}" for each in node.names if is_bound(each.name))


def test_each_bound_is_told_or_there_is_a_reason() -> None:
    told = set(taken_over())
    assert told & NOT_TOLD.keys() == set()
    assert sorted(bounds()) == sorted(told | NOT_TOLD.keys())


def test_no_limit_is_written_down_a_second_time() -> None:
    body = ast.parse(Path(limits.__file__).read_text()).body
    (table,) = [node.value for node in body if isinstance(node, ast.Assign) and is_table(node)]
    assert isinstance(table, ast.Dict)
    assert len(table.values) == len(limits.LIMITS)
    parts = [part for value in table.values for part in ast.walk(value)]
    assert not any(isinstance(part, ast.Constant) for part in parts)


def is_table(node: ast.Assign) -> bool:
    return ast.unparse(node.targets[0]) == "LIMITS"


async def test_the_limits_are_told_to_anybody(memory_api: Api) -> None:
    answer = await memory_api.http.get("/limits")
    assert answer.status_code == 200
    assert answer.json() == limits.LIMITS
    assert all(isinstance(value, int) for value in answer.json().values())
