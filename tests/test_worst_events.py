"""The worst event that the limits admit takes a small multiple of its own memory to look at."""

from __future__ import annotations

import tracemalloc
from itertools import islice, product
from typing import TYPE_CHECKING

import pytest

from auditlogservice.canonical import MAX_DEPTH, MAX_KEY_BYTES, MAX_KEYS, dump
from auditlogservice.events import MAX_EVENT_BYTES, read_event
from auditlogservice.filters import Contains, Element, Exists, Is, Words, any_of, matches
from auditlogservice.terms import terms_of
from naive import leaves
from strategies import NOON, told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from auditlogservice.canonical import Json
    from auditlogservice.filters import Filter

_ROOM = MAX_EVENT_BYTES - 200  # for the values of one field
_STEPS = MAX_DEPTH - 4  # down to an array of objects


def _deep(key: str, inside: list[Json]) -> Json:
    value: Json = inside
    for _ in range(_STEPS):
        value = {key: value}
    return value


def _deep_key(letter: str) -> str:
    return letter * (MAX_KEY_BYTES // len(letter.encode()))


def _as_many(items: Iterable[Json], room: int) -> Iterator[Json]:
    for item in items:
        room -= len(dump(item)) + 1
        if room < 0:
            return
        yield item


def _objects(keys: Iterable[str], value: Json) -> Iterator[Json]:
    names = iter(keys)
    while some := list(islice(names, MAX_KEYS // 4)):
        yield dict.fromkeys(some, value)


def _below(letter: str, items: Iterable[Json]) -> Json:
    key = _deep_key(letter)
    return _deep(key, list(_as_many(items, _ROOM - _STEPS * (MAX_KEY_BYTES + 5))))


def _spelled(letters: Iterable[str], length: int) -> Iterator[str]:
    return map("".join, product(letters, repeat=length))


WORST: dict[str, Json] = {
    "one path, thousands of values": _below("k", ({"a": 0} for _ in range(MAX_EVENT_BYTES))),
    "the same beyond ASCII": _below("ΐ", ({"ΐ": 0} for _ in range(MAX_EVENT_BYTES))),
    "paths that differ by case": _below(
        "k", _objects(map("".join, product(*[("a", "A")] * 15)), 0)
    ),
    "paths without values": _below("k", _objects(_spelled("abcdefghijklmnopq", 4), {})),
    "many short paths": list(_as_many(_objects(_spelled("abcdefghijklmnopq", 4), 0), _ROOM)),
    "many values": list(_as_many([0] * MAX_EVENT_BYTES, _ROOM)),
    "many words": " ".join(_spelled("abcdefghijklmnopqrstuvwxyz", 4))[:_ROOM],
    "short words beyond ASCII": "Ā " * (_ROOM // 3),
}


_MOST = 20_000_000  # bytes beside the event


def _event(value: Json) -> dict[str, Json]:
    return read_event(told(event_data={"v": value}), now=NOON).told


def _peak(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", WORST.values(), ids=WORST)
def test_the_terms_of_the_worst_event_take_little_memory(value: Json) -> None:
    fields = _event(value)
    assert _peak(lambda: terms_of(fields)) < _MOST


@pytest.mark.parametrize("value", WORST.values(), ids=WORST)
def test_a_question_about_the_worst_event_takes_little_memory(value: Json) -> None:
    """It goes all the way down, and holds nowhere, so that all is looked at."""
    fields = _event(value)
    where = any_of(*_nowhere(fields))
    assert _peak(lambda: matches(where, fields)) < _MOST
    assert not matches(where, fields)


def _nowhere(fields: dict[str, Json]) -> Iterator[Filter]:
    below = (path for path, _ in leaves({"event_data": fields["event_data"]}))
    path = next(below, "event_data.v")
    yield Is(path, "nothing like it")
    yield Contains(path, "nothing like it")
    yield Exists(f"{path}.a")
    yield Words(("nothing", "like", "it"))
    yield Element(path.rpartition(".")[0], Words(("nothing", "like", "it")))
