"""A JSON value as the kind that it has to be. Raises MalformedInput if it is of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.errors import MalformedInput

if TYPE_CHECKING:
    from auditlogservice.canonical import Json


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
