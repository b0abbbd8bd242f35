"""A glance at the bytes of a record may let too much through, and never hides what matches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auditlogservice.events import EventId, Record, Sequence
from auditlogservice.filters import (
    EVERYTHING,
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
    spell,
    words_of,
)
from auditlogservice.glance import glance_for
from naive import leaves
from strategies import draft, drafts, filters, told

if TYPE_CHECKING:
    from auditlogservice.events import Draft


def _record(sent: Draft) -> Record:
    return Record(id=sent.id, sequence=Sequence(7), payload=sent.payload(sent.received_at))


@given(data=st.data())
def test_a_glance_never_hides_a_record_that_matches(data: st.DataObject) -> None:
    record = _record(data.draw(drafts()))
    for where in data.draw(st.lists(filters([record]), min_size=4, max_size=4)):
        assert glance_for(where)(record.payload) or not matches(where, record.fields())


@given(data=st.data())
def test_a_glance_lets_through_what_asks_for_a_part_of_a_text(data: st.DataObject) -> None:
    record = _record(data.draw(drafts()))
    path, leaf = data.draw(st.sampled_from(sorted(leaves(record.fields()), key=repr)))
    text = spell(leaf)
    start, end = sorted(data.draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    plain = "".join(f"\\{each}" if each in "*?\\" else each for each in text)
    asked: list[Filter] = [Contains(path, text[start:end]), Like(path, plain), Like(path, "*")]
    said = words_of(text)
    if said:
        asked += [Words(tuple(said)), Words((*said[:-1], said[-1][:1]), open_end=True)]
    for where in asked:
        assert glance_for(where)(record.payload) or not matches(where, record.fields()), where


TEXTS = (
    "stop here", "stop\nhere", "stop\u0001here", 'stop "here"', "stop\\ here", "stop\\nhere",
    "STOP - Here", "stop \u00df here", "a\u0130b", "stra\u00dfe", "\u212aelvin", "tab\there",
)  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_escapes_and_case_hide_nothing(text: str) -> None:
    record = _record(draft(told(event_data={"v": text})))
    for where in (
        Words(tuple(words_of(text))),
        Contains("event_data.v", text),
        Contains("event_data.v", text.upper()),
        Like("event_data.v", f"*{text[1:]}".replace("\\", "\\\\")),
    ):
        assert glance_for(where)(record.payload) or not matches(where, record.fields()), where


HERE = told(detail="one two", event_data={"n": 4.5, "tags": ["red", "blue"], "in": [{"a": "b"}]})
TURNED_AWAY: dict[str, Filter] = {
    "a text that is nowhere": Contains("detail", "needle"),
    "words in another order": Words(("two", "one")),
    "words of two texts": Words(("red", "blue")),
    "the start of a word": Words(("on",)),
    "another beginning": Like("detail", "ne*"),
    "another end": Like("detail", "*on"),
    "another middle": Like("detail", "*qx*"),
    "one of two": all_of(Contains("detail", "one"), Contains("detail", "three")),
    "none of two": any_of(Contains("detail", "three"), Words(("four",))),
    "in an element": Element("event_data.in", Contains("a", "qx")),
}


@pytest.mark.parametrize("name", TURNED_AWAY)
def test_a_glance_is_enough_to_say_no(name: str) -> None:
    assert not glance_for(TURNED_AWAY[name])(_record(draft(HERE)).payload)


UNTOLD: dict[str, Filter] = {
    "everything": EVERYTHING,
    "a value": Is("detail", "x"),
    "what is there": Exists("x"),
    "what is not so": Not(Contains("detail", "one")),
    "the place in the log, which is not in the payload": Contains("sequence", "7"),
    "the form of that": Like("sequence", "7*"),
    "one that tells and one that does not": any_of(Contains("detail", "x"), Exists("x")),
}


@pytest.mark.parametrize("name", UNTOLD)
def test_what_bytes_cannot_tell_is_let_through(name: str) -> None:
    assert glance_for(UNTOLD[name])(_record(draft(HERE)).payload)


def test_a_long_run_of_backslashes_takes_no_longer_than_its_length() -> None:
    """With two ways to read a backslash, this would not end before the sun does."""
    payload = _record(draft(told(detail="stop " + "\\" * 20_000 + "x"))).payload
    assert not glance_for(Words(("stop", "here")))(payload)


def test_bytes_that_are_no_text_are_no_record() -> None:
    damaged: Any = Record(id=EventId("0" * 24), sequence=Sequence(0), payload=b'{"a":"\xff"}')
    with pytest.raises(UnicodeDecodeError):
        glance_for(Contains("a", "b"))(damaged.payload)
