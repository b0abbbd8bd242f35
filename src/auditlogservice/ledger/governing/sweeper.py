"""Erases what the retention rules keep no longer: at the start, every hour, and after a change.

Every node has a sweeper. A claim, kept in the store with a time, lets one at a time sweep the log
of a tenant; it saves work and is no lock: two sweepers do no harm, since a record is erased once.

A sweep begins where the last one under the same rules has come to: up to there nothing is left
that they would erase, and of what lies behind only what has expired since is looked at.
"""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

import orjson

from auditlogservice.damage import reading_back
from auditlogservice.errors import LedgerDamaged, StoreBroken, Unavailable
from auditlogservice.events import Sequence
from auditlogservice.filters import Compare, Is, Like, Not, all_of, as_moment, is_number
from auditlogservice.governance import ANY_TYPE, OWN_RECORDS, SERVICE_USER, rule_for
from auditlogservice.ledger.governing.clearing import Wish
from auditlogservice.ledger.walk import START
from auditlogservice.store.port import Document
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable, Iterator
    from datetime import datetime
    from typing import Any

    from auditlogservice.canonical import Json
    from auditlogservice.filters import Filter
    from auditlogservice.governance import RetentionRule
    from auditlogservice.ledger.clock import Clock
    from auditlogservice.ledger.governing.clearing import Clearing
    from auditlogservice.ledger.governing.holds import Holds
    from auditlogservice.ledger.governing.rulebooks import KnownRules, RuleBook, RuleBooks
    from auditlogservice.store.port import DocumentStore, EventStore

EVERY = 3_600.0  # seconds
CLAIM = timedelta(seconds=20)  # longer than a portion takes
_CLAIM = "sweep"  # the id of the document, beside that of the rules
_SWEPT = "swept"  # and of what was swept
_PLAIN = re.compile(r"([\\?*])")  # what means something in a pattern
_LAST_SIGN = "\U0010ffff"


class WorkGauge(Protocol):
    """Who wants to know what went wrong in work that nobody waits for."""

    def work_failed(self, work: str, error: Exception) -> None: ...


def is_worth_telling(error: Exception) -> bool:
    """Whether it will not pass by itself: damage, or a defect."""
    return isinstance(error, (StoreBroken, LedgerDamaged)) or not isinstance(error, Unavailable)


class Sweeper:
    """`run` must be running, in a task that its owner waits for."""

    def __init__(  # noqa: PLR0913 - what it works with, each by its name
        self,
        store: EventStore,
        documents: DocumentStore,
        *,
        clearing: Clearing,
        retention: RuleBooks[RetentionRule],
        known: KnownRules[RetentionRule],
        holds: Holds,
        clock: Clock,
        gauge: WorkGauge,
        node: str,
        wake: asyncio.Event,
    ) -> None:
        self._store = store
        self._documents = documents
        self._clearing = clearing
        self._retention = retention
        self._known = known
        self._holds = holds
        self._clock = clock
        self._gauge = gauge
        self._node = node
        self._wake = wake
        self._closing = False

    def close(self) -> None:
        """Stop after the portion that is being erased; `run` returns."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        while not self._closing:
            self._wake.clear()
            is_complete = await self._round()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY if is_complete else CLAIM.total_seconds()):
                    await self._wake.wait()

    async def _round(self) -> bool:
        """Sweep all logs; return whether nothing was left to another time."""
        try:
            placed = await self._holds.unrecorded()
            await self._known.refresh()
        except Unavailable:
            return False
        done = [await self._apart("holds", self._finish(each)) for each in placed]
        tenants = self._known.tenants()
        done += [await self._apart("retention", self._sweep(each)) for each in tenants]
        return all(done)

    async def _apart(self, work: str, of_one_tenant: Awaitable[bool]) -> bool:
        """Do this, apart from the rest: what is wrong with one log is no other one's trouble."""
        try:
            return await of_one_tenant
        except Exception as error:  # noqa: BLE001 - a defect must not end the service
            if is_worth_telling(error):
                self._gauge.work_failed(work, error)
            return False

    async def _finish(self, placed: Document) -> bool:
        await self._holds.put_on_record(placed)
        return True

    async def _sweep(self, tenant: str) -> bool:
        if self._closing:
            return False
        book = await self._retention.book(tenant)
        if not book.rules:
            return True
        if not await self._claim(tenant):
            return False
        await self._retention.put_on_record(tenant, book)
        for rule in book.rules:
            swept = await self._swept(tenant, book)
            reached, is_done = await self._apply(
                tenant, book, rule, after=swept.get(rule.event_type, START)
            )
            if reached > swept.get(rule.event_type, START):
                await self._remember(tenant, book, {**swept, rule.event_type: reached})
            if not is_done:
                return False
        return True

    async def _apply(
        self, tenant: str, book: RuleBook[RetentionRule], rule: RetentionRule, *, after: Sequence
    ) -> tuple[Sequence, bool]:
        """Erase what this rule keeps no longer behind `after`; False if it was broken off.

        The place that is returned is the last one up to which the rule has nothing left, whatever
        happens: where a hold covers a record, the next sweep begins before it, since a hold may
        be lifted.
        """

        def fits(fields: dict[str, Json]) -> bool:
            return rule_for(book.rules, str(fields["event_type"])) is rule

        (end,) = await self._store.places(tenant, [self._clock() - timedelta(days=rule.days)])
        wish = Wish(
            tenant=tenant,
            where=candidates(rule, book.rules),
            after=after,
            end=end,
            by=SERVICE_USER,
            reason=f"retention: {rule.days} days for {rule.event_type}",
            fits=fits,
        )
        reached, is_held = after, False
        async with aclosing(self._clearing.portions(wish)) as portions:
            async for portion in portions:
                is_held = is_held or portion.held > 0
                reached = reached if is_held else portion.last
                if self._closing or not await self._may_go_on(tenant, book):
                    return reached, False
        return reached, True

    # ---- what was done, for the next time ---------------------------------------------------

    async def _swept(self, tenant: str, book: RuleBook[RetentionRule]) -> dict[str, Sequence]:
        """Return for each rule the last place that need not be looked at again.

        That is known for the very rules only under which it was swept: another one may want more.
        """
        found = await self._documents.get("retention", tenant, _SWEPT)
        if found is None:
            return {}
        with reading_back():
            told: dict[str, Any] = orjson.loads(found.body)
            places = {str(name): Sequence(int(place)) for name, place in told["places"].items()}
            return places if told["rules"] == book.version else {}

    async def _remember(
        self, tenant: str, book: RuleBook[RetentionRule], places: dict[str, Sequence]
    ) -> None:
        """Keep the places. If another sweeper has just kept its own, those do as well."""
        found = await self._documents.get("retention", tenant, _SWEPT)
        await self._documents.put(
            Document(
                kind="retention",
                tenant=tenant,
                id=_SWEPT,
                body=orjson.dumps({"rules": book.version, "places": places}),
                version=found.version + 1 if found else 1,
            )
        )

    # ---- the claim --------------------------------------------------------------------------

    async def _may_go_on(self, tenant: str, book: RuleBook[RetentionRule]) -> bool:
        """Whether the rules are still these, and the log is still ours to sweep."""
        now_in_force = await self._retention.book(tenant)
        return now_in_force.version == book.version and await self._claim(tenant)

    async def _claim(self, tenant: str) -> bool:
        """Take the claim, or prolong it; return whether it is ours."""
        now = self._clock()
        found = await self._documents.get("retention", tenant, _CLAIM)
        if found is not None:
            by, until = _read_claim(found)
            if by == self._node and until > now + CLAIM / 2:
                return True
            if by != self._node and until > now:
                return False
        body = orjson.dumps({"by": self._node, "until": format_utc(now + CLAIM)})
        version = 1 if found is None else found.version + 1
        return await self._documents.put(
            Document(kind="retention", tenant=tenant, id=_CLAIM, body=body, version=version)
        )


def _read_claim(document: Document) -> tuple[str, datetime]:
    with reading_back():
        told: dict[str, str] = orjson.loads(document.body)
        return told["by"], parse_rfc3339(told["until"])


def candidates(rule: RetentionRule, rules: Iterable[RetentionRule]) -> Filter:
    """Return a filter for all records that a rule counts for, and for few others."""
    others = [other for other in rules if other.exactness > rule.exactness]
    return all_of(
        *_of_type(rule),
        *(Not(part) for other in others for part in _surely_of_type(other)),
        Not(OWN_RECORDS),
    )


def _of_type(rule: RetentionRule) -> Iterator[Filter]:
    """The rule's types, and those that differ from them in case."""
    if rule.event_type == ANY_TYPE:
        return
    if rule.event_type.endswith(ANY_TYPE):
        beginning = _PLAIN.sub(r"\\\1", rule.event_type[:-1])
        yield Like("event_type", f"{beginning}*")
    else:
        yield Is("event_type", rule.event_type)


def _surely_of_type(rule: RetentionRule) -> Iterator[Filter]:
    """The rule's types and no other; nothing where a filter cannot say it."""
    if not rule.event_type.endswith(ANY_TYPE):
        yield Is("event_type", rule.event_type)
        return
    beginning = rule.event_type[:-1]
    # What looks like a number or a moment would be compared as one.
    if not (is_number(beginning) or as_moment(beginning)):
        yield all_of(
            Compare("event_type", "gte", beginning),
            Compare("event_type", "lt", beginning + _LAST_SIGN),
        )
