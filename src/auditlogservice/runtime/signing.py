"""Which keys this node signs with: its own files, and what the nodes have agreed on.

The first node of an empty store makes the first key. A node without a file signs nothing, and
tells what the others have signed; to let it sign too, the folder with the keys is copied to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from auditlogservice.errors import UnsafeSetup
from auditlogservice.runtime.keys import (
    add_ledger_key,
    adopt_ledger_key,
    draft_ledger_key,
    ledger_drafts,
    load_ledger_keys,
)

if TYPE_CHECKING:
    from pathlib import Path

    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    from auditlogservice.ledger.proving.keyring import Keyring


async def signing_seeds(data_dir: Path, keyring: Keyring) -> list[bytes]:
    """Return the seeds of the keys that sign here, the newest first; none if nothing does.

    Raises UnsafeSetup if there is a file whose key the nodes do not know: with it, this node
    would sign what nobody can verify. And if no key is left that signs: the logs would go on
    unsigned, and nobody hear of it.
    """
    known = await keyring.keys()
    for key, draft in ledger_drafts(data_dir):
        if any(one.public == public_of(key) for one in known):
            adopt_ledger_key(draft)
    keys = load_ledger_keys(data_dir)
    if not known:
        await _propose(keys, data_dir, keyring)
        keys, known = load_ledger_keys(data_dir), await keyring.keys()
    if all(key.retired for key in known):
        raise UnsafeSetup(
            "every key of the logs is retired, which `auditlogservice ledger retire` never leaves "
            "behind: someone has changed the database; a new key is made with `auditlogservice "
            "ledger rotate`"
        )
    retired = {key.public: key.retired is not None for key in known}
    for key in keys:
        if public_of(key) not in retired:
            raise UnsafeSetup(
                f"{data_dir / 'ledger-keys'} has a key that is not one of this log's: put the "
                "right files there, or remove them and let other nodes sign; a new key is made "
                "with `auditlogservice ledger rotate`"
            )
    signing = [key for key in keys if not retired[public_of(key)]]
    return [key.private_bytes_raw() for key in reversed(signing)]


async def _propose(keys: list[Ed25519PrivateKey], data_dir: Path, keyring: Keyring) -> None:
    """Give a store without keys those of this node, or a new one, unless another node is first."""
    if not keys:
        key, path = add_ledger_key(data_dir)
        if not await keyring.add(public_of(key), first=True):
            path.unlink(missing_ok=True)  # the other's key is the one
        return
    # This node's log was moved to an empty store, or its store is lost.
    first, *others = map(public_of, keys)
    if await keyring.add(first, first=True):
        for public in others:
            await keyring.add(public)


async def rotate(data_dir: Path, keyring: Keyring) -> Path:
    """Make a further key and let it sign beside the ones there are; return its file.

    If that fails, nobody may know whether the key is in the store: so it stays, as a draft with
    which nothing signs, and a repetition goes on with it.
    """
    key, draft = draft_ledger_key(data_dir)
    await keyring.add(public_of(key))
    return adopt_ledger_key(draft)


def public_of(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
