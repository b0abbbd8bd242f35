"""What of a read goes on record: whether it shows events of others, and what was asked for.

The values that were asked for stand beside the question, each by itself, so that a search for a
name finds the reads that asked for it, in whatever way it was asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Literal, TypeAlias

from auditlogservice.events import Listing
from auditlogservice.filters import (
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Element,
    Exists,
    Is,
    Like,
    Not,
    Words,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditlogservice.canonical import Json
    from auditlogservice.events import Record
    from auditlogservice.filters import Filter

Kind: TypeAlias = Literal[
    "list", "search", "count", "histogram", "facets", "feed", "stream", "get", "proof", "preview"
]

MAX_QUESTION = 4_000  # characters that are kept of a question
MAX_VALUE = 256  # characters that are kept of a value
MAX_VALUES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """A read that is about to be answered.

    `question` is as it was asked, without the page that was wanted, or the id of one event.
    `where` is what it means; None if one event was asked for. `shown` is what the answer shows;
    None if those are figures, or still to come.
    """

    kind: Kind
    question: str
    where: Filter | None
    shown: Sequence[Record] | Listing | None

    def values(self) -> list[Json]:
        """Return what was asked for; of one event, whom and what it is about."""
        if self.where is not None:
            return asked_values(self.where)
        assert not isinstance(self.shown, Listing)  # noqa: S101 - of one event
        return [name for record in self.shown or () for name in names_in(record)]


def is_of_own(read: Read, name: str | None) -> bool:
    """Whether the read can show nothing, or does show nothing, but what `name` has recorded."""
    if name is None:
        return False
    if read.where is not None and _is_confined(read.where, name):
        return True
    if not read.shown:
        return False
    if isinstance(read.shown, Listing):
        # If there are more, who those are by was not seen, and that they are there is told.
        return read.shown.beyond is None and read.shown.is_by(name)
    return all(each.is_by(name) for each in read.shown)


def asked_values(where: Filter) -> list[Json]:
    """Return the values that a question asks for, once each."""
    return _bounded(_values_in(where))


def names_in(record: Record) -> list[Json]:
    """Return who acted in an event, and what it was done to, by id and name."""
    fields = record.fields()
    targets = fields.get("targets")
    entities = [fields.get("actor"), *(targets if isinstance(targets, list) else ())]
    return _bounded(text for entity in entities for text in _texts(entity))


def _bounded(values: Iterable[str]) -> list[Json]:
    return list(islice(dict.fromkeys(value[:MAX_VALUE] for value in values), MAX_VALUES))


def question_text(question: str) -> str:
    """Return the question, cut short if it is long; then it ends in `…`."""
    return question if len(question) <= MAX_QUESTION else f"{question[: MAX_QUESTION - 1]}…"


def _is_confined(where: Filter, name: str) -> bool:
    match where:
        case Is("user_id", text):
            return text == name
        case AllOf(parts):
            return any(_is_confined(part, name) for part in parts)
        case AnyOf(parts):
            return all(_is_confined(part, name) for part in parts)
        case _:
            return False


def _values_in(where: Filter) -> Iterator[str]:
    match where:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _values_in(part)
        case Not(part) | Element(_, part):
            yield from _values_in(part)
        case Words(words, _):
            yield " ".join(words)
        case Is(_, text) | Like(_, text) | Contains(_, text) | Compare(_, _, text):
            yield text
        case Exists():
            return


def _texts(entity: Json) -> Iterator[str]:
    if isinstance(entity, dict):
        for key in ("id", "name"):
            value = entity.get(key)
            if isinstance(value, str):
                yield value
