"""JSON as this service reads and writes it: strict in, one spelling out.

Reading (`parse`) refuses what two parsers could understand differently: duplicate keys, NaN,
lone surrogates, trailing bytes, integers that do not fit 64 bits. Writing (`dump`) gives the
canonical form of RFC 8785 (JCS): sorted keys, no blanks, shortest numbers. Two deviations, both
so that `parse(dump(x)) == x`: integers keep all their digits (RFC 8785 would round beyond 2^53),
and floats of 10^16 and more keep an exponent, so that none reads as an integer, whose digits
would then be taken as exact.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import orjson
import rfc8785

from auditlogservice.errors import Flaw, InvalidInput, MalformedInput

if TYPE_CHECKING:
    from collections.abc import Callable

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"

MAX_DEPTH = 64  # objects and arrays inside one another, counted from a field's value
MAX_KEYS = 1_000  # in one object
MAX_KEY_BYTES = 256  # of one key, in UTF-8

_EXPONENT_FROM = 1e16
_PLAIN_FROM = 1e-4
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_SHORT_KEY = MAX_KEY_BYTES // 4  # characters that are never too many bytes
_BLANK_BEFORE_COLON = re.compile(rb'"[ \t\r\n]+:')


def parse(raw: bytes) -> Json:
    """Return the value that `raw` says, if it says exactly one.

    Raises MalformedInput if the bytes are not strict JSON; InvalidInput, with a pointer, if a
    number, a key or the nesting is beyond what is kept.
    """
    (value,) = _parse_each(raw, lambda whole: [whole])
    if isinstance(value, InvalidInput):
        raise value
    return value


def parse_array(raw: bytes) -> list[Json | InvalidInput]:
    """Return the items of the JSON array `raw`, each judged on its own.

    Raises MalformedInput if the bytes are not strict JSON, InvalidInput if they are no array.
    """
    return _parse_each(raw, _items)


def dump(value: Json) -> bytes:
    """Return the canonical bytes: equal values give equal bytes, and the other way round."""
    survey = _Survey()
    _walk(value, None, 0, survey)
    if survey.plain:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return _dump_slowly(value)


def pointer_to(*steps: str | int) -> str:
    """Return the JSON Pointer (RFC 6901) that takes these steps."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


# ---- reading ------------------------------------------------------------------


class _Unfit:
    """A number that cannot be kept exactly, where the slow parser met it."""

    def __init__(self, why: str) -> None:
        self.why = why


@dataclass(slots=True)
class _Survey:
    """What a walk over values found."""

    keys: int = 0
    plain: bool = True  # orjson's sorted output is the canonical form
    rounded: bool = False  # there may be an integer which orjson rounded


def _items(value: Json) -> list[Json]:
    if isinstance(value, list):
        return value
    raise InvalidInput([Flaw("", "this must be a JSON array")])


def _parse_each(raw: bytes, split: Callable[[Json], list[Json]]) -> list[Json | InvalidInput]:
    try:
        values = split(orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        if "depth limit" in str(error):
            raise _too_deep(None) from None
        if "infinity" not in str(error):
            raise MalformedInput(f"this is not JSON: {error}") from None
        # It stopped at that number; what comes after it, only the slow parser has seen.
        whole = _parse_slowly(raw)
        _refuse_lone_surrogates(whole)
        return [_judge(value, _Survey()) for value in split(whole)]
    survey = _Survey()
    judged = [_judge(value, survey) for value in values]
    if survey.rounded or not _keys_are_distinct(raw, survey.keys):
        return [_judge(value, _Survey()) for value in split(_parse_slowly(raw))]
    return judged


def _judge(value: Json, survey: _Survey) -> Json | InvalidInput:
    try:
        _walk(value, None, 0, survey)
    except InvalidInput as error:
        # What lies behind the flaw was not seen, so the text is read again, slowly.
        survey.rounded = True
        return error
    return value


def _keys_are_distinct(raw: bytes, keys: int) -> bool:
    """Whether the text holds no key that the parsed value lost; False may be a false alarm.

    Each key of the text stands before a colon, and `":` inside a string can only add to the
    count. So an equal count, with no blank between quote and colon, means that no key was lost.
    """
    return raw.count(b'":') == keys and not _BLANK_BEFORE_COLON.search(raw)


def _parse_slowly(raw: bytes) -> Json:
    """Read again with the parser that shows every key and the digits of every number."""
    try:
        value: Json = json.loads(
            raw,
            object_pairs_hook=_distinct,
            parse_int=_exact_integer,
            parse_float=_finite_float,
            parse_constant=_no_constant,
        )
    except ValueError as error:
        raise MalformedInput(f"this is not JSON: {error}") from None
    except RecursionError:
        raise _too_deep(None) from None
    return value


def _refuse_lone_surrogates(value: Json) -> None:
    """Raise MalformedInput for a text that UTF-8 cannot hold; Python's parser lets it pass."""
    try:
        json.dumps(value, ensure_ascii=False, default=lambda unfit: unfit.why).encode()
    except (ValueError, RecursionError) as error:
        raise MalformedInput(f"this is not JSON: {error}") from None


def _distinct(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) < len(pairs):
        seen: set[str] = set()
        for key, _ in pairs:
            if key in seen:
                raise MalformedInput(f"the key {key[:80]!r} stands twice in one object")
            seen.add(key)
    return value


def _exact_integer(digits: str) -> int | _Unfit:
    if len(digits) <= len(str(_INT64_MIN)) and _INT64_MIN <= int(digits) <= _INT64_MAX:
        return int(digits)
    return _Unfit("an integer must fit in 64 bits, signed")


def _finite_float(digits: str) -> float | _Unfit:
    number = float(digits)
    return number if abs(number) != float("inf") else _Unfit("a number must fit in a double")


def _no_constant(name: str) -> None:
    raise MalformedInput(f"{name} is not JSON")


# ---- walking ------------------------------------------------------------------


# Where the walk is: the step taken last and the place before it. Spelled out only for a flaw.
_Place: TypeAlias = "tuple[_Place, str | int] | None"


def _walk(  # noqa: C901 - one arm for each kind of JSON value, the most frequent first
    value: Json, place: _Place, depth: int, survey: _Survey
) -> None:
    match value:
        case dict():
            _walk_object(value, place, depth, survey)
        case str() | bool() | None:
            return
        case list():
            if depth > MAX_DEPTH:
                raise _too_deep(place)
            for index, item in enumerate(value):
                if type(item) is not str:
                    _walk(item, (place, index), depth + 1, survey)
        case int():
            if not _INT64_MIN <= value <= _INT64_MAX:
                raise _flaw(place, "an integer must fit in 64 bits, signed")
        case float():
            survey.plain = False
            survey.rounded = survey.rounded or abs(value) >= 2**63
        case _Unfit():
            raise _flaw(place, value.why)


def _walk_object(value: dict[str, Json], place: _Place, depth: int, survey: _Survey) -> None:
    if depth > MAX_DEPTH:
        raise _too_deep(place)
    if len(value) > MAX_KEYS:
        raise _flaw(place, f"an object may have {MAX_KEYS:,} keys")
    survey.keys += len(value)
    for key, item in value.items():
        if len(key) > _SHORT_KEY and len(key.encode()) > MAX_KEY_BYTES:
            raise _flaw(place, f"a key may have {MAX_KEY_BYTES} bytes")
        # orjson sorts keys by UTF-8, RFC 8785 by UTF-16: they differ only beyond the BMP.
        if not key.isascii() and max(key) > "\uffff":
            survey.plain = False
        # Most values are texts or objects, and an event is walked through twice: a step less
        # for these takes a quarter off.
        kind = type(item)
        if kind is dict:
            _walk_object(item, (place, key), depth + 1, survey)  # type: ignore[arg-type] # `kind` says
        elif kind is not str:
            _walk(item, (place, key), depth + 1, survey)


def _too_deep(place: _Place) -> InvalidInput:
    return _flaw(place, f"values may be nested {MAX_DEPTH} deep")


def _flaw(place: _Place, detail: str) -> InvalidInput:
    steps: list[str | int] = []
    while place:
        place, step = place
        steps.append(step)
    return InvalidInput([Flaw(pointer_to(*reversed(steps)), detail)])


# ---- writing ------------------------------------------------------------------


def _dump_slowly(value: Json) -> bytes:
    match value:
        case dict():
            members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
            inside = (orjson.dumps(key) + b":" + _dump_slowly(item) for key, item in members)
            return b"{" + b",".join(inside) + b"}"
        case list():
            return b"[" + b",".join(map(_dump_slowly, value)) + b"]"
        case float():
            return dump_float(value)
        case _:
            return orjson.dumps(value)


def dump_float(value: float) -> bytes:
    """Return the shortest decimal that reads back as `value` (ECMAScript, RFC 8785 §3.2.2.3)."""
    size = abs(value)
    if size >= _EXPONENT_FROM:
        # `repr` writes here what ECMAScript writes from 10^21 on: digits and an exponent.
        return repr(value).encode()
    if size >= _PLAIN_FROM:
        # Both write plain digits here; ECMAScript leaves out an empty fraction.
        return repr(value).removesuffix(".0").encode()
    return rfc8785.dumps(value)
