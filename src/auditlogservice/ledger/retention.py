"""Retention rules: how long records are kept, changed as a whole, each change on record.

The rules that records are made under are kept in memory and looked at anew every second, so that
recording asks the store nothing. What erases by them is `sweeper.py`.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import orjson

from auditlogservice import governance
from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import Conflict, Outdated, StoreBroken, Unavailable
from auditlogservice.governance import RetentionRule
from auditlogservice.ledger import acts
from auditlogservice.ledger.diary import Actor, Deed
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime, timedelta

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.diary import Diary, Origin
    from auditlogservice.store.port import DocumentStore

REFRESH_EVERY = 1.0  # seconds
_RULES = "rules"  # the id of the document: a tenant has one
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleBook:
    """A tenant's rules, those that they replaced, and who changed them. Version 0: none yet."""

    rules: tuple[RetentionRule, ...] = ()
    before: tuple[RetentionRule, ...] = ()
    version: int = 0
    changed_by: str | None = None
    changed_at: datetime | None = None

    def to_body(self) -> bytes:
        return dump(
            {
                "rules": spelled(self.rules),
                "before": spelled(self.before),
                "changed_by": self.changed_by,
                "changed_at": format_utc(self.changed_at) if self.changed_at else None,
            }
        )


def spelled(rules: Sequence[RetentionRule]) -> list[Json]:
    return [rule.model_dump() for rule in rules]


def _read(document: Document) -> RuleBook:
    with reading_back():
        told: dict[str, Any] = orjson.loads(document.body)
        return RuleBook(
            rules=tuple(map(RetentionRule.model_validate, told["rules"])),
            before=tuple(map(RetentionRule.model_validate, told["before"])),
            version=document.version,
            changed_by=told["changed_by"],
            changed_at=parse_rfc3339(told["changed_at"]),
        )


class KnownRules:
    """The rules of all tenants as this process knows them. `run` keeps them fresh."""

    def __init__(self, documents: DocumentStore) -> None:
        self._documents = documents
        self._books: dict[str, RuleBook] = {}
        self._tenants: set[str] = set()
        self._closed = asyncio.Event()

    def kept_for(self, tenant: str, event_type: str) -> timedelta | None:
        """Return how long a record that comes in now is kept; None for ever."""
        book = self._books.get(tenant)
        return _kept_for(book, event_type) if book else None

    def tenants(self) -> list[str]:
        """Return who has rules, also such as cannot be read."""
        return sorted(self._tenants)

    async def refresh(self) -> None:
        for document in await self._documents.all("retention"):
            if document.id == _RULES:
                self.learn(document)

    def learn(self, document: Document) -> None:
        self._tenants.add(document.tenant)
        known = self._books.get(document.tenant)
        # A book that is the same stays the same object, by which answers are remembered.
        if known is None or known.version < document.version:
            # One that cannot be read is told by who erases by it; records come in all the same.
            with suppress(StoreBroken):
                self._books[document.tenant] = _read(document)

    def close(self) -> None:
        self._closed.set()

    async def run(self) -> None:
        while not self._closed.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(REFRESH_EVERY):
                    await self._closed.wait()
            # A store that does not answer now is asked again; nothing is recorded meanwhile.
            with suppress(Unavailable):
                await self.refresh()


@lru_cache(maxsize=10_000)
def _kept_for(book: RuleBook, event_type: str) -> timedelta | None:
    return governance.kept_for(book.rules, event_type)


class Retention:
    def __init__(
        self,
        documents: DocumentStore,
        known: KnownRules,
        diary: Diary,
        *,
        clock: Clock,
        on_change: Callable[[], None],
    ) -> None:
        self._documents = documents
        self._known = known
        self._diary = diary
        self._clock = clock
        self._on_change = on_change

    async def book(self, tenant: str) -> RuleBook:
        """Return the rules as the store has them now."""
        found = await self._documents.get("retention", tenant, _RULES)
        return _read(found) if found else RuleBook()

    async def change(
        self,
        principal: Principal,
        rules: Sequence[RetentionRule],
        *,
        version: int | None,
        origin: Origin | None = None,
    ) -> RuleBook:
        """Replace all rules. Raises Outdated if `version` is given, and is not that of the rules.

        The rules hold before their change is on record, and nothing is erased by them before it
        is: who erases sees to that.
        """
        for _ in range(_ATTEMPTS):
            old = await self.book(principal.tenant)
            if version not in {None, old.version}:
                raise Outdated("the rules were changed meanwhile; read them again")
            new = RuleBook(
                rules=tuple(rules),
                before=old.rules,
                version=old.version + 1,
                changed_by=principal.name,
                changed_at=self._clock(),
            )
            document = Document(
                kind="retention",
                tenant=principal.tenant,
                id=_RULES,
                body=new.to_body(),
                version=new.version,
            )
            if await self._documents.put(document):
                self._known.learn(document)
                await self._diary.write_done(principal.tenant, _changed(new, origin))
                self._on_change()
                return new
        raise Conflict("others change the rules all the time; try again")

    async def put_on_record(self, tenant: str, book: RuleBook) -> None:
        """Write who made these rules, if a process that was killed did not."""
        await self._diary.write(tenant, _changed(book))


def _changed(book: RuleBook, origin: Origin | None = None) -> Deed:
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
