"""What happens to an event before it is recorded: redaction by rule, and a look for secrets."""

from __future__ import annotations

import hashlib
import hmac
from typing import TYPE_CHECKING

from auditlogservice.canonical import dump
from auditlogservice.events import Event
from auditlogservice.governance import SERVICE_USER
from auditlogservice.leaks import flags
from auditlogservice.ledger.governing.rulebooks import RuleKind, spelled
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.ledger.selfaudit.diary import Deed, actor_named
from auditlogservice.redaction import RedactionRule, redact

if TYPE_CHECKING:
    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.governing.rulebooks import KnownRules, RuleBook
    from auditlogservice.ledger.selfaudit.diary import Origin


class Redacting:
    """Applies a tenant's rules. `secret` is one for all nodes; a tenant's key is made of it."""

    def __init__(self, known: KnownRules[RedactionRule], *, secret: bytes) -> None:
        self._known = known
        self._secret = secret

    def __call__(self, principal: Principal, event: Event) -> Event:
        """Return the event as it is to be recorded; itself if nothing is to be done or said.

        What the service itself records is what it did, and stays as it is.
        """
        if principal.user_id == SERVICE_USER:
            return event
        book = self._known.book(principal.tenant)
        marks: list[Json] = []
        told, body = event.told, event.body
        if book and book.rules:
            done = redact(told, book.rules, key=self._key(principal.tenant))
            told, marks = done.told, done.marks
            body = dump(told) if marks else body
        flagged = flags(told, body)
        if not marks and not flagged:
            return event
        said: dict[str, Json] = {"redacted": marks, "flagged": flagged}
        told = told | {name: value for name, value in said.items() if value}
        return Event(told, dump(told))

    def _key(self, tenant: str) -> bytes:
        return hmac.new(self._secret, tenant.encode(), hashlib.sha256).digest()


def _changed(book: RuleBook[RedactionRule], origin: Origin | None = None) -> Deed:
    return Deed(
        act=acts.REDACTION_CHANGED,
        detail=f"{book.changed_by} changed what is taken out of events",
        by=actor_named(str(book.changed_by)),
        kind="redaction",
        id=str(book.version),
        data={"rules": spelled(book.rules), "before": spelled(book.before)},
        key=f"redaction-changed/{book.version}",
        origin=origin,
    )


REDACTION = RuleKind("redaction", RedactionRule, _changed)
