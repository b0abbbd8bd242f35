"""Redaction: what of an event is taken out, masked or hashed before anything of it is kept.

A rule names fields by path, and what becomes of them. What was done is told in the record, by
pointer; what was there is nowhere. Pure: the key of the hashes is an argument.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from auditlogservice.canonical import dump, pointer_to

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Self

    from auditlogservice.canonical import Json

MASK = "[redacted]"
MAX_REDACTION_RULES = 200  # of one tenant: each event is held against all of them
MAX_REDACTIONS_TOLD = 100  # of one event; what goes beyond is redacted, and not told one by one
_MAX_PATH = 512  # characters
_MAX_STEPS = 16

Action: TypeAlias = Literal["drop", "mask", "hash"]
_Place: TypeAlias = "tuple[str | int, ...]"

# Where a rule may begin. The name and the type of an event decide about its retention and its
# place in every report; without its outcome and its moments it would be another event.
_TEXTS = frozenset({"detail", "source"})
_OBJECTS = frozenset({"actor", "context", "event_data"})
_ENTITIES = frozenset({"targets", "on_behalf_of"})
_ROOTS = _TEXTS | _OBJECTS | _ENTITIES


def _is_path(path: str) -> str:
    steps = path.split(".")
    if steps[0] not in _ROOTS:
        raise ValueError(f"a path begins with one of {', '.join(sorted(_ROOTS))}")
    if not all(steps) or len(steps) > _MAX_STEPS:
        raise ValueError(f"a path is 1 to {_MAX_STEPS} steps with single dots in between")
    if steps[-1] == "**":
        raise ValueError("`**` stands for any steps on the way; a path ends with a name or `*`")
    if steps[0] in _TEXTS and len(steps) > 1:
        raise ValueError(f"{steps[0]} is a text, and has nothing below it")
    return path


class RedactionRule(BaseModel):
    """What becomes of some fields of each event that comes in."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, use_attribute_docstrings=True
    )

    path: Annotated[
        str,
        AfterValidator(_is_path),
        Field(max_length=_MAX_PATH, examples=["event_data.**.password", "actor.email"]),
    ]
    """Which fields, by dotted path, in either case of letters. `*` is any one key, `**` any number
    of keys on the way; lists are gone through."""
    action: Action
    """`drop` leaves them out, `mask` puts `[redacted]` in their place, and `hash` an HMAC with the
    tenant's own key, by which equal values can still be told to be equal."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.path == "detail" and self.action == "drop":
            raise ValueError("detail is required: it can be masked or hashed, and not dropped")
        if self.path in _OBJECTS | _ENTITIES and self.action != "drop":
            raise ValueError(f"{self.path} as a whole can only be dropped")
        return self


@dataclass(frozen=True, slots=True)
class Redacted:
    """An event after its redaction, and what was done to it: a pointer and an action each."""

    told: dict[str, Json]
    marks: list[Json]


def redact(told: dict[str, Json], rules: Sequence[RedactionRule], *, key: bytes) -> Redacted:
    """Return the event as the rules want it, each in turn; `told` is left as it is."""
    marks: dict[str, str] = {}
    value = told
    for rule in rules:
        steps = rule.path.lower().split(".")
        value = _Pass(rule.action, key, marks).through(value, steps, ())
    value.setdefault("event_data", None)  # dropped or not, this field is always there
    made: list[Json] = [
        {"action": action, "pointer": pointer} for pointer, action in marks.items()
    ]
    return Redacted(value, made[:MAX_REDACTIONS_TOLD])


_GONE = object()


@dataclass(frozen=True, slots=True)
class _Pass:
    """One rule on its way through one event; `marks` has what it and those before it did."""

    action: Action
    key: bytes
    marks: dict[str, str]

    def through(self, fields: dict[str, Json], steps: list[str], place: _Place) -> dict[str, Json]:
        """Return the object with what `steps` lead to redacted."""
        made = {
            name: self._member(item, _behind(name.lower(), steps), (*place, name))
            for name, item in fields.items()
        }
        return {name: item for name, item in made.items() if item is not _GONE}

    def _member(self, item: Any, ways: Iterable[list[str]], place: _Place) -> Any:
        """Return what becomes of a member, for all ways in which the path may go on behind it."""
        for steps in ways:
            if item is _GONE or item is None:
                return item
            item = self._below(item, steps, place) if steps else self._redacted(item, place)
        return item

    def _below(self, item: Any, steps: list[str], place: _Place) -> Any:
        if isinstance(item, list):
            return [self._below(each, steps, (*place, n)) for n, each in enumerate(item)]
        return self.through(item, steps, place) if isinstance(item, dict) else item

    def _redacted(self, item: Json, place: _Place) -> Any:
        pointer = pointer_to(*place)
        if pointer in self.marks and self.action != "drop":
            return item  # it is hidden already
        self.marks[pointer] = self.action
        match self.action:
            case "drop":
                return _GONE
            case "mask":
                return MASK
            case "hash":
                return keyed_hash(item, self.key)


def _behind(name: str, steps: list[str]) -> Iterator[list[str]]:
    """Yield what is left of the steps behind this key, for each way in which they fit it.

    A key may have dots in it, so it can be several steps. `**` stays for what lies below, and may
    also stand for nothing.
    """
    if steps[0] == "**":
        yield steps
        yield from _behind(name, steps[1:])
        return
    if steps[0] == "*":
        yield steps[1:]
        return
    for count in range(1, name.count(".") + 2):
        if ".".join(steps[:count]) == name:
            yield steps[count:]


def keyed_hash(value: Json, key: bytes) -> str:
    """Return HMAC-SHA256 (RFC 2104) of the value's canonical JSON, so that 1 and "1" differ."""
    return f"hmac-sha256:{hmac.new(key, dump(value), hashlib.sha256).hexdigest()}"
