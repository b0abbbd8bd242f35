"""No read of others' events is left out: each route that shows any puts it on record, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from test_access import SCOPED
from test_follow import listening

from auditlogservice.access import Scope
from watching import begin_window, own_records

if TYPE_CHECKING:
    from running import Api

# What each route is asked, and as what `kind` that goes on record; `ledger` for a record of its
# own type. None: the route shows no event.
READS: list[tuple[str, str, str | None]] = [
    ("/events", "?name=User Logged In", "list"),
    ("/events", "?name=User Logged In&count=true&limit=1", "list"),
    ("/events/count", "?name=User Logged In", "count"),
    ("/events/facets", "?field=name", "facets"),
    ("/events/histogram", "", "histogram"),
    ("/events/feed", "?after=-1", "feed"),
    ("/events/feed", "?after=-1&ndjson", "feed"),
    ("/events/feed", "?after=1000&wait=1", "feed"),
    ("/events/{event_id}", "", "get"),
    ("/events/{event_id}/proof", "", "proof"),
    ("/ledger/{tenant}/openings/{number}", "", "ledger"),
    ("/ledger/{tenant}/tile/{path:path}", "", "ledger"),
    ("/ledger/{tenant}/checkpoint", "", None),
    ("/ledger/{tenant}/keys", "", None),
    ("/ledger/{tenant}/timestamps", "", None),
    ("/ledger/{tenant}/timestamps/{size}", "", None),
    ("/ledger/{tenant}/witnessed", "", None),
]
NDJSON = {"Accept": "application/x-ndjson"}


def recorded(found: list[dict[str, Any]], name: str) -> list[str]:
    """The kinds of what this caller has read, as they are on record."""
    return [
        "ledger" if one["event_type"] == "audit.ledger.read" else one["event_data"]["kind"]
        for one in found
        if one["actor"]["id"] == name and one["event_type"].endswith(".read")
    ]


async def read_by(api: Api, method: str, path: str, event: str, **asked: Any) -> list[str]:
    """What is on record once somebody who has recorded nothing has asked for it twice."""
    reader = await api.add("reader", *Scope)
    names = {"event_id": event, "tenant": "default", "number": "0", "size": "1"}
    address = path.replace("{path:path}", "entries/000.p/1").format(**names)
    begin_window(api)
    headers = {**reader, **asked.pop("headers", {})}
    for _ in range(2):
        answer = await api.http.request(method, address, headers=headers, **asked)
        assert answer.status_code in {200, 404}, answer.text
    return recorded(await own_records(api), "reader")


def test_every_route_by_which_events_or_the_ledger_are_read_is_in_the_table() -> None:
    reading = {Scope.EVENTS_READ, Scope.LEDGER_READ}
    asking = {
        path
        for (method, path), scopes in SCOPED.items()
        if method == "GET" and reading & (scopes if isinstance(scopes, frozenset) else {scopes})
    }
    assert {path for path, _, _ in READS} | {"/events/stream"} == asking


@pytest.mark.parametrize(("path", "query", "kind"), READS, ids=str)
async def test_a_read_of_others_events_is_one_record_of_its_kind(
    watched_memory: Api, path: str, query: str, kind: str | None
) -> None:
    event = await watched_memory.record(await watched_memory.add("source"))
    headers = NDJSON if "ndjson" in query else {}
    query = query.replace("&ndjson", "")
    found = await read_by(watched_memory, "GET", path + query, event["_id"], headers=headers)
    assert found == ([] if kind is None else [kind])


@pytest.mark.parametrize(
    ("path", "body", "kind"),
    [
        ("/events/search", {"field": "name", "value": "User Logged In"}, "search"),
        # It shows the first ids, and how many there are.
        ("/erasures", {"q": "name:User*", "reason": "r", "preview": True}, "preview"),
    ],
    ids=str,
)
async def test_a_question_in_a_body_is_one_record_of_its_kind(
    watched_memory: Api, path: str, body: dict[str, Any], kind: str
) -> None:
    event = await watched_memory.record(await watched_memory.add("source"))
    assert await read_by(watched_memory, "POST", path, event["_id"], json=body) == [kind]


async def test_a_stream_is_on_record_before_its_first_event(watched_memory: Api) -> None:
    await watched_memory.record(await watched_memory.add("source"))
    reader = await watched_memory.add("reader", Scope.EVENTS_READ)
    begin_window(watched_memory)
    async with listening(watched_memory, reader, "after=-1"):
        assert recorded(await own_records(watched_memory), "reader") == ["stream"]


async def test_what_is_left_of_an_erased_event_is_shown_without_a_record(
    watched_memory: Api,
) -> None:
    """That it was erased, by whom and why is on record itself; of the event, nothing is shown."""
    source = await watched_memory.add("source")
    event = await watched_memory.record(source)
    await watched_memory.http.delete(f"/events/{event['_id']}", headers=source)
    reader = await watched_memory.add("reader", Scope.EVENTS_READ)
    gone = await watched_memory.http.get(f"/events/{event['_id']}", headers=reader)
    assert gone.status_code == 410
    assert recorded(await own_records(watched_memory), "reader") == []
