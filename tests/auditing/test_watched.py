"""Where all reads are on record, a stranger finds out what was done to the log all the same.

The stranger has recorded nothing, so each of its reads must be on record; a log that was damaged
may take no more records.
"""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from examined import Stranger, filled
from insider import Insider, insider_of

from auditlogservice.access import Scope
from auditlogservice.auditing.findings import Fault, State
from logged import logged
from running import EVENT, PASSWORD, Api, running
from watching import begin_window, own_records

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from auditlogservice.runtime.settings import Settings

SIZE = 40
VICTIM = 7
CUT = 5


def delete_in_the_middle(insider: Insider) -> None:
    rows = insider.rows()
    del rows[VICTIM]
    insider.put(rows)


def cut_the_tail(insider: Insider) -> None:
    """The records are gone, and where the log ends says so; the tree is as it was."""
    insider.put(insider.rows()[:-CUT])


def cut_the_tail_and_the_tree(insider: Insider) -> None:
    rows = insider.rows()[:-CUT]
    insider.put(rows)
    insider.put_tree(rows)


def replace_the_tree(insider: Insider) -> None:
    rows = insider.rows()
    payload = rows[VICTIM].payload
    assert payload is not None
    changed = replace(rows[VICTIM], payload=payload.replace(b'"detail":"n', b'"detail":"N'))
    rows[VICTIM] = replace(changed, commitment=changed.committed)
    insider.put(rows)
    insider.put_tree(rows)


@asynccontextmanager
async def attacked(
    settings: Settings, attack: Callable[[Insider], None]
) -> AsyncIterator[tuple[Api, Stranger, dict[str, str]]]:
    """A node over a log that was attacked, a stranger who saw it before, and its token."""
    stranger = Stranger()
    async with running(settings) as api:
        stays_away, reader = (
            await api.add("alice"),
            await api.add("reader", Scope.EVENTS_READ, Scope.LEDGER_READ),
        )
        await filled(api, stays_away, SIZE)
        await stranger.look(api, reader)
    attack(insider_of(settings))
    async with running(settings) as api:
        yield api, stranger, reader


@pytest.mark.parametrize(
    ("attack", "found"),
    [
        (delete_in_the_middle, {State.MISSING}),
        (cut_the_tail, {State.MISSING}),
        (cut_the_tail_and_the_tree, {Fault.ROOT, Fault.REWRITTEN}),
        (replace_the_tree, {Fault.ROOT, Fault.REWRITTEN}),
    ],
)
async def test_whoever_verifies_learns_what_was_done(
    full: Settings, attack: Callable[[Insider], None], found: set[State | Fault]
) -> None:
    async with attacked(full, attack) as (api, stranger, reader):
        report = await stranger.verify(api, reader)
        assert not report.holds
        assert found <= {each.what for each in report.findings}
        # Whatever the log does not take is told to operators; what it takes is on record.
        types = {one["event_type"] for one in await own_records(api, "audit.ledger.read")}
        page = (await api.http.get("/metrics")).text
        is_told = 'auditlog_unrecorded_reads_total{event_type="audit.ledger.read"} 1.0' in page
        assert is_told is (attack is cut_the_tail)
        assert bool(types) is not is_told


async def test_a_damaged_log_is_shown_and_nothing_else_is_done_with_it(full: Settings) -> None:
    with logged("json") as written:
        async with attacked(full, cut_the_tail) as (api, _, reader):
            begin_window(api)
            for path in (
                "/events?name=User Logged In", "/events?name=User Logged In", "/events/count",
                "/events/feed?after=-1", "/ledger/default/openings/0",
            ):  # fmt: skip
                answer = await api.http.get(path, headers=reader)
                assert answer.status_code == 200, answer.text
            admin = await in_hand(api)
            told = {"size": 1, "root": "0" * 64, "found": 0, "states": {"OK": 1}}
            for method, path, body in (
                ("POST", "/events", EVENT), ("GET", "/events/export", None),
                ("POST", "/users", {"name": "eve", "password": PASSWORD}),
                ("POST", "/ledger/default/verifications", told),
            ):  # fmt: skip
                answer = await api.http.request(method, path, json=body, headers=admin)
                assert (answer.status_code, answer.json()["code"]) == (503, "store-broken")
            form = {"username": "reader", "password": PASSWORD}
            assert (await api.http.post("/token", data=form)).status_code == 503
            page = (await api.http.get("/metrics")).text
    lines = [json.loads(line) for line in written.getvalue().splitlines()]
    unrecorded = [line for line in lines if line["event"] == "not on record"]
    assert [(line["act"], line["question"]) for line in unrecorded] == [
        ("audit.events.read", "list name=User Logged In"),
        ("audit.events.read", "count "),
        ("audit.events.read", "feed "),
        ("audit.ledger.read", "ledger"),
    ]
    for line in unrecorded:
        assert (line["caller"], line["tenant"]) == ("reader", "default")
        assert (line["level"], line["logger"]) == ("warning", "access")
    assert 'auditlog_unrecorded_reads_total{event_type="audit.events.read"} 3.0' in page


async def in_hand(api: Api) -> dict[str, str]:
    """A token that was issued without being on record, as one from before would be."""
    admin = await api.services.accounts.add("admin", PASSWORD, scopes=frozenset(Scope))
    token = await api.services.tokens.issue(admin, None)
    return {"Authorization": f"Bearer {token.text}"}


async def test_a_log_that_is_mended_has_reads_on_record_again(full: Settings) -> None:
    async with attacked(full, lambda _: None) as (api, _, reader):
        insider = insider_of(full)
        whole = insider.rows()
        cut_the_tail(insider)
        await api.http.get("/events/count", headers=reader)
        assert await own_records(api, "audit.events.read") == []
        insider.put(whole)
        await api.http.get("/events/count", headers=reader)
        (read,) = await own_records(api, "audit.events.read")
    assert read["actor"]["id"] == "reader"


async def test_what_is_damaged_is_one_log_and_no_other(full: Settings) -> None:
    async with attacked(full, cut_the_tail) as (api, _, _):
        bob = await api.add("bob", tenant="acme")
        await api.record(await api.add("carol", tenant="acme"))
        await api.listed(bob, "?name=User Logged In")
        (read,) = await own_records(api, "audit.events.read", tenant="acme")
    assert read["actor"]["id"] == "bob"
