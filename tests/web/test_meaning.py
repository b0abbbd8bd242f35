"""Events keep every byte of meaning: what was told is what is answered, on both stores."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditlogservice import canonical
from running import EVENT
from strategies import keys, values

if TYPE_CHECKING:
    from running import Api

FULL: dict[str, Any] = {
    "name": "Invoice approved",
    "event_type": "invoice.approved",
    "detail": "line one\r\nline two\ttabbed",
    "occurred_at": "2026-01-31T23:59:59.1234567+05:30",
    "actor": {"id": "u-1", "type": "user", "name": "Álvaro", "roles": ["a", "b"], "age": 41},
    "targets": [
        {"id": "i-9", "type": "invoice", "changes": [{"path": "/state", "from": 0, "to": None}]},
        {},
    ],
    "outcome": "success",
    "source": "billing",
    "context": {
        "ip": "2001:db8::1", "user_agent": "curl/8", "request_id": "r", "trace_id": "t",
        "session_id": "s", "geo": {"lat": 1.5},
    },
    "on_behalf_of": {"id": "u-2", "name": "Bea"},
    "event_data": {"n": -9214364837600034816},
}  # fmt: skip


async def test_every_optional_field_is_kept_as_it_was_told(api: Api) -> None:
    user = await api.add("alice")
    record = await api.record(user, **FULL)
    assert {name: record[name] for name in FULL} == FULL
    assert (await api.http.get(f"/events/{record['_id']}", headers=user)).json() == record


async def test_absent_and_null_fields_are_left_out_but_event_data(api: Api) -> None:
    user = await api.add("alice")
    record = await api.record(user, actor=None, outcome=None, event_data=None)
    assert record.keys() == {
        "_id", "name", "event_type", "detail", "event_data", "timestamp", "user_id", "sequence",
    }  # fmt: skip
    assert record["event_data"] is None
    assert record["user_id"] == "alice"


@settings(
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.dictionaries(keys, values, max_size=4))
async def test_any_json_in_event_data_comes_back_equal(api: Api, data: dict[str, Any]) -> None:
    try:
        user = api.user  # type: ignore[attr-defined] # kept for the next example
    except AttributeError:
        user = api.user = await api.add("alice")  # type: ignore[attr-defined] # kept for the next example
    body = orjson.dumps({**EVENT, "event_data": data})
    made = await api.http.post(
        "/events", content=body, headers={**user, "content-type": "application/json"}
    )
    assert made.status_code == 201, made.text
    assert json.loads(made.content)["event_data"] == data
    read = await api.http.get(f"/events/{made.json()['_id']}", headers=user)
    assert read.content == made.content


@given(st.integers(-(2**63), 2**63 - 1))
def test_integers_keep_all_their_digits(number: int) -> None:
    assert canonical.dump({"n": number}) == b'{"n":%d}' % number


@pytest.mark.parametrize("size", [262_144, 262_143])
async def test_an_event_may_have_256_kib_to_the_byte(api: Api, size: int) -> None:
    user = await api.add("alice")
    empty = orjson.dumps({**EVENT, "event_data": {"x": ""}})
    body = orjson.dumps({**EVENT, "event_data": {"x": "é" * ((size - len(empty)) // 2)}})
    body = body.ljust(size)
    answer = await api.http.post(
        "/events", content=body, headers={**user, "content-type": "application/json"}
    )
    assert answer.status_code == 201
    over = await api.http.post(
        "/events",
        content=body.ljust(262_145),
        headers={**user, "content-type": "application/json"},
    )
    assert over.status_code == 413


async def test_an_event_with_thousands_of_values_is_kept_and_found(api: Api) -> None:
    user = await api.add("alice")
    data = {f"k{n}": {f"v{m}": n * 100 + m for m in range(50)} for n in range(100)}
    record = await api.record(user, event_data=data)
    for path, value in [("k0.v0", 0), ("k99.v49", 9949), ("k50.v7", 5007)]:
        assert await api.listed(user, f"?event_data.{path}={value}") == [record]
    assert await api.listed(user, "?event_data.k0.v0=17") == []
