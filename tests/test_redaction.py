"""Redaction: what a rule reaches, what becomes of it, and that nothing of it is left."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from auditlogservice.canonical import dump
from auditlogservice.redaction import (
    MASK,
    MAX_REDACTIONS_TOLD,
    RedactionRule,
    keyed_hash,
    redact,
)
from strategies import values

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

KEY = b"k" * 32
SECRET = "open sesame"


def event(**told: Any) -> dict[str, Any]:
    return {"name": "n", "event_type": "t", "detail": "d", "event_data": None, **told}


def rules(*told: tuple[str, str]) -> list[RedactionRule]:
    return [
        RedactionRule.model_validate({"path": path, "action": action}) for path, action in told
    ]


def redacted(told: dict[str, Any], *of: tuple[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    done = redact(told, rules(*of), key=KEY)
    marks: list[Any] = done.marks
    return done.told, {mark["pointer"]: mark["action"] for mark in marks}


@pytest.mark.parametrize(
    ("path", "told", "pointers"),
    [
        ("detail", {"detail": SECRET}, ["/detail"]),
        ("source", {"source": SECRET}, ["/source"]),
        ("actor.email", {"actor": {"id": "a", "email": SECRET}}, ["/actor/email"]),
        ("actor.EMAIL", {"actor": {"eMail": SECRET}}, ["/actor/eMail"]),
        ("targets.id", {"targets": [{"id": SECRET}, {"id": SECRET}]},
         ["/targets/0/id", "/targets/1/id"]),
        ("on_behalf_of.name", {"on_behalf_of": {"name": SECRET}}, ["/on_behalf_of/name"]),
        ("context.ip", {"context": {"ip": SECRET}}, ["/context/ip"]),
        ("event_data.a.b", {"event_data": {"a": {"b": SECRET}}}, ["/event_data/a/b"]),
        ("event_data.a.b", {"event_data": {"a.b": SECRET}}, ["/event_data/a.b"]),
        ("event_data.a.b.c", {"event_data": {"a.b": {"c": SECRET}, "a": {"b.c": SECRET}}},
         ["/event_data/a.b/c", "/event_data/a/b.c"]),
        ("event_data.*", {"event_data": {"x": SECRET, "y": {"z": 1}}},
         ["/event_data/x", "/event_data/y"]),
        ("event_data.*.pin", {"event_data": {"x": {"pin": SECRET}, "pin": "kept"}},
         ["/event_data/x/pin"]),
        ("event_data.**.pin", {"event_data": {"pin": SECRET, "x": [{"y": {"pin": SECRET}}]}},
         ["/event_data/pin", "/event_data/x/0/y/pin"]),
        ("event_data.**.a.pin", {"event_data": {"b": {"a": {"pin": SECRET}}, "pin": "kept"}},
         ["/event_data/b/a/pin"]),
        ("event_data.a~b/c", {"event_data": {"a~b/c": SECRET}}, ["/event_data/a~0b~1c"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("action", ["drop", "mask", "hash"])
def test_a_rule_reaches_what_its_path_names_and_says_where(
    path: str, told: dict[str, Any], pointers: list[str], action: str
) -> None:
    if (path, action) == ("detail", "drop"):
        return
    before = event(**told)
    spelled = dump(before)
    made, marks = redacted(before, (path, action))
    assert marks == dict.fromkeys(pointers, action)
    assert SECRET.encode() not in dump(made)
    assert dump(before) == spelled, "the event that was told is left as it was"


def test_a_path_that_fits_nothing_changes_nothing() -> None:
    told = event(event_data={"a": [1, "x"], "b": None}, actor={"id": "a"})
    made, marks = redacted(told, ("event_data.c", "drop"), ("event_data.a.b", "mask"),
                           ("event_data.b", "mask"), ("actor.id.x", "hash"))  # fmt: skip
    assert (made, marks) == (told, {})


def test_each_action_does_what_it_is_called() -> None:
    data = {"a": "x", "b": "x", "c": "x"}
    made, _ = redacted(
        event(event_data=data),
        ("event_data.a", "drop"), ("event_data.b", "mask"), ("event_data.c", "hash"),
    )  # fmt: skip
    assert made["event_data"] == {"b": MASK, "c": keyed_hash("x", KEY)}


def test_what_is_required_is_there_after_every_redaction() -> None:
    made, _ = redacted(event(event_data={"a": 1}), ("event_data", "drop"))
    assert made["event_data"] is None


def test_equal_values_have_equal_hashes_and_others_have_not() -> None:
    """Of equal values of one tenant: with another key everything is another hash."""
    values: list[Json] = ["1", 1, 1.5, True, None, [1], {"a": 1}, ""]
    assert len({keyed_hash(value, KEY) for value in values}) == len(values)
    assert keyed_hash({"a": 1, "b": 2}, KEY) == keyed_hash({"b": 2, "a": 1}, KEY)
    assert keyed_hash("x", KEY) != keyed_hash("x", b"another")


def test_the_first_rule_for_a_place_counts_but_dropping_always_does() -> None:
    told = event(event_data={"a": "x"})
    first_mask = redacted(told, ("event_data.a", "mask"), ("event_data.*", "hash"))
    assert first_mask == (event(event_data={"a": MASK}), {"/event_data/a": "mask"})
    dropped = redacted(told, ("event_data.a", "mask"), ("event_data.*", "drop"))
    assert dropped == (event(event_data={}), {"/event_data/a": "drop"})


def test_more_is_redacted_than_is_told_one_by_one() -> None:
    many = {f"k{n}": SECRET for n in range(MAX_REDACTIONS_TOLD + 50)}
    made, marks = redacted(event(event_data=many), ("event_data.*", "mask"))
    assert len(marks) == MAX_REDACTIONS_TOLD
    assert set(made["event_data"].values()) == {MASK}


@given(values, st.sampled_from(["drop", "mask", "hash"]))
def test_after_any_redaction_nothing_below_the_named_key_is_left(value: Json, action: str) -> None:
    told = event(event_data={"deep": [{"Secret": value, "kept": 1}]})
    made, _ = redacted(told, ("event_data.**.secret", action))
    (item,) = made["event_data"]["deep"]
    assert item.get("kept") == 1
    if value is not None:
        expected = {"drop": None, "mask": MASK, "hash": keyed_hash(value, KEY)}[action]
        assert item.get("Secret") == expected


@pytest.mark.parametrize(
    ("path", "action", "why"),
    [
        ("name", "mask", "begins with"),
        ("event_type", "drop", "begins with"),
        ("outcome", "drop", "begins with"),
        ("**.password", "mask", "begins with"),
        ("", "mask", "begins with"),
        ("event_data.**", "mask", "ends with"),
        ("event_data..a", "mask", "single dots"),
        ("event_data.", "mask", "single dots"),
        ("event_data" + ".a" * 16, "mask", "steps"),
        ("detail.x", "mask", "below"),
        ("detail", "drop", "required"),
        ("event_data", "mask", "only be dropped"),
        ("targets", "hash", "only be dropped"),
        ("event_data.a", "erase", "drop"),
    ],
)
def test_a_rule_that_would_make_something_else_of_an_event_is_refused(
    path: str, action: str, why: str
) -> None:
    with pytest.raises(ValidationError, match=why):
        RedactionRule.model_validate({"path": path, "action": action})
