"""What a check has found, and what is to be done about it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Literal, TypeAlias

State: TypeAlias = Literal["ok", "weak", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: what there is, and what to do unless it is as it should be.

    Weak is what an operator may have reasons for; wrong is what nobody should leave.
    """

    check: str
    state: State
    what: str
    advice: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    def __str__(self) -> str:
        told = f"{self.state:5}  {self.check}: {self.what}"
        return f"{told}. {self.advice}" if self.advice else told


def ok(check: str, what: str) -> Finding:
    return Finding(check, "ok", what)


def weak(check: str, what: str, advice: str) -> Finding:
    return Finding(check, "weak", what, advice)


def wrong(check: str, what: str, advice: str) -> Finding:
    return Finding(check, "wrong", what, advice)
