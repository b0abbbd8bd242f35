"""What a question means: `matches()` decides, and the index never hides what matches."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.canonical import dump
from auditlogservice.events import EventModel, Record, Sequence
from auditlogservice.filters import (
    MAX_TERMS,
    OVERFLOW,
    TOP_LEVEL,
    Filter,
    Is,
    Received,
    candidates,
    leaves,
    matches,
    terms_of,
)
from auditlogservice.times import format_utc
from strategies import NOON, draft, drafts, fields, filters, told

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft

SECOND = timedelta(seconds=1)


def _fields(*, at: datetime = NOON, **more: Any) -> dict[str, Json]:
    """A record as a value, having gone through the bytes that are kept."""
    sent = draft(told(**more))
    return Record(id=sent.id, sequence=Sequence(7), payload=sent.payload(at)).fields()


def _matches(record: dict[str, Json], path: str, *texts: str) -> bool:
    return matches(Filter(fields=(Is(path, texts),)), record)


# ---- values -----------------------------------------------------------------------------

MAX_DOUBLE = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("value", "spellings", "others"),
    [
        ("text", ["text"], ["Text", "tex", "text ", "t.*", "text\x00", ""]),
        ("", [""], [" ", "null", "false", "0"]),
        ("42", ["42"], ["42.0", "4.2e1", "042"]),
        ("é", ["é"], ["e\u0301", "É"]),
        (None, ["null"], ["", "None", "Null", "0"]),
        (True, ["true"], ["True", "1", "1.0"]),
        (False, ["false"], ["0", "", "False"]),
        (0, ["0", "-0", "0.0", "0e5", "-0.0"], ["", "false", "00", "null"]),
        (1, ["1", "1.0", "10e-1"], ["true", "+1", "01", "1.", "0x1", "1_0", "\u0661"]),
        (42, ["42", "42.0", "4.2e1", "420E-1"], ["42.00001", " 42", "42 ", "42abc"]),
        (0.1, ["0.1", "1e-1", "0.10000000000000000001"], [".1", "0.2"]),
        (1.0, ["1", "1.0"], ["true"]),
        (2**53 + 1, [str(2**53 + 1)], [str(2**53), f"{2**53 + 1}.0"]),
        (2**63 - 1, [str(2**63 - 1)], [str(2**63), "9.223372036854775807e18"]),
        (-(2**63), [str(-(2**63)), "-9.223372036854775808e18"], [str(-(2**63) - 1)]),
        (2.0**60, [str(2**60), "1.152921504606847e+18"], [str(2**60 + 1), "1152921504606847000"]),
        (1e21, ["1e21", "1" + "0" * 21], ["1" + "0" * 20]),
        (MAX_DOUBLE, ["1.7976931348623157e308"], ["1e309", "9" * 400]),
        (-MAX_DOUBLE, ["-1.7976931348623157e308"], ["-1e309", "-" + "9" * 5_000]),
        (5e-324, ["5e-324"], ["0", "1e-400"]),
        (0, ["1e-400"], ["5e-324"]),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_text_matches_the_value_that_it_spells(
    value: Json, spellings: list[str], others: list[str]
) -> None:
    record = _fields(event_data={"v": value})
    for text in spellings:
        assert _matches(record, "event_data.v", text), text
        assert _matches(record, "event_data.v", "another", text), text
    for text in others:
        assert not _matches(record, "event_data.v", text), text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("name", "User Logged In"),
        ("event_type", "auth.login"),
        ("detail", ""),
        ("user_id", "alice"),
        ("sequence", "7"),
        ("timestamp", format_utc(NOON)),
        ("actor.id", "u1"),
        ("actor.team.name", "ops"),
        ("targets.id", "t1"),
        ("targets.id", "t2"),
        ("event_data.rows", "1"),
        ("event_data.rows", "x"),
        ("event_data.rows.deep", "3"),
        ("event_data.a.b", "dotted key"),
        ("event_data.a.b", "nested key"),
        ("event_data..", "empty keys"),
    ],
)
def test_a_path_reaches_into_objects_and_into_every_element_of_arrays(
    path: str, text: str
) -> None:
    record = _fields(
        actor={"id": "u1", "team": {"name": "ops"}},
        targets=[{"id": "t1"}, {"id": "t2"}],
        event_data={
            "rows": [1, [["x"]], {"deep": [2, 3]}],
            "a.b": "dotted key",
            "a": {"b": "nested key"},
            "": {"": "empty keys"},
        },
    )
    assert _matches(record, path, text)
    assert not _matches(record, path, text + "!")


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("event_data", "1"),
        ("event_data.list", "[1]"),
        ("event_data.list.0", "1"),
        ("event_data.empty", ""),
        ("event_data.empty", "null"),
        ("event_data.none", "[]"),
        ("event_data.missing", "null"),
        ("event_data.missing", ""),
        ("Event_data.x", "1"),
        ("x", "1"),
        ("", "1"),
        ("*", "1"),
        ("$where", "1"),
    ],
)
def test_what_is_no_leaf_matches_nothing(path: str, text: str) -> None:
    record = _fields(event_data={"x": 1, "list": [1], "empty": {}, "none": []})
    assert not _matches(record, path, text)


def test_values_are_alternatives_and_fields_are_all_needed() -> None:
    record = _fields(outcome="success")
    name, outcome = Is("name", ("x", "User Logged In")), Is("outcome", ("success",))
    assert matches(Filter(fields=(name, outcome)), record)
    assert not matches(Filter(fields=(name, Is("outcome", ("failure",)))), record)
    assert not matches(Filter(fields=(name, Is("outcome", ()))), record)
    assert not matches(Filter(fields=(outcome, Is("outcome", ("failure",)))), record)


def test_a_question_without_conditions_matches_every_record() -> None:
    assert matches(Filter(), _fields())


@pytest.mark.parametrize(
    ("since", "until", "matched"),
    [
        (None, None, True),
        (NOON, None, True),
        (NOON + SECOND, None, False),
        (None, NOON, False),
        (None, NOON + timedelta(microseconds=1), True),
        (NOON, NOON, False),
        (NOON.astimezone(timezone(timedelta(hours=3))), NOON + SECOND, True),
    ],
)
def test_since_is_included_and_until_is_not(
    since: datetime | None, until: datetime | None, *, matched: bool
) -> None:
    assert matches(Filter(Received(since, until)), _fields(at=NOON)) == matched


def test_every_field_of_an_event_can_be_asked_for() -> None:
    assert set(EventModel.model_fields) | {"_id", "sequence", "timestamp", "user_id"} == TOP_LEVEL


# ---- the index --------------------------------------------------------------------------


def _record(sent: Draft) -> Record:
    return Record(id=sent.id, sequence=Sequence(0), payload=sent.payload(NOON))


@given(data=st.data())
def test_the_index_never_hides_a_record_that_matches(data: st.DataObject) -> None:
    """The terms are made of what was told, the answer of what was kept."""
    sent = data.draw(drafts())
    record = _record(sent)
    for asked in data.draw(st.lists(fields([record]), min_size=4, max_size=4)):
        group = candidates(asked)
        found = group is None or bool(set(group) & set(sent.terms))
        assert found or not matches(Filter(fields=(asked,)), record.fields())


@given(drafts())
def test_every_leaf_is_found_by_its_own_spelling(sent: Draft) -> None:
    record = _record(sent).fields()
    for path, leaf in leaves(record):
        text = leaf if isinstance(leaf, str) else dump(leaf).decode()
        asked = Is(path, (text,))
        assert matches(Filter(fields=(asked,)), record)
        group = candidates(asked)
        assert group is None or set(group) & set(sent.terms)


@given(drafts())
def test_terms_of_what_was_told_are_the_terms_of_what_was_kept(sent: Draft) -> None:
    """So that the terms can be made again when they are to be taken out of an index."""
    kept = _record(sent)
    assert set(terms_of(kept.fields())) == set(sent.terms)


@pytest.mark.parametrize("path", ["_id", "sequence", "timestamp"])
def test_columns_are_not_in_the_index(path: str) -> None:
    assert candidates(Is(path, ("1",))) is None
    assert not [term for term in terms_of(_fields()) if term.startswith(path)]


@pytest.mark.parametrize("path", ["_id.x", "sequences", "name", "x"])
def test_all_other_fields_are_in_the_index(path: str) -> None:
    assert candidates(Is(path, ("1",))) is not None


def test_a_value_that_stands_often_is_one_term() -> None:
    assert len(terms_of({"a": ["x", "X", ["x"], 1, 1.0, "1"]})) == 2


def test_long_values_and_paths_stay_short_and_apart() -> None:
    long = "x" * 500
    one, other, elsewhere = terms_of({"a": [long + "1", long + "2"], long: "1"})
    assert len({one, other, elsewhere}) == 3
    assert max(map(len, (one, other, elsewhere))) < 200


def _many(count: int) -> dict[str, Json]:
    return {"a": list(range(count))}


def test_an_event_with_1000_terms_is_indexed_whole() -> None:
    terms = terms_of(_many(MAX_TERMS))
    assert len(terms) == MAX_TERMS
    assert OVERFLOW not in terms


def test_an_event_with_more_terms_is_a_candidate_for_every_question() -> None:
    record = _many(MAX_TERMS + 1)
    terms = terms_of(record)
    assert len(terms) == MAX_TERMS
    assert OVERFLOW in terms
    for number in range(MAX_TERMS + 1):
        asked = Is("a", (str(number),))
        assert matches(Filter(fields=(asked,)), record)
        assert set(candidates(asked) or ()) & set(terms)


def test_the_terms_that_fit_do_not_depend_on_the_order_of_the_fields() -> None:
    record: dict[str, Json] = {f"k{number}": number for number in range(MAX_TERMS + 200)}
    assert set(terms_of(record)) == set(terms_of(dict(reversed(record.items()))))


# ---- spelling ---------------------------------------------------------------------------


def _spelled(*asked: Is, since: datetime | None = None, until: datetime | None = None) -> bytes:
    return Filter(Received(since, until), asked).spelling()


def test_one_meaning_has_one_spelling() -> None:
    a, b = Is("a", ("1", "2")), Is("b", ("1",))
    spelled = _spelled(a, b)
    assert _spelled(b, a) == spelled
    assert _spelled(Is("a", ("2", "1")), b) == spelled
    assert _spelled(Is("a", ("2", "1", "1", "2")), b, a) == spelled
    paris = NOON.astimezone(timezone(timedelta(hours=1)))
    assert _spelled(since=paris, until=paris) == _spelled(since=NOON, until=NOON)


def test_two_meanings_have_two_spellings() -> None:
    """Values come from callers: no quote, comma or bracket in them may make two meanings one."""
    awkward = ["", "1", "2", '"', '","', '"]', "],[", "\\", "\x00", "é", "null"]
    questions = [
        _spelled(),
        _spelled(since=NOON),
        _spelled(until=NOON),
        _spelled(since=NOON, until=NOON),
        _spelled(since=NOON + timedelta(microseconds=1)),
        _spelled(Is("a", ())),
        *(_spelled(Is("a", (text,))) for text in awkward),
        *(_spelled(Is(text, ("a",))) for text in awkward),
        *(_spelled(Is("a", ("a", text))) for text in awkward),
        *(_spelled(Is("a", ("a",)), Is("a", (text,))) for text in awkward),
        *(_spelled(Is("a", ("a",)), Is("b", (text,))) for text in awkward),
    ]
    assert len(set(questions)) == len(questions)


@given(data=st.data())
def test_questions_of_one_spelling_have_one_answer(data: st.DataObject) -> None:
    record = _record(data.draw(drafts()))
    asked = data.draw(filters([record]))
    shuffled = Filter(
        asked.received,
        tuple(
            Is(one.path, tuple(data.draw(st.permutations(one.texts))))
            for one in data.draw(st.permutations(asked.fields))
        ),
    )
    assert shuffled.spelling() == asked.spelling()
    assert matches(shuffled, record.fields()) == matches(asked, record.fields())
