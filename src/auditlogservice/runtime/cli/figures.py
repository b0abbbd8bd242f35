"""`count`, `histogram` and `facets`: figures about what matches, each told as exact as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.text import Text

from auditlogservice.runtime.cli.asking import Since, Until, Words, answering, read_words
from auditlogservice.runtime.cli.connection import AsJson, Token, Url
from auditlogservice.runtime.cli.terminal import note, print_json_lines, print_table, table_console
from auditlogservice.runtime.invisible import visible
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

    from rich.console import Console

    from auditlogservice.client.figures import Count, Facets, Histogram, Relation

_RELATIONS: dict[Relation, str] = {"eq": "", "gte": "at least ", "lte": "at most "}
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_PIPE_WIDTH = 80  # columns of a drawing that goes to a file or to another program
_LEAST_BAR = 8


def count(
    words: Words = None,
    *,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Count events. Where there are too many to count, it says "at least"."""
    asked = read_words(words, since=since, until=until)
    with answering(asked, url, token) as client:
        found = client.count(asked.parameters)
    if as_json:
        _print_json(found)
    else:
        typer.echo(_events(found.value, found.relation))


def histogram(  # noqa: PLR0913 - an option each
    words: Words = None,
    *,
    interval: Annotated[
        str, typer.Option(help="How wide a bucket is: 1m, 15m, 1h, 1d; auto gives about sixty.")
    ] = "auto",
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Draw how many events came in over time. Times are local, with their offset from UTC."""
    asked = read_words(words, since=since, until=until)
    with answering(asked, url, token) as client:
        found = client.histogram(asked.parameters, interval=interval)
    if as_json:
        _print_json(found)
    else:
        _draw(found, table_console())


def facets(  # noqa: PLR0913 - an option each
    field: Annotated[str, typer.Argument(help="The path of a field, as in actor.id.")],
    words: Words = None,
    *,
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many values.")] = 10,
    since: Since = None,
    until: Until = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Show the most frequent values of a field, and how often each is there."""
    asked = read_words(words, since=since, until=until)
    with answering(asked, url, token) as client:
        found = client.facets(field, asked.parameters, limit=limit)
    if as_json:
        _print_json(found)
    else:
        _print_facets(found)


def _print_json(found: Count | Histogram | Facets) -> None:
    """Print it as the API says it."""
    spelled = orjson.dumps(found, format_utc, orjson.OPT_PASSTHROUGH_DATETIME)
    print_json_lines([spelled])


def _events(number: int, relation: Relation) -> str:
    return f"{_RELATIONS[relation]}{number:,} event{'' if number == 1 else 's'}"


# ---- a histogram ----------------------------------------------------------------------


def _draw(found: Histogram, console: Console) -> None:
    if not console.is_terminal:
        console.width = _PIPE_WIDTH
    for line in lines_of(found, console.width, plain=not console.encoding.startswith("utf")):
        console.print(line, soft_wrap=True)
    total = sum(bucket.count for bucket in found.buckets)
    note(f"{_events(total, found.relation)}, {visible(found.interval)} a bucket")
    if found.relation == "lte":
        note("counted by place in the log: events that were erased since are in it")
    if found.complete_since:
        since = found.complete_since.astimezone().isoformat(" ", "seconds")
        note(f"buckets that begin before {since} are not complete: marked with +")


def lines_of(
    found: Histogram, width: int, *, plain: bool, zone: tzinfo | None = None
) -> list[Text]:
    """Return a line for each bucket, as wide as the terminal: its start, its count, its bar."""
    labels = [label_of(bucket.start, found.interval, zone) for bucket in found.buckets]
    counts = [
        f"{bucket.count:,}{'+' if _is_partial(bucket.start, found) else ' '}"
        for bucket in found.buckets
    ]
    beside = max(map(len, labels), default=0) + max(map(len, counts), default=0) + len("   ")
    most = max((bucket.count for bucket in found.buckets), default=0)
    room = max(width - beside, _LEAST_BAR)
    digits = max(map(len, counts), default=0)
    return [
        Text.assemble(
            f"{label}  {number:>{digits}} ", (bar(bucket.count, most, room, plain=plain), "cyan")
        )
        for label, number, bucket in zip(labels, counts, found.buckets, strict=True)
    ]


def _is_partial(start: datetime, found: Histogram) -> bool:
    return found.complete_since is not None and start < found.complete_since


def label_of(start: datetime, interval: str, zone: tzinfo | None) -> str:
    """Return a start in local time, its seconds only where they matter, and its offset."""
    local = start.astimezone(zone)
    exact = "seconds" if interval.endswith("s") else "minutes"
    clock = local.replace(tzinfo=None).isoformat(" ", exact)
    return f"{clock} {local.isoformat(' ', exact)[len(clock) :]}"


def bar(number: int, most: int, width: int, *, plain: bool) -> str:
    """Return a bar whose length is to `width` as `number` to `most`; one event can be seen."""
    if number == 0:
        return ""
    if plain:
        return "#" * max(1, number * width // most)
    whole, part = divmod(max(1, number * width * 8 // most), 8)
    return "█" * whole + _EIGHTHS[part].strip()


# ---- facets ---------------------------------------------------------------------------


def _print_facets(found: Facets) -> None:
    records = found.records
    rows = []
    for each in found.values:
        share = round(100 * each.count / records.value) if records.value else 0
        rows.append((f"{each.count:,}", f"{share} %", each.value))
    print_table(("Events", "Share", "Value"), rows, numbers=("Events", "Share"))
    if records.relation == "eq":
        note(f"of {_events(records.value, 'eq')}")
    else:
        note(f"of the newest {records.value:,} that match; there are more")
