"""Mapping by hand: `--map name=field`, for records that no shape knows, or to correct a shape.

`target=path` takes a field of the record by its dotted path; `target==words` sets these words.
The targets are the fields of an event, `actor.…`, `context.…` and `target.…` (the one target).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.client.shapes.fields import Row, Story, Told, text
from auditlogservice.client.shapes.moments import moment
from auditlogservice.errors import Flaw, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from auditlogservice.canonical import Json

_TEXTS = ("name", "event_type", "detail", "occurred_at", "outcome", "source", "on_behalf_of")
_OBJECTS = ("actor", "context", "target")
_OUTCOMES = {
    "success": "success", "succeeded": "success", "ok": "success", "true": "success",
    "allow": "success", "allowed": "success", "pass": "success", "passed": "success",
    "failure": "failure", "failed": "failure", "fail": "failure", "error": "failure",
    "false": "failure", "deny": "failure", "denied": "failure", "unknown": "unknown",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rule:
    """Where one field of the event comes from: a `path`, or `words` if that is None."""

    target: tuple[str, ...]
    path: str | None
    words: str = ""


def parse_rule(spelling: str) -> Rule:
    """Return the rule; raise InvalidInput with a sentence that says what is possible."""
    target, equals, given = spelling.partition("=")
    steps = tuple(target.strip().split(".", 1))
    good = (len(steps) == 1 and steps[0] in _TEXTS) or (
        len(steps) == 2 and steps[0] in _OBJECTS and steps[1]  # noqa: PLR2004 - an object and its key
    )
    if not (good and equals and given):
        raise InvalidInput([Flaw(spelling, f"expected field=path or field==words; {_TARGETS}")])
    return Rule(steps, None, given[1:]) if given[0] == "=" else Rule(steps, given.strip())


def bare(record: Row) -> Told:
    """Return the event of a record of which nothing is known: rules shall fill it."""
    return Story(name="", event_type="", detail="").tell(record)


def can_stand_alone(rules: Sequence[Rule]) -> bool:
    return any(rule.target[0] in {"name", "event_type"} for rule in rules)


def apply(rules: Sequence[Rule], told: Told, record: Row) -> Told:
    """Return the event with the mapped fields put over it; what maps to nothing stays as it is."""
    mapped = dict(told)
    for rule in rules:
        found = rule.words if rule.path is None else _find(record, rule.path)
        _put(mapped, rule.target, found)
    return _filled(mapped, {rule.target[0] for rule in rules})


def _put(told: Told, target: tuple[str, ...], found: Json) -> None:
    match target:
        case ("occurred_at",):
            told.update(_if_said("occurred_at", moment(found)))
        case ("outcome",):
            told.update(_if_said("outcome", _outcome(found)))
        case (name,):
            told.update(_if_said(name, text(found)))
        case ("target", key):
            told["targets"] = [_first_target(told.get("targets")) | _if_said(key, text(found))]
        case (name, key):
            inside = told.get(name)
            told[name] = {
                **(inside if isinstance(inside, dict) else {}),
                **_if_said(key, text(found)),
            }


def _if_said(key: str, value: str | None) -> Told:
    return {key: value} if value else {}


def _first_target(targets: Json) -> Told:
    found = targets[0] if isinstance(targets, list) and targets else None
    return found if isinstance(found, dict) else {}


def _outcome(found: Json) -> str | None:
    spelled = str(found).lower() if isinstance(found, bool) else text(found).lower()
    return _OUTCOMES.get(spelled)


def _filled(told: Told, mapped: set[str]) -> Told:
    """Name, type and detail lend each other their words, where only some of them were mapped."""
    words = {key: text(told.get(key)) for key in ("name", "event_type", "detail") if key in mapped}
    if told.get("name") == "event":
        told["name"] = words.get("name") or words.get("event_type") or "event"
    if told.get("event_type") == "event":
        told["event_type"] = words.get("event_type") or text(told["name"])
    if told.get("detail") == "event":
        told["detail"] = words.get("detail") or text(told["name"])
    return told


def _find(value: Json, path: str) -> Json:
    """Follow a dotted path; a key may itself hold dots, and a number counts in an array."""
    if isinstance(value, list):
        head, _, rest = path.partition(".")
        item = value[int(head)] if head.isdecimal() and int(head) < len(value) else None
        return _find(item, rest) if rest else item
    if not isinstance(value, dict):
        return None
    if path in value:
        return value[path]
    cuts = [place for place, sign in enumerate(path) if sign == "."]
    for cut in reversed(cuts):
        if path[:cut] in value:
            return _find(value[path[:cut]], path[cut + 1 :])
    return None


_TARGETS = f"the fields are {', '.join(_TEXTS)}, actor.KEY, context.KEY, target.KEY"
