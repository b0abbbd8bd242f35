"""SQLite's index of terms forgets a record wholly, and stays sound."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from asking import erase, keep, page, where

from auditlogservice.filters import matches
from auditlogservice.governance import is_tombstone
from auditlogservice.store.sqlite import forgetting, open_sqlite
from auditlogservice.store.sqlite.searching import word
from auditlogservice.terms import MAX_TERMS, terms_of
from strategies import draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    import apsw

    from auditlogservice.events import Draft, Record
    from auditlogservice.store.sqlite import SqliteStore


@pytest.fixture
async def store() -> AsyncIterator[SqliteStore]:
    store = await open_sqlite(":memory:")
    yield store
    await store.close()


def _connection(store: SqliteStore) -> apsw.Connection:
    connection = store.events._database._write_connection
    assert connection
    return connection


def _words(store: SqliteStore) -> set[str]:
    """All words of the index, whose parts fit together."""
    connection = _connection(store)
    connection.execute("CREATE VIRTUAL TABLE temp.words USING fts5vocab(main, terms, row)")
    found = {str(row[0]) for row in connection.execute("SELECT term FROM temp.words")}
    connection.execute("DROP TABLE temp.words")
    connection.execute("INSERT INTO terms (terms) VALUES ('integrity-check')")
    return found


def _words_of(record: Record, tenant: int = 1) -> set[str]:
    return {word(tenant, term) for term in terms_of(record.fields())}


async def _erase(store: SqliteStore, records: Iterable[Record], tenant: str = "acme") -> None:
    for record in records:
        await erase(store.events, record.id, tenant=tenant)


def _draft(chance: random.Random, tenant: str = "acme", words: int = 3, kind: str = "x") -> Draft:
    """A draft with a key, a name and words that no other has."""
    key, name, *others = (chance.randbytes(10).hex() for _ in range(2 + words))
    data = {key: 1, "words": " ".join(others), "kind": kind}
    return draft(told(name, event_data=data), tenant=tenant)


def _separators(store: SqliteStore) -> list[str]:
    """What FTS5 keeps of the words between two leaves."""
    rows = _connection(store).execute("SELECT term FROM terms_idx WHERE term > x''")
    return [bytes(term)[1:].decode() for (term,) in rows]


def _orphans(store: SqliteStore) -> list[str]:
    """Separators that no word begins with."""
    words = sorted(_words(store))
    return [one for one in _separators(store) if not any(w.startswith(one) for w in words)]


def _used_up_leaves(store: SqliteStore) -> bytes:
    """The leaves of the segments that a merge has read to their end."""
    rows = [
        row
        for segment in forgetting._used_up(_connection(store))
        for row in _connection(store).execute(
            "SELECT block FROM terms_data WHERE id >> 37 = ?", (segment,)
        )
    ]
    return b"".join(block for (block,) in rows)


def _merge(store: SqliteStore, leaves: int) -> None:
    """Let FTS5 go on with a merge for so many leaves; a negative number begins one if it can."""
    _connection(store).execute("INSERT INTO terms (terms, rank) VALUES ('merge', ?)", (leaves,))


def _is_stored(store: SqliteStore, text: str) -> bool:
    """Whether FTS5 has this text anywhere: not shortened to what differs from the word before."""
    rows = _connection(store).execute(
        "SELECT block FROM terms_data UNION ALL SELECT term FROM terms_idx"
    )
    return any(text.encode() in block for (block,) in rows)


async def test_erasing_leaves_the_terms_of_every_other_record(store: SqliteStore) -> None:
    kept = await keep(store.events, *(draft(told("same", source=str(n))) for n in range(30)))
    for number in range(0, 30, 2):
        await erase(store.events, kept[number].id)
    assert await page(store.events, where(name="same")) == kept[1::2]
    for number in range(30):
        found = await page(store.events, where(source=str(number)))
        assert found == ([kept[number]] if number % 2 else [])
    left = await page(store.events)
    assert [one for one in left if one in kept] == kept[1::2]
    assert _words(store) == {term for one in left for term in _words_of(one)}


@pytest.mark.parametrize(
    "data",
    [
        {"a": [1.0, -0.0, 2.0**60, 1e21, 0.1, 2**63 - 1, -(2**63)], "b": [None, True, "null"]},
        {f"k{number}": number for number in reversed(range(MAX_TERMS))},
        {"Ünï": "İ ß \x00 \" ' \x7f \t", "x" * 200: "y" * 500, "": "", "😀": ["\uffff"]},
        {"": {"": {"": []}}},
        None,
    ],
    ids=["numbers", "too many terms", "awkward texts", "no leaf", "null"],
)
async def test_erasing_takes_every_term_of_the_record_out_of_the_index(
    store: SqliteStore, data: Any
) -> None:
    (record,) = await keep(store.events, draft(told(event_data=data)))
    assert _words(store)
    await erase(store.events, record.id)
    (tombstone,) = await page(store.events)
    assert _words(store) == _words_of(tombstone)


async def test_no_word_between_two_leaves_is_of_a_record_that_was_erased(
    store: SqliteStore,
) -> None:
    """FTS5 keeps a beginning of each leaf's first word, which can be all of an erased key."""
    chance = random.Random(1)
    kept = await keep(store.events, *(_draft(chance) for _ in range(300)))
    before = _separators(store)
    assert len(before) > 10
    await _erase(store, kept[::2])
    assert _orphans(store) == []
    assert _separators(store) != before
    await _erase(store, kept[1::2])
    assert _orphans(store) == []


async def test_a_segment_that_a_merge_has_read_to_its_end_keeps_nothing_that_was_erased(
    store: SqliteStore,
) -> None:
    chance = random.Random(1)
    kept: dict[str, list[Record]] = {}
    for number in range(14):
        tenant = f"tenant{number}"
        drafts = [_draft(chance, tenant, words=30) for _ in range(500)]
        kept[tenant] = await keep(store.events, *drafts)
        if left := _used_up_leaves(store):
            break
    else:
        pytest.fail("no merge was under way")
    names = {str(one.fields()["name"]): one for records in kept.values() for one in records}
    # A name that is in the merged segment, and still in the one that was read.
    name = next(one for one in names if one.encode() in left)
    tenant = next(one for one, records in kept.items() if names[name] in records)
    await _erase(store, [names[name]], tenant)
    assert not _is_stored(store, name)
    assert _orphans(store) == []
    kept[tenant].remove(names[name])
    for each, records in kept.items():
        assert await page(store.events, where(event_data__kind="x"), tenant=each) == records


@pytest.mark.parametrize("seed", range(3))
async def test_after_any_erasures_the_index_is_sound_and_finds_what_is_kept(
    store: SqliteStore, seed: int
) -> None:
    """Appends, merges and erasures in any order; at last, all of one kind and of one tenant."""
    chance = random.Random(seed)
    kept: dict[str, list[Record]] = {"a": [], "b": []}
    for _ in range(12):
        for tenant, records in kept.items():
            size, words = chance.choice((1, 10, 80)), chance.choice((0, 5, 60))
            drafts = [_draft(chance, tenant, words, chance.choice("xy")) for _ in range(size)]
            records.extend(await keep(store.events, *drafts))
        gone = {id(one) for one in chance.sample(kept["a"], len(kept["a"]) // 4)}
        await _erase(store, (one for one in kept["a"] if id(one) in gone), "a")
        kept["a"] = [one for one in kept["a"] if id(one) not in gone]
        _merge(store, chance.choice((1, 5, -5)))
        assert _orphans(store) == []
    for tenant, kinds in (("a", "x"), ("b", "xy")):
        for kind in kinds:
            gone_now = await page(store.events, where(event_data__kind=kind), tenant=tenant)
            assert gone_now
            await _erase(store, gone_now, tenant)
    kept["a"] = [one for one in kept["a"] if matches(where(event_data__kind="y"), one.fields())]
    left = {tenant: await page(store.events, tenant=tenant) for tenant in "ab"}
    assert [one for one in left["a"] if not is_tombstone(one.fields())] == kept["a"]
    assert all(is_tombstone(one.fields()) for one in left["b"])
    assert _words(store) == {
        each
        for number, tenant in enumerate("ab", 1)
        for one in left[tenant]
        for each in _words_of(one, number)
    }
    assert _orphans(store) == []
    for one in kept["a"][::20]:
        assert await page(store.events, where(name=str(one.fields()["name"])), tenant="a") == [one]
