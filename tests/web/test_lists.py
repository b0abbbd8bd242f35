"""Questions over HTTP: operators, the search box, JSON, counts, histograms and facets."""

from __future__ import annotations

import json
import threading
from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Never
from urllib.parse import quote

import pytest

from auditlogservice.errors import QueryTimeout
from auditlogservice.events import Record
from auditlogservice.times import format_utc, parse_rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from running import Api

PEOPLE: list[dict[str, Any]] = [
    {"name": "Signed In", "actor": {"id": "alice"}, "outcome": "success", "event_data": {"n": 1}},
    {"name": "Signed In", "actor": {"id": "bob"}, "outcome": "failure", "event_data": {"n": 2}},
    {"name": "Invoice Paid", "actor": {"id": "alice"}, "event_data": {"n": 10, "note": "Zürich"}},
    {"name": "Invoice Sent", "targets": [{"id": "a", "type": "x"}, {"id": "b", "type": "y"}]},
]


async def corpus(api: Api) -> dict[str, str]:
    user = await api.add("alice")
    for person in PEOPLE:
        await api.record(user, **person)
    return user


async def found(api: Api, user: dict[str, str], query: str) -> list[int]:
    return [record["sequence"] for record in await api.listed(user, f"?{query}")]


@pytest.mark.parametrize(
    ("query", "sequences"),
    [
        ("actor.id=alice", [0, 2]),
        ("actor.id=alice&actor.id=bob", [0, 1, 2]),
        ("actor.id=alice&outcome=success", [0]),
        ("actor.id[ne]=alice", [1, 3]),
        ("actor.id[in]=alice,bob", [0, 1, 2]),
        ("event_data.n[gt]=2", [2]),
        ("event_data.n[gte]=2", [1, 2]),
        ("event_data.n[lt]=2", [0]),
        ("event_data.n[gte]=2&event_data.n[lte]=9", [1]),
        ("name[like]=invoice*", [2, 3]),
        ("name[like]=*PAID", [2]),
        ("name[like]=Invoice%20%3F%3F%3F%3F", [2, 3]),
        ("event_data.note[contains]=%C3%BCric", [2]),
        ("outcome[exists]=true", [0, 1]),
        ("outcome[exists]=false", [2, 3]),
        ("q=invoice", [2, 3]),
        ("q=%22signed%20in%22%20-bob", [0]),
        ("q=actor.id%3Aalice%20(paid%20OR%20success)", [0, 2]),
        ("q=event_data.n%3A%3E%3D2", [1, 2]),
        ("q=event_data.n%3A1..2", [0, 1]),
        ("q=targets%3A(id%3Aa%20type%3Ax)", [3]),
        ("q=targets%3A(id%3Aa%20type%3Ay)", []),
        ("targets.id=a&targets.type=y", [3]),
        ("q=alice&outcome=success", [0]),
        ("q=", [0, 1, 2, 3]),
        ("since=1h&until=1s&q=invoice", []),
        ("sequence[gte]=2&sort=-timestamp", [3, 2]),
    ],
)
async def test_a_question_finds_what_it_means(api: Api, query: str, sequences: list[int]) -> None:
    user = await corpus(api)
    assert await found(api, user, query) == sequences


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("name[regex]=.*", "name[regex]"),
        ("name[like]=x%5C", "name[like]"),
        ("outcome[exists]=maybe", "outcome[exists]"),
        ("timestamp[gte]=soon", "timestamp[gte]"),
        ("occurred_at[lt]=2026-02-30", "occurred_at[lt]"),
        ("q=name%3A", "q"),
        ("q=(a", "q"),
        ("q=colour%3Ared", "q"),
        ("count=perhaps", "count"),
    ],
)
async def test_a_bad_question_is_told_where(memory_api: Api, query: str, pointer: str) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"/events?{query}", headers=user)
    assert answer.status_code == 422, answer.text
    assert pointer in [flaw["pointer"] for flaw in answer.json()["errors"]]


async def test_a_syntax_error_says_the_column(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"/events?q={quote('alice name:')}", headers=user)
    (flaw,) = answer.json()["errors"]
    assert "column" in flaw["detail"]


async def test_a_json_question_is_answered_page_by_page(api: Api) -> None:
    user = await corpus(api)
    document = {
        "any": [
            {"field": "actor.id", "op": "eq", "value": "alice"},
            {"element": {"path": "targets", "where": {"all": [
                {"field": "id", "op": "eq", "value": "a"},
                {"field": "type", "op": "eq", "value": "x"},
            ]}}},
        ]
    }  # fmt: skip
    first = await api.http.post("/events/search?limit=2", json=document, headers=user)
    assert [record["sequence"] for record in first.json()] == [0, 2]
    path = first.links["next"]["url"]
    second = await api.http.post(path, json=document, headers=user)
    assert [record["sequence"] for record in second.json()] == [3]
    assert "next" not in second.links
    other = await api.http.post(path, json={"words": "alice"}, headers=user)
    assert (other.status_code, other.json()["code"]) == (400, "bad-cursor")


@pytest.mark.parametrize(
    "document",
    [
        [], 7, {}, {"field": "name"}, {"field": "name", "op": "regex", "value": "x"},
        {"all": {}}, {"any": []}, {"not": 1}, {"field": "colour", "op": "eq", "value": "x"},
        {"field": "name", "op": "eq", "value": {"$ne": None}}, {"words": ""}, {"q": "name:"},
        {"all": [{"field": "name", "op": "eq", "value": "x"}] * 101},
    ],
    ids=lambda document: json.dumps(document)[:40],
)  # fmt: skip
async def test_a_bad_json_question_is_422(memory_api: Api, document: Any) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.post("/events/search", json=document, headers=user)
    assert answer.status_code == 422, answer.text


async def test_a_relative_time_means_the_same_on_every_page(api: Api) -> None:
    user = await corpus(api)
    first = await api.http.get("/events?since=1h&limit=2", headers=user)
    api.time.advance(hours=2)
    second = await api.http.get(first.links["next"]["url"], headers=user)
    assert [record["sequence"] for record in second.json()] == [2, 3]


# ---- figures ------------------------------------------------------------------------------


async def test_counts_are_exact_up_to_the_cap_and_say_so_beyond(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await corpus(api)
    count = "/events/count?name[like]=invoice*"
    assert (await api.http.get(count, headers=user)).json() == {"value": 2, "relation": "eq"}
    listed = await api.http.get("/events?count=true&limit=1&q=invoice", headers=user)
    assert listed.headers["x-total-count"] == "2"
    assert listed.headers["x-total-count-relation"] == "eq"
    whole = api.services.statistics.count
    monkeypatch.setattr(
        type(api.services.statistics), "count", lambda _, *told: whole(*told, cap=3)
    )
    capped = await api.http.get("/events/count", headers=user)
    assert capped.json() == {"value": 3, "relation": "gte"}


async def test_a_count_that_takes_too_long_does_not_cost_the_page(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await corpus(memory_api)

    async def slow(*_: Any) -> Never:
        raise QueryTimeout

    monkeypatch.setattr(type(memory_api.services.statistics), "count", slow)
    answer = await memory_api.http.get("/events?count=true&limit=3", headers=user)
    assert (answer.status_code, len(answer.json())) == (200, 3)
    assert answer.headers["x-total-count-relation"] == "unknown"
    assert "x-total-count" not in answer.headers
    assert "next" in answer.links


async def test_facets_rank_the_values_of_a_field(api: Api) -> None:
    user = await corpus(api)
    answer = await api.http.get("/events/facets?field=actor.id", headers=user)
    assert answer.json() == {
        "field": "actor.id",
        "values": [{"value": "alice", "count": 2}, {"value": "bob", "count": 1}],
        "records": {"value": 4, "relation": "eq"},
    }
    one = await api.http.get("/events/facets?field=name&limit=1&q=invoice", headers=user)
    assert one.json()["values"] == [{"value": "Invoice Paid", "count": 1}]
    for query in ("", "field=colour", "field=name&limit=0", "field=name&limit=101"):
        refused = await api.http.get(f"/events/facets?{query}", headers=user)
        assert refused.status_code == 422


async def test_a_histogram_counts_per_interval(api: Api) -> None:
    user = await api.add("alice")
    for minutes in (0, 0, 1, 5):
        api.time.ahead = timedelta(minutes=minutes, hours=1)
        await api.record(user, outcome="success")
    for query, relation in (("outcome=success&", "eq"), ("", "lte")):
        answer = await api.http.get(f"/events/histogram?{query}interval=1m", headers=user)
        histogram = answer.json()
        assert histogram["relation"] == relation
        assert histogram["complete_since"] is None
        counts = [bucket["count"] for bucket in histogram["buckets"]]
        assert sum(counts) == 4
        assert counts[0] + counts[1] == 3
        assert counts[-1] == 1
        starts = [parse_rfc3339(bucket["start"]) for bucket in histogram["buckets"]]
        widths = {later - start for start, later in pairwise(starts)}
        assert widths == {timedelta(minutes=1)}
        assert all(start.second == 0 for start in starts)


async def test_a_histogram_within_bounds_counts_nothing_outside(api: Api) -> None:
    user = await api.add("alice")
    records = [await api.record(user) for _ in range(5)]
    since, until = records[1]["timestamp"], records[4]["timestamp"]
    for query in (f"since={since}&until={until}", "sequence[gte]=1&sequence[lt]=4"):
        answer = await api.http.get(f"/events/histogram?{query}", headers=user)
        assert sum(bucket["count"] for bucket in answer.json()["buckets"]) == 3


@pytest.mark.parametrize(
    "query",
    [
        "since=0001-01-01",
        "until=9999-12-31T23:59:59.999999Z",
        "timestamp[gte]=0001-01-01T00:00:00Z&timestamp[lte]=9999-12-31T23:59:59.999999Z",
        "timestamp[gt]=0001-01-01T00:00:00Z&timestamp[lt]=9999-12-31T23:59:59.999999Z",
    ],
)
@pytest.mark.parametrize("interval", ["auto", "365d"])
async def test_a_histogram_may_be_bounded_by_the_first_and_the_last_moment_there_is(
    api: Api, query: str, interval: str
) -> None:
    user = await api.add("alice")
    await api.record(user)
    answer = await api.http.get(f"/events/histogram?{query}&interval={interval}", headers=user)
    assert answer.status_code == 200, answer.text
    assert [bucket["count"] for bucket in answer.json()["buckets"]] == [1]


@pytest.mark.parametrize(
    "query",
    [
        "until=0001-01-01", "since=9999-12-31T23:59:59.999999Z",
        "timestamp[lt]=0001-01-01T00:00:00Z", "timestamp[gt]=9999-12-31T23:59:59.999999Z",
    ],
)  # fmt: skip
async def test_a_histogram_beyond_the_first_and_the_last_moment_is_empty(
    api: Api, query: str
) -> None:
    user = await api.add("alice")
    await api.record(user)
    answer = await api.http.get(f"/events/histogram?{query}", headers=user)
    assert (answer.status_code, answer.json()["buckets"]) == (200, [])


async def test_a_bucket_begins_at_a_multiple_of_the_interval_wherever_the_bounds_lie(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[datetime]] = []
    store = api.services.statistics._store
    places = store.places

    async def overhear(tenant: str, moments: list[datetime]) -> Any:
        asked.append(moments)
        return await places(tenant, moments)

    monkeypatch.setattr(store, "places", overhear)
    user = await api.add("alice")
    records = [await api.record(user) for _ in range(4)]
    api.time.advance(hours=2)
    records += [await api.record(user) for _ in range(3)]
    bounds = f"since={records[1]['timestamp']}&until={records[6]['timestamp']}"
    answer = await api.http.get(f"/events/histogram?{bounds}&interval=1h", headers=user)
    buckets = answer.json()["buckets"]
    starts = [parse_rfc3339(bucket["start"]) for bucket in buckets]
    assert all((start.minute, start.second, start.microsecond) == (0, 0, 0) for start in starts)
    assert starts[0] <= parse_rfc3339(records[1]["timestamp"])
    assert (buckets[0]["count"], buckets[-1]["count"]) == (3, 2)
    assert sum(bucket["count"] for bucket in buckets) == 5
    assert [len(moments) for moments in asked] == [len(buckets) + 1]  # each edge once


async def test_figures_leave_the_loop_to_others_while_they_read_json(
    memory_api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    user = await corpus(memory_api)
    read: list[bool] = []
    fields = Record.fields

    def overhear(record: Record) -> Any:
        read.append(threading.current_thread() is threading.main_thread())
        return fields(record)

    monkeypatch.setattr(Record, "fields", overhear)
    for path in ("facets?field=name", "histogram?name=Signed%20In"):
        read.clear()
        answer = await memory_api.http.get(f"/events/{path}", headers=user)
        assert answer.status_code == 200, answer.text
        assert read.count(False) >= 2
        assert read.count(True) <= 2  # the ends of a histogram are one record each


async def test_a_histogram_of_nothing_is_empty_and_of_too_much_refused(api: Api) -> None:
    user = await api.add("alice")
    empty = await api.http.get("/events/histogram?q=nothing", headers=user)
    assert empty.json()["buckets"] == []
    await api.record(user)
    api.time.advance(hours=1)
    await api.record(user)
    refused = await api.http.get("/events/histogram?interval=1s", headers=user)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (422, "interval")
    fitting = (await api.http.get("/events/histogram", headers=user)).json()
    assert 1 < len(fitting["buckets"]) <= 61
    assert format_utc(api.time()) >= fitting["buckets"][-1]["start"]


PATTERN = "event_data.n[like]=" + "%3F" * 200
TOO_MUCH = [
    (
        "&".join(["name=x"] * 101),
        "a question may have 100 conditions, and each word counts as one",
    ),
    (f"name=x&q={'+'.join('a' * 100)}", "a question may have 100 conditions"),
    ("&".join([PATTERN] * 5 + ["name[like]=*"]), "the patterns of a question may have 1,000"),
    ("name[like]=" + "x" * 201, "a pattern may have 200 characters"),
    ("q=%22" + "a+" * 101 + "%22", "column 1: expected a word, and these are 101 words; a phrase"),
]


@pytest.mark.parametrize(("query", "why"), TOO_MUCH, ids=[why for _, why in TOO_MUCH])
async def test_a_question_that_asks_too_much_is_refused_with_the_limit(
    memory_api: Api, query: str, why: str
) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"/events?{query}", headers=user)
    assert answer.status_code == 422
    assert [flaw["detail"] for flaw in answer.json()["errors"] if flaw["detail"].startswith(why)]


@pytest.mark.parametrize(
    ("document", "pointer", "why"),
    [
        ({"all": [{"words": "a b"}] * 51}, "", "a question may have 100 conditions"),
        ({"any": [{"field": "name", "op": "like", "value": "?" * 200}] * 6}, "",
         "the patterns of a question may have 1,000 characters together"),
        ({"not": {"words": "a " * 101}}, "/not/words", "these are 101 words"),
        ({"all": [{"field": "name", "op": "like", "value": "?" * 201}]}, "/all/0/value",
         "a pattern may have 200 characters"),
    ],
)  # fmt: skip
async def test_a_document_that_asks_too_much_is_refused_with_the_limit_and_the_place(
    memory_api: Api, document: Any, pointer: str, why: str
) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.post("/events/search", json=document, headers=user)
    assert answer.status_code == 422
    (flaw,) = answer.json()["errors"]
    assert flaw["pointer"] == pointer
    assert flaw["detail"].startswith(why)
