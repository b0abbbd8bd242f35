"""What a store answered to submissions, where a test counts on an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from auditlogservice.store.port import Answer, Outcome


def outcomes_of(answers: Iterable[Answer]) -> list[tuple[Outcome, ...]]:
    """Return the outcomes of each submission; raise the failure if one was kept out."""
    return [_outcomes(answer) for answer in answers]


def _outcomes(answer: Answer) -> tuple[Outcome, ...]:
    if isinstance(answer, Unavailable):
        raise answer
    return answer
