"""What `docs/ledger.md` tells an auditor to compute is what the service makes, step by step."""

from __future__ import annotations

import subprocess
from dataclasses import replace
from pathlib import Path
from shutil import which
from typing import TYPE_CHECKING

import pytest

from auditlogservice.access import Principal, Scope
from auditlogservice.events import EventId
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.ledger.proving.prover import Prover
from auditlogservice.ledger.proving.signer import Signer
from auditlogservice.merkle import leaf_hash
from auditlogservice.notes import SigningKey, to_base64
from auditlogservice.runtime.memory import CheckpointFiles
from auditlogservice.runtime.observability import PrometheusMetrics, SignerLines
from auditlogservice.store.port import Submission
from auditlogservice.store.sqlite import open_sqlite
from strategies import NOON, draft, told
from test_readme import END, is_as_shown, steps

if TYPE_CHECKING:
    from auditlogservice.ledger.proving.prover import Proven

DOCUMENT = (Path(__file__).parents[1] / "docs" / "ledger.md").read_text()
HOST = "log.example"
SEED = bytes(range(32))
KEY = SigningKey(f"{HOST}/ledger/acme", SEED)
TOOLS = ("openssl", "xxd", "base64", "bash")


async def example(folder: Path) -> Proven:
    """The proof of the second of three events, in the log that the document is about."""
    store = await open_sqlite(":memory:")
    people = ("alice", "bob", "carol")
    drafts = [
        replace(
            draft(told(actor={"id": name}), user="web-shop"),
            id=EventId(f"{number:024x}"),
            salt=bytes([number]) * 32,
        )
        for number, name in enumerate(people, 1)
    ]
    await store.events.append([Submission(tuple(drafts))])
    keyring = Keyring(store.documents, clock=lambda: NOON)
    await keyring.add(KEY.verifier.public)
    signer = Signer(
        store.ledger,
        host=HOST,
        seeds=[SEED],
        keyring=keyring,
        memory=CheckpointFiles(folder),
        clock=lambda: NOON,
        gauge=PrometheusMetrics(),
        journal=SignerLines(),
        every=1,
    )
    caller = Principal(user_id="a", name="auditor", tenant="acme", scopes=frozenset(Scope))
    proven = await Prover(store.ledger, signer).prove(caller, drafts[1].id)
    await store.close()
    return proven


async def test_the_example_has_the_figures_that_the_service_makes(tmp_path: Path) -> None:
    proven = await example(tmp_path)
    opening = proven.opening
    assert opening.payload is not None
    assert opening.salt is not None
    figures = [
        opening.payload.decode(),
        to_base64(opening.salt),
        to_base64(opening.entry.commitment),
        opening.entry.to_bytes().decode(),
        leaf_hash(opening.entry.to_bytes()).hex(),
        proven.proof.to_bytes().decode(),
        str(KEY.verifier),
        KEY.verifier.id.hex(),
    ]
    assert [figure for figure in figures if figure not in DOCUMENT] == []


@pytest.mark.skipif(
    not all(map(which, TOOLS)), reason=f"not all of these are here: {', '.join(TOOLS)}"
)
def test_the_steps_of_the_example_lead_where_the_document_says(tmp_path: Path) -> None:
    walk = steps(DOCUMENT)
    assert len(walk) >= 8
    script = "set -euo pipefail\n" + "".join(
        f"{step.command}\nprintf '\\n%s\\n' '{END}'\n" for step in walk
    )
    run = subprocess.run(
        ["bash", "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    printed = [part.strip() for part in run.stdout.split(END)[:-1]]
    wrong = [
        (step.command, step.shown, output)
        for step, output in zip(walk, printed, strict=True)
        if not is_as_shown(step.shown, output)
    ]
    assert wrong == []
