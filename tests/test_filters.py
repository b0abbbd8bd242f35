"""What a question means: `matches()` decides, and every other answer has to be its answer."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive
from auditlogservice.canonical import dump
from auditlogservice.events import EventModel, Record, Sequence
from auditlogservice.filters import (
    EVERYTHING,
    TOP_LEVEL,
    AllOf,
    AnyOf,
    Compare,
    Contains,
    Element,
    Exists,
    Filter,
    Is,
    Like,
    Not,
    Words,
    all_of,
    any_of,
    compile_pattern,
    leaves_at,
    matches,
    words_of,
)
from auditlogservice.times import format_utc
from naive import leaves
from strategies import (
    NOON,
    OPERATORS,
    draft,
    drafts,
    filters,
    filters_within,
    patterns,
    tangled,
    tangled_keys,
    texts,
    told,
)

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft


def _fields(**more: Any) -> dict[str, Json]:
    """A record as a value, having gone through the bytes that are kept."""
    return _record(draft(told(**more))).fields()


def _record(sent: Draft) -> Record:
    return Record(id=sent.id, sequence=Sequence(7), payload=sent.payload(NOON))


def _value(value: Json) -> dict[str, Json]:
    return _fields(event_data={"v": value})


V = "event_data.v"

# ---- equality ---------------------------------------------------------------------------------

MAX_DOUBLE = 1.7976931348623157e308


@pytest.mark.parametrize(
    ("value", "spellings", "others"),
    [
        ("text", ["text"], ["Text", "tex", "text ", "t.*", "t*", "text\x00", ""]),
        ("", [""], [" ", "null", "false", "0"]),
        ("42", ["42"], ["42.0", "4.2e1", "042"]),
        ("é", ["é"], ["e\u0301", "É", "e"]),
        ("a*", ["a*"], [r"a\*", "ab"]),
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
def test_a_text_is_the_value_that_it_spells(
    value: Json, spellings: list[str], others: list[str]
) -> None:
    record = _value(value)
    for text in spellings:
        assert matches(Is(V, text), record), text
    for text in others:
        assert not matches(Is(V, text), record), text


@given(drafts())
def test_every_leaf_is_found_by_its_own_spelling(sent: Draft) -> None:
    record = _record(sent).fields()
    for path, leaf in leaves(record):
        text = leaf if isinstance(leaf, str) else dump(leaf).decode()
        assert matches(Is(path, text), record)


# ---- paths ------------------------------------------------------------------------------------

RECORD = _fields(
    actor={"id": "u1", "team": {"name": "ops"}},
    targets=[{"id": "t1", "role": "a"}, {"id": "t2", "role": "b", "tags": [{"k": 1, "v": 2}]}],
    event_data={
        "rows": [1, [["x"]], {"deep": [2, 3]}],
        "a.b": "dotted key",
        "a": {"b": "nested key"},
        "c.d": {"e.f": [{"g": 1, "h": 2}]},
        "": {"": "empty keys"},
        "nothing": None,
        "nowhere": {},
        "none": [],
        "nulls": [None, {"x": None}],
        "zero": [None, 0],
    },
)


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
        ("event_data.nothing", "null"),
    ],
)
def test_a_path_reaches_into_objects_and_into_every_element_of_arrays(
    path: str, text: str
) -> None:
    assert matches(Is(path, text), RECORD)
    assert not matches(Is(path, text + "!"), RECORD)


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("event_data", "1"),
        ("event_data.rows", "[1]"),
        ("event_data.rows.0", "1"),
        ("event_data.nowhere", ""),
        ("event_data.nowhere", "null"),
        ("event_data.none", "[]"),
        ("event_data.missing", "null"),
        ("event_data.missing", ""),
        ("Event_data.rows", "1"),
        ("actor.ID", "u1"),
        ("rows", "1"),
        ("", "1"),
        ("event_data.*", "1"),
        ("$where", "1"),
    ],
)
def test_what_is_no_leaf_is_nothing(path: str, text: str) -> None:
    assert not matches(Is(path, text), RECORD)


@pytest.mark.parametrize(
    ("path", "there"),
    [
        ("name", True),
        ("detail", True),
        ("sequence", True),
        ("actor", True),
        ("actor.team", True),
        ("targets", True),
        ("event_data.a.b", True),
        ("event_data.c", True),
        ("event_data.c.d.e.f.g", True),
        ("event_data.zero", True),
        ("event_data.", True),
        ("outcome", False),
        ("act", False),
        ("actor.", False),
        ("actor.idx", False),
        ("event_data.nothing", False),
        ("event_data.nowhere", False),
        ("event_data.none", False),
        ("event_data.nulls", False),
    ],
)
def test_what_exists_has_a_value_other_than_null_at_it_or_below(path: str, *, there: bool) -> None:
    assert matches(Exists(path), RECORD) == there


def test_every_field_of_an_event_can_be_asked_for() -> None:
    ours = {"_id", "flagged", "redacted", "sequence", "timestamp", "user_id"}
    assert set(EventModel.model_fields) | ours == TOP_LEVEL


# ---- one and the same element -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "inner", "found"),
    [
        ("targets", all_of(Is("id", "t1"), Is("role", "a")), True),
        ("targets", all_of(Is("id", "t1"), Is("role", "b")), False),
        ("targets", all_of(Is("id", "t2"), Element("tags", Is("k", "1"))), True),
        ("targets", all_of(Is("id", "t1"), Exists("tags")), False),
        ("targets", Not(Is("id", "t1")), True),
        ("targets", Words(("t1",)), True),
        ("targets", all_of(Words(("t1",)), Words(("b",))), False),
        ("targets.tags", all_of(Is("k", "1"), Is("v", "2")), True),
        ("actor", all_of(Is("id", "u1"), Is("team.name", "ops")), True),
        ("actor.team", Is("name", "ops"), True),
        ("event_data.c.d.e.f", all_of(Is("g", "1"), Is("h", "2")), True),
        ("event_data.a", Is("b", "nested key"), True),
        ("event_data.a", Is("b", "dotted key"), False),
        ("event_data.", Is("", "empty keys"), True),
        ("event_data.nowhere", EVERYTHING, True),
        ("event_data.none", EVERYTHING, False),
        ("event_data.nothing", EVERYTHING, False),
        ("name", EVERYTHING, False),
        ("targets.id", EVERYTHING, False),
        ("tar", EVERYTHING, False),
        ("", EVERYTHING, False),
    ],
)
def test_an_element_holds_everything_in_one_object(
    path: str, inner: Filter, *, found: bool
) -> None:
    assert matches(Element(path, inner), RECORD) == found


# ---- patterns ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "fitting", "others"),
    [
        ("Alice", ["alice", "AL*", "*ICE", "a*e", "?lice", "*", "**", "a***e", "?????"],
         ["al", "lice", "*x*", "??????", "????", "", "?*??????", r"a\*"]),
        ("", ["", "*", "**"], ["?", " "]),
        ("a*b", [r"a\*b", "a*b", "a?b", r"*\**"], [r"a\?b", r"a\\*b"]),
        ("a\\b", [r"a\\b", "a?b", r"*\\*"], [r"a\*b", r"a\b"]),
        ("a\nb", ["a?b", "a*", "*b", "a\nb"], ["a"]),
        ("aXbXc", ["a*x*c", "*b*", "a?b?c"], ["a*c*x", "*b*b*"]),
        ("ab", ["a*b", "*a*b*"], ["ab*b", "a*ab", "*ab?"]),
        ("aba", ["ab*a", "a*a"], ["ab*ba", "aba*a"]),
        (".", [".", "?"], ["[.]", "(.)", "^.$", ".*x"]),
        ("%_", ["%_", "%?"], ["%", "_%"]),
        ("STRASSE ß", ["straße *", "*SS"], []),
        ("é", ["É", "?"], ["e", "e*"]),
        (42, ["42", "4*", "?2"], ["42.0", "*.*"]),
        (1.5, ["1.5", "1*"], ["1.50"]),
        (True, ["TRUE", "t*"], ["1"]),
        (None, ["NULL", "n*", "*"], [""]),
    ],
    ids=repr,
)  # fmt: skip
def test_a_pattern_fits_whole_values_whatever_their_case(
    value: Json, fitting: list[str], others: list[str]
) -> None:
    record = _value(value)
    assert [one for one in fitting if not matches(Like(V, one), record)] == []
    assert [one for one in others if matches(Like(V, one), record)] == []


def test_a_pattern_cannot_end_in_a_backslash() -> None:
    with pytest.raises(ValueError, match="backslash"):
        compile_pattern("a\\")


def _fits_slowly(form: list[str | None], text: str) -> bool:
    """The textbook's definition, by dynamic programming; "" in a form stands for `*`."""
    reached = {0}
    for piece in form:
        if piece == "":
            reached = set(range(min(reached), len(text) + 1)) if reached else set()
        else:
            reached = {
                at + len(piece or "?")
                for at in reached
                if (at < len(text) if piece is None else text.startswith(piece, at))
            }
    return len(text) in reached


@given(st.lists(st.sampled_from(["*", "?", "a", "b", r"\*", "A"]), max_size=8),
       st.text("ab*A", max_size=10))  # fmt: skip
def test_a_pattern_fits_what_the_textbook_says(pieces: list[str], text: str) -> None:
    meaning: dict[str, str | None] = {"*": "", "?": None, r"\*": "*", "A": "a"}
    form = [meaning.get(piece, piece) for piece in pieces]
    fits = compile_pattern("".join(pieces)).fits(text.casefold())
    assert fits == _fits_slowly(form, text.casefold())


@given(texts, st.data())
def test_a_text_has_the_patterns_that_are_made_of_it(text: str, data: st.DataObject) -> None:
    escaped = "".join(f"\\{each}" if each in "*?\\" else each for each in text)
    assert matches(Like("a", escaped), {"a": text.swapcase().swapcase()}) or text != (
        text.swapcase().swapcase()
    )
    assert matches(Like("a", escaped), {"a": text})
    data.draw(patterns(text))  # each is a pattern
    assert matches(Contains("a", text), {"a": f"x{text}y"})


@pytest.mark.parametrize(
    "pattern",
    ["*a" * 60 + "*b", "a*" * 500 + "b", "*" * 1_000 + "b", "*?" * 400 + "b", "*a?" * 300 + "b",
     "*" + "?" * 200 + "b*", "*" + "a" * 400 + "b*c", "*a" + "?" * 200 + "b"],
    ids=lambda pattern: pattern[:8],
)  # fmt: skip
def test_hostile_patterns_take_no_longer_than_others(pattern: str) -> None:
    form, text = compile_pattern(pattern), "a" * 200_000
    begin = time.process_time()
    assert not form.fits(text)
    assert time.process_time() - begin < 2


# ---- contains, words --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "text", "found"),
    [
        ("Connection Refused", "ction ref", True),
        ("Connection Refused", "ction*ref", False),
        ("100 %", "0 %", True),
        ("x", "", True),
        ("é", "E", False),
        ("Straße", "STRASSE", True),
        (1234, "23", True),
        (None, "ul", True),
        (True, "RU", True),
    ],
)
def test_a_part_of_a_value_is_found_whatever_its_case(
    value: Json, text: str, *, found: bool
) -> None:
    assert matches(Contains(V, text), _value(value)) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Signed", True),
        ("signed in", True),
        ("SIGNED-IN", True),
        ("in signed", False),
        ("sign", False),
        ("sign*", True),
        ("signed i*", True),
        ("sig* in", False),
        ("café", True),
        ("cafe", False),
        ("42", True),
        ("4*", True),
        ("true", True),
        ("null", False),
        ("office signed", False),
        ("in from the café", True),
        ("key_one", False),
        ("val_two", True),
        ("val", False),
        ("alice", True),
        ("7", False),
    ],
)
def test_words_stand_in_one_text_of_the_record(text: str, *, found: bool) -> None:
    record = _fields(
        name="Signed in",
        detail="… in, from the CAFÉ!",
        source="office",
        event_data={"key_one": [42, True, None, "val_two"]},
    )
    where = Words(tuple(words_of(text)), text.endswith("*"))
    assert matches(where, record) == found


@given(texts)
def test_words_are_spelled_as_they_are_found(text: str) -> None:
    for word in words_of(text):
        assert words_of(word) == [word]


def test_words_are_not_looked_for_in_ids_and_times() -> None:
    record = _fields(occurred_at="2026-01-30T00:00:00Z")
    assert not matches(Words(tuple(words_of(str(record["_id"])))), record)
    assert not matches(Words(("2026", "01", "31t12")), record)
    assert matches(Words(("2026", "01", "30t00")), record)


# ---- comparisons ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("smaller", "text"),
    [
        (1, "2"), (-2, "-1"), (1, "1.5"), (1.5, "2"), (-5e-324, "0"), (2**53, str(2**53 + 1)),
        (2**63 - 1, "1e300"), (-(2**63), str(-(2**63) + 1)), (MAX_DOUBLE, "1e999"), (9, "10"),
        ("9", "a"), ("10", "9x"), ("A", "a"), ("", "a"), ("z", "é"), ("\uffff", "😀"),
        ("2026-01-31T13:00:00+02:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00.000001Z"),
        ("2026-01-31", "2026-02"),
    ],
)  # fmt: skip
def test_a_value_is_compared_as_what_the_text_is(smaller: Json, text: str) -> None:
    record = _value(smaller)
    assert {each: matches(Compare(V, each, text), record) for each in OPERATORS} == {
        "gt": False, "gte": False, "lt": True, "lte": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(1, "1.0"), (-0.0, "0"), ("a", "a"), ("2026-01-31T13:00:00+01:00", "2026-01-31T12:00:00Z")],
)
def test_equals_are_neither_less_nor_greater(value: Json, text: str) -> None:
    record = _value(value)
    assert {each: matches(Compare(V, each, text), record) for each in OPERATORS} == {
        "gt": False, "gte": True, "lt": False, "lte": True,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [("5", "1"), (5, "a"), (True, "0"), (None, "a"), (None, "0"), ("x", "2026-01-31T12:00:00Z"),
     (5, "2026-01-31T12:00:00Z"), ({"x": 1}, "0"), ([], "0"), ("2026-01-31T25:00:00Z", "1")],
)  # fmt: skip
def test_what_is_not_of_a_kind_is_not_compared(value: Json, text: str) -> None:
    record = _value(value)
    assert not any(matches(Compare(V, each, text), record) for each in OPERATORS)


# ---- joining ----------------------------------------------------------------------------------

YES, NO = Is("name", "User Logged In"), Is("name", "x")


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (EVERYTHING, True),
        (Not(EVERYTHING), False),
        (AllOf((YES, YES)), True),
        (AllOf((YES, NO)), False),
        (AnyOf((NO, YES)), True),
        (AnyOf((NO, NO)), False),
        (Not(NO), True),
        (Not(Not(YES)), True),
        (Not(Is("event_data.v", "2")), False),
        (Is("event_data.v", "1"), True),
        (Not(Is("event_data.missing", "x")), True),
    ],
)
def test_parts_are_joined_as_logic_has_it(where: Filter, *, found: bool) -> None:
    assert matches(where, _value([1, 2])) == found


def test_a_list_of_parts_has_one_spelling() -> None:
    assert all_of() == EVERYTHING
    assert all_of(YES) == any_of(YES) == YES
    assert all_of(YES, all_of(NO, YES), EVERYTHING) == AllOf((YES, NO, YES))
    assert any_of(YES, any_of(NO, YES)) == AnyOf((YES, NO, YES))
    assert all_of(any_of(YES, NO), YES) == AllOf((AnyOf((YES, NO)), YES))


@given(data=st.data())
def test_joined_filters_hold_as_their_parts_do(data: st.DataObject) -> None:
    record = _record(data.draw(drafts()))
    one, other = data.draw(filters([record])), data.draw(filters([record]))
    fields = record.fields()
    first, second = matches(one, fields), matches(other, fields)
    assert matches(all_of(one, other), fields) == (first and second)
    assert matches(any_of(one, other), fields) == (first or second)
    assert matches(Not(one), fields) == (not first)


@given(fields=tangled, data=st.data())
def test_a_filter_means_what_it_means_in_plain_words(
    fields: dict[str, Json], data: st.DataObject
) -> None:
    where = data.draw(filters_within([fields]))
    assert matches(where, fields) == naive.matches(where, fields)


@given(tangled, st.lists(tangled_keys, min_size=1, max_size=4).map(".".join))
@example({"a.b": 1}, "a")
@example({"a": {"": None}}, "a.")
@example({"a.": [{".": 1}]}, "a...")
def test_a_path_leads_to_what_has_it_in_plain_words(fields: dict[str, Json], path: str) -> None:
    assert matches(Exists(path), fields) == naive.matches(Exists(path), fields)
    found = [leaf for at, leaf in leaves(fields) if at == path]
    assert list(leaves_at(fields, path)) == found
    for where in (EVERYTHING, Words(("a",)), Exists("a"), Not(Exists(""))):
        asked = Element(path, where)
        assert matches(asked, fields) == naive.matches(asked, fields)
