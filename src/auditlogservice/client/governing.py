"""What is kept at a server: holds, retention, erasures, and redaction before anything is kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from auditlogservice.canonical import Json, dump, parse
from auditlogservice.client.figures import Count, count_of
from auditlogservice.client.values import as_array, as_moment, as_object, as_text, as_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime
    from typing import TypeAlias

    from auditlogservice.client.wire import Wire

    # What is meant: {"q": …} or {"where": …}, as the API has it.
    Choice: TypeAlias = Mapping[str, Json]

_JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Hold:
    """A legal hold that stands; `where` is its filter as a JSON document."""

    id: str
    where: Json
    reason: str
    placed_by: str
    placed_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Erasure:
    """An erasure by filter, and how far it has come of the sequences before `end`."""

    id: str
    where: Json
    reason: str
    asked_by: str
    asked_at: datetime
    end: int
    state: str
    erased: int
    held: int
    last_sequence: int
    failure: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """What an erasure would find, and the ids of some events that it would erase."""

    matching: Count
    held: Count
    sample: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """For how many days events of a type are kept. `tag` is of this state of the rules."""

    days: dict[str, int]
    tag: str


@dataclass(frozen=True, slots=True)
class RedactionRule:
    """What becomes of the fields at a path: `drop`, `mask` or `hash`."""

    path: str
    action: str


class Governing:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def erase(self, event_id: str, *, reason: str) -> None:
        """Erase one event for good."""
        self._wire.delete(f"/events/{quote(event_id, safe='')}?{urlencode({'reason': reason})}")

    # ---- holds ----------------------------------------------------------------

    def holds(self) -> list[Hold]:
        return self._wire.read(_read_holds, self._wire.get("/holds"))

    def place_hold(self, choice: Choice, *, reason: str) -> Hold:
        """Forbid to erase what matches. Made once: a repetition would be a second hold."""
        body = dump({**choice, "reason": reason})
        return self._wire.read(
            lambda raw: _hold_of(parse(raw)), self._wire.post_once("/holds", body, _JSON)
        )

    def lift_hold(self, hold_id: str, *, reason: str) -> None:
        self._wire.delete(f"/holds/{quote(hold_id, safe='')}?{urlencode({'reason': reason})}")

    # ---- erasures -------------------------------------------------------------

    def erasures(self) -> list[Erasure]:
        return self._wire.read(_read_erasures, self._wire.get("/erasures"))

    def erasure(self, erasure_id: str) -> Erasure:
        answer = self._wire.get(f"/erasures/{quote(erasure_id, safe='')}")
        return self._wire.read(lambda raw: _erasure_of(parse(raw)), answer)

    def preview_erasure(self, choice: Choice, *, reason: str) -> Preview:
        """Return what an erasure would find; nothing is erased."""
        body = dump({**choice, "reason": reason, "preview": True})
        return self._wire.read(_read_preview, self._wire.post("/erasures", body, _JSON))

    def start_erasure(self, choice: Choice, *, reason: str) -> Erasure:
        """Have all that matches erased. Made once: a repetition would be a second erasure."""
        body = dump({**choice, "reason": reason})
        return self._wire.read(
            lambda raw: _erasure_of(parse(raw)), self._wire.post_once("/erasures", body, _JSON)
        )

    # ---- retention ------------------------------------------------------------

    def rules(self) -> Rules:
        answer = self._wire.get("/retention")
        days = self._wire.read(read_days, answer)
        return Rules(days, answer.headers.get("etag", ""))

    def set_rules(self, days: Mapping[str, int], *, replacing: Rules | None = None) -> Rules:
        """Replace all rules; those that are `replacing` names, or whatever they are."""
        rules: list[Json] = [
            {"event_type": event_type, "days": number} for event_type, number in days.items()
        ]
        headers = _JSON | ({"If-Match": replacing.tag} if replacing else {})
        answer = self._wire.put("/retention", dump({"rules": rules}), headers)
        return Rules(self._wire.read(read_days, answer), answer.headers.get("etag", ""))

    # ---- redaction ------------------------------------------------------------

    def redaction(self) -> list[RedactionRule]:
        """Return what is taken out of events before they are kept."""
        return self._wire.read(read_redaction, self._wire.get("/redaction"))

    def set_redaction(self, rules: Iterable[RedactionRule]) -> list[RedactionRule]:
        """Replace all rules."""
        told: list[Json] = [{"path": rule.path, "action": rule.action} for rule in rules]
        answer = self._wire.put("/redaction", dump({"rules": told}), _JSON)
        return self._wire.read(read_redaction, answer)


# ---- what a server says -------------------------------------------------------


def _read_holds(raw: bytes) -> list[Hold]:
    return [_hold_of(item) for item in as_array(parse(raw))]


def _hold_of(value: Json) -> Hold:
    told = as_object(value)
    return Hold(
        as_text(told.get("id")),
        told.get("where"),
        as_text(told.get("reason")),
        as_text(told.get("placed_by")),
        as_moment(told.get("placed_at")),
    )


def _read_erasures(raw: bytes) -> list[Erasure]:
    return [_erasure_of(item) for item in as_array(parse(raw))]


def _erasure_of(value: Json) -> Erasure:
    told = as_object(value)
    failure = told.get("failure")
    return Erasure(
        id=as_text(told.get("id")),
        where=told.get("where"),
        reason=as_text(told.get("reason")),
        asked_by=as_text(told.get("asked_by")),
        asked_at=as_moment(told.get("asked_at")),
        end=as_whole(told.get("end")),
        state=as_text(told.get("state")),
        erased=as_whole(told.get("erased")),
        held=as_whole(told.get("held")),
        last_sequence=as_whole(told.get("last_sequence")),
        failure=None if failure is None else as_text(failure),
    )


def _read_preview(raw: bytes) -> Preview:
    told = as_object(parse(raw))
    return Preview(
        count_of(told.get("matching")),
        count_of(told.get("held")),
        tuple(map(as_text, as_array(told.get("sample")))),
    )


def read_days(raw: bytes) -> dict[str, int]:
    """Return the rules of `{"rules": [{"event_type": …, "days": …}]}`, as a server has them."""
    rules = map(as_object, as_array(as_object(parse(raw)).get("rules")))
    return {as_text(rule.get("event_type")): as_whole(rule.get("days")) for rule in rules}


def read_redaction(raw: bytes) -> list[RedactionRule]:
    """Return the rules of `{"rules": [{"path": …, "action": …}]}`, as a server has them."""
    rules = map(as_object, as_array(as_object(parse(raw)).get("rules")))
    return [
        RedactionRule(as_text(rule.get("path")), as_text(rule.get("action"))) for rule in rules
    ]
