"""Which keys a node signs with: its own files, and only those that the nodes agreed on."""

from __future__ import annotations

import asyncio
import shutil
import stat
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from auditlogservice.errors import OutcomeUnknown, UnsafeSetup
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.runtime.keys import add_ledger_key, load_ledger_keys
from auditlogservice.runtime.signing import public_of, rotate, signing_seeds
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON

if TYPE_CHECKING:
    from pathlib import Path

    from auditlogservice.runtime.stores import Store
    from auditlogservice.store.port import Document


def keyring_of(store: Store) -> Keyring:
    return Keyring(store.documents, clock=lambda: NOON)


def files(data_dir: Path) -> list[str]:
    return sorted(path.name for path in (data_dir / "ledger-keys").glob("*"))


async def test_the_first_node_makes_the_key_and_keeps_it(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    keyring = keyring_of(nodes[0])
    seeds = await signing_seeds(tmp_path, keyring)
    assert len(seeds) == 1
    assert await signing_seeds(tmp_path, keyring) == seeds
    (key,) = await keyring.keys()
    assert key.public == public_of(load_ledger_keys(tmp_path)[0])
    assert files(tmp_path) == ["0001.pem"]
    file = tmp_path / "ledger-keys" / "0001.pem"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


async def test_a_second_node_signs_when_it_has_the_files_of_the_first(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    seeds = await signing_seeds(one, keyring_of(nodes[0]))
    assert await signing_seeds(other, keyring_of(nodes[1])) == []
    assert files(other) == []
    shutil.copytree(one / "ledger-keys", other / "ledger-keys", dirs_exist_ok=True)
    assert await signing_seeds(other, keyring_of(nodes[1])) == seeds


async def test_nodes_that_start_at_once_agree_on_one_key(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    """Four nodes of one process each, over an empty store: one of them has the key."""
    folders = [tmp_path / str(number) for number in range(4)]
    found = await asyncio.gather(
        *(
            signing_seeds(folder, keyring_of(nodes[number % 2]))
            for number, folder in enumerate(folders)
        )
    )
    assert sorted(map(len, found)) == [0, 0, 0, 1]
    assert sum(len(files(folder)) for folder in folders) == 1
    assert len(await keyring_of(nodes[0]).keys()) == 1


async def test_a_key_that_was_made_when_the_process_died_is_used_at_the_next_start(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    key, _ = add_ledger_key(tmp_path)
    assert await signing_seeds(tmp_path, keyring_of(nodes[0])) == [key.private_bytes_raw()]


async def test_keys_are_taken_along_to_an_empty_store(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    keys = [add_ledger_key(tmp_path)[0] for _ in range(3)]
    seeds = await signing_seeds(tmp_path, keyring_of(nodes[0]))
    assert seeds == [key.private_bytes_raw() for key in reversed(keys)]
    known = [key.public for key in await keyring_of(nodes[1]).keys()]
    assert known == [public_of(key) for key in reversed(keys)]


async def test_a_file_that_is_not_of_this_log_refuses_the_start(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    await signing_seeds(tmp_path / "one", keyring_of(nodes[0]))
    add_ledger_key(tmp_path / "other")
    with pytest.raises(UnsafeSetup, match="not one of this log's"):
        await signing_seeds(tmp_path / "other", keyring_of(nodes[1]))
    assert files(tmp_path / "other") == ["0001.pem"]
    assert len(await keyring_of(nodes[0]).keys()) == 1


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604])
async def test_a_key_that_others_may_read_refuses_the_start(
    nodes: tuple[Store, Store], tmp_path: Path, mode: int
) -> None:
    _, path = add_ledger_key(tmp_path)
    path.chmod(mode)
    with pytest.raises(UnsafeSetup, match="chmod 600"):
        await signing_seeds(tmp_path, keyring_of(nodes[0]))


@pytest.mark.parametrize("content", [b"", b"not a key", b"-----BEGIN PRIVATE KEY-----\n"])
async def test_a_file_that_is_no_key_refuses_the_start_and_is_kept(
    nodes: tuple[Store, Store], tmp_path: Path, content: bytes
) -> None:
    _, path = add_ledger_key(tmp_path)
    path.write_bytes(content)
    with pytest.raises(UnsafeSetup, match="not an Ed25519 private key"):
        await signing_seeds(tmp_path, keyring_of(nodes[0]))
    assert path.read_bytes() == content


async def test_a_new_key_signs_first_and_a_retired_one_not_at_all(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    keyring = keyring_of(nodes[0])
    (old,) = await signing_seeds(tmp_path, keyring)
    path = await rotate(tmp_path, keyring)
    assert path.name == "0002.pem"
    new, second = await signing_seeds(tmp_path, keyring)
    assert second == old
    await keyring.retire(public_of(load_ledger_keys(tmp_path)[0]))
    assert await signing_seeds(tmp_path, keyring) == [new]


@pytest.mark.parametrize("is_kept", [False, True])
@pytest.mark.parametrize("repeats", [False, True])
async def test_a_rotation_without_an_answer_loses_no_key_and_can_be_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_kept: bool, repeats: bool
) -> None:
    """Nothing signs with it before the store is known to have it, and no second one is made."""
    store = await open_sqlite(":memory:")
    keyring = keyring_of(store)
    await signing_seeds(tmp_path, keyring)
    put = keyring._documents.put

    async def lose(document: Document) -> bool:
        if is_kept:
            await put(document)
        raise OutcomeUnknown

    with monkeypatch.context() as broken:
        broken.setattr(keyring._documents, "put", lose)
        with pytest.raises(OutcomeUnknown):
            await rotate(tmp_path, keyring)
    assert files(tmp_path) == ["0001.pem", "0002.draft"]
    if repeats:
        assert (await rotate(tmp_path, keyring)).name == "0002.pem"
    is_known = is_kept or repeats
    assert len(await signing_seeds(tmp_path, keyring)) == len(await keyring.keys()) == 1 + is_known
    assert files(tmp_path) == ["0001.pem", "0002.pem" if is_known else "0002.draft"]
    await store.close()


async def test_a_store_that_says_that_no_key_signs_any_more_refuses_the_start(
    nodes: tuple[Store, Store], tmp_path: Path
) -> None:
    """`ledger retire` leaves one; without, logs would go on unsigned, and nobody hear of it."""
    keyring = keyring_of(nodes[0])
    await signing_seeds(tmp_path, keyring)
    found = await nodes[0].documents.get("keys", "", "ledger")
    assert found is not None
    body = found.body.replace(b'"retired":null', b'"retired":"2026-01-01T00:00:00.000000Z"')
    assert body != found.body
    assert await nodes[0].documents.put(replace(found, body=body, version=found.version + 1))
    for folder in (tmp_path, tmp_path / "without"):
        with pytest.raises(UnsafeSetup, match="every key of the logs is retired"):
            await signing_seeds(folder, keyring)
