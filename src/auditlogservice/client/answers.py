"""What a server said, taken apart. Pure: bytes in, values out.

A record keeps its exact bytes beside its value: they are what was stored and can be proved, and
no reader of JSON may stand between them and an export.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auditlogservice.canonical import Json, parse
from auditlogservice.checkpoints import parse_number
from auditlogservice.client.failures import Problem
from auditlogservice.client.values import as_object, as_whole
from auditlogservice.errors import Flaw, InputRefused, MalformedInput

if TYPE_CHECKING:
    from collections.abc import Sequence

# Finds where a value ends; what it makes of the value is thrown away.
_SCANNER = json.JSONDecoder(parse_float=str, parse_int=str)


@dataclass(frozen=True, slots=True)
class Token:
    """A right to call, for `expires_in` seconds. Its text never shows in a representation."""

    access_token: str
    expires_in: int
    scope: str

    def __repr__(self) -> str:
        return f"Token(expires_in={self.expires_in}, scope={self.scope!r})"


@dataclass(frozen=True, slots=True)
class Answer:
    """A record: its bytes as the server gave them, and the value that they spell."""

    raw: bytes
    record: dict[str, Json]
    replayed: bool = False

    @property
    def id(self) -> str:
        return str(self.record.get("_id", ""))

    @property
    def sequence(self) -> int:
        return as_whole(self.record.get("sequence"))


@dataclass(frozen=True, slots=True)
class Kept:
    """An event of a batch that is durable. `replayed` says that it was so before."""

    index: int
    id: str
    sequence: int
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class TurnedAway:
    """An event of a batch that was refused, and why."""

    index: int
    code: str
    detail: str
    pointer: str = ""

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail


@dataclass(frozen=True, slots=True)
class BatchAnswer:
    """What became of each event of a batch."""

    successful: tuple[Kept, ...]
    failed: tuple[TurnedAway, ...]

    def then(self, other: BatchAnswer, *, offset: int) -> BatchAnswer:
        """Return this followed by the answer to the batch's part from `offset` on."""
        kept = [
            Kept(offset + item.index, item.id, item.sequence, item.replayed)
            for item in other.successful
        ]
        failed = [
            TurnedAway(offset + item.index, item.code, item.detail, item.pointer)
            for item in other.failed
        ]
        return BatchAnswer((*self.successful, *kept), (*self.failed, *failed))


@dataclass(frozen=True, slots=True)
class Proof:
    """That an event is in the log: its entry, and the text that proves it."""

    entry: bytes
    text: bytes


def read_answer(raw: bytes, *, replayed: bool) -> Answer:
    return Answer(raw, as_object(parse(raw)), replayed)


def read_page(raw: bytes) -> list[Answer]:
    """Return the records of a page, each with its own bytes out of the whole."""
    return [Answer(item, as_object(parse(item))) for item in split_array(raw)]


def split_array(raw: bytes) -> list[bytes]:
    """Return the text of each item of a JSON array, exactly as it stands there."""
    words = raw.decode().strip()
    if len(words) < len("[]") or words[0] != "[" or words[-1] != "]":
        raise MalformedInput("this is no JSON array")
    place, last = _skip(words, 1), len(words) - 1
    items: list[bytes] = []
    while place < last or items:
        end = _end_of_value(words, place)
        items.append(words[place:end].encode())
        place = _skip(words, end)
        if place == last:
            break
        if words[place] != ",":
            raise MalformedInput("this is no JSON array")
        place = _skip(words, place + 1)
    return items


def split_lines(raw: bytes) -> list[bytes]:
    """Return the lines of NDJSON, each without its end."""
    *lines, rest = raw.split(b"\n")
    if rest:
        raise MalformedInput("the last line has no end")
    return lines


def _end_of_value(words: str, place: int) -> int:
    try:
        return _SCANNER.raw_decode(words, place)[1]
    except ValueError as error:
        raise MalformedInput(f"this is not JSON: {error}") from None


def read_batch(raw: bytes) -> BatchAnswer:
    value = as_object(parse(raw))
    return BatchAnswer(
        tuple(
            Kept(
                index=as_whole(item.get("index")),
                id=_words(item, "_id"),
                sequence=as_whole(item.get("sequence")),
                replayed=item.get("replayed") is True,
            )
            for item in _objects(value.get("successful"))
        ),
        tuple(
            TurnedAway(
                index=as_whole(item.get("index")),
                code=_words(item, "code"),
                detail=_words(item, "detail"),
                pointer=_words(item, "pointer"),
            )
            for item in _objects(value.get("failed"))
        ),
    )


def read_token(raw: bytes) -> Token:
    value = as_object(parse(raw))
    token = _words(value, "access_token")
    if not token:
        raise MalformedInput("there is no access_token in it")
    return Token(token, as_whole(value.get("expires_in")), _words(value, "scope"))


def read_proof(raw: bytes) -> Proof:
    value = as_object(parse(raw))
    entry, proof = _words(value, "entry").encode(), _words(value, "proof").encode()
    if not (entry and proof):
        raise MalformedInput("there is no proof in it")
    return Proof(entry, proof)


def read_problem(raw: bytes, *, status: int, reason: str) -> Problem:
    """Return what a refusal says, whatever it is made of: a proxy's page has only a status."""
    try:
        value = as_object(parse(raw))
    except InputRefused:
        value = {}
    detail = _words(value, "detail") or _words(value, "error_description")
    return Problem(
        status=status,
        code=_words(value, "code") or _words(value, "error"),
        detail=detail
        or _words(value, "title")
        or f"the server answered {status} {reason}".strip(),
        flaws=tuple(
            Flaw(_words(item, "pointer"), _words(item, "detail"))
            for item in _objects(value.get("errors"))
        ),
        request_id=_words(value, "request_id"),
    )


def read_place(text: str) -> int | None:
    """Return the place in a log that a header or a link names; None if it is none."""
    try:
        return parse_number(text)
    except MalformedInput:
        return None


def _skip(words: str, place: int) -> int:
    while words[place : place + 1] in {" ", "\t", "\r", "\n"}:
        place += 1
    return place


def _objects(value: Json) -> Sequence[dict[str, Json]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _words(value: dict[str, Json], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""
