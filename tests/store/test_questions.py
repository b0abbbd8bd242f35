"""Every store gives the answer that `matches()` gives, to any question about anything."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pytest
from asking import either, erase, keep, page, where
from corpus import asked_about, made_drafts
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from auditlogservice.filters import (
    EVERYTHING,
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
    matches,
    words_of,
)
from auditlogservice.store.mongodb import open_mongodb, paging, places
from auditlogservice.store.sqlite import open_sqlite, searching
from auditlogservice.terms import OVERFLOW
from auditlogservice.times import format_utc
from strategies import NOON, draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from corpus import Asked

    from auditlogservice.events import Record
    from auditlogservice.filters import Operator
    from auditlogservice.runtime.stores import Store

# ---- any question, all stores -------------------------------------------------------------

_LOGS = 6
_RECORDS = 240  # in each log
_QUESTIONS = 8  # in each example


@dataclass
class Logs:
    """The same logs in a store of each kind. What was erased matches nothing any more."""

    stores: list[Store]
    left: dict[str, list[Record]]

    @cached_property
    def questions(self) -> st.SearchStrategy[tuple[str, list[Asked]]]:
        """Some questions about one log, with the name of its tenant."""
        return st.one_of(
            [
                st.tuples(
                    st.just(tenant),
                    st.lists(asked_about(records), min_size=_QUESTIONS, max_size=_QUESTIONS),
                )
                for tenant, records in self.left.items()
            ]
        )


@pytest.fixture
async def logs(
    mongodb_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Logs]:
    # As if these logs were long: with the real sizes, each page would be found at one go.
    for name, size in {"_PROBED": 20, "_SAMPLE": 10, "_FEW": 5, "_WINDOW": 15}.items():
        monkeypatch.setattr(searching, name, size)
    for name, size in {
        "_WINDOW": 15,
        "_FEW": 5,
        "_TRIED": 5,
        "_MANY": 60,
        "_CHUNK": 7,
        "_LONGEST_CHUNK": 20,
        "_AT_ONCE": 3_000,
    }.items():
        monkeypatch.setattr(paging, name, size)
    for name, size in {"_BLOCK": 32, "_FEW": 3, "_ROOM": 4_000}.items():
        monkeypatch.setattr(places, name, size)
    stores: list[Store] = [
        await open_sqlite(":memory:"),
        await open_sqlite(str(tmp_path / "audit.db")),
        await open_mongodb(mongodb_url),
    ]
    left: dict[str, list[Record]] = {}
    for seed in range(_LOGS):
        drafts = made_drafts(seed, _RECORDS, tenant := f"log {seed}")
        for store in stores:
            records = await keep(store.events, *drafts)
            for record in records[::20]:
                await erase(store.events, record.id, tenant=tenant)
            graves = await page(store.events, tenant=tenant, beyond=len(records) - 1)
            left[tenant] = [record for record in records if record.sequence % 20] + graves
    yield Logs(stores, left)
    for store in stores:
        await store.close()


@pytest.mark.timeout(400)
@settings(max_examples=150, suppress_health_check=list(HealthCheck))
@given(data=st.data())
async def test_all_stores_and_matches_agree(logs: Logs, data: st.DataObject) -> None:
    tenant, questions = data.draw(logs.questions)
    for asked in questions:
        expected = _answer(asked, logs.left[tenant])
        for store in logs.stores:
            found = await page(
                store.events, asked.where, tenant=tenant,
                order=asked.order, beyond=asked.beyond, limit=asked.limit,
            )  # fmt: skip
            assert found == expected, store


def _answer(asked: Asked, records: list[Record]) -> list[Record]:
    """What the port promises, said as simply as can be."""
    found = [each for each in records if matches(asked.where, each.fields())]
    if asked.beyond is not None:
        found = [
            each
            for each in found
            if (each.sequence - asked.beyond) * (1 if asked.order == "oldest" else -1) > 0
        ]
    return found[:: 1 if asked.order == "oldest" else -1][: asked.limit]


# ---- one record, and what is true of it ---------------------------------------------------


async def _claim(
    store: Store, what: dict[str, Any], holds: list[Filter], fails: list[Filter]
) -> None:
    """Of three records, these questions find the one in the middle, and those do not."""
    _, record, _ = await keep(store.events, draft(told("other")), draft(what), draft(told("x")))
    for asked, expected in [(one, [record]) for one in holds] + [(one, []) for one in fails]:
        assert matches(asked, record.fields()) == bool(expected), asked
        found = await page(store.events, asked)
        assert [each for each in found if each == record] == expected, asked
        assert all(matches(asked, each.fields()) for each in found), asked


V = "event_data.v"
VALUES: dict[str, tuple[Any, list[Filter], list[Filter]]] = {
    "percent": ("50%_off", [Like(V, "50%*"), Contains(V, "%_"), Is(V, "50%_off")],
                [Like(V, "5%"), Like(V, "5_%*"), Contains(V, "0_o"), Is(V, "50%")]),
    "star": ("a*b", [Like(V, "a\\*b"), Like(V, "a*b"), Is(V, "a*b"), Like(V, "?\\*?")],
             [Like(V, "a\\?b"), Is(V, "a*"), Is(V, "*"), Like(V, "\\*")]),
    "no star": ("axb", [Like(V, "a*b"), Like(V, "a?b")], [Like(V, "a\\*b"), Is(V, "a*b")]),
    "backslash": ("a\\b", [Like(V, "a\\\\b"), Contains(V, "\\"), Is(V, "a\\b")],
                  [Like(V, "a\\b")]),
    "dollar": ("$where", [Is(V, "$where"), Like(V, "$*")], [Is(V, "$"), Like(V, "?$*")]),
    "injection": ("' OR 1=1 --", [Is(V, "' OR 1=1 --"), Contains(V, "1=1")],
                  [Is(V, '{"$gt": ""}'), Is(V, ".*"), Like(V, ".*")]),
    "quotes": ("say \"hi\" it's", [Is(V, "say \"hi\" it's"), Like(V, 'say "*'),
                                    Contains(V, "t's")],
               [Is(V, "say hi its"), Like(V, "say '*")]),
    "nul": ("nul\x00byte", [Is(V, "nul\x00byte"), Like(V, "nul\x00*"), Contains(V, "\x00")],
            [Is(V, "nul"), Is(V, "nul~byte"), Like(V, "nul b*"), Contains(V, "~")]),
    "dotted i": ("\u0130stanbul", [Like(V, "\u0130ST*"), Like(V, "i\u0307stan*"),
                                  Contains(V, "STAN"), Words(tuple(words_of("\u0130stanbul")))],
                 [Like(V, "istanbul"), Is(V, "i\u0307stanbul"), Contains(V, "ista")]),
    "sharp s": ("Stra\xdfe", [Like(V, "STRASSE"), Like(V, "strass*"), Contains(V, "ASSE"),
                             Words(("strasse",)), Is(V, "Stra\xdfe")],
                [Is(V, "STRASSE"), Is(V, "stra\xdfe"), Like(V, "stras")]),
    "accents": ("\xc9t\xe9", [Like(V, "\xe9T\xc9"), Words(("\xe9t\xe9",))],
                [Like(V, "ete"), Is(V, "\xe9t\xe9"), Like(V, "e\u0301t*")]),
    "emoji": ("go \U0001f600 now", [Like(V, "go ? now"), Like(V, "go \U0001f600*"),
                                   Contains(V, "\U0001f600"), Compare(V, "gt", "go \uffff")],
              [Like(V, "go ?? now"), Is(V, "go \U0001f601 now"), Compare(V, "lt", "go \uffff")]),
    "before surrogates": ("a\ud7ffz", [Like(V, "a\ud7ff*"), Like(V, "*z")], [Like(V, "a\ue000*")]),
    "after surrogates": ("a\ue000", [Like(V, "a\ue000*")], [Like(V, "a\ud7ff*")]),
    "last character": ("\U0010ffff" * 2, [Like(V, "\U0010ffff*"), Is(V, "\U0010ffff" * 2)],
                       [Is(V, "\U0010ffff"), Like(V, "\uffff*")]),
    "empty": ("", [Is(V, ""), Like(V, ""), Like(V, "*"), Contains(V, ""), Exists(V),
                   Compare(V, "lte", ""), Compare(V, "lt", "a")],
              [Is(V, "null"), Like(V, "?*"), Compare(V, "gt", "")]),
    "null": (None, [Is(V, "null"), Like(V, "nu*"), Not(Exists(V))],
             [Exists(V), Is(V, ""), Is(V, "None"), Compare(V, "lt", "z"), Words(("null",))]),
    "text null": ("null", [Is(V, "null"), Exists(V), Words(("null",))],
                  [Is(V, "NULL"), Is(V, "")]),
    "absent": ([], [Not(Exists(V)), Not(Is(V, "null"))], [Exists(V), Is(V, "null"), Like(V, "*")]),
    "true": (True, [Is(V, "true"), Like(V, "TR*"), Exists(V), Words(("true",))],
             [Is(V, "True"), Is(V, "1"), Compare(V, "gte", "0"), Compare(V, "gte", "a")]),
    "number": (42, [Is(V, "42"), Is(V, "42.0"), Is(V, "4.2e1"), Compare(V, "gt", "41.9"),
                    Compare(V, "lte", "42"), Like(V, "4*"), Words(("42",))],
               [Is(V, "042"), Is(V, " 42"), Compare(V, "gt", "42"), Compare(V, "gt", "abc"),
                Compare(V, "lt", "2026-01-31T12:00:00Z")]),
    "digits": ("42", [Is(V, "42"), Like(V, "4*"), Compare(V, "lt", "a")],
               [Is(V, "42.0"), Compare(V, "gt", "41"), Compare(V, "lt", "43")]),
    "2^53+1": (2**53 + 1, [Is(V, str(2**53 + 1)), Compare(V, "gt", str(2**53)),
                           Compare(V, "lt", str(2**53 + 2)), Compare(V, "gte", str(2**53 + 1))],
               [Is(V, str(2**53)), Is(V, "9007199254740993.0"), Compare(V, "lte", str(2**53)),
                Compare(V, "gt", str(2**53 + 1))]),
    "largest": (2**63 - 1, [Is(V, str(2**63 - 1)), Compare(V, "gt", str(2**63 - 2)),
                            Compare(V, "lt", "1e400"), Compare(V, "lt", "9223372036854775808")],
                [Is(V, str(2**63)), Is(V, "9.223372036854775807e18"), Compare(V, "gt", "1e400")]),
    "least": (-(2**63), [Is(V, str(-(2**63))), Is(V, "-9.223372036854775808e18"),
                         Compare(V, "lt", str(-(2**63) + 1)), Compare(V, "gt", "-1e400")],
              [Is(V, str(-(2**63) + 1)), Compare(V, "lt", str(-(2**63)))]),
    "minus zero": (-0.0, [Is(V, "0"), Is(V, "-0"), Is(V, "-0.0"), Is(V, "0e7"),
                          Compare(V, "gte", "0"), Compare(V, "lte", "-0")],
                   [Compare(V, "lt", "0"), Compare(V, "gt", "-0"), Is(V, "")]),
    "zero": (0, [Is(V, "-0.0"), Compare(V, "gte", "-0.0")], [Compare(V, "gt", "-0.0")]),
    "1e16": (1e16, [Is(V, "1e16"), Is(V, "1E+16"), Is(V, "10000000000000000"),
                    Compare(V, "gte", "1e16"), Compare(V, "lt", "10000000000000001")],
             [Is(V, "10000000000000001"), Compare(V, "gt", "1e16")]),
    "tiny": (5e-324, [Is(V, "5e-324"), Compare(V, "gt", "0")],
             [Is(V, "0"), Compare(V, "lte", "0")]),
    "several": ([1, "two", [3.5]], [Is(V, "1"), Is(V, "two"), Is(V, "3.5"), Compare(V, "gt", "3"),
                                    all_of(Is(V, "1"), Is(V, "two"))], [Is(V, "3"), Is(V, "[1]")]),
    "moment": ("2026-01-31T13:00:00.000001+01:00",
               [Compare(V, "gt", "2026-01-31T12:00:00Z"), Compare(V, "gt", "2026-01-31T12:00"),
                Compare(V, "lte", "2026-01-31T12:00:00.000001Z"), Like(V, "2026-01-31t13*")],
               [Compare(V, "gt", "2026-01-31T12:00:00.000001Z"), Compare(V, "gt", "2025"),
                Is(V, "2026-01-31T12:00:00.000001Z")]),
    "long": ("x" * 64 + "y", [Is(V, "x" * 64 + "y"), Like(V, "X" * 60 + "*"),
                              Like(V, "x" * 64 + "*"), Contains(V, "xy")],
             [Is(V, "x" * 64 + "z"), Is(V, "x" * 64), Like(V, "x" * 65 + "*")]),
}  # fmt: skip


@pytest.mark.parametrize("name", VALUES)
async def test_a_value_is_found_as_what_it_is(store: Store, name: str) -> None:
    value, holds, fails = VALUES[name]
    await _claim(store, told(event_data={"v": value}), holds, fails)


ROWS = {"rows": [{"a": 1, "b": "x"}, {"a": 2, "b": "y", "in": [{"c": 3}, {"d": 4}]}]}
A, B = "event_data.rows.a", "event_data.rows.b"
STRUCTURES: dict[str, tuple[dict[str, Any] | None, list[Filter], list[Filter]]] = {
    "one element": (
        ROWS,
        [Element("event_data.rows", all_of(Is("a", "1"), Is("b", "x"))),
         Element("event_data.rows", all_of(Compare("a", "gt", "1"), Like("b", "Y"))),
         Element("event_data.rows", all_of(Is("a", "1"), Not(Exists("in")))),
         Element("event_data.rows", Element("in", all_of(Is("c", "3"), Not(Exists("d"))))),
         Element("event_data", Is("rows.b", "y")),
         all_of(Is(A, "1"), Is(B, "y"))],
        [Element("event_data.rows", all_of(Is("a", "1"), Is("b", "y"))),
         Element("event_data.rows", Element("in", all_of(Is("c", "3"), Is("d", "4")))),
         Element("event_data.rows.a", Is("", "1")), Element("event_data.rows", Words(("z",)))],
    ),
    "dots in keys": (
        {"a.b": {"c": 1}, "a": {"b.d": 2}, "": {"": 3}},
        [Is("event_data.a.b.c", "1"), Is("event_data.a.b.d", "2"), Is("event_data..", "3"),
         Exists("event_data.a.b"), Exists("event_data.a"), Element("event_data.a.b", Is("c", "1")),
         Element("event_data.a", Is("b.d", "2"))],
        [Exists("event_data.b"), Exists("event_data.a.b.c.d"), Is("event_data.a.b", "1")],
    ),
    "keys": (
        {"$where": 1, "k\x00": 2, "\U0001f600": 3, "=": 4, "a=b": "c", "K": 5, "\u0130": 6},
        [Is("event_data.$where", "1"), Is("event_data.k\x00", "2"),
         Is("event_data.\U0001f600", "3"),
         Is("event_data.=", "4"), Is("event_data.a=b", "c"), Exists("event_data.K"),
         Is("event_data.\u0130", "6")],
        [Is("event_data.k", "2"), Is("event_data.k", "5"), Is("event_data.a", "b=c"),
         Exists("event_data.k"), Is("event_data.i\u0307", "6")],
    ),
    "long paths": (
        {"x" * 120: {"y" * 120: 7}, "x" * 119: "2026-01-31T12:00:00Z"},
        [Is(f"event_data.{'x' * 120}.{'y' * 120}", "7"), Exists(f"event_data.{'x' * 120}"),
         Compare(f"event_data.{'x' * 120}.{'y' * 120}", "gt", "6"),
         Compare(f"event_data.{'x' * 119}", "gte", "2026-01-31T12:00:00Z"),
         Like(f"event_data.{'x' * 119}", "2026*"), Exists(f"event_data.{'x' * 119}")],
        [Exists(f"event_data.{'x' * 118}"), Is(f"event_data.{'x' * 120}", "7")],
    ),
    "nothing": (
        None,
        [Is("event_data", "null"), Not(Exists("event_data")), Not(Exists("actor")), EVERYTHING],
        [Exists("event_data"), Is("actor", "null"), Exists("event_data.v"), Not(EVERYTHING)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STRUCTURES)
async def test_a_path_leads_to_what_stands_there(store: Store, name: str) -> None:
    data, holds, fails = STRUCTURES[name]
    await _claim(store, told(event_data=data), holds, fails)


async def test_words_are_found_in_any_text_and_phrases_within_one(store: Store) -> None:
    what = told("User", detail="Don't stop, ALICE_9!", event_data={"n": [42], "long": "w" * 90})
    await _claim(
        store, what,
        [Words(("stop", "alice_9")), Words(("t", "stop")), Words(("ali",), open_end=True),
         Words(("stop", "al"), open_end=True), Words(("42",)), Words(("alice",), open_end=True),
         Words(("w" * 90,)), Words(("w" * 70,), open_end=True), Words(("auth", "login"))],
        [Words(("stop", "don")), Words(("ali",)), Words(("user", "don")), Words(("ALICE_9",)),
         Words(("detail",)), Words(("w" * 89,)), Words(("w" * 91,), open_end=True),
         Words(("don t",)), Words(('"',)), Words(("a*",), open_end=True)],
    )  # fmt: skip


# ---- columns --------------------------------------------------------------------------------


async def test_times_are_exact_to_the_microsecond(store: Store) -> None:
    moments = [NOON, NOON + SECOND, NOON + SECOND, NOON + 2 * SECOND]
    await keep(store.events, *(draft(at=moment) for moment in moments))

    async def found(*asked: Filter) -> list[int]:
        return [record.sequence for record in await page(store.events, all_of(*asked))]

    assert await found(_at("gte", SECOND)) == [1, 2, 3]
    assert await found(_at("gt", SECOND)) == [3]
    assert await found(_at("gte", SECOND + MICRO)) == [3]
    assert await found(_at("gt", SECOND - MICRO)) == [1, 2, 3]
    assert await found(_at("lt", SECOND)) == [0]
    assert await found(_at("lte", SECOND)) == [0, 1, 2]
    assert await found(_at("lt", SECOND + MICRO)) == [0, 1, 2]
    assert await found(_at("gte", SECOND), _at("lt", 2 * SECOND)) == [1, 2]
    assert await found(_at("gte", 2 * SECOND), _at("lt", SECOND)) == []
    assert await found(_at("gte", 3 * SECOND)) == []
    assert await found(_at("lt", 0 * SECOND)) == []
    assert await found(Not(_at("lt", SECOND)), where(name="User Logged In")) == [1, 2, 3]
    assert await found(any_of(_at("lt", SECOND), _at("gt", SECOND))) == [0, 3]


async def test_columns_can_be_asked_for_like_any_field(store: Store) -> None:
    first, second = await keep(store.events, draft(told("a")), draft(told("b"), at=NOON + SECOND))
    for asked, expected in (
        (where(_id=second.id), [second]),
        (where(_id=second.id, name="b"), [second]),
        (where(_id=second.id, name="a"), []),
        (where(_id=second.id, sequence="0"), []),
        (where(_id=second.id.upper()), [] if second.id.upper() != second.id else [second]),
        (where(_id="nonsense"), []),
        (either("_id", second.id, first.id, "nonsense"), [first, second]),
        (all_of(either("_id", second.id, first.id), where(_id=first.id)), [first]),
        (Not(where(_id=first.id)), [second]),
        (Like("_id", f"{first.id[:20]}*"), [first]),
        (where(sequence="1"), [second]),
        (where(sequence="1.0"), [second]),
        (either("sequence", "0", "1", "x"), [first, second]),
        (all_of(either("sequence", "0", "1"), where(name="b")), [second]),
        (where(sequence="-1"), []),
        (where(sequence="0.5"), []),
        (where(sequence="9" * 30), []),
        (where(sequence="9" * 5_000), []),
        (where(sequence="1e400"), []),
        (where(sequence="1_0"), []),
        (Compare("sequence", "gt", "0.5"), [second]),
        (Compare("sequence", "gte", "1e0"), [second]),
        (Compare("sequence", "lt", "1e400"), [first, second]),
        (Compare("sequence", "lt", "-1e400"), []),
        (Compare("sequence", "gt", "-1"), [first, second]),
        (where(timestamp=format_utc(NOON + SECOND)), [second]),
        (where(timestamp="yesterday"), []),
        (where(timestamp="2026-01-31T12:00:00Z"), []),
        (Like("timestamp", "2026*"), [first, second]),
    ):
        assert await page(store.events, asked) == expected, asked
        newest = await page(store.events, asked, order="newest")
        assert newest == expected[::-1], asked


async def test_an_event_with_too_many_terms_for_the_index_is_found_by_each(store: Store) -> None:
    many = {f"k{number}": [number, -number - 1] for number in range(600)}
    large = draft(told(event_data=many))
    assert OVERFLOW in large.terms
    _, record, _ = await keep(store.events, draft(), large, draft())
    for number in (0, 1, 599):
        path = f"event_data.k{number}"
        for asked in (
            Is(path, str(number)),
            all_of(where(name="User Logged In"), Is(path, str(-number - 1))),
            all_of(Exists(path), Compare(path, "lt", str(-number)), Words(("auth",))),
            any_of(Like(path, f"{number}*"), where(name="none")),
        ):
            assert await page(store.events, asked) == [record], asked
    assert await page(store.events, where(event_data__k599="598")) == []


# ---- helpers of this page ---------------------------------------------------------------------

SECOND = timedelta(seconds=1)
MICRO = timedelta(microseconds=1)


def _at(side: Operator, after: timedelta) -> Filter:
    return Compare("timestamp", side, format_utc(NOON + after))
