"""Filters as JSON documents, for questions that are too long, or too awkward, for a text.

{"all": […]}   {"any": […]}   {"not": …}
{"field": "actor.id", "op": "eq", "value": "alice"}
{"words": "signed in"}   {"element": {"path": "targets", "where": …}}   {"q": "…"}
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.canonical import pointer_to
from auditlogservice.errors import Flaw, InvalidInput
from auditlogservice.filters import (
    EVERYTHING,
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
    spell,
)
from auditlogservice.language.conditions import (
    MAX_NESTING,
    NAMES,
    check_field,
    condition,
    nesting_of,
    phrase,
)
from auditlogservice.language.text import parse_text

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from auditlogservice.canonical import Json

_FORMS = ("all", "any", "not", "field", "words", "element", "q")
_KEYS = {"field": {"field", "op", "value"}}  # of a form that has more keys than its name


def parse_document(value: Json, *, now: datetime) -> Filter:
    """Return the filter that the document says.

    Raises InvalidInput with a JSON Pointer for each flaw.
    """
    reader = _Reader(now)
    where = reader.read(value, _Place(()))
    if not reader.flaws and nesting_of(where) > MAX_NESTING:
        reader.refuse(_Place(()), _TOO_DEEP)
    if reader.flaws:
        raise InvalidInput(reader.flaws)
    return where


_TOO_DEEP = f"filters may be nested {MAX_NESTING} deep"


class _Place:
    """Where in the document something stands, and whether that is within an `element`."""

    def __init__(
        self, steps: tuple[str | int, ...], *, depth: int = 0, inside: bool = False
    ) -> None:
        self.steps = steps
        self.depth = depth
        self.inside = inside

    def step(self, *steps: str | int) -> _Place:
        return _Place((*self.steps, *steps), depth=self.depth, inside=self.inside)

    def filter(self, *steps: str | int, inside: bool = False) -> _Place:
        """Return the place of a filter within this one."""
        deeper = self.depth + 1
        return _Place((*self.steps, *steps), depth=deeper, inside=self.inside or inside)


class _Reader:
    """Reads on after a flaw, so that all of them are told at once."""

    def __init__(self, now: datetime) -> None:
        self.flaws: list[Flaw] = []
        self._now = now

    def refuse(self, place: _Place, why: str) -> Filter:
        self.flaws.append(Flaw(pointer_to(*place.steps), why))
        return EVERYTHING

    def read(self, value: Json, place: _Place) -> Filter:
        if place.depth > MAX_NESTING:
            return self.refuse(place, _TOO_DEEP)
        if not isinstance(value, dict):
            return self.refuse(place, "this must be a JSON object")
        form = self._form(value, place)
        return EVERYTHING if form is None else self._read(form, value, place)

    def _read(self, form: str, value: dict[str, Json], place: _Place) -> Filter:
        inner = value[form]
        match form:
            case "all" | "any":
                return self._list(form, inner, place)
            case "not":
                return Not(self.read(inner, place.filter("not")))
            case "field":
                return self._condition(value, place)
            case "element":
                return self._element(inner, place.step("element"))
            case _:
                return self._text(form, inner, place.step(form))

    def _form(self, value: dict[str, Json], place: _Place) -> str | None:
        """The key that says what the object is; None, with a flaw, if it is no filter."""
        forms = [form for form in _FORMS if form in value]
        if len(forms) != 1:
            self.refuse(place, f"this must have exactly one of the keys {', '.join(_FORMS)}")
            return None
        self._check_keys(value, _KEYS.get(forms[0], set(forms)), place)
        return forms[0]

    def _check_keys(self, value: dict[str, Json], known: set[str], place: _Place) -> None:
        for key in value.keys() - known:
            self.refuse(place.step(key), "there is no such key here")

    # ---- forms -------------------------------------------------------------------------

    def _list(self, form: str, value: Json, place: _Place) -> Filter:
        if not isinstance(value, list):
            return self.refuse(place.step(form), "this must be a JSON array of filters")
        parts = [self.read(each, place.filter(form, at)) for at, each in enumerate(value)]
        if form == "all":
            return all_of(*parts)
        if not parts:
            return self.refuse(place.step(form), "this must have at least one filter")
        return any_of(parts[0], *parts[1:])

    def _element(self, value: Json, place: _Place) -> Filter:
        if not isinstance(value, dict):
            return self.refuse(place, "this must be a JSON object with `path` and `where`")
        self._check_keys(value, {"path", "where"}, place)
        path = self._path(value.get("path"), place.step("path"))
        where = self.read(value.get("where"), place.filter("where", inside=True))
        return Element(path, where)

    def _path(self, value: Json, place: _Place) -> str:
        if not isinstance(value, str):
            self.refuse(place, "this must be the name of a field")
            return ""
        try:
            if not place.inside:
                check_field(value)
        except ValueError as error:
            self.refuse(place, str(error))
        return value

    def _text(self, form: str, value: Json, place: _Place) -> Filter:
        if not isinstance(value, str):
            return self.refuse(place, "this must be a text")
        if form == "q" and place.inside:
            return self.refuse(place, "`q` names whole paths, and cannot stand within `element`")
        try:
            return phrase(value) if form == "words" else parse_text(value, now=self._now)
        except ValueError as error:
            return self.refuse(place, str(error))
        except InvalidInput as error:
            return self.refuse(place, error.flaws[0].detail)

    # ---- conditions on a field -----------------------------------------------------------

    def _condition(self, value: dict[str, Json], place: _Place) -> Filter:
        flaws = len(self.flaws)
        path = self._path(value["field"], place.step("field"))
        operator = value.get("op", "eq")
        if operator not in NAMES or not isinstance(operator, str):
            known = ", ".join(NAMES)
            return self.refuse(place.step("op"), f"no such operator; the operators are {known}")
        if "value" not in value:
            return self.refuse(place.step("value"), "this is missing")
        texts = list(self._texts(operator, value["value"], place.step("value")))
        if len(self.flaws) > flaws:
            return EVERYTHING
        try:
            return condition(path, operator, texts, now=self._now, inside=place.inside)
        except ValueError as error:
            return self.refuse(place.step("value"), str(error))

    def _texts(self, operator: str, value: Json, place: _Place) -> Iterator[str]:
        if operator != "in":
            yield from self._texts_of(value, place)
        elif isinstance(value, list) and value:
            for at, each in enumerate(value):
                yield from self._texts_of(each, place.step(at))
        else:
            self.refuse(place, "this must be a JSON array of values, at least one")

    def _texts_of(self, value: Json, place: _Place) -> Iterator[str]:
        if isinstance(value, dict | list):
            self.refuse(place, "this must be a text, a number, true, false or null")
        else:
            yield spell(value)


# ---- writing ------------------------------------------------------------------------------


def to_document(where: Filter) -> Json:
    """Return the document that `parse_document` reads as `where`, at any time."""
    match where:
        case AllOf(parts):
            return {"all": [to_document(part) for part in parts]}
        case AnyOf(parts):
            return {"any": [to_document(part) for part in parts]}
        case Not(part):
            return {"not": to_document(part)}
        case Words(words, open_end):
            return {"words": " ".join(words) + ("*" if open_end else "")}
        case Element(path, inner):
            return {"element": {"path": path, "where": to_document(inner)}}
        case _:
            return _condition(where)


def _condition(where: Is | Like | Contains | Compare | Exists) -> Json:
    match where:
        case Is(path, text):
            return {"field": path, "op": "eq", "value": text}
        case Like(path, pattern):
            return {"field": path, "op": "like", "value": pattern}
        case Contains(path, text):
            return {"field": path, "op": "contains", "value": text}
        case Compare(path, operator, text):
            return {"field": path, "op": operator, "value": text}
        case Exists(path):
            return {"field": path, "op": "exists", "value": True}
