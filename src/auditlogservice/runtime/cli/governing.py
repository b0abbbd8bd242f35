"""`erase`, `erasures`, `holds` and `retention`: what is erased, and what is kept."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from auditlogservice.canonical import Json, dump, parse
from auditlogservice.client.governing import read_days
from auditlogservice.errors import InputRefused
from auditlogservice.runtime.cli.asking import Asked, answering
from auditlogservice.runtime.cli.connection import PATIENT, AsJson, Token, Url, connect
from auditlogservice.runtime.cli.rulefiles import rules_in
from auditlogservice.runtime.cli.terminal import (
    note,
    print_json_lines,
    print_table,
    progress_console,
)
from auditlogservice.runtime.invisible import visible
from auditlogservice.times import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from auditlogservice.client.calls import Client
    from auditlogservice.client.figures import Count
    from auditlogservice.client.governing import Erasure, Hold, Preview, Rules

erasures_app = typer.Typer(help="Erase all that matches, and follow it.", no_args_is_help=True)
holds_app = typer.Typer(
    help="Legal holds: what they cover is not erased, by anyone.", no_args_is_help=True
)
retention_app = typer.Typer(help="For how many days events are kept.", no_args_is_help=True)

Query = Annotated[
    str | None, typer.Option("--q", help="Which events, as in a search box: actor.id:bob.")
]
Where = Annotated[
    str | None,
    typer.Option(help="Which events, as a filter in JSON. '{\"all\": \\[]}' is every event."),
]
Reason = Annotated[str, typer.Option(help="Why; kept for good.")]

_LOOK_EVERY = 0.5  # seconds


# ---- one event ------------------------------------------------------------------------


def erase(
    event_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    reason: Reason,
    url: Url = None,
    token: Token = None,
) -> None:
    """Erase one event. Its content is gone for good; who erased it, when and why, stays."""
    with connect(url, token) as client:
        client.governing.erase(event_id, reason=reason)
    note(f"erased {event_id}")


# ---- erasures -------------------------------------------------------------------------


@erasures_app.command("start")
def start_erasure(  # noqa: PLR0913 - an option each
    *,
    reason: Reason,
    q: Query = None,
    where: Where = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Erase nothing, and say what would be found.")
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Show how far it is, until it ends.")
    ] = False,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Erase all events that match and are there now. What a legal hold covers is left."""
    choice = _choice(q, where)
    with answering(Asked([], q or ""), url, token) as client:
        if preview:
            _print_preview(client.governing.preview_erasure(choice, reason=reason), as_json)
            return
        started = client.governing.start_erasure(choice, reason=reason)
    if wait:
        # The server may be restarted meanwhile: the erasure goes on, and so does this.
        with connect(url, token, PATIENT) as client:
            started = _follow(client, started)
    _print_erasures([started], as_json)
    if started.state == "failed":
        raise typer.Exit(1)


@erasures_app.command("list")
def list_erasures(*, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List the erasures, the oldest first."""
    with connect(url, token) as client:
        _print_erasures(client.governing.erasures(), as_json)


@erasures_app.command("show")
def show_erasure(
    erasure_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Say how far an erasure is."""
    with connect(url, token) as client:
        _print_erasures([client.governing.erasure(erasure_id)], as_json)


def _follow(client: Client, erasure: Erasure) -> Erasure:
    console = progress_console()
    columns = (
        TextColumn("erasing"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[erased]:,} erased, {task.fields[held]:,} held"),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("erase", total=erasure.end, erased=0, held=0)
        while erasure.state == "running":
            time.sleep(_LOOK_EVERY)
            erasure = client.governing.erasure(erasure.id)
            progress.update(
                task,
                completed=erasure.last_sequence + 1,
                erased=erasure.erased,
                held=erasure.held,
            )
    return erasure


def _print_preview(found: Preview, as_json: bool) -> None:  # noqa: FBT001 - the option's value
    if as_json:
        print_json_lines([orjson.dumps(found)])
        return
    typer.echo(f"{_count(found.matching)} match, {_count(found.held)} held")
    for event_id in found.sample:
        typer.echo(visible(event_id))


def _count(count: Count) -> str:
    return f"{'at least ' if count.relation == 'gte' else ''}{count.value:,}"


def _print_erasures(erasures: Sequence[Erasure], as_json: bool) -> None:  # noqa: FBT001 - as above
    if as_json:
        print_json_lines(_spelled(erasures))
        return
    rows = []
    for each in erasures:
        state = f"{each.state}: {each.failure}" if each.failure else each.state
        erased, held = f"{each.erased:,}", f"{each.held:,}"
        rows.append((each.id, state, erased, held, each.asked_by, each.reason))
    print_table(("Id", "State", "Erased", "Held", "Asked by", "Reason"), rows)


# ---- holds ----------------------------------------------------------------------------


@holds_app.command("list")
def list_holds(*, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """List the legal holds that stand."""
    with connect(url, token) as client:
        _print_holds(client.governing.holds(), as_json)


@holds_app.command("place")
def place_hold(
    *,
    reason: Reason,
    q: Query = None,
    where: Where = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Place a legal hold on what matches, now and later."""
    choice = _choice(q, where)
    with answering(Asked([], q or ""), url, token) as client:
        hold = client.governing.place_hold(choice, reason=reason)
    _print_holds([hold], as_json)


@holds_app.command("lift")
def lift_hold(
    hold_id: Annotated[str, typer.Argument(metavar="ID")],
    *,
    reason: Reason,
    url: Url = None,
    token: Token = None,
) -> None:
    """Lift a legal hold: what only it covered may be erased again."""
    with connect(url, token) as client:
        client.governing.lift_hold(hold_id, reason=reason)
    note(f"lifted {hold_id}")


def _print_holds(holds: Sequence[Hold], as_json: bool) -> None:  # noqa: FBT001 - the option's value
    if as_json:
        print_json_lines(_spelled(holds))
        return
    rows = []
    for hold in holds:
        since, covers = format_utc(hold.placed_at)[:19], dump(hold.where).decode()
        rows.append((hold.id, since, hold.placed_by, hold.reason, covers))
    print_table(("Id", "Since", "Placed by", "Reason", "Covers"), rows)


# ---- retention ------------------------------------------------------------------------


@retention_app.command("show")
def show_rules(*, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Show the rules. What --json prints, `retention set` reads."""
    with connect(url, token) as client:
        _print_rules(client.governing.rules(), as_json)


@retention_app.command("set")
def set_rules(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="All rules, in JSON; - is standard input.")
    ] = None,
    *,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TYPE=DAYS", help="A rule, as in 'auth.*=365'; may be repeated, for all rules."
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Replace all rules. What has expired by them is erased soon after."""
    if (file is None) == (not rule):
        raise typer.BadParameter("give the rules in a FILE, or with --rule")
    days = dict(map(_rule, rule or ())) if file is None else rules_in(file, read_days)
    with connect(url, token) as client:
        _print_rules(client.governing.set_rules(days), as_json)


def _rule(words: str) -> tuple[str, int]:
    event_type, equals, days = words.rpartition("=")
    if not (equals and event_type and days.isascii() and days.isdigit()):
        raise typer.BadParameter(f"{words!r} is no rule: expected TYPE=DAYS, as in 'auth.*=365'")
    return event_type, int(days)


def _print_rules(rules: Rules, as_json: bool) -> None:  # noqa: FBT001 - the option's value
    if as_json:
        listed: list[Json] = [
            {"event_type": event_type, "days": days} for event_type, days in rules.days.items()
        ]
        print_json_lines([dump({"rules": listed})])
        return
    if not rules.days:
        note("no rules: events are kept for good")
        return
    rows = [(event_type, f"{days:,}") for event_type, days in rules.days.items()]
    print_table(("Type", "Days"), rows)


# ---- all ------------------------------------------------------------------------------


def _choice(q: str | None, where: str | None) -> dict[str, Json]:
    if (q is None) == (where is None):
        raise typer.BadParameter("say which events with --q or with --where")
    if where is None:
        return {"q": q}
    try:
        return {"where": parse(where.encode())}
    except InputRefused as error:
        raise typer.BadParameter(f"--where is no filter: {error}") from None


def _spelled(things: Iterable[object]) -> Iterable[bytes]:
    return (orjson.dumps(each, format_utc, orjson.OPT_PASSTHROUGH_DATETIME) for each in things)
