"""Query parameters -> a question: a filter, an order, and the page that is wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from auditlogservice.errors import Flaw, InvalidInput, MalformedInput
from auditlogservice.filters import (
    EVERYTHING,
    AllOf,
    Compare,
    Filter,
    all_of,
)
from auditlogservice.language import TIMES, check_size, condition, parse_text, read_moment
from auditlogservice.ledger.records import MAX_LIMIT, Question, asked_at

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from starlette.requests import Request

    from auditlogservice.filters import Operator
    from auditlogservice.store.port import Order

DEFAULT_LIMIT = 100

_SORTS: dict[str, Order] = {"timestamp": "oldest", "-timestamp": "newest"}
_PARAMETER = re.compile(r"(?P<path>[^\[\]]+)(\[(?P<operator>[^\[\]]*)\])?")
_BOUNDS: dict[str, Operator] = {"since": "gte", "until": "lt"}


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters of a query string, each taken once by whoever understands it."""

    given: dict[str, list[str]]
    pairs: list[tuple[str, str]]
    flaws: list[Flaw]

    @classmethod
    def read(cls, query: bytes) -> Parameters:
        """Raises MalformedInput if the query string is not percent-encoded UTF-8."""
        try:
            pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
        except ValueError:  # also UnicodeDecodeError, and more pairs than the parser takes
            raise MalformedInput("the query string is not percent-encoded UTF-8") from None
        given: dict[str, list[str]] = {}
        for name, value in pairs:
            given.setdefault(name, []).append(value)
        return cls(given, pairs, [])

    def single(self, name: str) -> str | None:
        values = self.given.pop(name, [])
        if len(values) > 1:
            self.refuse(name, "this may be given once")
        return values[0] if values else None

    def number(self, name: str, *, default: int, low: int, high: int) -> int:
        text = self.single(name)
        if text is None:
            return default
        if re.fullmatch(r"-?[0-9]{1,19}", text) and low <= int(text) <= high:
            return int(text)
        self.refuse(name, f"{name} is a number from {low:,} to {high:,}")
        return default

    def choice(self, name: str, choices: Collection[str], *, default: str) -> str:
        text = self.single(name)
        if text is None or text in choices:
            return text or default
        self.refuse(name, f"{name} is one of: {', '.join(choices)}")
        return default

    def refuse(self, name: str, why: str) -> None:
        self.flaws.append(Flaw(name, why))

    def done(self) -> None:
        """Raise InvalidInput, with the parameter of each, if there are flaws."""
        if self.flaws:
            raise InvalidInput(self.flaws)

    def end(self) -> None:
        """Do as `done` does, and refuse what nobody took: a call without filters has no others."""
        for name in self.given:
            self.refuse(name, "this call has no such parameter")
        self.done()


def refuse_parameters(request: Request) -> None:
    """Raise InvalidInput for each parameter of a call that has none."""
    if not request.scope["query_string"]:
        return
    Parameters.read(request.scope["query_string"]).end()


def parse_question(parameters: Parameters, *, now: datetime) -> Question:
    """Return what the parameters ask. Raises InvalidInput with the parameter for each flaw."""
    page = take_page(parameters, now=now)
    where = take_filter(parameters, now=page.now)
    parameters.done()
    return page.about(where)


def take_page(parameters: Parameters, *, now: datetime) -> Question:
    """Read which page is wanted, and in which order; of everything, for now."""
    sort = parameters.choice("sort", _SORTS, default="timestamp")
    limit = parameters.number("limit", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT)
    cursor = parameters.single("cursor")
    asked = now if cursor is None else asked_at(cursor)
    return Question(EVERYTHING, _SORTS[sort], limit, cursor, asked)


def next_link(path: str, parameters: Parameters, **changed: str) -> str:
    """Return a `Link` header that leads to the same question with these parameters changed."""
    kept = [(name, value) for name, value in parameters.pairs if name not in changed]
    return f'<{path}?{urlencode((*kept, *changed.items()))}>; rel="next"'


def take_filter(parameters: Parameters, *, now: datetime) -> Filter:
    """Read `since`, `until`, `q` and every parameter that is left as a condition on a field."""
    parts: list[Filter] = []
    for name, operator in _BOUNDS.items():
        text = parameters.single(name)
        if text is not None and (moment := _moment(parameters, name, text, now)):
            parts.append(Compare("timestamp", operator, moment))
    text = parameters.single("q")
    if text is not None:
        parts.append(_searched(parameters, text, now))
    for name, values in parameters.given.items():
        parts.append(_condition(parameters, name, values, now))
    parameters.given.clear()
    where = all_of(*parts)
    refuse_large(parameters, where)
    return where


def refuse_large(parameters: Parameters, where: Filter) -> None:
    """Refuse the whole of a question that asks too much, however it was written."""
    try:
        check_size(where)
    except ValueError as error:
        parameters.refuse("", str(error))


def _searched(parameters: Parameters, text: str, now: datetime) -> Filter:
    try:
        return parse_text(text, now=now)
    except InvalidInput as error:
        parameters.flaws.extend(Flaw("q", flaw.detail) for flaw in error.flaws)
        return AllOf()


def _moment(parameters: Parameters, name: str, text: str, now: datetime) -> str:
    """The moment in its one spelling; empty, with a flaw, if the text is none."""
    try:
        return read_moment(_whole(text), now=now)
    except ValueError as error:
        parameters.refuse(name, str(error))
        return ""


# ---- conditions: field=value and field[operator]=value -----------------------------------


def _condition(parameters: Parameters, name: str, values: list[str], now: datetime) -> Filter:
    found = _PARAMETER.fullmatch(name)
    path, operator = (found["path"], found["operator"]) if found else (name, "")
    if operator == "in":
        values = [text for each in values for text in each.split(",")]
    if operator and path in TIMES:
        values = [_whole(text) for text in values]
    try:
        return condition(path, "eq" if operator is None else operator, values, now=now)
    except ValueError as error:
        parameters.refuse(name, str(error))
        return EVERYTHING


def _whole(text: str) -> str:
    """A plus that was not percent-encoded arrives as a blank; no date-time has one."""
    return text.replace(" ", "+")
