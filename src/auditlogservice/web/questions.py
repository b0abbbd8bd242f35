"""Query parameters -> a question: filters, order, and the page that is wanted."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urlencode

from auditlogservice.errors import Flaw, InvalidInput, MalformedInput
from auditlogservice.filters import TOP_LEVEL, Filter, Is, Received
from auditlogservice.ledger.records import MAX_LIMIT
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from auditlogservice.ledger.records import Order

DEFAULT_LIMIT = 100
MAX_VALUES = 100  # of one question, all fields together

_RESERVED = ("limit", "sort", "cursor", "since", "until")
_SORTS: dict[str, Order] = {"timestamp": "oldest", "-timestamp": "newest"}
_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(frozen=True, slots=True)
class Question:
    where: Filter
    order: Order
    limit: int
    cursor: str | None

    def next_query(self, cursor: str) -> str:
        """Return the query string of the next page, with its times spelled out.

        A relative time would mean another moment at every page, so another question.
        """
        received = self.where.received
        times = [("since", received.since), ("until", received.until)]
        sort = next(name for name, order in _SORTS.items() if order == self.order)
        return urlencode(
            [
                *((field.path, text) for field in self.where.fields for text in field.texts),
                *((name, format_utc(moment)) for name, moment in times if moment),
                ("sort", sort),
                ("limit", self.limit),
                ("cursor", cursor),
            ]
        )


def parse_question(query: bytes, *, now: datetime) -> Question:
    """Return what the query string asks. Raises InvalidInput with the parameter for each flaw."""
    given = _parameters(query)
    flaws: list[Flaw] = []
    reserved = {name: _single(name, given.pop(name, []), flaws) for name in _RESERVED}
    received = Received(
        _moment("since", reserved["since"], now, flaws),
        _moment("until", reserved["until"], now, flaws),
    )
    fields = tuple(_field(path, texts, flaws) for path, texts in given.items())
    order = _order(reserved["sort"], flaws)
    limit = _limit(reserved["limit"], flaws)
    if sum(len(field.texts) for field in fields) > MAX_VALUES:
        flaws.append(Flaw("", f"a question may have {MAX_VALUES} values"))
    if flaws:
        raise InvalidInput(flaws)
    return Question(Filter(received, fields), order, limit, reserved["cursor"])


def _parameters(query: bytes) -> dict[str, list[str]]:
    try:
        pairs = parse_qsl(query.decode("ascii"), keep_blank_values=True, errors="strict")
    except ValueError:  # also UnicodeDecodeError, and more pairs than the parser takes
        raise MalformedInput("the query string is not percent-encoded UTF-8") from None
    given: dict[str, list[str]] = {}
    for name, value in pairs:
        given.setdefault(name, []).append(value)
    return given


def _single(name: str, values: list[str], flaws: list[Flaw]) -> str | None:
    if len(values) > 1:
        flaws.append(Flaw(name, "this may be given once"))
    return values[0] if values else None


def _field(path: str, texts: list[str], flaws: list[Flaw]) -> Is:
    if "[" in path:
        flaws.append(Flaw(path, "there are no operators; repeat a field for OR"))
    elif path.partition(".")[0] not in TOP_LEVEL:
        known = ", ".join(sorted(TOP_LEVEL))
        flaws.append(Flaw(path, f"no such field; the fields are {known}, and paths into them"))
    return Is(path, tuple(texts))


def _order(text: str | None, flaws: list[Flaw]) -> Order:
    if text is not None and text not in _SORTS:
        flaws.append(Flaw("sort", "sort is timestamp (oldest first) or -timestamp (newest first)"))
    return _SORTS.get(text or "timestamp", "oldest")


def _limit(text: str | None, flaws: list[Flaw]) -> int:
    if text is None:
        return DEFAULT_LIMIT
    if re.fullmatch(r"[0-9]{1,9}", text) and 1 <= int(text) <= MAX_LIMIT:
        return int(text)
    flaws.append(Flaw("limit", f"limit is a number from 1 to {MAX_LIMIT:,}"))
    return DEFAULT_LIMIT


def _moment(name: str, text: str | None, now: datetime, flaws: list[Flaw]) -> datetime | None:
    if text is None:
        return None
    try:
        if ago := _AGO.fullmatch(text):
            return now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        # A plus that was not percent-encoded arrives as a blank; no date-time has one.
        return parse_rfc3339(text.replace(" ", "+"))
    except (ValueError, OverflowError) as error:
        flaws.append(Flaw(name, f"{error}; or how long ago, as in 15m or 7d"))
        return None
