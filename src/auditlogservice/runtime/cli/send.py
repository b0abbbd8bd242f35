"""`send`: one event, from options or as JSON on standard input."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

import typer

from auditlogservice.canonical import Json, parse
from auditlogservice.errors import InputRefused
from auditlogservice.runtime.cli.connection import AsJson, Token, Url, connect
from auditlogservice.runtime.cli.terminal import print_json_lines

if TYPE_CHECKING:
    from collections.abc import Mapping


def send(  # noqa: PLR0913 - an option each
    *,
    name: Annotated[str | None, typer.Option(help="What happened, for people.")] = None,
    event_type: Annotated[
        str | None, typer.Option("--type", help="What kind of thing happened, for machines.")
    ] = None,
    detail: Annotated[str, typer.Option(help="The story in a sentence.")] = "",
    data: Annotated[str | None, typer.Option(help="Anything else, as a JSON object.")] = None,
    actor: Annotated[str | None, typer.Option(help="Who did it: an id.")] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="What it was done to: an id. May be repeated.")
    ] = None,
    outcome: Annotated[
        Literal["success", "failure", "unknown"] | None, typer.Option(help="How it ended.")
    ] = None,
    source: Annotated[str | None, typer.Option(help="The system that tells it.")] = None,
    occurred_at: Annotated[
        str | None, typer.Option(help="When it happened: 2026-01-31T23:59:59Z.")
    ] = None,
    idempotency_key: Annotated[
        str | None, typer.Option(help="Sent twice with one key, an event is kept once.")
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Record one event, and print its id. Without options, the event is read as JSON."""
    told: dict[str, Json] = {
        "name": name,
        "event_type": event_type,
        "detail": detail,
        "event_data": None if data is None else _object(data.encode(), "--data"),
        "actor": {"id": actor} if actor else None,
        "targets": [{"id": item} for item in target or []] or None,
        "outcome": outcome,
        "source": source,
        "occurred_at": occurred_at,
    }
    event = _chosen(told)
    with connect(url, token) as client:
        answer = client.send(event, idempotency_key=idempotency_key)
    if as_json:
        print_json_lines([answer.raw])
    else:
        typer.echo(answer.id)


def _chosen(told: dict[str, Json]) -> Mapping[str, Json]:
    given = {key: value for key, value in told.items() if value is not None and value != ""}
    if not given:
        stream = typer.get_binary_stream("stdin")
        if stream.isatty():
            raise typer.BadParameter(
                "give --name and --type, or an event as JSON on standard input"
            )
        return _object(stream.read(), "standard input")
    if "name" not in given or "event_type" not in given:
        raise typer.BadParameter("an event needs --name and --type")
    return {"detail": "", **given}


def _object(raw: bytes, what: str) -> dict[str, Json]:
    try:
        value = parse(raw)
    except InputRefused as error:
        raise typer.BadParameter(f"{what}: {error}") from None
    if not isinstance(value, dict):
        raise typer.BadParameter(f"{what} must be a JSON object")
    return value
