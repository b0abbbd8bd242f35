"""How long records are kept, by the rules that hold when they come in. Erasing is `sweeper.py`."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from auditlogservice import governance
from auditlogservice.governance import RetentionRule
from auditlogservice.ledger.governing.rulebooks import RuleKind, spelled
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed, actor_named

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from auditlogservice.ledger.governing.rulebooks import KnownRules, RuleBook
    from auditlogservice.ledger.selfaudit.diary import Origin


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
        by=actor_named(book.changed_by),
        kind="retention",
        id=str(book.version),
        data={"rules": spelled(book.rules), "before": spelled(book.before)},
        key=f"retention-changed/{book.version}",
        origin=origin,
    )


RETENTION = RuleKind("retention", RetentionRule, _changed)
