"""What sources may tell, and the bytes that are kept of it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.canonical import dump, parse
from auditlogservice.errors import InputTooLarge, InvalidInput
from auditlogservice.events import (
    MAX_EVENT_BYTES,
    Listing,
    Record,
    Sequence,
    derive_event_id,
    is_idempotency_key,
    parse_event_id,
    read_event,
)
from auditlogservice.times import format_utc
from strategies import NOON, draft, drafts, moments, told, told_events

if TYPE_CHECKING:
    from datetime import datetime

    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft

OPTIONAL: dict[str, list[Json]] = {
    "event_data": [{}, {"any": [1, None, {"$set": "a.b"}]}],
    "occurred_at": ["2026-01-31T12:00:00Z", "1999-12-31t23:59:60Z", "2026-01-31T13:00:00.5+01:00"],
    "actor": [{}, {"id": "u1", "type": "user", "name": "A"}, {"id": None, "roles": ["x"]}],
    "targets": [[], [{"id": "t1"}, {"type": "file", "size": 5}]],
    "outcome": ["success", "failure", "unknown"],
    "source": ["", "billing"],
    "context": [
        {"ip": "::1", "user_agent": "x", "request_id": "r", "trace_id": "t", "session_id": "s"},
        {"ip": None, "country": {"code": "DE"}},
    ],
    "on_behalf_of": ["", "bob", {"id": "u2", "kind": 1}],
}


def _flaws(value: Json, now: datetime = NOON) -> dict[str, str]:
    with pytest.raises(InvalidInput) as caught:
        read_event(value, now=now)
    return {flaw.pointer: flaw.detail for flaw in caught.value.flaws}


# ---- what is kept -----------------------------------------------------------------------


def test_three_fields_make_an_event() -> None:
    event = read_event({"name": "n", "event_type": "t", "detail": ""}, now=NOON)
    assert parse(event.body) == {"name": "n", "event_type": "t", "detail": "", "event_data": None}


@pytest.mark.parametrize("field", OPTIONAL)
def test_every_optional_field_is_kept_as_it_is_told(field: str) -> None:
    for value in OPTIONAL[field]:
        kept = parse(read_event(told() | {field: value}, now=NOON).body)
        assert kept == told(event_data=None) | {field: value}


@pytest.mark.parametrize("field", OPTIONAL)
def test_null_in_an_optional_field_is_the_same_as_nothing(field: str) -> None:
    event = read_event(told() | {field: None}, now=NOON)
    assert event == read_event(told(), now=NOON)
    assert event.fingerprint == read_event(told(), now=NOON).fingerprint


@pytest.mark.parametrize("field", ["name", "event_type", "detail"])
def test_null_in_a_required_field_is_refused(field: str) -> None:
    assert list(_flaws(told() | {field: None})) == [f"/{field}"]


# ---- what is refused, and where -----------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "pointers"),
    [
        ({"name": ""}, ["/name"]),
        ({"event_type": ""}, ["/event_type"]),
        ({"name": 1, "detail": True}, ["/name", "/detail"]),
        ({"extra": 1}, ["/extra"]),
        ({"a/b~": None}, ["/a~1b~0"]),
        ({"": 1}, ["/"]),
        ({"str": 1, "Entity": 2}, ["/str", "/Entity"]),
        ({"_id": "x", "sequence": 1, "timestamp": "x", "user_id": "x"},
         ["/_id", "/sequence", "/timestamp", "/user_id"]),
        ({"idempotency_key": "k"}, ["/idempotency_key"]),
        ({"event_data": []}, ["/event_data"]),
        ({"event_data": "text"}, ["/event_data"]),
        ({"occurred_at": 1769860800}, ["/occurred_at"]),
        ({"actor": "alice"}, ["/actor"]),
        ({"actor": {"id": 5, "name": []}}, ["/actor/id", "/actor/name"]),
        ({"targets": {}}, ["/targets"]),
        ({"targets": [{}, {"type": 1}, "x"]}, ["/targets/1/type", "/targets/2"]),
        ({"outcome": "Success"}, ["/outcome"]),
        ({"outcome": ""}, ["/outcome"]),
        ({"source": {}}, ["/source"]),
        ({"context": {"ip": 1, "trace_id": {}}}, ["/context/ip", "/context/trace_id"]),
        ({"on_behalf_of": 5}, ["/on_behalf_of"]),
    ],
    ids=str,
)  # fmt: skip
def test_each_flaw_is_told_where_it_is(change: dict[str, Json], pointers: list[str]) -> None:
    assert set(_flaws(told() | change)) == set(pointers)


def test_a_flaw_inside_either_form_of_on_behalf_of_is_told() -> None:
    assert "/on_behalf_of/id" in _flaws(told(on_behalf_of={"id": 5}))


def test_missing_fields_are_told_all_at_once() -> None:
    assert set(_flaws({})) == {"/name", "/event_type", "/detail"}


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "text", [], [told()]], ids=repr)
def test_what_is_no_object_is_refused_as_a_whole(value: Json) -> None:
    assert list(_flaws(value)) == [""]


def test_a_flaw_never_repeats_the_value() -> None:
    secret = "correct horse battery staple"
    details = _flaws(
        told(actor={"id": [secret]}, outcome=secret, occurred_at=secret, extra=secret)
    )
    assert secret not in json.dumps(details)


def test_what_a_caller_hands_over_is_not_changed() -> None:
    value = told(event_data={"b": 1, "a": None}, actor=None)
    read_event(value, now=NOON)
    assert list(value) == ["name", "event_type", "detail", "event_data", "actor"]


# ---- when it happened -----------------------------------------------------------------------

MICRO = timedelta(microseconds=1)
DAY = timedelta(hours=24)


def test_occurred_at_may_lie_24_hours_ahead_and_no_further() -> None:
    read_event(told(occurred_at=format_utc(NOON + DAY)), now=NOON)
    flaws = _flaws(told(occurred_at=format_utc(NOON + DAY + MICRO)))
    assert flaws == {"/occurred_at": "this lies more than 24 hours ahead"}


def test_how_far_ahead_is_judged_in_utc() -> None:
    """The date is tomorrow's and the next day's, the moments are 23 and 25 hours away."""
    read_event(told(occurred_at="2026-02-02T01:00:00+14:00"), now=NOON)
    assert list(_flaws(told(occurred_at="2026-02-01T01:00:00-12:00"))) == ["/occurred_at"]


def test_occurred_at_may_lie_any_time_ago() -> None:
    read_event(told(occurred_at="0001-01-01T00:00:00Z"), now=NOON)


@pytest.mark.parametrize(
    "text",
    [
        "", "yesterday", "2026-01-31", "2026-01-31T12:00:00", "2026-W05-6T12:00:00Z",
        "2026-02-30T12:00:00Z", "2026-01-31 12:00:00Z", "2026-01-31T25:00:00Z",
    ],
)  # fmt: skip
def test_occurred_at_is_rfc_3339_with_an_offset_and_exists(text: str) -> None:
    assert list(_flaws(told(occurred_at=text))) == ["/occurred_at"]


def test_occurred_at_is_kept_as_it_was_written() -> None:
    event = read_event(told(occurred_at="2026-01-31t13:00:00.50+01:00"), now=NOON)
    assert b'"occurred_at":"2026-01-31t13:00:00.50+01:00"' in event.body


# ---- how much -------------------------------------------------------------------------------


def test_an_event_may_have_256_kib_and_not_a_byte_more() -> None:
    empty = len(read_event(told(), now=NOON).body)
    # A character of two bytes tells bytes from characters.
    largest = told() | {"detail": "é" + "x" * (MAX_EVENT_BYTES - empty - 2)}
    assert len(read_event(largest, now=NOON).body) == MAX_EVENT_BYTES
    with pytest.raises(InputTooLarge, match="262,144"):
        read_event(largest | {"name": f"{largest['name']}x"}, now=NOON)


# ---- fingerprints -----------------------------------------------------------------------------


@given(told_events)
def test_an_event_has_one_fingerprint_in_every_spelling(value: dict[str, Json]) -> None:
    event = read_event(value, now=NOON)
    for raw in (
        json.dumps(value).encode(),
        json.dumps(value, ensure_ascii=False, indent=2).encode(),
        json.dumps(dict(reversed(value.items()))).encode(),
        event.body,
    ):
        assert read_event(parse(raw), now=NOON).fingerprint == event.fingerprint


def test_numbers_that_are_equal_have_one_fingerprint() -> None:
    one, other = (
        read_event(parse(raw), now=NOON)
        for raw in (
            b'{"name":"n","event_type":"t","detail":"","event_data":{"a":[1.0,1e2,-0.0]}}',
            b'{"detail":"","event_data":{"\\u0061":[1,100,0]},"event_type":"t","name":"n"}',
        )
    )
    assert one.fingerprint == other.fingerprint


@pytest.mark.parametrize(
    "change",
    [{"detail": "x"}, {"event_data": {}}, {"source": ""}, {"actor": {}}, {"targets": []}],
    ids=str,
)
def test_events_that_differ_have_fingerprints_that_differ(change: dict[str, Json]) -> None:
    assert (
        read_event(told() | change, now=NOON).fingerprint
        != read_event(told(), now=NOON).fingerprint
    )


# ---- ids and keys -----------------------------------------------------------------------------


def test_a_key_means_one_id_for_good() -> None:
    """Stored ids depend on it: this value must never change."""
    made = derive_event_id(tenant="acme", user_id="u1", key="k")
    assert made == "e053fca5a8e2ddbd99581265"
    assert derive_event_id(tenant="acme", user_id="u1", key="k", index=0) == made


_names = st.text("ab\"',[]\\0 é", max_size=3)
_parts = st.tuples(_names, _names, _names, st.integers(0, 12))


@given(_parts, _parts)
def test_tenant_user_key_and_index_all_count(
    one: tuple[str, str, str, int], other: tuple[str, str, str, int]
) -> None:
    ids = [
        derive_event_id(tenant=tenant, user_id=user, key=key, index=index)
        for tenant, user, key, index in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)
    assert all(parse_event_id(made) == made for made in ids)


@pytest.mark.parametrize(
    "text",
    ["", "f" * 23, "f" * 25, "g" * 24, " " + "f" * 23, "f" * 24 + "\n", "٣" * 24, "0x" + "f" * 22],
    ids=repr,
)
def test_what_is_no_id_is_none(text: str) -> None:
    assert parse_event_id(text) is None


def test_an_id_has_one_spelling() -> None:
    assert parse_event_id("ABCDEF0123456789abcdef00") == "abcdef0123456789abcdef00"


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("k", True), ("!~", True), ("x" * 255, True), ("", False), ("x" * 256, False),
        ("a b", False), ("a\n", False), ("é", False), ("\x7f", False), ("\x00", False),
    ],
)  # fmt: skip
def test_an_idempotency_key_is_visible_ascii_of_up_to_255(text: str, *, is_one: bool) -> None:
    assert is_idempotency_key(text) == is_one


# ---- records ------------------------------------------------------------------------------------


def _record(sent: Draft, at: datetime, sequence: int = 7) -> Record:
    return Record(id=sent.id, sequence=Sequence(sequence), payload=sent.payload(at))


@given(drafts(), moments)
def test_a_payload_is_the_canonical_form_of_its_own_fields(sent: Draft, at: datetime) -> None:
    record = _record(sent, at)
    fields = record.fields()
    assert fields.pop("sequence") == 7
    assert record.payload == dump(fields)
    assert fields["_id"] == sent.id
    assert fields["user_id"] == "alice"
    assert fields["timestamp"] == format_utc(at)


@given(drafts())
def test_a_payload_holds_what_was_told_and_three_fields_more(sent: Draft) -> None:
    fields: dict[str, Any] = parse(_record(sent, NOON).payload)  # type: ignore[assignment] # a payload is an object
    for name in ("_id", "timestamp", "user_id"):
        del fields[name]
    assert dump(fields) == sent.body


@pytest.mark.parametrize("user", ["alice", 'quo"te', "back\\slash", "ünïcode 😀"])
def test_a_users_name_is_escaped_in_the_payload(user: str) -> None:
    assert _record(draft(user=user), NOON).fields()["user_id"] == user


@given(drafts(), st.integers(0, 2**53))
def test_an_answer_is_the_stored_bytes_and_the_sequence(sent: Draft, sequence: int) -> None:
    record = _record(sent, NOON, sequence)
    assert orjson.loads(record.answer()) == record.fields()
    assert record.answer() == record.payload[:-1] + b',"sequence":%d}' % sequence


# In the place of anything that a source may nest: what the end of a record looks like.
_ENDINGS = st.sampled_from([
    {"user_id": "alice"}, {"user_id": "alice", "sequence": 0}, {"z": {"user_id": "alice"}},
    {"a": ',"user_id":"alice","sequence":'}, [{"sequence": 1, "user_id": "alice", "a": 2}],
])  # fmt: skip


@given(st.lists(st.tuples(_ENDINGS, st.sampled_from(["alice", "bob", 'al"ice'])), max_size=4))
def test_a_listing_is_by_who_recorded_all_of_it(made: list[tuple[Json, str]]) -> None:
    records = [
        Record(id=sent.id, sequence=Sequence(place), payload=sent.payload(NOON))
        for place, (nested, user) in enumerate(made)
        for sent in [draft(told(event_data={"it": nested}), user=user)]
    ]
    listing = Listing(answers=b",".join(each.answer() for each in records), count=len(records))
    for name in ("alice", "bob", 'al"ice', "nobody"):
        assert listing.is_by(name) == all(record.is_by(name) for record in records)
