"""How long records are kept, by the rules that hold when they come in. Erasing is `sweeper.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from auditlogservice import governance
from auditlogservice.governance import RetentionRule
from auditlogservice.ledger import acts
from auditlogservice.ledger.diary import Actor, Deed
from auditlogservice.ledger.rulebooks import RuleKind, spelled

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from auditlogservice.ledger.diary import Origin
    from auditlogservice.ledger.rulebooks import KnownRules, RuleBook


def keeping(known: KnownRules[RetentionRule]) -> Callable[[str, str], timedelta | None]:
    """Return what says how long a tenant's record of a type is kept; None for ever."""

    def kept_for(tenant: str, event_type: str) -> timedelta | None:
        book = known.book(tenant)
        return _kept_for(book, event_type) if book else None

    return kept_for


@lru_cache(maxsize=10_000)
def _kept_for(book: RuleBook[RetentionRule], event_type: str) -> timedelta | None:
    return governance.kept_for(book.rules, event_type)


def _changed(book: RuleBook[RetentionRule], origin: Origin | None = None) -> Deed:
    return Deed(
        act=acts.RETENTION_CHANGED,
        detail=f"{book.changed_by} changed how long events are kept",
        by=Actor(book.changed_by),
        kind="retention",
        id=str(book.version),
        data={"rules": spelled(book.rules), "before": spelled(book.before)},
        key=f"retention-changed/{book.version}",
        origin=origin,
    )


RETENTION = RuleKind("retention", RetentionRule, _changed)
