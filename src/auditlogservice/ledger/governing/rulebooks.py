"""A tenant's rules of one kind, as a book: replaced as a whole, each change on record.

Rules that events are recorded under are kept in memory and looked at anew every second, so that
recording asks the store nothing.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar

import orjson
from pydantic import BaseModel

from auditlogservice.canonical import dump
from auditlogservice.damage import reading_back
from auditlogservice.errors import Outdated, StoreBroken, Unavailable
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from auditlogservice.access import Principal
    from auditlogservice.canonical import Json
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.selfaudit.diary import Deed, Diary, Origin
    from auditlogservice.store.port import DocumentStore

REFRESH_EVERY = 1.0  # seconds
_RULES = "rules"  # the id of the document: a tenant has one of each kind

Rule = TypeVar("Rule", bound=BaseModel)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RuleBook(Generic[Rule]):
    """A tenant's rules, those that they replaced, and who changed them. Version 0: none yet."""

    rules: tuple[Rule, ...] = ()
    before: tuple[Rule, ...] = ()
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


def spelled(rules: Sequence[BaseModel]) -> list[Json]:
    return [rule.model_dump() for rule in rules]


@dataclass(frozen=True, slots=True)
class RuleKind(Generic[Rule]):
    """What tells one kind of rules from another; `changed` says what goes on record."""

    name: Literal["retention", "redaction"]
    model: type[Rule]
    changed: Callable[[RuleBook[Rule], Origin | None], Deed]

    def read(self, document: Document) -> RuleBook[Rule]:
        """Return the book. Raises StoreBroken for anything else."""
        with reading_back():
            told: dict[str, Any] = orjson.loads(document.body)
            return RuleBook(
                rules=tuple(map(self.model.model_validate, told["rules"])),
                before=tuple(map(self.model.model_validate, told["before"])),
                version=document.version,
                changed_by=told["changed_by"],
                changed_at=parse_rfc3339(told["changed_at"]),
            )


class KnownRules(Generic[Rule]):
    """The rules of all tenants as this process knows them. `run` keeps them fresh."""

    def __init__(self, documents: DocumentStore, kind: RuleKind[Rule]) -> None:
        self._documents = documents
        self._kind = kind
        self._books: dict[str, RuleBook[Rule]] = {}
        self._tenants: set[str] = set()
        self._closed = asyncio.Event()

    def book(self, tenant: str) -> RuleBook[Rule] | None:
        """Return what holds for what comes in now; None if the tenant never had rules.

        A book that is the same stays the same object, by which answers can be remembered.
        """
        return self._books.get(tenant)

    def tenants(self) -> list[str]:
        """Return who has rules, also such as cannot be read."""
        return sorted(self._tenants)

    def rules(self, tenant: str) -> tuple[Rule, ...]:
        """Return the tenant's rules; none if it has none, or if they cannot be read."""
        book = self._books.get(tenant)
        return book.rules if book else ()

    async def refresh(self) -> None:
        for document in await self._documents.all(self._kind.name):
            if document.id == _RULES:
                self.learn(document)

    def learn(self, document: Document) -> None:
        self._tenants.add(document.tenant)
        known = self._books.get(document.tenant)
        if known is None or known.version < document.version:
            # One that cannot be read is told by who reads or uses it; records come in all the
            # same.
            with suppress(StoreBroken):
                self._books[document.tenant] = self._kind.read(document)

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


class RuleBooks(Generic[Rule]):
    """Reads and replaces the rules of one kind."""

    def __init__(
        self,
        documents: DocumentStore,
        known: KnownRules[Rule],
        diary: Diary,
        *,
        kind: RuleKind[Rule],
        clock: Clock,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self._documents = documents
        self._known = known
        self._diary = diary
        self._kind = kind
        self._clock = clock
        self._on_change = on_change

    async def book(self, tenant: str) -> RuleBook[Rule]:
        """Return the rules as the store has them now."""
        found = await self._documents.get(self._kind.name, tenant, _RULES)
        return self._kind.read(found) if found else RuleBook()

    async def change(
        self,
        principal: Principal,
        rules: Sequence[Rule],
        *,
        version: int | None,
        origin: Origin | None = None,
    ) -> RuleBook[Rule]:
        """Replace all rules. Raises Outdated if `version` is given, and is not that of the rules.

        The rules hold before their change is on record. Who erases by them sees to it that it is.
        """
        # Who is overtaken here was overtaken by a change that holds: somebody always gets on.
        while True:
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
                kind=self._kind.name,
                tenant=principal.tenant,
                id=_RULES,
                body=new.to_body(),
                version=new.version,
            )
            if await self._documents.put(document):
                self._known.learn(document)
                await self._diary.write_done(principal.tenant, self._kind.changed(new, origin))
                self._on_change()
                return new

    async def put_on_record(self, tenant: str, book: RuleBook[Rule]) -> None:
        """Write who made these rules, if a process that was killed did not."""
        await self._diary.write(tenant, self._kind.changed(book, None))
