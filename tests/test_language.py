"""The question language: what is written is what is meant, and reads back as it was printed."""

from __future__ import annotations

import json
import re
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.errors import InvalidInput
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
    words_of,
)
from auditlogservice.language import (
    MAX_NESTING,
    MAX_PATTERN,
    MAX_TEXT,
    MAX_WORDS,
    check_size,
    condition,
    nesting_of,
    parse_document,
    parse_text,
    to_document,
    to_text,
)
from auditlogservice.language.conditions import TIMES, like
from auditlogservice.times import format_utc
from strategies import NOON, OPERATORS, moments, texts

if TYPE_CHECKING:
    from auditlogservice.canonical import Json

GUIDE = (Path(__file__).parents[1] / "docs" / "queries.md").read_text()


def parse(text: str) -> Filter:
    return parse_text(text, now=NOON)


def flaw_of(text: str) -> str:
    with pytest.raises(InvalidInput) as caught:
        parse(text)
    (flaw,) = caught.value.flaws
    assert flaw.pointer == "q"
    return flaw.detail


def detail_of(text: str) -> str:
    """What is wrong with the text; empty if nothing is."""
    try:
        parse(text)
    except InvalidInput as error:
        return error.flaws[0].detail
    return ""


# ---- what is written is what is meant ---------------------------------------------------------

A, B, C = Words(("a",)), Words(("b",)), Words(("c",))
DAY = AllOf((
    Compare("timestamp", "gte", "2026-01-31T00:00:00.000000Z"),
    Compare("timestamp", "lte", "2026-01-31T23:59:59.999999Z"),
))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", EVERYTHING),
        (" \t\n\u3000", EVERYTHING),
        ("*", EVERYTHING),
        ("()", EVERYTHING),
        # words
        ("Timeout", Words(("timeout",))),
        ("time*", Words(("time",), open_end=True)),
        ('"Signed in"', Words(("signed", "in"))),
        ('"signed i"*', Words(("signed", "i"), open_end=True)),
        ('"signed in*"', Words(("signed", "in"))),
        (r"a\*", A),
        ("foo-bar", Words(("foo", "bar"))),
        ("foo-ba*", Words(("foo", "ba"), open_end=True)),
        ("what?", Words(("what",))),
        ("2026-01-31T10:00:00Z", Words(("2026", "01", "31t10", "00", "00z"))),
        ('"AND"', Words(("and",))),
        ("or and not", AllOf((Words(("or",)), Words(("and",)), Words(("not",))))),
        # values
        ("name:Alice", Is("name", "Alice")),
        ('name:"a b"', Is("name", "a b")),
        (r"name:a\ b", Is("name", "a b")),
        ('name:""', Is("name", "")),
        (r'name:"a \"b\" \\ c:\temp"', Is("name", r'a "b" \ c:\temp')),
        (r"name:CORP\alice", Is("name", r"CORP\alice")),
        (r"name:CORP\\alice", Is("name", r"CORP\alice")),
        ("name:a:b", Is("name", "a:b")),
        ("name:OR", Is("name", "OR")),
        ("name:-5", Is("name", "-5")),
        ('name:"a*"', Is("name", "a*")),
        (r"name:a\*", Is("name", "a*")),
        ('name:">5"', Is("name", ">5")),
        ('event_data."odd key":x', Is("event_data.odd key", "x")),
        ('"event_data.a:b":x', Is("event_data.a:b", "x")),
        (r"event_data.a\ \(b\)\:c:x", Is("event_data.a (b):c", "x")),
        # patterns
        ("name:*", Exists("name")),
        ("name:pre*", Like("name", "pre*")),
        ("name:*x?", Like("name", "*x?")),
        ("name:**", Like("name", "**")),
        (r"name:a\*b*", Like("name", r"a\*b*")),
        (r"name:CORP\\a*", Like("name", r"CORP\\a*")),
        ('name:"a b?"*', Like("name", r"a b\?*")),
        ("name:~=alice", Like("name", "alice")),
        ("name:~=*", Like("name", "*")),
        ("name:~refused", Contains("name", "refused")),
        ('name:~"a*"', Contains("name", "a*")),
        ("name:~a*", Contains("name", "a*")),
        # comparisons and ranges
        ("sequence:>10", Compare("sequence", "gt", "10")),
        ("sequence:>=10", Compare("sequence", "gte", "10")),
        ("sequence:<10", Compare("sequence", "lt", "10")),
        ("sequence:<=-1e3", Compare("sequence", "lte", "-1e3")),
        ('name:>""', Compare("name", "gt", "")),
        (
            "sequence:1..2",
            AllOf((Compare("sequence", "gte", "1"), Compare("sequence", "lte", "2"))),
        ),
        ("sequence:1..*", Compare("sequence", "gte", "1")),
        ("sequence:*..2", Compare("sequence", "lte", "2")),
        ('name:"a b".."c"', AllOf((Compare("name", "gte", "a b"), Compare("name", "lte", "c")))),
        ('name:"1..2"', Is("name", "1..2")),
        (r"name:1.\.2", Is("name", "1..2")),
        ("name:/a/../b", Is("name", "/a/../b")),
        ("name:..", Is("name", "..")),
        ("name:a...", Is("name", "a...")),
        ("name:*/../*", Like("name", "*/../*")),
        ("name:a*..b", Like("name", "a*..b")),
        # times
        ("timestamp:2026-01-31", DAY),
        ("created:2026-01-31", DAY),
        ("created:7d", Compare("timestamp", "gte", "2026-01-24T12:00:00.000001Z")),
        ("timestamp:>7d", Compare("timestamp", "gt", "2026-01-24T12:00:00.000001Z")),
        ("timestamp:>2026-01-31", Compare("timestamp", "gt", "2026-01-31T23:59:59.999999Z")),
        ("timestamp:>=2026-01-31", Compare("timestamp", "gte", "2026-01-31T00:00:00.000000Z")),
        ("timestamp:<2026-01-31", Compare("timestamp", "lt", "2026-01-31T00:00:00.000000Z")),
        ("occurred_at:<=2026-01-31", Compare("occurred_at", "lte", "2026-01-31T23:59:59.999999Z")),
        ('timestamp:>"2026-01-31"', Compare("timestamp", "gt", "2026-01-31T23:59:59.999999Z")),
        (
            "timestamp:>2026-01-31T13:00:00+01:00",
            Compare("timestamp", "gt", "2026-01-31T12:00:00.000000Z"),
        ),
        ("created:2026-01-31..2026-01-31", DAY),
        ("created:9999-12-31..*", Compare("timestamp", "gte", "9999-12-31T00:00:00.000000Z")),
        ("created:*..9999-12-31", Compare("timestamp", "lte", "9999-12-31T23:59:59.999999Z")),
        ('timestamp:"7d"', Is("timestamp", "7d")),
        ('timestamp:""', Is("timestamp", "")),
        ("timestamp:2026-01*", Like("timestamp", "2026-01*")),
        ("event_data.on:2026-01-31", Is("event_data.on", "2026-01-31")),
        ("targets:(timestamp:7d)", Element("targets", Is("timestamp", "7d"))),
        ("targets:(created:x)", Element("targets", Is("created", "x"))),
        # joining
        ("a b", AllOf((A, B))),
        ("a AND b", AllOf((A, B))),
        ("a OR b", AnyOf((A, B))),
        ("a OR b c", AnyOf((A, AllOf((B, C))))),
        ("(a OR b) c", AllOf((AnyOf((A, B)), C))),
        ("(a b) c", AllOf((A, B, C))),
        ("-a", Not(A)),
        ("NOT a", Not(A)),
        ("NOT NOT a", Not(Not(A))),
        ("--a", Not(Not(A))),
        ("-(a OR b)", Not(AnyOf((A, B)))),
        ("-a b", AllOf((Not(A), B))),
        ('-"a b"', Not(Words(("a", "b")))),
        ("-name:a", Not(Is("name", "a"))),
        ("NOT(a)", Not(A)),
        ("(a) OR (b)", AnyOf((A, B))),
        # groups
        ("name:(a OR b*)", AnyOf((Is("name", "a"), Like("name", "b*")))),
        (
            "name:(a OR (b -c))",
            AnyOf((Is("name", "a"), AllOf((Is("name", "b"), Not(Is("name", "c")))))),
        ),
        (
            "sequence:(>=1 <5)",
            AllOf((Compare("sequence", "gte", "1"), Compare("sequence", "lt", "5"))),
        ),
        (
            "sequence:(1..2 OR 5)",
            AnyOf(
                (
                    AllOf((Compare("sequence", "gte", "1"), Compare("sequence", "lte", "2"))),
                    Is("sequence", "5"),
                )
            ),
        ),
        ('sequence:("-5" OR 3)', AnyOf((Is("sequence", "-5"), Is("sequence", "3")))),
        ("created:(2026-01-31 OR 2026-01-31)", AnyOf((DAY, DAY))),
        (
            "timestamp:(>2026-01-31T10:00:00Z)",
            Compare("timestamp", "gt", "2026-01-31T10:00:00.000000Z"),
        ),
        ("name:(2026-01-31T10:00:00Z)", Is("name", "2026-01-31T10:00:00Z")),
        ('name:("a:b")', Is("name", "a:b")),
        ("name:(*)", Exists("name")),
        (
            "targets:(id:1 role:admin)",
            Element("targets", AllOf((Is("id", "1"), Is("role", "admin")))),
        ),
        ("targets:(id:1 a)", Element("targets", AllOf((Is("id", "1"), A)))),
        ("targets:(id:(1 OR 2))", Element("targets", AnyOf((Is("id", "1"), Is("id", "2"))))),
        ("targets:(() a)", Element("targets", A)),
        ("targets:()", Element("targets", EVERYTHING)),
        ("targets:(a.b:(c:1))", Element("targets", Element("a.b", Is("c", "1")))),
        ('targets:("":1)', Element("targets", Is("", "1"))),
    ],
    ids=repr,
)
def test_a_text_is_a_filter(text: str, where: Filter) -> None:
    assert parse(text) == where


@pytest.mark.parametrize(
    ("text", "flaw"),
    [
        ("name:", "column 6: expected a value after `name:`"),
        ("  name: x", "column 8: expected a value after `name:`"),
        ("name:>", "column 7: expected a value after `>`"),
        ("name:~= x", "column 8: expected a value after `~=`"),
        (":x", "column 1: expected the name of a field before `:`"),
        ("***", "column 1: expected `*` at the end of words only"),
        ("a !!", "column 3: expected a word, and there is no word in this"),
        ('""', "column 1: expected a word, and"),
        ("*foo", "column 1: expected `*` at the end of words only; `field:value` takes it"),
        ("fo*o", "column 3: expected `*` at the end of words only"),
        ("f?o", "column 2: expected `?` at the end of words only"),
        (
            "http://x",
            "column 1: expected a field before `:`, and `http` is no such field; ",
        ),
        ("a colour:x", "column 3: expected a field before `:`, and `colour` is no such field"),
        ("event_data.*:x", "column 1: expected one field: `event_data.*` cannot be a pattern"),
        ('a "b', 'column 3: expected another `"`'),
        ("a\\", "column 2: expected a character after the backslash"),
        ("(a", "column 3: expected `)` for the `(` in column 1, not the end"),
        ("name:(a", "column 8: expected `)` for the `(` in column 6, not the end"),
        ("a)", "column 2: expected the end, not `)`"),
        (")", "column 1: expected a word or a condition, not `)`"),
        ("OR a", "column 1: expected a word or a condition, not `OR`"),
        ("a OR", "column 5: expected a word or a condition, not the end"),
        ("a AND OR b", "column 7: expected a word or a condition, not `OR`"),
        ("NOT", "column 4: expected a word or a condition, not the end"),
        ("a - b", "column 4: expected a term right after `-`"),
        ("name:f(x)", "column 7: expected a blank; text that has parentheses in it"),
        ("(a)b", "column 4: expected a blank"),
        ("name:(a OR)", "column 11: expected a word or a condition, not `)`"),
        ("timestamp:yesterday", "column 11: expected an RFC 3339 date-time"),
        ("a created:>2026-02-30", "column 11: this date, time or offset does not exist"),
        ("occurred_at:2026-01-31..2026", "column 13: expected an RFC 3339 date-time"),
        ("timestamp:(7d OR x)", "column 18: expected an RFC 3339 date-time"),
        ("timestamp:>99999999d", "column 11: expected an RFC 3339"),
        ("timestamp:>999999d", "column 11: this is longer ago"),
    ],
    ids=repr,
)
def test_a_flaw_is_told_with_its_column_and_what_was_expected(text: str, flaw: str) -> None:
    assert flaw_of(text).startswith(flaw)


def test_an_unknown_field_is_told_with_the_known_ones() -> None:
    detail = flaw_of("nme:x")
    assert all(name in detail for name in TOP_LEVEL)


# ---- limits -----------------------------------------------------------------------------------


def test_a_text_has_a_limit() -> None:
    assert parse("a " * (MAX_TEXT // 2)) == AllOf((A,) * (MAX_TEXT // 2))
    assert flaw_of("a" * (MAX_TEXT + 1)).startswith("column 8193: expected the end")


def test_a_phrase_has_a_limit() -> None:
    longest = " ".join("a" * MAX_WORDS)
    assert parse(f'b "{longest}"') == all_of(Words(("b",)), Words(("a",) * MAX_WORDS))
    assert flaw_of(f'b "{longest} a"') == (
        "column 3: expected a word, and these are 101 words; a phrase may have 100"
    )


def test_a_pattern_has_a_limit() -> None:
    longest = "a" * (MAX_PATTERN - 1) + "*"
    assert parse(f"name:{longest}") == Like("name", longest)
    assert flaw_of(f"b name:a{longest}") == "column 8: a pattern may have 200 characters"


IS, LONGEST = Is("name", "x"), Like("id", "?" * MAX_PATTERN)
PHRASE = Words(("a",) * 49)


@pytest.mark.parametrize(
    "where",
    [
        all_of(*[IS] * 98, Words(("a", "b"))),
        all_of(PHRASE, Not(PHRASE), Element("actor", Words(("a", "b")))),
        any_of(*[LONGEST] * 4, Element("actor", LONGEST)),
    ],
)
def test_a_question_has_a_limit_for_all_that_it_asks(where: Filter) -> None:
    check_size(where)
    one_more = Element("actor", Not(Like("id", "?")))
    with pytest.raises(ValueError, match=r"may have (100 conditions|1,000 characters)"):
        check_size(all_of(where, one_more))


NESTS = [
    ("(b OR a ", ")"), ("-(b a ", ")"), ("targets:(id:1 -", ")"), ("name:(-", ")"), ("NOT ", ""),
]  # fmt: skip


@pytest.mark.parametrize(("opening", "closing"), [*NESTS, ("(", ")"), ("-", "")])
@pytest.mark.parametrize("depth", [MAX_NESTING * 2 + 2, 800])
def test_too_much_nesting_is_refused(opening: str, closing: str, depth: int) -> None:
    text = (opening * depth + "a" + closing * depth)[:MAX_TEXT]
    assert f"{MAX_NESTING} deep" in flaw_of(text)


@given(st.integers(0, MAX_NESTING), st.data())
def test_filters_within_the_limit_are_read_and_printed(depth: int, data: st.DataObject) -> None:
    where: Filter = A
    for _ in range(depth):
        where = data.draw(st.sampled_from([Not(where), all_of(B, where), any_of(B, where)]))
    where = where if data.draw(st.booleans()) else Element("targets", where)
    if nesting_of(where) <= MAX_NESTING:
        assert parse(to_text(where)) == where
        assert parse_document(to_document(where), now=NOON) == where


@pytest.mark.parametrize(
    "piece",
    [
        "(", ")", "-", "-(", 'a"', '"', "\\", "a:", "targets:(", "name:(", "NOT ", "a OR ", "..",
        "name:..", "name:a..b ", "name:*a?", "name:a..", "AND ", "()", " () ", "targets:(a ", "*",
        "name:(a ", "name:\\", "\x00", "\u0130", "\ufb03",
    ],
)  # fmt: skip
def test_hostile_texts_are_read_or_refused_at_once(piece: str) -> None:
    begin = time.process_time()
    for text in (piece * (MAX_TEXT // len(piece)), piece * 60 + "a" * 7_000):
        assert re.match(r"column \d+: \w|$", detail_of(text[:MAX_TEXT]))
    assert time.process_time() - begin < 2


PIECES = (*'ab*?\\":()-<>=~. ', "OR ", "name:", "targets:(", "..", "created:", "2026-01-31", "7d")


@given(st.lists(st.sampled_from(PIECES), max_size=20).map("".join) | st.text(max_size=30))
def test_any_text_is_a_filter_or_has_a_flaw(text: str) -> None:
    if detail := detail_of(text):
        assert 1 <= int(re.findall(r"\d+", detail)[0]) <= len(text) + 1
        return
    where = parse(text)
    printed = to_text(where)
    assert parse_text(printed, now=NOON + timedelta(days=1)) == where
    assert to_text(parse(printed)) == printed
    assert parse_document(to_document(where), now=NOON) == where


# ---- what is printed reads back ---------------------------------------------------------------

AWKWARD = (
    "", " ", "a b", "\n", "\u3000", "\xa0", "\x00", "\ufeff", "\u200b", "a\u0301", "ß", "İ", "ﬃ",
    "😀", '"', '""', "\\", "\\\\", '\\"', "a\\", "\\a", "C:\\temp\\", "CORP\\alice", ":", "a:b",
    "a:", ":a", "*", "**", "a*", "?", "a?", "\\*", "(", ")", "()", "(a)", "f(x)", "AND", "OR",
    "NOT", "and", "NOT a", "-", "-x", "--x", "-5", "1..2", "..", "a..", "..a", "a...b", "*..b",
    "a..*", ">5", ">=5", "<", "~", "~x", "~=x", "=x", "2026-01-31", "2026-01-31T10:00:00Z", "7d",
    "42", "42.0", "1e5", "null", "true", "a.b", "name", "timestamp", "created", "name:x", "'",
    "&|!", "#", "a,b", "$where", "@timestamp", "_", "٣", "x" * 90,
)  # fmt: skip
awkward = (
    st.sampled_from(AWKWARD) | st.lists(st.sampled_from(AWKWARD), max_size=3).map("".join) | texts
)
top_paths = st.sampled_from([*sorted(TOP_LEVEL), *sorted(TIMES)]) | st.builds(
    "{}.{}".format, st.sampled_from(sorted(TOP_LEVEL)), awkward
)
normal_patterns = st.lists(st.sampled_from(["*", "?", r"\*", r"\?", "\\\\"]) | awkward.map(
    lambda text: re.sub(r"[*?\\]", "", text)), max_size=4).map("".join).filter(
        lambda pattern: len(pattern) <= MAX_PATTERN)  # fmt: skip


@st.composite
def normal_words(draw: st.DrawFn) -> Words:
    words = words_of(" ".join(draw(st.lists(awkward, max_size=3)))) or ["or"]
    return Words(tuple(words), draw(st.booleans()))


@st.composite
def normal_leaves(draw: st.DrawFn, *, inside: bool) -> Filter:
    path = draw(awkward | st.sampled_from(sorted(TIMES)) if inside else top_paths)
    bounds = moments.map(format_utc) if path in TIMES and not inside else awkward
    return draw(
        st.builds(Is, st.just(path), awkward)
        | st.builds(Like, st.just(path), normal_patterns)
        | st.builds(Contains, st.just(path), awkward)
        | st.builds(Compare, st.just(path), st.sampled_from(OPERATORS), bounds)
        | st.just(Exists(path))
        | normal_words()
    )


@st.composite
def normal_filters(draw: st.DrawFn, depth: int = 3, *, inside: bool = False) -> Filter:
    """Any normal filter: what the parsers make, and `all_of` and `any_of`."""
    inner = normal_filters(depth - 1, inside=inside)
    match draw(st.sampled_from(["leaf", "leaf", *["all", "any", "not", "element"] * bool(depth)])):
        case "all":
            return all_of(*draw(st.lists(inner, max_size=3)))
        case "any":
            return any_of(draw(inner), *draw(st.lists(inner, min_size=1, max_size=2)))
        case "not":
            return Not(draw(inner))
        case "element":
            path = draw(awkward if inside else top_paths)
            return Element(path, draw(normal_filters(depth - 1, inside=True)))
        case _:
            return draw(normal_leaves(inside=inside))


@given(normal_filters())
def test_a_filter_printed_and_read_is_the_same_filter(where: Filter) -> None:
    text = to_text(where)
    assert parse_text(text, now=NOON) == where
    assert to_text(parse_text(text, now=NOON)) == text


@given(normal_filters())
def test_a_filter_as_a_document_and_back_is_the_same_filter(where: Filter) -> None:
    assert parse_document(to_document(where), now=NOON) == where


@given(normal_filters(), normal_filters())
def test_two_filters_have_two_texts(one: Filter, other: Filter) -> None:
    assert (one == other) == (to_text(one) == to_text(other))


@pytest.mark.parametrize(
    ("where", "text"),
    [
        (EVERYTHING, ""),
        (Not(EVERYTHING), "-()"),
        (AllOf((AnyOf((A, B)), C)), "(a OR b) c"),
        (AnyOf((AllOf((A, B)), C)), "a b OR c"),
        (Not(AllOf((A, B))), "-(a b)"),
        (Not(Not(A)), "-(-a)"),
        (Words(("a", "b"), open_end=True), '"a b"*'),
        (Is("name", "a*"), 'name:"a*"'),
        (Is("actor.id", "alice@example.org"), "actor.id:alice@example.org"),
        (Is("context.ip", "::1"), "context.ip:::1"),
        (Is("timestamp", "7d"), 'timestamp:"7d"'),
        (Is("event_data.odd key", "x"), '"event_data.odd key":x'),
        (Like("name", "a b*"), r"name:a\ b*"),
        (Like("name", "alice"), "name:~=alice"),
        (Element("targets", A), "targets:(() a)"),
        (Element("targets", Is("id", "1")), "targets:(id:1)"),
    ],
)
def test_a_filter_has_one_plain_spelling(where: Filter, text: str) -> None:
    assert to_text(where) == text
    assert parse(text) == where


# ---- conditions -------------------------------------------------------------------------------


def test_a_pattern_keeps_only_the_escapes_that_it_needs() -> None:
    assert like("a", r"\a\b\*\\c\?\d") == Like("a", r"ab\*\\c\?d")


@pytest.mark.parametrize(
    ("operator", "values", "why"),
    [
        ("regex", ["x"], "there is no operator regex; the operators are eq, ne"),
        ("exists", ["yes"], "exists is true or false"),
        ("exists", ["true", "false"], "exists is true or false"),
        ("like", ["a\\"], "backslash"),
        ("like", ["a" * (MAX_PATTERN + 1)], "a pattern may have 200 characters"),
    ],
)
def test_what_cannot_be_asked_is_refused(operator: str, values: list[str], why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        condition("name", operator, values, now=NOON)


def test_a_condition_may_have_alternatives() -> None:
    assert condition("name", "eq", ["a", "b"], now=NOON) == AnyOf(
        (Is("name", "a"), Is("name", "b"))
    )
    assert condition("name", "ne", ["a", "b"], now=NOON) == Not(
        AnyOf((Is("name", "a"), Is("name", "b")))
    )
    assert condition("timestamp", "lte", ["2026-01-31"], now=NOON) == DAY.parts[1]


# ---- documents --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("document", "where"),
    [
        ({"all": []}, EVERYTHING),
        ({"all": [{"words": "a"}, {"all": [{"words": "B!"}]}]}, AllOf((A, B))),
        ({"any": [{"words": "a"}]}, A),
        ({"not": {"words": "a b*"}}, Not(Words(("a", "b"), open_end=True))),
        ({"field": "name", "value": "x"}, Is("name", "x")),
        ({"field": "name", "op": "eq", "value": None}, Is("name", "null")),
        ({"field": "name", "op": "eq", "value": True}, Is("name", "true")),
        ({"field": "name", "op": "eq", "value": 42}, Is("name", "42")),
        ({"field": "name", "op": "eq", "value": 1.0}, Is("name", "1")),
        ({"field": "name", "op": "ne", "value": "x"}, Not(Is("name", "x"))),
        (
            {"field": "name", "op": "in", "value": ["x", 1]},
            AnyOf((Is("name", "x"), Is("name", "1"))),
        ),
        ({"field": "name", "op": "in", "value": ["a,b"]}, Is("name", "a,b")),
        ({"field": "name", "op": "like", "value": "x*"}, Like("name", "x*")),
        ({"field": "name", "op": "contains", "value": "x*"}, Contains("name", "x*")),
        ({"field": "sequence", "op": "gt", "value": 10}, Compare("sequence", "gt", "10")),
        (
            {"field": "timestamp", "op": "gte", "value": "7d"},
            Compare("timestamp", "gte", "2026-01-24T12:00:00.000001Z"),
        ),
        ({"field": "name", "op": "exists", "value": True}, Exists("name")),
        ({"field": "name", "op": "exists", "value": False}, Not(Exists("name"))),
        (
            {"element": {"path": "targets", "where": {"field": "id", "value": "1"}}},
            Element("targets", Is("id", "1")),
        ),
        ({"q": "a OR b"}, AnyOf((A, B))),
        ({"all": [{"q": "a OR b"}, {"q": ""}]}, AnyOf((A, B))),
    ],
    ids=repr,
)
def test_a_document_is_a_filter(document: Json, where: Filter) -> None:
    assert parse_document(document, now=NOON) == where


_DEEP: Any = {"words": "a"}
for _ in range(MAX_NESTING + 1):
    _DEEP = {"not": _DEEP}


@pytest.mark.parametrize(
    ("document", "flaws"),
    [
        (None, {"": "this must be a JSON object"}),
        ([], {"": "this must be a JSON object"}),
        ({}, {"": "this must have exactly one of the keys all, any"}),
        ({"all": [], "any": []}, {"": "this must have exactly one"}),
        ({"all": {}}, {"/all": "this must be a JSON array"}),
        ({"any": []}, {"/any": "this must have at least one filter"}),
        (
            {"all": [1, {"q": 2}]},
            {"/all/0": "this must be a JSON object", "/all/1/q": "this must be a text"},
        ),
        ({"not": {"words": "a", "x/y": 1}}, {"/not/x~1y": "there is no such key here"}),
        ({"words": "!"}, {"/words": "there is no word in this"}),
        ({"words": 1}, {"/words": "this must be a text"}),
        ({"field": 1, "value": 1}, {"/field": "this must be the name of a field"}),
        (
            {"field": "x", "value": {}},
            {
                "/field": "no such field; the fields are _id",
                "/value": "this must be a text, a number",
            },
        ),
        ({"field": "name"}, {"/value": "this is missing"}),
        (
            {"field": "name", "op": "$ne", "value": 1},
            {"/op": "no such operator; the operators are eq, ne"},
        ),
        ({"field": "name", "op": ["eq"], "value": 1}, {"/op": "no such operator"}),
        ({"field": "name", "op": None, "value": 1}, {"/op": "no such operator"}),
        ({"field": "name", "op": "in", "value": "x"}, {"/value": "this must be a JSON array"}),
        (
            {"field": "name", "op": "in", "value": []},
            {"/value": "this must be a JSON array of values, at least one"},
        ),
        (
            {"field": "name", "op": "in", "value": [1, [2]]},
            {"/value/1": "this must be a text, a number"},
        ),
        ({"field": "name", "op": "exists", "value": "yes"}, {"/value": "exists is true or false"}),
        (
            {"field": "name", "op": "like", "value": "\\"},
            {"/value": "a pattern cannot end in a backslash"},
        ),
        (
            {"field": "timestamp", "op": "gt", "value": 10},
            {"/value": "expected an RFC 3339 date-time"},
        ),
        ({"element": []}, {"/element": "this must be a JSON object with `path` and `where`"}),
        (
            {"element": {}},
            {
                "/element/path": "this must be the name",
                "/element/where": "this must be a JSON object",
            },
        ),
        (
            {"element": {"path": "x", "where": {"q": "a"}}},
            {"/element/path": "no such field", "/element/where/q": "`q` names whole paths"},
        ),
        ({"q": "a ("}, {"/q": "column 4: expected a word or a condition, not the end"}),
        (_DEEP, {"/not" * (MAX_NESTING + 1): "filters may be nested 32 deep"}),
        (
            {"all": [{"words": "a"}, {"q": "NOT " * MAX_NESTING + "a"}]},
            {"": "filters may be nested 32 deep"},
        ),
    ],
    ids=lambda value: repr(value)[:60],
)
def test_each_flaw_of_a_document_is_told_with_its_place(
    document: Json, flaws: dict[str, str]
) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_document(document, now=NOON)
    told = {flaw.pointer: flaw.detail for flaw in caught.value.flaws}
    assert told.keys() == flaws.keys()
    assert all(told[pointer].startswith(why) for pointer, why in flaws.items()), told


# ---- the guide --------------------------------------------------------------------------------


def examples() -> list[list[str]]:
    """The rows of the tables of the guide whose first column is `q`."""
    return re.findall(r"^\| `` ?(.+?) ?`` \| (.+?) \|$", GUIDE, re.MULTILINE)


def test_the_guide_has_examples() -> None:
    assert len(examples()) >= 25


@pytest.mark.parametrize("text", [row[0] for row in examples()], ids=repr)
def test_each_example_of_the_guide_is_a_question(text: str) -> None:
    where = parse(text)
    assert parse(to_text(where)) == where


def test_the_guide_names_each_operator() -> None:
    for name in ("ne", "gt", "gte", "lt", "lte", "like", "contains", "exists", "in"):
        assert f"`[{name}]`" in GUIDE


def test_the_documents_of_the_guide_are_questions() -> None:
    documents = re.findall(r"^```json\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)
    assert documents
    for document in documents:
        parse_document(json.loads(document), now=NOON)
