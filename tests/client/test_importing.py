"""An import may be run again: nothing is stored twice, and nothing that is equal is lost."""

from __future__ import annotations

import gzip
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from auditlogservice.client import importing
from auditlogservice.client.importing import Plan, Ready, Tally, Unfit, UnknownShape, prepare
from auditlogservice.client.shapes.known import BY_NAME
from auditlogservice.client.shapes.rules import parse_rule
from auditlogservice.client.sources import open_source
from auditlogservice.events import is_idempotency_key

NOW = datetime(2026, 1, 1, tzinfo=UTC)
WINDOWS = (Path(__file__).parents[1] / "data" / "windows-security.ndjson").read_bytes()
CLOUDTRAIL = (Path(__file__).parents[1] / "data" / "cloudtrail.ndjson").read_bytes()


def prepared(raw: bytes, plan: Plan | None = None) -> list[Ready | Unfit]:
    with open_source("-", io.BytesIO(raw)) as source:
        return list(prepare(source, plan or Plan(), now=NOW))


def events(raw: bytes, plan: Plan | None = None) -> list[dict[str, Any]]:
    return [json.loads(item.line) for item in prepared(raw, plan) if isinstance(item, Ready)]


def keys(raw: bytes, plan: Plan | None = None) -> list[str]:
    return [event["idempotency_key"] for event in events(raw, plan)]


@pytest.mark.parametrize("raw", [WINDOWS, CLOUDTRAIL], ids=["without ids", "with ids"])
def test_the_same_records_have_the_same_keys_however_they_come(raw: bytes) -> None:
    first = keys(raw)
    assert len(set(first)) == len(raw.splitlines())
    assert all(map(is_idempotency_key, first))
    assert keys(gzip.compress(raw)) == first
    assert keys(raw + raw.splitlines()[0])[:-1] == first, "a file that has grown"


@pytest.mark.parametrize("raw", [WINDOWS, CLOUDTRAIL], ids=["without ids", "with ids"])
def test_equal_lines_of_one_file_are_all_kept(raw: bytes) -> None:
    line = raw.splitlines(keepends=True)[0]
    assert len(set(keys(line * 5))) == 5


def test_a_line_that_was_mended_leaves_the_keys_of_the_others() -> None:
    lines = WINDOWS.splitlines()
    broken = b"\n".join([*lines[:3], lines[3][:-1], *lines[4:]])
    assert set(keys(WINDOWS)) - set(keys(broken)) == {keys(WINDOWS)[3]}


def test_records_with_ids_are_known_again_in_another_file() -> None:
    lines = CLOUDTRAIL.splitlines(keepends=True)
    assert keys(b"".join(lines[5:])) == keys(CLOUDTRAIL)[5:]


def test_other_rules_make_other_keys() -> None:
    plan = Plan(rules=(parse_rule("source==elsewhere"),))
    assert not set(keys(CLOUDTRAIL)) & set(keys(CLOUDTRAIL, plan))


def test_repetitions_are_counted_with_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "_REMEMBERED", 10)
    assert len(set(keys(CLOUDTRAIL + CLOUDTRAIL.splitlines()[-1] + b"\n"))) == 21


def test_an_event_of_ours_keeps_its_own_key() -> None:
    line = b'{"name":"n","event_type":"t","detail":"d","idempotency_key":"mine"}'
    assert keys(line) == ["mine"]


def test_a_clock_that_runs_ahead_does_not_cost_the_event() -> None:
    line = b'{"specversion":"1.0","type":"t","source":"s","id":"1","time":"2030-01-01T00:00:00Z"}'
    (event,) = events(line)
    assert "occurred_at" not in event
    assert event["event_data"]["time"] == "2030-01-01T00:00:00Z"


def test_an_unknown_format_stops_the_import_only_if_it_comes_first() -> None:
    with pytest.raises(UnknownShape, match=r"known are native, .*windows.*--map"):
        prepared(b'{"a":1}')
    first = CLOUDTRAIL.splitlines()[0]
    (_, unfit) = prepared(first + b'\n{"a":1}')
    assert isinstance(unfit, Unfit)
    assert unfit.place == "line 2"


def test_rules_make_events_of_records_that_nobody_knows() -> None:
    plan = Plan(rules=(parse_rule("name=a"),))
    (event,) = events(b'{"a":"x"}', plan)
    assert (event["name"], event["event_type"]) == ("x", "x")
    assert event["event_data"] == {"a": "x"}


def test_a_format_can_be_said() -> None:
    (event,) = events(b'{"Message":"Hello there."}', Plan(BY_NAME["windows"]))
    assert event["name"] == "Hello there"


def test_a_table_of_our_columns_becomes_events() -> None:
    (event,) = events(b'name,event_type,detail,when\nn,t,"a\nb",x\n')
    del event["idempotency_key"]
    assert event == {
        "name": "n",
        "event_type": "t",
        "detail": "a\nb",
        "event_data": {"name": "n", "event_type": "t", "detail": "a\nb", "when": "x"},
    }


def test_an_event_that_is_too_large_is_refused_here() -> None:
    line = json.dumps({"EventID": 1, "Channel": "x", "Message": "m" * 300_000}).encode()
    (unfit,) = prepared(line)
    assert isinstance(unfit, Unfit)
    assert "262,144 bytes" in unfit.reason


def test_batches_are_bounded_by_count_and_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importing, "MAX_BATCH_BYTES", 10)
    items: list[Ready | Unfit] = [Ready(str(n), b"x" * 4, n) for n in range(5)]
    items.insert(1, Unfit("bad", "why", 0))
    tally = Tally()
    sizes = [(len(batch), at) for batch, at in importing.batches(items, tally, 100)]
    assert sizes == [(2, 1), (2, 3), (1, 4)]
    assert [len(batch) for batch, _ in importing.batches(items, Tally(), 1)] == [1] * 5
    assert (tally.read, tally.refused) == (6, 1)
