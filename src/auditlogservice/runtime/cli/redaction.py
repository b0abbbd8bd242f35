"""`redaction`: what is taken out of events before they are kept."""

from __future__ import annotations

from typing import Annotated

import typer

from auditlogservice.canonical import Json, dump
from auditlogservice.client.governing import RedactionRule, read_redaction
from auditlogservice.runtime.cli.connection import AsJson, Token, Url, connect
from auditlogservice.runtime.cli.rulefiles import rules_in
from auditlogservice.runtime.cli.terminal import note, print_json_lines, print_table

redaction_app = typer.Typer(
    help="What is taken out of events before they are kept.", no_args_is_help=True
)

_ACTIONS = ("drop", "mask", "hash")


@redaction_app.command("show")
def show_redaction(*, as_json: AsJson = False, url: Url = None, token: Token = None) -> None:
    """Show the rules. What --json prints, `redaction set` reads."""
    with connect(url, token) as client:
        _print(client.governing.redaction(), as_json)


@redaction_app.command("set")
def set_redaction(
    file: Annotated[
        str | None, typer.Argument(metavar="FILE", help="All rules, in JSON; - is standard input.")
    ] = None,
    *,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ACTION=PATH",
            help="A rule, as in 'mask=event_data.**.password'; may be repeated, for all rules.",
        ),
    ] = None,
    as_json: AsJson = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Replace all rules, for what comes in from now on."""
    if (file is None) == (not rule):
        raise typer.BadParameter("give the rules in a FILE, or with --rule")
    rules = list(map(_rule, rule or ())) if file is None else rules_in(file, read_redaction)
    with connect(url, token) as client:
        _print(client.governing.set_redaction(rules), as_json)


def _rule(words: str) -> RedactionRule:
    action, _, path = words.partition("=")
    if action not in _ACTIONS or not path:
        expected = "expected ACTION=PATH, as in 'mask=event_data.**.password'"
        raise typer.BadParameter(f"{words!r} is no rule: {expected}")
    return RedactionRule(path, action)


def _print(rules: list[RedactionRule], as_json: bool) -> None:  # noqa: FBT001 - the option's value
    if as_json:
        told: list[Json] = [{"path": rule.path, "action": rule.action} for rule in rules]
        print_json_lines([dump({"rules": told})])
        return
    if not rules:
        note("no rules: events are kept as they are told")
        return
    print_table(("Path", "Action"), [(rule.path, rule.action) for rule in rules])
