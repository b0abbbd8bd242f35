"""What an audit says: one state for each place of a log, findings, and the report of it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

MAX_FINDINGS = 1_000  # that are kept; all are counted


class State(StrEnum):
    """What may be said of a place. `ERASED` has the tombstone's reason behind a colon."""

    OK = "OK"
    ERASED = "ERASED"
    MISSING = "MISSING"
    ALTERED = "ALTERED"
    INCOMPLETE = "ERASURE-INCOMPLETE"


class Fault(StrEnum):
    """What may be wrong with the log as a whole."""

    CHECKPOINT = "CHECKPOINT"  # it is not signed by the log, or is none
    UNSIGNED = "UNSIGNED"  # records are there that no checkpoint comes to cover
    SHRUNK = "SHRUNK"  # the log was larger before
    REWRITTEN = "REWRITTEN"  # it does not extend what it was before
    ROOT = "ROOT"  # the entries are not those that the checkpoint speaks of
    TILE = "TILE"  # a tile does not fit what lies below it
    FEED = "FEED"  # records come out of order, or say no place
    STORE = "STORE"  # the store contradicts itself


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it must be, at a place of the log or with all of it."""

    what: State | Fault
    detail: str
    place: int | None = None

    def __str__(self) -> str:
        return f"{self.what}{'' if self.place is None else f' {self.place}'}: {self.detail}"


@dataclass(slots=True)
class Report:
    """What was found. `behind` records lie behind the checkpoint, and were not looked at.

    `unsigned` of them were there when the audit began, and no checkpoint covers them even now.
    """

    origin: str = ""
    size: int = 0
    root: bytes = b""
    behind: int = 0
    unsigned: int = 0
    states: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    found: int = 0

    def add(self, finding: Finding) -> None:
        self.found += 1
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(finding)

    @property
    def holds(self) -> bool:
        """Whether each place is OK or lawfully erased, and nothing else is wrong."""
        return not self.found

    def to_json(self) -> dict[str, Json]:
        return {
            "holds": self.holds,
            "origin": self.origin,
            "size": self.size,
            "root": self.root.hex(),
            "behind": self.behind,
            "unsigned": self.unsigned,
            "states": dict(sorted(self.states.items())),
            "found": self.found,
            "findings": [
                {"what": each.what.value, "place": each.place, "detail": each.detail}
                for each in self.findings
            ],
        }
