"""The whole service with a witness and a timestamp authority beside it."""

from __future__ import annotations

import asyncio
import base64
import shutil
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from auditlogservice.access import Scope
from auditlogservice.anchors import Timestamp
from auditlogservice.checkpoints import Checkpoint, open_checkpoint
from auditlogservice.errors import UnsafeSetup
from auditlogservice.ledger.proving import timestamping
from auditlogservice.notes import Note, VerifierKey
from auditlogservice.runtime.settings import Settings
from running import running
from witnesses import WITNESS, StrictWitness, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from authority import OpensslAuthority
    from running import Api

OURS = "/ledger/default"


@pytest.fixture
def witness() -> StrictWitness:
    return StrictWitness()


@pytest.fixture
def watched(settings: Settings, witness: StrictWitness) -> Iterator[Settings]:
    """The settings of a node with a witness, which does not know its log yet."""
    with serving(witness.answer) as url:
        yield with_anchors(settings, witnesses=f"{url} {WITNESS.witness}")


def with_anchors(settings: Settings, **told: Any) -> Settings:
    often = timedelta(milliseconds=100)
    return settings.model_copy(update={"witness_every": often, "checkpoint_every": often, **told})


async def key_of(api: Api, user: dict[str, str]) -> VerifierKey:
    return VerifierKey.parse((await api.http.get(f"{OURS}/keys", headers=user)).text.strip())


async def get(
    api: Api, path: str, user: dict[str, str], until: Callable[[Any], bool] = lambda _: True
) -> Any:
    """Ask until the answer is 200 and such, as long as it takes (a test has its own limit)."""
    while True:
        answer = await api.http.get(path, headers=user)
        if answer.status_code == 200 and until(answer):
            return answer
        await asyncio.sleep(0.05)


def size_in(answer: Any) -> int:
    return Checkpoint.parse(Note.parse(answer.content).text).size


# ---- witnesses --------------------------------------------------------------------------


async def test_the_newest_checkpoint_is_served_with_the_cosignature_of_the_witness(
    watched: Settings, witness: StrictWitness
) -> None:
    async with running(watched) as api:
        user = await api.add("alice")
        assert (await api.http.get(f"{OURS}/witnessed", headers=user)).status_code == 404
        log = await key_of(api, user)
        witness.trust(log)
        for _ in range(3):
            await api.record(user)
        answer = await get(api, f"{OURS}/witnessed", user, lambda told: size_in(told) == 3)
        checkpoint, cosigned = open_checkpoint(Note.parse(answer.content), log, [WITNESS.witness])
        assert checkpoint.size == 3
        assert list(cosigned) == [WITNESS.witness]
        assert answer.headers["content-type"] == "text/plain; charset=utf-8"
        metrics = (await api.http.get("/metrics")).text
        assert f'auditlog_anchored_time_seconds{{anchor="{WITNESS.name}"}} ' in metrics


async def test_records_are_taken_and_signed_while_the_witness_is_gone(settings: Settings) -> None:
    with serving(lambda _: (200, b"")) as url:
        pass
    async with running(with_anchors(settings, witnesses=f"{url} {WITNESS.witness}")) as api:
        user = await api.add("alice")
        for _ in range(3):
            await api.record(user)
        await get(api, f"{OURS}/checkpoint", user, lambda told: size_in(told) == 3)


async def test_a_log_that_was_rewritten_and_signed_again_is_not_cosigned_and_that_is_told(
    watched: Settings, witness: StrictWitness, tmp_path: Path
) -> None:
    """The operator has the key, and has forgotten what it signed; the witness has not."""
    async with running(watched) as api:
        user = await api.add("alice")
        witness.trust(await key_of(api, user))
        await api.record(user)
        await get(api, f"{OURS}/witnessed", user)
    shutil.copytree(watched.data_dir / "ledger-keys", tmp_path / "again" / "ledger-keys")
    again = watched.model_copy(
        update={"store": f"sqlite:///{tmp_path / 'again.db'}", "data_dir": tmp_path / "again"}
    )
    async with running(again) as api:
        user = await api.add("alice")
        for number in range(4):
            await api.record(user, detail=f"another history {number}")
        disputed = f'auditlog_disputed_logs{{witness="{WITNESS.name}"}} 1.0'
        await get(api, "/metrics", user, lambda told: disputed in told.text)
        assert (await api.http.get(f"{OURS}/witnessed", headers=user)).status_code == 404
    assert 422 in witness.statuses


async def test_a_node_without_a_key_shows_the_log_to_nobody(
    watched: Settings, witness: StrictWitness, tmp_path: Path
) -> None:
    async with running(watched.model_copy(update={"witnesses": ""})) as api:
        user = await api.add("alice")
        witness.trust(await key_of(api, user))
        await api.record(user)
    async with running(watched.model_copy(update={"data_dir": tmp_path / "keyless"})) as api:
        await asyncio.sleep(0.5)
        user = await api.sign_in("alice")
        assert (await api.http.get(f"{OURS}/witnessed", headers=user)).status_code == 404
    assert witness.statuses == []


@pytest.mark.parametrize("told", ["https://witness.example", f"witness {WITNESS.witness}"])
async def test_a_witness_that_is_none_is_refused_at_the_start(tmp_path: Path, told: str) -> None:
    settings = Settings(store="sqlite:///:memory:", data_dir=tmp_path, witnesses=told)
    with pytest.raises(UnsafeSetup, match="AUDITLOG_WITNESSES"):
        async with running(settings):
            pass


# ---- timestamps -------------------------------------------------------------------------


async def test_an_auditor_verifies_a_timestamp_of_a_checkpoint_with_openssl(
    settings: Settings, authority: OpensslAuthority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timestamping, "LOOK_EVERY", 0.1)
    with serving(authority.answer) as url:
        async with running(with_anchors(settings, timestamp_url=url)) as api:
            user = await api.add("alice")
            assert (await get(api, f"{OURS}/timestamps", user)).json() == []
            log = await key_of(api, user)
            await api.record(user)
            (told,) = (await get(api, f"{OURS}/timestamps", user, lambda told: told.json())).json()
            note = told["checkpoint"].encode()
            assert open_checkpoint(Note.parse(note), log)[0].size == told["size"] == 1
            reply = await get(api, f"{OURS}/timestamps/1", user)
            assert reply.headers["content-type"] == "application/timestamp-reply"
            assert reply.content == base64.b64decode(told["reply"])
            assert authority.verify(reply.content, note)
            assert not authority.verify(reply.content, note.replace(b"\n1\n", b"\n2\n"))


async def test_timestamps_come_in_pages_the_newest_first(memory_api: Api) -> None:
    user = await memory_api.add("alice")
    now = memory_api.time()
    for size in (9, 100, 20, 3, 71):
        stamped = Timestamp(size=size, time=now + timedelta(seconds=size), note=b"", reply=b"")
        await memory_api.services.anchors.add_timestamp("default", stamped, now=now)
    seen, path = [], f"{OURS}/timestamps?limit=2"
    while path:
        answer = await memory_api.http.get(path, headers=user)
        seen.append([told["size"] for told in answer.json()])
        path = answer.links.get("next", {}).get("url", "")
    assert seen == [[100, 71], [20, 9], [3]]
    for query in ("limit=0", "limit=1001", "before=x", "before=-1", f"before={2**63}"):
        answer = await memory_api.http.get(f"{OURS}/timestamps?{query}", headers=user)
        assert answer.status_code == 422, query


@pytest.mark.parametrize("size", ["0", "2", "01", "x", "-1", "²", str(2**63), "9" * 5_000])
async def test_a_timestamp_that_is_not_there_is_not_found(memory_api: Api, size: str) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"{OURS}/timestamps/{size}", headers=user)
    assert answer.status_code == 404


# ---- who may ask ------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["witnessed", "timestamps", "timestamps/1"])
async def test_anchors_are_for_those_who_may_read_their_own_ledger(
    memory_api: Api, path: str
) -> None:
    owner = await memory_api.add("owner", Scope.LEDGER_READ)
    await memory_api.services.anchors.add_witnessed("default", WITNESS.witness, A_NOTE)
    stranger = await memory_api.add("stranger", Scope.LEDGER_READ, tenant="theirs")
    reader = await memory_api.add("reader", Scope.EVENTS_READ)
    statuses = [
        (await memory_api.http.get(f"{OURS}/{path}", headers=each)).status_code
        for each in (owner, stranger, reader)
    ]
    assert statuses == [404 if path == "timestamps/1" else 200, 404, 403]


@pytest.mark.parametrize("path", ["witnessed", "timestamps", "timestamps/1"])
async def test_a_parameter_that_does_not_exist_is_refused(memory_api: Api, path: str) -> None:
    user = await memory_api.add("alice")
    answer = await memory_api.http.get(f"{OURS}/{path}?cursor=1", headers=user)
    assert answer.status_code == 422


_TEXT = Checkpoint(WITNESS.name, 1, b"r" * 32).text
A_NOTE = Note(_TEXT, (WITNESS.sign(_TEXT), WITNESS.cosign(_TEXT, at=1)))
