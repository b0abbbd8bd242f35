"""`python -m bench.limits.unsealed serve`: the service without its ledger, to see what that costs.

There is no setting for this, and there must be none: the parts that commit to a record, grow the
tree and sign it are put out of action in this process alone. All else is the service as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from unittest.mock import patch

from auditlogservice.ledger.proving.signer import Signer
from auditlogservice.merkle import HASH_BYTES
from auditlogservice.runtime.cli.app import main
from auditlogservice.store import admission

if TYPE_CHECKING:
    from collections.abc import Mapping

    from auditlogservice.store.admission import Admission, Head

_NOTHING = bytes(HASH_BYTES)


def _keep_trees(admitted: Admission, before: Mapping[str, Head]) -> None:
    for tenant in admitted.heads.keys() | before.keys():
        admitted.tiles[tenant] = {}


async def _sign_nothing(_: Signer) -> None: ...


def run() -> None:
    with (
        patch.object(admission, "commitment", lambda *_: _NOTHING),
        patch.object(admission, "_grow", _keep_trees),
        patch.object(admission.Head, "is_whole", property(lambda _: True)),
        patch.object(Signer, "sign_all", _sign_nothing),
    ):
        main()


if __name__ == "__main__":
    run()
