"""The keys that sign tokens: changed, and that put on record, for `token rotate-key` and its like.

Apart from `tokens`, most of which asks a server and should not wait for the import of one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from auditlogservice.access import DEFAULT_TENANT
from auditlogservice.ledger.identity import telling
from auditlogservice.ledger.identity.tokenkeys import require_published, retire
from auditlogservice.ledger.selfaudit import acts
from auditlogservice.runtime.administration import administering
from auditlogservice.runtime.cli.operator import operator
from auditlogservice.runtime.keys import rotate_token_key, token_key_id
from auditlogservice.runtime.stores import utc_now

if TYPE_CHECKING:
    from pathlib import Path


async def rotate_key(store: str | None, data_dir: Path | None) -> tuple[str, str]:
    """Let a new key sign from now on; return the ids of the old one and the new one.

    Raises UnsafeSetup if this node has none.
    """
    async with administering(store, data_dir) as (settings, here):
        entry = telling.key_rotated("tokens", token_key_id(settings.data_dir))
        async with here.self_audit.doing(acts.KEY_ROTATED, operator(DEFAULT_TENANT), entry):
            return rotate_token_key(settings.data_dir)


async def retire_key(store: str | None, data_dir: Path | None, key_id: str) -> None:
    """End all tokens that this key signed. Raises NotFound if no node has published it."""
    async with administering(store, data_dir) as (_, here):
        await require_published(here.store.accounts, key_id)
        entry = telling.key_retired("tokens", key_id)
        async with here.self_audit.doing(acts.KEY_RETIRED, operator(DEFAULT_TENANT), entry):
            await retire(here.store.accounts, here.store.documents, key_id, now=utc_now())
