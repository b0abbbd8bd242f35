"""Sources into a server, so that a second run of the same import changes nothing.

Each event carries an idempotency key, made of its record alone, so that the same bytes give the
same keys from a file, from its compressed copy and from a pipe:

- the line's own `idempotency_key`, if it is an event of ours that has one;
- else, if the source names its records (`eventID`, `auditID`, `_id`, …): that name, the record,
  and how often the same has come before. The same record in another file is known again;
- else the record, its place in the source, and the first record of the source, which stands for
  the whole. A file that has grown since, or in which a bad line was mended, gives the old keys
  for all else.

Either way an interrupted import can be run again, and equal lines of one file are all kept.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from auditlogservice.canonical import dump
from auditlogservice.client.shapes import rules as by_hand
from auditlogservice.client.shapes.known import BY_NAME, NATIVE_ROW, SHAPES, Shape, recognise
from auditlogservice.errors import Flaw, InputRefused, InvalidInput
from auditlogservice.events import MAX_AHEAD, MAX_EVENT_BYTES
from auditlogservice.times import parse_rfc3339

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import datetime

    from auditlogservice.client.calls import Client
    from auditlogservice.client.shapes.fields import Row, Told
    from auditlogservice.client.shapes.rules import Rule
    from auditlogservice.client.sources import Layout, Reading, Source

MAX_BATCH = 10_000  # events; the server takes no more in one call
MAX_BATCH_BYTES = 8 * 2**20  # half of what the server takes

_REMEMBERED = 250_000  # named records of which repetitions are told apart, at least
_SHOWN_PLACES = 3


class UnknownShape(InvalidInput):
    """The record is of no format that we know, and no rule says what to make of it."""

    def __init__(self) -> None:
        known = ", ".join(shape.name for shape in SHAPES)
        way = "name its fields with --map, for example --map name=action --map actor.id=user"
        super().__init__([Flaw("", f"its format is not known (known are {known}); {way}")])


@dataclass(frozen=True, slots=True)
class Plan:
    """How to tell records: the format, or None to recognise each; and rules on top of that."""

    shape: Shape | None = None
    rules: tuple[Rule, ...] = ()

    def tell(self, record: Row, *, layout: Layout, now: datetime) -> Telling:
        """Return the event of this record; raise UnknownShape if nothing says how."""
        shape = self.shape or recognise(record)
        if shape is None and not by_hand.can_stand_alone(self.rules):
            raise UnknownShape
        if shape is BY_NAME["native"] and layout == "table":
            shape = NATIVE_ROW
        told = shape.tell(record) if shape else by_hand.bare(record)
        if shape not in {BY_NAME["native"], NATIVE_ROW}:
            _drop_future(told, now)
        told = by_hand.apply(self.rules, told, record) if self.rules else told
        return Telling(told, shape.natural_id(record) if shape else "")


@dataclass(frozen=True, slots=True)
class Telling:
    """An event, and the source's own name for it, if it has one."""

    event: Told
    natural_id: str


def _drop_future(told: Told, now: datetime) -> None:
    """Leave out a time that lies too far ahead: a wrong clock must not cost the event."""
    moment = told.get("occurred_at")
    if isinstance(moment, str) and parse_rfc3339(moment) > now + MAX_AHEAD:
        del told["occurred_at"]


# ---- keys -------------------------------------------------------------------------


class Keys:
    """Gives each record of one source its idempotency key, in the order of the source."""

    def __init__(self, rules: tuple[Rule, ...] = ()) -> None:
        # Other rules make other events: their keys must not collide.
        self._salt: bytes = orjson.dumps(
            ["auditlog/import/v1", [[*rule.target, rule.path, rule.words] for rule in rules]]
        )
        self._first = b""
        self._seen: dict[str, int] = {}
        self._seen_before: dict[str, int] = {}

    def key(self, place: str, record: Row, natural_id: str) -> str:
        body = hashlib.sha256(dump(record)).digest()
        self._first = self._first or body
        if natural_id:
            name = _digest(self._salt, b"id", natural_id.encode(), body)
            return f"import-{name}{self._repetition(name)}"
        return "import-" + _digest(self._salt, b"place", self._first, place.encode(), body)

    def _repetition(self, name: str) -> str:
        """Count repetitions in two generations, so that memory has a limit."""
        count = self._seen.get(name, self._seen_before.get(name, 0))
        self._seen[name] = count + 1
        if len(self._seen) >= _REMEMBERED:
            self._seen, self._seen_before = {}, self._seen
        return f"-{count}" if count else ""


def _digest(*parts: bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(b"%d:%b" % (len(part), part))
    return whole.hexdigest()[:48]


# ---- preparing --------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """An event to be sent: the line of NDJSON that it becomes."""

    place: str
    line: bytes
    consumed: int


@dataclass(frozen=True, slots=True)
class Unfit:
    """A record that cannot be sent, and why."""

    place: str
    reason: str
    consumed: int


def prepare(source: Source, plan: Plan, *, now: datetime) -> Iterator[Ready | Unfit]:
    """Yield what becomes of each record. Raises UnknownShape if that is already the first."""
    keys = Keys(plan.rules)
    for count, reading in enumerate(source):
        try:
            yield _prepared(reading, plan, keys, layout=source.layout, now=now)
        except UnknownShape as error:
            if not count:
                raise
            yield Unfit(reading.place, error.flaws[0].detail, reading.consumed)
        except InputRefused as error:
            yield Unfit(reading.place, str(error), reading.consumed)


def _prepared(reading: Reading, plan: Plan, keys: Keys, *, layout: Layout, now: datetime) -> Ready:
    record = reading.record
    if isinstance(record, InputRefused):
        raise record
    telling = plan.tell(record, layout=layout, now=now)
    key = keys.key(reading.place, record, telling.natural_id)
    line = dump({"idempotency_key": key, **telling.event})
    if len(line) > MAX_EVENT_BYTES + 1024:
        raise InvalidInput([Flaw("", f"an event may have {MAX_EVENT_BYTES:,} bytes")])
    return Ready(reading.place, line, reading.consumed)


# ---- sending ----------------------------------------------------------------------


@dataclass(slots=True)
class Refusals:
    """How many records were refused for one reason, and where the first of them are."""

    count: int = 0
    places: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What became of the records so far."""

    read: int = 0
    stored: int = 0
    already_there: int = 0
    reasons: dict[str, Refusals] = field(default_factory=dict)

    @property
    def refused(self) -> int:
        return sum(refusals.count for refusals in self.reasons.values())

    def refuse(self, place: str, reason: str) -> None:
        refusals = self.reasons.setdefault(reason, Refusals())
        refusals.count += 1
        if len(refusals.places) < _SHOWN_PLACES:
            refusals.places.append(place)


def import_source(
    client: Client,
    prepared: Iterable[Ready | Unfit],
    *,
    tally: Tally,
    batch_size: int,
    progress: Callable[[int], None] = lambda _: None,
) -> None:
    """Send everything, batch by batch; `tally` is true at every moment, even after a failure.

    `progress` is told the bytes of the source that are dealt with, after each batch.
    """
    for batch, consumed in batches(prepared, tally, batch_size):
        answer = client.send_lines([ready.line for ready in batch])
        again = sum(kept.replayed for kept in answer.successful)
        tally.stored += len(answer.successful) - again
        tally.already_there += again
        for failed in answer.failed:
            tally.refuse(batch[failed.index].place, str(failed))
        progress(consumed)


def batches(
    prepared: Iterable[Ready | Unfit], tally: Tally, size: int
) -> Iterator[tuple[list[Ready], int]]:
    """Yield the events in batches of at most `size` and MAX_BATCH_BYTES, with the bytes read."""
    batch: list[Ready] = []
    weight = 0
    for item in prepared:
        tally.read += 1
        if isinstance(item, Unfit):
            tally.refuse(item.place, item.reason)
            continue
        if batch and (len(batch) >= size or weight + len(item.line) > MAX_BATCH_BYTES):
            yield batch, batch[-1].consumed
            batch, weight = [], 0
        batch.append(item)
        weight += len(item.line)
    if batch:
        yield batch, batch[-1].consumed
