"""A bit that flips in the file, anywhere: what changes an answer, fsck reports.

Or the file is not opened at all. What fsck passes has all its answers as they were.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import apsw
import pytest
from examined import Stranger, erase, filled, node

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.errors import UnsafeSetup
from auditlogservice.events import EventId
from auditlogservice.language import parse_text
from auditlogservice.ledger.proving.auditor import check_store
from auditlogservice.runtime.settings import Settings
from auditlogservice.store.port import PageQuery
from auditlogservice.store.sqlite import open_sqlite
from auditlogservice.tiles import Tile
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import Awaitable
    from pathlib import Path

    from auditlogservice.store.sqlite import SqliteStore

SIZE = 300
QUESTIONS = (
    "", "event_type:auth.login", "number", "event_data.n:7", "event_data.n:>=290", "detail:num*",
    "-event_data.n:<290", "actor.id:alice event_type:audit*",
)  # fmt: skip


class Log:
    """A file as it was, and what was answered then."""

    def __init__(self, file: Path, content: bytes, ids: list[str], stranger: Stranger) -> None:
        self.file = file
        self.content = content
        self.ids = ids
        self.stranger = stranger
        self.answers: list[Any] = []

    def flip(self, bit: int) -> None:
        rotten = bytearray(self.content)
        rotten[bit // 8] ^= 1 << bit % 8
        self.file.write_bytes(rotten)
        # A process that met damage leaves its WAL, which must not mend the next rotten file.
        self.file.with_name(f"{self.file.name}-wal").unlink(missing_ok=True)

    async def look(self) -> tuple[list[Any] | None, bool]:
        """Return all answers, or None if the file is refused; and whether fsck passes."""
        try:
            store = await open_sqlite(str(self.file))
        except UnsafeSetup:
            return None, False
        try:
            found = [await told(answer) for answer in questions(store, self.ids)]
            reports, own = await check_store(store.ledger, keys=self.stranger.keys)
            return found, own.holds and all(report.holds for report in reports.values())
        finally:
            await store.close()


def questions(store: SqliteStore, ids: list[str]) -> list[Awaitable[Any]]:
    pages = [
        store.events.page(
            PageQuery(
                tenant=DEFAULT_TENANT,
                where=parse_text(text, now=NOON),
                order=order,
                beyond=None,
                limit=1_000,
            )
        )
        for text in QUESTIONS
        for order in ("oldest", "newest")
    ]
    found = [store.events.find(DEFAULT_TENANT, EventId(event_id)) for event_id in ids[::10]]
    proofs = [
        store.ledger.tiles(DEFAULT_TENANT, [Tile(0, 0), Tile(0, 1), Tile(1, 0)]),
        store.ledger.openings(DEFAULT_TENANT, 0, 1_000, content=True),
        store.ledger.published(DEFAULT_TENANT),
        store.ledger.sizes(),
        store.events.end(DEFAULT_TENANT),
        store.events.places(DEFAULT_TENANT, [NOON]),
    ]
    return [*pages, *found, *proofs]


async def told(answer: Awaitable[Any]) -> Any:
    try:
        return await answer
    except Exception as error:  # noqa: BLE001 - an answer too, and another one than before
        return type(error)


@pytest.fixture(scope="module")
async def log(tmp_path_factory: pytest.TempPathFactory) -> Log:
    folder = tmp_path_factory.mktemp("rot")
    file, stranger = folder / "audit.db", Stranger()
    settings = Settings(store=f"sqlite:///{file}", data_dir=folder / "node", min_free_bytes=0)
    async with node(settings) as (api, user):
        ids = await filled(api, user, SIZE)
        for event_id in ids[::50]:
            await erase(api, user, event_id, "asked")
        await stranger.look(api, user)
    made = Log(file, file.read_bytes(), ids, stranger)
    answers, passes = await made.look()
    assert answers is not None
    assert passes
    made.answers = answers
    return made


async def flipped(log: Log, bits: list[int]) -> tuple[list[int], int]:
    """Return the bits that change an answer and pass all the same; and how many bits passed."""
    missed, passed = [], 0
    for bit in bits:
        log.flip(bit)
        answers, passes = await log.look()
        passed += passes
        if passes and answers != log.answers:
            missed.append(bit)
    return missed, passed


async def test_no_flipped_bit_that_changes_an_answer_passes_fsck(log: Log) -> None:
    bits = random.Random(7).sample(range(len(log.content) * 8), 60)
    missed, passed = await flipped(log, bits)
    assert missed == []
    assert 0 < passed < len(bits)  # room that is not used may rot, and that alone


@pytest.mark.parametrize("name", [b"hashes BLOB", b"next_sequence INTEGER"])
async def test_a_column_whose_name_has_rotted_is_damage_and_no_defect(
    log: Log, name: bytes
) -> None:
    log.flip(log.content.index(name) * 8)
    answers, passes = await log.look()
    assert not passes
    assert answers is None or apsw.SQLError not in answers


@pytest.mark.deep
@pytest.mark.parametrize("seed", range(8, 16))
async def test_none_of_250_flipped_bits_that_changes_an_answer_passes_fsck(
    log: Log, seed: int
) -> None:
    missed, passed = await flipped(
        log, random.Random(seed).sample(range(len(log.content) * 8), 250)
    )
    assert missed == []
    assert 0 < passed < 250
