"""What SQLite has moved leaves nothing in unused space of its file, whoever dies in between."""
# ruff: noqa: ASYNC221, ASYNC240 - a test has the loop to itself and may block it

from __future__ import annotations

import asyncio
import random
import re
import shutil
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest
from asking import burial, erase, keep
from unused import leftovers

from auditlogservice.errors import StoreBroken
from auditlogservice.events import EventId, Fingerprint
from auditlogservice.store.sqlite import folding, gaps, open_sqlite
from auditlogservice.store.sqlite.database import _connect
from strategies import draft, told

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection

    from auditlogservice.events import Draft, Record
    from auditlogservice.store.sqlite import SqliteStore

KILLABLE = Path(__file__).with_name("killable.py")
HEX, DOOMED = "0123456789abcdef", "ghijklmnopGHIJKL"
_MARK = re.compile(rb"[g-pG-L]{8,}")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[SqliteStore]:
    store = await open_sqlite(str(path))
    yield store
    await store.close()


def _writer(store: SqliteStore) -> apsw.Connection:
    connection = store.events._database._write_connection
    assert connection
    return connection


def _draft(chance: random.Random, letters: str) -> Draft:
    """A draft whose words, salt and fingerprint are of these letters, and are nowhere else."""

    def some(length: int) -> str:
        return "".join(chance.choices(letters, k=length))

    words = " ".join(some(20) for _ in range(chance.choice((0, 5, 40))))
    data = {some(20): 1, "words": words, "pad": "y" * chance.choice((0, 0, 300, 6_000))}
    return replace(
        draft(told(some(20), event_data=data)),
        id=EventId(chance.randbytes(12).hex()),
        salt=some(16).encode(),
        fingerprint=Fingerprint(some(32).encode()),
    )


def _marks(path: Path) -> list[bytes]:
    """All pieces of doomed events, of eight bytes or more, in any file of the database."""
    files = sorted(path.parent.glob(f"{path.name}*"))
    return [mark for file in files for mark in _MARK.findall(file.read_bytes())]


async def _append(store: SqliteStore, chance: random.Random, letters: str) -> list[Record]:
    drafts = [_draft(chance, letters) for _ in range(chance.choice((1, 3, 12)))]
    return await keep(store.events, *drafts)


async def _bury(store: SqliteStore, records: list[Record]) -> None:
    for start in range(0, len(records), 20):
        burials = [burial(one.id) for one in records[start : start + 20]]
        await store.events.erase("acme", burials)


async def _random_log(store: SqliteStore, chance: random.Random, rounds: int) -> list[Record]:
    """Append and erase in any order, until all that was doomed is erased; return what is kept."""
    kept: list[Record] = []
    doomed: list[Record] = []
    for _ in range(rounds):
        for _ in range(chance.choice((1, 5, 10))):
            kept += await _append(store, chance, HEX)
            doomed += await _append(store, chance, DOOMED)
        pages = chance.choice((1, 5, -5))
        _writer(store).execute("INSERT INTO terms (terms, rank) VALUES ('merge', ?)", (pages,))
        chance.shuffle(doomed)
        now = len(doomed) // chance.choice((2, 4, 10))
        await _bury(store, doomed[:now])
        del doomed[:now]
    await _bury(store, doomed)
    return kept


def _check(path: Path) -> None:
    """SQLite finds the file sound, and FTS5 its index. Nobody may have it open."""
    with closing(apsw.Connection(str(path))) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        connection.execute("INSERT INTO terms (terms) VALUES ('integrity-check')")


# ---- whole logs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "seed", [*range(6), *(pytest.param(n, marks=pytest.mark.deep) for n in range(6, 40))]
)
async def test_of_a_random_log_no_byte_is_left_of_what_was_erased(path: Path, seed: int) -> None:
    chance = random.Random(seed)
    store = await open_sqlite(str(path))
    kept = await _random_log(store, chance, 5)
    assert _marks(path) == []  # as soon as the answer has come
    for _ in range(10):
        kept += await _append(store, chance, HEX)
    assert _marks(path) == []  # nor does it come back out of memory
    for one in kept:
        assert await store.events.find("acme", one.id) == one
    await store.close()
    assert _marks(path) == []
    assert leftovers(path) == []
    _check(path)


async def test_writers_side_by_side_leave_nothing_either(path: Path) -> None:
    """Another process, such as that of a command, folds what the server writes, and back."""
    stores = [await open_sqlite(str(path)) for _ in range(2)]
    async with asyncio.TaskGroup() as tasks:
        for seed, store in enumerate(stores):
            tasks.create_task(_random_log(store, random.Random(seed), 3))
    for store in stores:
        await store.events.ping()
    assert _marks(path) == []
    for store in stores:
        await store.close()
    assert leftovers(path) == []
    _check(path)


# ---- folding -----------------------------------------------------------------------------------


async def test_a_long_log_is_folded_clean_without_any_erasure(
    path: Path, opened: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folding, "_FRAMES", 50)
    await opened.events.ping()
    chance, longest = random.Random(1), 0
    wal = path.with_name("audit.db-wal")
    for _ in range(60):
        await _append(opened, chance, HEX)
        longest = max(longest, wal.stat().st_size)
    assert longest < 200 * 4_120  # 50 pages, and what one more commit writes
    shutil.copy(path, copy := path.with_name("copy.db"))  # without the newest, which the WAL has
    assert len(leftovers(copy)) == 0
    assert copy.stat().st_size > 100 * 4_096


async def test_what_was_folded_is_not_folded_again_while_a_reader_keeps_the_wal(
    path: Path, opened: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else each commit would cost as much as all before it, until the reader ends."""
    monkeypatch.setattr(folding, "_FRAMES", 50)
    await opened.events.ping()
    seen: list[int] = []

    def counted(connection: apsw.Connection, size: int, first: int, frames: int) -> set[int]:
        seen.append(frames - first)
        return gaps.wal_pages(connection, size, first, frames)

    monkeypatch.setattr(folding, "wal_pages", counted)
    chance = random.Random(1)
    with closing(_connect(str(path))) as reader:
        for _ in range(60):
            await _append(opened, chance, HEX)
            if reader.in_transaction:
                reader.execute("COMMIT")
            reader.execute("BEGIN")
            assert reader.execute("SELECT count(*) FROM records").get
            await opened.events.ping()  # nothing that the reader needs is in the file's way now
    wal = path.with_name("audit.db-wal").stat().st_size // 4_120
    assert wal > 300
    assert len(seen) > 3
    assert sum(seen) <= wal


async def test_what_a_reader_has_held_up_is_folded_clean_once_it_has_ended(path: Path) -> None:
    store = await open_sqlite(str(path))
    await store.events.ping()
    with closing(_connect(str(path))) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM records").get == 0
        await _random_log(store, random.Random(5), 2)
        assert _marks(path)
    await store.events.ping()
    assert _marks(path) == []
    await store.close()
    assert leftovers(path) == []


# ---- who may have left something ---------------------------------------------------------------


async def test_whoever_is_killed_while_gaps_are_wiped_leaves_it_to_the_next(
    tmp_path: Path,
) -> None:
    """At each step: the file is sound, and the next process wipes with its first call."""
    chance = random.Random(4)
    base = await open_sqlite(str(tmp_path / "base.db"))
    doomed: dict[str, Record] = {}
    for _ in range(40):
        await keep(base.events, _draft(chance, HEX))
        (record,) = await keep(base.events, _draft(chance, DOOMED))
        doomed[record.id] = record
    await base.close()
    done = subprocess.run(
        [sys.executable, KILLABLE, "wipe", tmp_path],
        capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    killed = sorted(tmp_path.glob("killed-*.db"))
    assert len(killed) > 10
    erased = {one.stem: set[str]() for one in killed}
    for line in done.stdout.splitlines():
        step, *ids = line.split()
        erased[f"killed-{step}"].update(ids)
    assert len({len(ids) for ids in erased.values()}) > 2  # killed in several erasures
    for one in killed:
        store = await open_sqlite(str(one))
        await store.events.ping()
        left = b"".join(_marks(one))
        for id_ in erased[one.stem]:
            assert not [mark for mark in _MARK.findall(doomed[id_].payload) if mark in left]
        await store.close()
        assert leftovers(one) == []
        _check(one)


@pytest.mark.parametrize("how", ["VACUUM INTO", "backup", "VACUUM"])
async def test_a_file_that_another_program_has_written_is_wiped_with_the_first_call(
    path: Path, how: str
) -> None:
    store = await open_sqlite(str(path))
    chance = random.Random(2)
    for _ in range(20):
        await _append(store, chance, HEX)
    if how == "VACUUM":
        await store.close()
    (copied := path.with_name("copy.db")).touch(mode=0o600)
    with (
        closing(apsw.Connection(str(path))) as source,
        closing(apsw.Connection(str(copied))) as to,
    ):
        match how:
            case "VACUUM":
                source.execute("VACUUM")
            case "VACUUM INTO":
                source.execute("VACUUM INTO ?", (str(copied),))
            case _:
                with to.backup("main", source, "main") as backup:
                    backup.step()
    await store.close()
    copy = path if how == "VACUUM" else copied
    assert leftovers(copy)
    store = await open_sqlite(str(copy))
    await store.events.ping()
    await store.close()
    assert leftovers(copy) == []
    _check(copy)


async def test_only_the_first_start_over_a_file_looks_at_all_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[int] = []

    def counted(file: apsw.VFSFile, size: int, numbers: Collection[int]) -> None:
        looked.append(len(numbers))
        gaps.wipe_gaps(file, size, numbers)

    monkeypatch.setattr(folding, "wipe_gaps", counted)
    for start in range(3):
        store = await open_sqlite(str(path))
        await store.events.ping()
        assert (looked == []) == bool(start)
        looked.clear()
        await keep(store.events, draft())
        await store.close()
        assert 0 < max(looked) < path.stat().st_size // 4_096
        looked.clear()


async def test_after_damage_the_wal_is_left_to_the_next_process(path: Path) -> None:
    store = await open_sqlite(str(path))
    await store.events.ping()
    chance = random.Random(1)
    (record, _) = await keep(store.events, _draft(chance, DOOMED), _draft(chance, HEX))

    def damage(_: apsw.Connection) -> None:
        raise apsw.IOError

    with pytest.raises(StoreBroken):
        await store.events._database.write(damage)
    await store.close()
    assert path.with_name("audit.db-wal").stat().st_size > 0
    again = await open_sqlite(str(path))
    await erase(again.events, record.id)
    assert _marks(path) == []
    await again.close()
    assert leftovers(path) == []


# ---- pages -------------------------------------------------------------------------------------


def _page(kind: int, cells: list[int], first: int, *, size: int = 512, header: int = 0) -> bytes:
    """A page whose unused bytes, and cells, are all `x`."""
    head = bytes([kind]) + b"\0\0" + len(cells).to_bytes(2, "big") + first.to_bytes(2, "big")
    head += b"\0" + (b"\0\0\0\1" if kind in {2, 5} else b"")
    head += b"".join(cell.to_bytes(2, "big") for cell in cells)
    return (b"h" * header + head).ljust(size, b"x")


@pytest.mark.parametrize(
    ("page", "header", "gap"),
    [
        (_page(13, [500, 490], 490), 0, (12, 490)),
        (_page(10, [500, 490], 490), 0, (12, 490)),
        (_page(5, [500, 490], 490), 0, (16, 490)),
        (_page(2, [500, 490], 490), 0, (16, 490)),
        (_page(13, [500], 490, header=100), 100, (110, 490)),
        (_page(13, [], 512), 0, (8, 512)),
        (_page(13, [], 0, size=65_536), 0, (8, 65_536)),
        (_page(13, [500, 12], 12), 0, None),
        (_page(13, [500], 500)[:10] + bytes(490) + b"xx", 0, None),
        (_page(0, [500], 490), 0, None),
        (_page(1, [500], 490), 0, None),
        (_page(13, [500, 480], 490), 0, None),
        (_page(13, [500], 513), 0, None),
        (_page(13, [500] * 250, 490), 0, None),
    ],
    ids=[
        "a leaf", "a leaf of an index", "an inner page", "an inner page of an index", "the first",
        "no cells", "no cells, 64 KiB", "full", "nothing stale", "free", "no b-tree",
        "a cell in the gap", "beyond the page", "more cells than fit",
    ],
)  # fmt: skip
def test_the_gap_of_a_page_is_between_its_list_of_cells_and_the_first_of_them(
    page: bytes, header: int, gap: tuple[int, int] | None
) -> None:
    assert gaps.stale_gap(page, header) == gap


def test_a_file_so_large_that_its_pages_cannot_be_told_apart_is_left_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.write_bytes(content := _page(13, [500], 490) * 4)
    monkeypatch.setattr(gaps, "MAX_PAGES", 4)
    flags = [apsw.SQLITE_OPEN_MAIN_DB | apsw.SQLITE_OPEN_READWRITE, 0]
    file = apsw.VFSFile("", str(path), flags)
    gaps.wipe_gaps(file, 512, [2])
    assert path.read_bytes() == content
    monkeypatch.setattr(gaps, "MAX_PAGES", 5)
    gaps.wipe_gaps(file, 512, [2, 9])  # the last is beyond the end
    file.xClose()
    assert path.read_bytes() == content[:522] + bytes(480) + content[1_002:]
