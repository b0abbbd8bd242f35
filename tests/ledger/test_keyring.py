"""The keys of the log: agreed on once, never forgotten, and never none that signs."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from auditlogservice.checkpoints import Checkpoint
from auditlogservice.errors import Conflict, NotFound, ProofInvalid, StoreBroken
from auditlogservice.ledger.proving.keyring import Keyring, SignerKey
from auditlogservice.notes import Note, SigningKey
from auditlogservice.store.port import Document
from strategies import NOON

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from auditlogservice.runtime.stores import Store

ORIGIN = "log.example/ledger/acme"
KEYS = [SigningKey(ORIGIN, bytes([number]) * 32) for number in range(8)]
ONE, TWO, *_ = (key.verifier.public for key in KEYS)


@pytest.fixture
def keyrings(nodes: tuple[Store, Store]) -> tuple[Keyring, Keyring]:
    """Those of two nodes, whose clocks stand still."""
    one, other = nodes
    return Keyring(one.documents, clock=at(0)), Keyring(other.documents, clock=at(1))


def at(hours: float) -> Callable[[], datetime]:
    return lambda: NOON + timedelta(hours=hours)


async def test_what_one_node_adds_and_retires_all_see_newest_first(
    keyrings: tuple[Keyring, Keyring],
) -> None:
    here, there = keyrings
    assert await there.keys() == []
    assert await here.add(ONE)
    assert await there.add(TWO)
    await there.retire(ONE)
    expected = [SignerKey(TWO, at(1)()), SignerKey(ONE, at(0)(), retired=at(1)())]
    assert await here.keys() == await there.keys() == expected


async def test_a_key_is_added_once_and_retired_once(keyrings: tuple[Keyring, Keyring]) -> None:
    here, there = keyrings
    await here.add(ONE)
    await here.add(TWO)
    await here.retire(ONE)
    before = await here.keys()
    assert await there.add(ONE)
    await there.retire(ONE)
    assert await here.keys() == before


async def test_of_all_first_keys_one_wins(keyrings: tuple[Keyring, Keyring]) -> None:
    wins = await asyncio.gather(
        *(
            keyrings[number % 2].add(key.verifier.public, first=True)
            for number, key in enumerate(KEYS)
        )
    )
    assert sum(wins) == 1
    (key,) = await keyrings[0].keys()
    assert key.public == KEYS[wins.index(True)].verifier.public


async def test_keys_that_are_added_at_once_are_all_kept(
    keyrings: tuple[Keyring, Keyring],
) -> None:
    publics = [key.verifier.public for key in KEYS]
    await asyncio.gather(
        *(keyrings[number % 2].add(public) for number, public in enumerate(publics))
    )
    assert {key.public for key in await keyrings[0].keys()} == set(publics)


async def test_the_last_key_that_signs_is_not_retired(keyrings: tuple[Keyring, Keyring]) -> None:
    here, _ = keyrings
    await here.add(ONE)
    with pytest.raises(Conflict):
        await here.retire(ONE)
    await here.add(TWO)
    await here.retire(ONE)
    with pytest.raises(Conflict):
        await here.retire(TWO)


async def test_an_unknown_key_is_not_retired(keyrings: tuple[Keyring, Keyring]) -> None:
    here, _ = keyrings
    await here.add(ONE)
    with pytest.raises(NotFound):
        await here.retire(TWO)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'[{"public":"x"}]', b"\xff"])
async def test_keys_that_rot_are_told_as_damage(store: Store, body: bytes) -> None:
    await store.documents.put(Document(kind="keys", tenant="", id="ledger", body=body))
    with pytest.raises(StoreBroken):
        await Keyring(store.documents, clock=lambda: NOON).keys()


# ---- notes ----------------------------------------------------------------------------

CHECKPOINT = Checkpoint(ORIGIN, 7, bytes(32))


def note(*keys: SigningKey) -> bytes:
    return Note(CHECKPOINT.text, tuple(key.sign(CHECKPOINT.text) for key in keys)).to_bytes()


async def test_notes_of_keys_that_others_add_and_of_retired_ones_are_opened(
    keyrings: tuple[Keyring, Keyring],
) -> None:
    here, there = keyrings
    await here.add(ONE)
    assert await here.opened(note(KEYS[0]), ORIGIN) == CHECKPOINT
    with pytest.raises(ProofInvalid, match="no key of this log"):
        await here.opened(note(KEYS[1]), ORIGIN)
    await there.add(TWO)
    await there.retire(ONE)
    for each in (note(KEYS[0]), note(KEYS[1]), note(KEYS[2], KEYS[1])):
        assert await here.opened(each, ORIGIN) == CHECKPOINT


@pytest.mark.parametrize("raw", [b"", b"note", note(KEYS[0])[:-2], b"a\n\n" + note(KEYS[0])])
async def test_what_is_no_checkpoint_is_not_opened(
    keyrings: tuple[Keyring, Keyring], raw: bytes
) -> None:
    here, _ = keyrings
    await here.add(ONE)
    with pytest.raises(ProofInvalid, match="damaged"):
        await here.opened(raw, ORIGIN)


async def test_a_note_whose_signature_is_wrong_is_not_opened(
    keyrings: tuple[Keyring, Keyring],
) -> None:
    here, _ = keyrings
    await here.add(ONE)
    with pytest.raises(ProofInvalid, match="no key of this log"):
        await here.opened(note(KEYS[0]).replace(b"\n7\n", b"\n8\n"), ORIGIN)
