"""JSON values as what they have to be. Each raises MalformedInput for anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.errors import MalformedInput
from auditlogservice.times import parse_rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.canonical import Json


def as_moment(value: Json) -> datetime:
    try:
        return parse_rfc3339(as_text(value))
    except ValueError as error:
        raise MalformedInput(str(error)) from None


def as_object(value: Json) -> dict[str, Json]:
    if not isinstance(value, dict):
        raise MalformedInput("expected a JSON object")
    return value


def as_array(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise MalformedInput("expected a JSON array")
    return value


def as_text(value: Json) -> str:
    if not isinstance(value, str):
        raise MalformedInput("expected a text")
    return value


def as_whole(value: Json) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise MalformedInput("expected a whole number")
    return value
