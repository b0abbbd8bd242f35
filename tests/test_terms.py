"""The index proposes: it may propose too much, and never hides a record that matches."""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, get_args

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import naive
from auditlogservice import terms
from auditlogservice.asked import (
    _SPAN_DEPTH,
    Asked,
    Both,
    Either,
    Span,
    Start,
    Term,
    conjuncts,
    starts_of,
)
from auditlogservice.bounds import Bounds, bounds_of, is_only_bounds
from auditlogservice.events import EventId, EventModel, Record, Sequence
from auditlogservice.filters import (
    EVERYTHING,
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
    as_moment,
    matches,
    spell,
    words_of,
)
from auditlogservice.terms import (
    MAX_TERMS,
    OUTCOMES,
    OVERFLOW,
    _word_term,
    asked_by,
    ruled_out_by,
    terms_of,
)
from auditlogservice.times import format_utc, to_micros
from naive import leaves
from strategies import (
    NOON,
    OPERATORS,
    drafts,
    filters,
    filters_within,
    moments,
    numbers,
    received,
    scalars,
    tangled,
    texts,
    told_events,
)

if TYPE_CHECKING:
    from auditlogservice.canonical import Json
    from auditlogservice.events import Draft


def satisfies(terms: set[str], asked: Asked) -> bool:
    """Whether a record with these terms is one that is asked for: a store in five lines."""
    match asked:
        case Term(text):
            return text in terms
        case Start(text):
            return any(term.startswith(text) for term in terms)
        case Span(low, high):
            return any(low <= term <= high and len(term) == len(low) for term in terms)
        case Both(parts):
            return all(satisfies(terms, part) for part in parts)
        case Either(parts):
            return any(satisfies(terms, part) for part in parts)


def is_proposed(fields: dict[str, Json], where: Filter) -> bool:
    asked = asked_by(where)
    return asked is None or satisfies(set(terms_of(fields)), asked)


def _record(sent: Draft, sequence: int = 7) -> Record:
    return Record(id=sent.id, sequence=Sequence(sequence), payload=sent.payload(sent.received_at))


# ---- the index is never wrong -----------------------------------------------------------------


@given(data=st.data())
def test_the_index_never_hides_a_record_that_matches(data: st.DataObject) -> None:
    """The terms are made of what was told, the answer of what was kept."""
    sent = data.draw(drafts())
    record = _record(sent)
    for where in data.draw(st.lists(filters([record]), min_size=4, max_size=4)):
        asked = asked_by(where)
        proposed = asked is None or satisfies(set(sent.terms), asked)
        assert proposed or not matches(where, record.fields())


@given(data=st.data())
def test_a_term_rules_out_no_record_that_matches(data: st.DataObject) -> None:
    sent = data.draw(drafts())
    record = _record(sent)
    said = [word for _, leaf in leaves(record.fields()) for word in words_of(spell(leaf))]
    hidden = st.lists(
        st.builds(Is, st.just("outcome"), st.sampled_from([*OUTCOMES, "Success"]))
        | st.builds(lambda word: Words((word,)), st.sampled_from([*said, "ab", "success"])),
        min_size=1,
        max_size=3,
    )
    negations = [Not(any_of(*data.draw(hidden))), *map(Not, data.draw(hidden))]
    where = all_of(*negations, *data.draw(st.lists(filters([record]), max_size=1)))
    if set(ruled_out_by(where)) & set(sent.terms):
        assert not matches(where, record.fields())


@pytest.mark.parametrize(
    ("where", "terms"),
    [
        (Not(Is("outcome", "success")), ("outcome=success",)),
        (Not(Words(("bob",))), ("~bob",)),
        (
            all_of(Is("name", "a"), Not(any_of(Words(("bob",)), Is("outcome", "failure")))),
            ("~bob", "outcome=failure"),
        ),
        # Of all others, what has the term may well match.
        (Not(Is("outcome", "Success")), ()),
        (Not(Is("source", "shop")), ()),
        (Not(Words(("signed", "in"))), ()),
        (Not(Words(("sign",), open_end=True)), ()),
        (Not(Words(("w" * 65,))), ()),
        (any_of(Not(Words(("bob",))), Words(("eve",))), ()),
        (Not(all_of(Words(("bob",)), Words(("eve",)))), ()),
        (Element("targets", Not(Words(("bob",)))), ()),
    ],
)
def test_what_rules_a_record_out_leaves_no_doubt(where: Filter, terms: tuple[str, ...]) -> None:
    assert ruled_out_by(where) == terms


def test_the_outcomes_are_those_that_an_event_may_have() -> None:
    assert set(get_args(get_args(EventModel.model_fields["outcome"].annotation)[0])) == OUTCOMES


@given(data=st.data())
def test_the_index_never_hides_an_event_whose_terms_do_not_all_fit(data: st.DataObject) -> None:
    event = data.draw(told_events)
    large: dict[str, Json] = {**event, "source": [f"{n}" for n in range(MAX_TERMS)]}
    where = data.draw(filters_within([large]))
    assert is_proposed(large, where) or not matches(where, large)


@pytest.mark.parametrize(
    ("where", "fields"),
    [
        (Is("a", "1"), {"a": 1.0}),
        (Is("a", "1.0"), {"a": 1}),
        (Is("a", "-0"), {"a": 0}),
        (Is("a", "0"), {"a": -0.0}),
        (Is("a", str(2**60)), {"a": 2.0**60}),
        (Is("a", "1e18"), {"a": 10**18}),
        (Is("a", "1" + "0" * 21), {"a": 1e21}),
        (Is("a", "x" * 500), {"a": "x" * 500}),
        (Is("a" * 300, "x"), {"a" * 300: "x"}),
        (Is("İ", "ß"), {"İ": "ß"}),
        (Like("a", "SS*"), {"a": "ßx"}),
        (Like("a", "x" * 60 + "*"), {"a": "x" * 500}),
        (Like("a", "x" * 49 + "?*"), {"a": "x" * 500}),
        (Like("a", "x" * 500), {"a": "X" * 500}),
        (Like("a", "\\*?"), {"a": "*1"}),
        (Like("a", "1*"), {"a": 1.5}),
        (Like("a", ""), {"a": ""}),
        (Contains("a", ""), {"a": ""}),
        (Exists("a"), {"a": {"b": 1}}),
        (Exists("a"), {"a": ""}),
        (Exists("a" * 300), {"a" * 300: 1}),
        (Exists("a" * 300), {"a" * 300: {"b": 1}}),
        (Exists("a" * 80), {"a" * 80: {"b" * 80: 1}}),
        (Exists("a" * 79), {"a" * 79: {"b" * 80: 1}}),
        (Exists("a" * 90), {"a" * 90: {"b": 1}}),
        (Exists("a" * 90), {"a" * 90: {"b" * 80: 1}}),
        (Exists("a" * 96), {"a" * 96: {"b": 1}}),
        (Words(("w" * 100,)), {"a": "W" * 100}),
        (Words(("w" * 60,), open_end=True), {"a": "w" * 100}),
        (Words(("a", "b"), open_end=True), {"a": "a-bc"}),
        (Words(("1", "5")), {"a": 1.5}),
        (Compare("a", "gt", "-1e999"), {"a": -1.7e308}),
        (Compare("a", "lt", "1e999"), {"a": 1.7e308}),
        (Compare("a", "gt", str(2**53)), {"a": 2**53 + 1}),
        (Compare("a", "lt", str(2**53 + 1)), {"a": 2**53}),
        (Compare("a", "gte", str(2**63 - 1)), {"a": 2**63 - 1}),
        (Compare("a", "lte", str(-(2**63))), {"a": -(2**63)}),
        (Compare("a", "gte", "0"), {"a": -0.0}),
        (Compare("a", "lte", "-0.0"), {"a": 0}),
        (Compare("a", "gt", "-5e-324"), {"a": 0}),
        (Compare("a", "gt", "x"), {"a": "y"}),
        (Compare("a", "gt", ""), {"a": "y" * 100}),
        (Compare("a", "lt", "2026-01-31T12:00:00Z"), {"a": "0001-01-01T00:00:00Z"}),
        (Compare("a", "gt", "2026-01-31T12:00:00Z"), {"a": "9999-12-31T23:59:60Z"}),
        (Compare("a", "gte", "2026-01-31T12:00:00Z"), {"a": "2026-01-31T13:00:00+01:00"}),
        (Element("a", Is("b", "1")), {"a": [{"b": 1}]}),
        (Element("a", Element("b", Exists("c"))), {"a": {"b": {"c": 1}}}),
        (Element("a", Words(("x",))), {"a": {"b": "x"}}),
        (Element("timestamp", Words(("x",))), {"timestamp": {"b": "x"}}),
        (Element("", Is("a", "x")), {"": {"a": "x"}}),
        (Exists("timestamp"), {"timestamp": "x"}),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_what_matches_is_proposed(where: Filter, fields: dict[str, Json]) -> None:
    assert matches(where, fields)
    assert is_proposed(fields, where)


@pytest.mark.parametrize(
    "where",
    [
        Is("a", "y"), Is("b", "x"), Is("a", "1"), Like("a", "y*"), Like("a", "y"), Exists("b"),
        Contains("b", "x"), Words(("y",)), Words(("y",), open_end=True), Compare("a", "gt", "7"),
        Compare("n", "gt", "8"), Compare("n", "lt", "6"), Compare("b", "gt", "x"),
        Compare("a", "gt", "2026-01-31T12:00:00Z"), Element("a", Is("b", "x")),
        all_of(Is("a", "x"), Is("n", "8")), AnyOf((Is("a", "y"), Is("n", "8"))),
    ],
    ids=repr,
)  # fmt: skip
def test_the_index_tells_records_apart(where: Filter) -> None:
    fields: dict[str, Json] = {"a": "x", "n": 7}
    assert not is_proposed(fields, where)
    assert not matches(where, fields)


@pytest.mark.parametrize(
    "where",
    [
        EVERYTHING,
        Not(Is("a", "x")),
        Is("sequence", "1"),
        Is("timestamp", "x"),
        Like("_id", "x*"),
        AnyOf((Is("a", "x"), Not(Is("a", "y")))),
        AllOf((Not(Is("a", "x")), Is("_id", "x"))),
    ],
)
def test_what_no_index_tells_is_said(where: Filter) -> None:
    assert asked_by(where) is None


@pytest.mark.parametrize("path", ["_id", "sequence", "timestamp"])
def test_columns_are_not_in_the_index(path: str) -> None:
    assert terms_of({path: "x"}) == ()


# ---- the terms --------------------------------------------------------------------------------


@given(drafts())
def test_terms_of_what_was_told_are_the_terms_of_what_was_kept(sent: Draft) -> None:
    """So that the terms can be made again when they are to be taken out of an index."""
    assert set(terms_of(_record(sent).fields())) == set(sent.terms)


def test_a_value_that_stands_often_has_its_terms_once() -> None:
    assert terms_of({"a": ["x", "X", ["x"]]}) == ("a=x", "~x")
    assert len(terms_of({"a": [1, 1.0, "1"]})) == len(set(terms_of({"a": [1, 1.0, "1"]}))) == 3


def test_long_values_paths_and_words_stay_short_and_apart() -> None:
    long = "x" * 500
    terms = terms_of({"a": [long + "1", long + "2"], long: 1, long + "1": 1})
    assert len(terms) == 2 + 2 + 2 * 2 + 1
    assert max(map(len, terms)) < 200


@given(texts, texts)
def test_the_terms_of_two_long_texts_are_two(one: str, other: str) -> None:
    left, right = "x" * 64 + one, "x" * 64 + other
    same = terms_of({"a": left})[0] == terms_of({"a": right})[0]
    assert same == (left.casefold() == right.casefold())


def test_an_event_with_as_many_terms_as_fit_is_indexed_whole() -> None:
    terms = terms_of({"a": [f"_{n}" for n in range(MAX_TERMS // 2)]})
    assert len(terms) == MAX_TERMS
    assert OVERFLOW not in terms


def test_an_event_with_more_terms_is_proposed_for_every_question() -> None:
    fields: dict[str, Json] = {"a": list(range(MAX_TERMS))}
    assert terms_of(fields) == (OVERFLOW,)
    assert all(is_proposed(fields, Is("a", str(n))) for n in range(0, MAX_TERMS, 50))
    assert is_proposed(fields, all_of(Is("b", "x"), Words(("y",))))


def test_an_event_with_more_terms_is_still_told_apart_by_its_plain_fields() -> None:
    fields: dict[str, Json] = {"name": "A", "actor": {"id": "x"}, "a": list(range(MAX_TERMS))}
    assert set(terms_of(fields)) == {"name=a", "actor.id=x", OVERFLOW}
    assert is_proposed(fields, all_of(Is("name", "A"), Is("a", "17")))
    assert not is_proposed(fields, all_of(Is("name", "B"), Is("a", "17")))


def test_two_bounds_of_one_field_ask_for_what_lies_between() -> None:
    between = all_of(Compare("event_data.n", "gt", "10"), Compare("event_data.n", "lte", "20"))
    proposed = {n for n in range(0, 40, 5) if is_proposed({"event_data": {"n": n}}, between)}
    assert proposed == {10, 15, 20}  # 10 itself is proposed, and refused by matches()
    # Each bound may hold for another of several values.
    assert matches(between, {"event_data": {"n": [5, 30]}})
    assert is_proposed({"event_data": {"n": [5, 30]}}, between)
    nothing = all_of(Compare("event_data.n", "gt", "20"), Compare("event_data.n", "lt", "10"))
    assert not is_proposed({"event_data": {"n": 15}}, nothing)
    assert is_proposed({"event_data": {"n": [5, 30]}}, nothing)


def test_the_terms_that_fit_do_not_depend_on_the_order_of_the_fields() -> None:
    fields: dict[str, Json] = {f"k{number}": number for number in range(MAX_TERMS)}
    assert set(terms_of(fields)) == set(terms_of(dict(reversed(fields.items()))))


@given(st.dictionaries(texts, texts, max_size=3))
def test_no_value_of_a_caller_is_the_mark_of_overflow(fields: dict[str, Json]) -> None:
    assert OVERFLOW not in terms_of(fields)


# ---- order ------------------------------------------------------------------------------------


def _ordered(value: Json, mark: str) -> str:
    (term,) = [term for term in terms_of({"a": value}) if term.startswith(f"a{mark}")]
    return term


@given(numbers, numbers)
@example(-0.0, 0)
@example(-1, -2)
@example(2**63 - 1, 2**63 - 2)
@example(-(2**63), -(2**63) + 1)
@example(5e-324, -5e-324)
@example(1.7976931348623157e308, 2**63 - 1)
def test_terms_of_numbers_are_ordered_as_the_numbers(one: float, other: float) -> None:
    left, right = _ordered(one, "#"), _ordered(other, "#")
    assert len(left) == len(right)
    assert (left < right) == (float(one) < float(other))
    assert (left == right) == (float(one) == float(other))


ENDS = st.sampled_from(["0001-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z",
                        "1970-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"])  # fmt: skip


@given(*[ENDS | moments.map(format_utc)] * 2)
def test_terms_of_moments_are_ordered_as_the_moments(one: str, other: str) -> None:
    left, right = _ordered(one, "@"), _ordered(other, "@")
    assert len(left) == len(right)
    assert (left < right) == (one < other)
    assert (left == right) == (one == other)


def test_a_moment_has_one_place_in_every_zone() -> None:
    assert _ordered("2026-01-31T13:00:00+01:00", "@") == _ordered("2026-01-31T12:00:00Z", "@")


hexadecimal = st.integers(0, 2**64 - 1) | st.integers(0, 300) | st.integers(2**64 - 300, 2**64 - 1)


@given(hexadecimal, hexadecimal, hexadecimal)
@example(0, 2**64 - 1, 5)
@example(1, 2**64 - 2, 1)
@example(7, 7, 7)
def test_starts_cover_a_span_and_little_more(one: int, other: int, between: int) -> None:
    low, high = sorted((one, other))
    span = Span(f"a#{low:016x}", f"a#{high:016x}")
    starts = starts_of(span)
    assert len(starts) <= 14 + 2 * 15 * (_SPAN_DEPTH - 1)
    assert len(set(starts)) == len(starts)
    for number in (low, high, min(max(between, low), high)):
        assert any(f"a#{number:016x}".startswith(start) for start in starts)
    assert all(start.startswith("a#") for start in starts)
    # What is taken in beyond the ends is less than one step of the last digit looked at.
    spare = 16 ** max(0, 16 - _shared(span) - _SPAN_DEPTH)
    for number in (low - spare, high + spare):
        if 0 <= number < 2**64:
            assert not any(f"a#{number:016x}".startswith(start) for start in starts)


def _shared(span: Span) -> int:
    digits = zip(span.low[2:], span.high[2:], strict=True)
    return next((at for at, (low, high) in enumerate(digits) if low != high), 16)


@given(st.sampled_from(OPERATORS), numbers, numbers)
def test_starts_find_what_a_comparison_finds(operator: str, bound: float, value: float) -> None:
    where = Compare("a", operator, spell(bound))  # type: ignore[arg-type] # one of OPERATORS
    asked = asked_by(where)
    assert isinstance(asked, Either)
    (span,) = [part for part in asked.parts if isinstance(part, Span)]
    if matches(where, {"a": value}):
        assert satisfies(set(terms_of({"a": value})), Either(tuple(map(Start, starts_of(span)))))


# ---- bounds -----------------------------------------------------------------------------------


def is_within(record: Record, bounds: Bounds) -> bool:
    moment = as_moment(str(record.fields()["timestamp"]))
    assert moment is not None
    return (
        (bounds.since is None or to_micros(moment) >= bounds.since)
        and (bounds.until is None or to_micros(moment) <= bounds.until)
        and (bounds.first is None or record.sequence >= bounds.first)
        and (bounds.last is None or record.sequence <= bounds.last)
        and (bounds.ids is None or record.id in bounds.ids)
    )


ON_COLUMNS = (
    st.builds(
        Compare,
        st.just("sequence"),
        st.sampled_from(OPERATORS),
        st.integers(-2, 4).map(str)
        | st.sampled_from(["0.5", "-0", "1e0", "1e999", "-1e999", "9" * 30, "x"]),
    )
    | st.builds(Is, st.just("sequence"), st.sampled_from(["0", "1", "1.0", "1.5", "x", "-1"]))
    | received()
    | st.builds(Is, st.just("timestamp"), moments.map(format_utc))
)


@given(data=st.data())
def test_everything_that_matches_lies_within_the_bounds(data: st.DataObject) -> None:
    sent = data.draw(st.lists(drafts(), min_size=1, max_size=3))
    records = [_record(one, at) for at, one in enumerate(sent)]
    ids = st.sampled_from([*(record.id for record in records), "x"]).flatmap(
        lambda text: st.sampled_from([Is("_id", text), Is("_id", text.upper())])
    )
    parts = data.draw(st.lists(ON_COLUMNS | ids | filters(records), max_size=3))
    where = all_of(*parts)
    bounds = bounds_of(where)
    for record in records:
        assert is_within(record, bounds) or not matches(where, record.fields())


@given(data=st.data())
def test_where_only_bounds_are_asked_for_they_are_exact(data: st.DataObject) -> None:
    record = _record(data.draw(drafts()), data.draw(st.integers(0, 2)))
    where = all_of(*data.draw(st.lists(received() | ON_COLUMNS, max_size=3)))
    if is_only_bounds(where):
        assert is_within(record, bounds_of(where)) == matches(where, record.fields())


def test_bounds_of_places_are_known_to_be_exact() -> None:
    """Following a log asks for the places before its end: no record need be read for that."""
    assert is_only_bounds(Compare("sequence", "lt", "7"))
    assert bounds_of(Compare("sequence", "lt", "7")).last == 6
    assert not is_only_bounds(Compare("sequence", "lt", "x"))


def test_bounds_of_times_are_known_to_be_exact() -> None:
    times = [Compare("timestamp", each, format_utc(NOON)) for each in OPERATORS]
    assert is_only_bounds(EVERYTHING)
    assert is_only_bounds(all_of(*times))
    assert not is_only_bounds(all_of(*times, Is("name", "x")))
    assert not is_only_bounds(Compare("timestamp", "gt", "x"))
    assert not is_only_bounds(AnyOf((times[0], times[1])))


def test_ids_are_looked_up() -> None:
    one, other = EventId("a" * 24), EventId("b" * 24)
    assert bounds_of(Is("_id", one)).ids == frozenset({one})
    assert bounds_of(AnyOf((Is("_id", one), Is("_id", other)))).ids == frozenset({one, other})
    assert bounds_of(all_of(Is("_id", one), Is("_id", other))).ids == frozenset()
    assert bounds_of(AnyOf((Is("_id", one), Is("name", "x")))).ids is None


@given(numbers)
def test_a_number_as_a_term_is_the_double_that_it_is(number: float) -> None:
    (bits,) = struct.unpack(">Q", bytes.fromhex(_ordered(number, "#").removeprefix("a#")))
    flipped = bits ^ (1 << 63 if bits >> 63 else 0xFFFF_FFFF_FFFF_FFFF)
    (back,) = struct.unpack(">d", struct.pack(">Q", flipped))
    assert math.isclose(back, float(number), rel_tol=0, abs_tol=0)


def test_every_leaf_but_those_of_columns_has_a_term() -> None:
    fields: dict[str, Json] = {"_id": "x", "sequence": 1, "timestamp": "t", "a": {"b": [None, ""]}}
    assert [path for path, _ in leaves(fields)] == ["_id", "sequence", "timestamp", "a.b", "a.b"]
    assert terms_of(fields) == ("a.b=null", "a.b=")


# ---- as one would write it down at first -------------------------------------------------------


@given(tangled, st.sampled_from([0, 1, 3, MAX_TERMS]))
@example({"timestamp": ["t", {"a": 1}], "a": [{"A": 1}, {"a": 2}]}, MAX_TERMS)
@example({"actor.id": "x", "actor": {"id": "y", "ID": "z"}}, 1)
def test_a_record_has_the_terms_that_it_has_in_plain_words(
    fields: dict[str, Json], most: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(terms, "MAX_TERMS", most)
        patched.setattr(naive, "MAX_TERMS", most)
        found = terms_of(fields)
        assert len(found) == len(set(found))
        assert set(found) == naive.terms_of(fields)


_long = st.sampled_from(["k" * 60, "K" * 60, "ß" * 33, "ss" * 33, "a", "A"])
_long_paths: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, min_size=1, max_size=3)
        | st.dictionaries(_long, inner, min_size=1, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(_long, _long_paths, max_size=3))
@example({"k" * 60: [{"k" * 60: 1}, {"K" * 60: 1.0}], "K" * 60: {"k" * 60: "2"}})
def test_long_paths_have_the_terms_that_they_have_in_plain_words(fields: dict[str, Json]) -> None:
    assert set(terms_of(fields)) == naive.terms_of(fields)


_say = st.text("aB1_ -.\n\x00\x1f\x7f", max_size=20) | st.sampled_from(
    ["w" * 64, "W" * 65, "ß" * 33]
)


@given(st.lists(_say | texts, max_size=4))
@example(["a" * 65, "A" * 65])
@example(["e", "\u0301"])
def test_a_record_has_the_words_of_each_of_its_texts(said: list[str]) -> None:
    """Whatever their alphabet: those of ASCII are found in a way of their own."""
    found = [term for term in terms_of({"a": [*said]}) if term.startswith("~")]
    assert sorted(found) == sorted({_word_term(word) for one in said for word in words_of(one)})


@given(data=st.data())
def test_what_is_asked_for_part_by_part_is_what_was_asked_for(data: st.DataObject) -> None:
    some = data.draw(st.lists(told_events, min_size=1, max_size=3))
    asked = asked_by(data.draw(filters_within(some)))
    if asked is None:
        return
    parts = conjuncts(asked)
    for fields in some:
        has = set(terms_of(fields))
        assert all(satisfies(has, part) for part in parts) == satisfies(has, asked)
