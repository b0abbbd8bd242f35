"""The commands of an auditor: what they print, what they keep, and the code that they end with."""

from __future__ import annotations

import asyncio
import json
import zipfile
from typing import TYPE_CHECKING, Any

import pytest
from examined import Stranger, erase, filled, node, transport_of
from insider import insider_of
from typer.testing import CliRunner

from auditlogservice.client import Client
from auditlogservice.runtime.cli.app import app
from auditlogservice.store.port import Published

if TYPE_CHECKING:
    from pathlib import Path

    from typer.testing import Result

    from auditlogservice.runtime.settings import Settings
    from running import Api

SIZE = 300


class Desk:
    """Where an auditor works: a folder with the key, and a way to the server, if there is one."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._monkeypatch = monkeypatch
        self.vkey = folder / "vkey"

    async def sit_down(self, api: Api, user: dict[str, str]) -> Stranger:
        stranger = Stranger()
        await stranger.look(api, user)
        self.vkey.write_text("".join(f"{key}\n" for key in stranger.keys))
        transport, token = transport_of(api), user["Authorization"].removeprefix("Bearer ")

        def connect(*_: Any) -> Client:
            return Client("http://test", token, transport=transport)

        self._monkeypatch.setattr("auditlogservice.runtime.cli.verifying.connect", connect)
        return stranger

    async def run(self, *words: str | Path) -> Result:
        spelled = [str(word) for word in words]
        return await asyncio.to_thread(lambda: CliRunner().invoke(app, spelled))


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    folder = tmp_path / "desk"
    folder.mkdir()
    return Desk(folder, monkeypatch)


async def test_verify_counts_the_states_and_keeps_the_checkpoint_for_the_next_time(
    settings: Settings, desk: Desk
) -> None:
    saved = desk.folder / "checkpoint"
    async with node(settings) as (api, user):
        ids = await filled(api, user, SIZE)
        await desk.sit_down(api, user)
        first = await desk.run("verify", "--vkey", desk.vkey, "--save", saved)
        await erase(api, user, ids[3], "asked\x1b[2J")
        again = await desk.run("verify", "--vkey", desk.vkey, "--since", saved)
        told = await desk.run("verify", "--vkey", desk.vkey, "--since", saved, "--json")
    assert (first.exit_code, again.exit_code, told.exit_code) == (0, 0, 0), again.output
    assert "300 records: all is right" in first.output
    assert "ERASED:asked\\x1b[2J" in again.output  # a reason moves no cursor
    report = json.loads(told.stdout)
    assert (report["holds"], report["size"], report["findings"]) == (True, SIZE + 1, [])
    assert report["states"] == {"ERASED:asked\x1b[2J": 1, "OK": SIZE}


async def test_verify_has_it_put_on_record_what_it_found(settings: Settings, desk: Desk) -> None:
    async with node(settings) as (api, user):
        ids = await filled(api, user, 3)
        await erase(api, user, ids[1], "asked for")
        await desk.sit_down(api, user)
        done = await desk.run("verify", "--vkey", desk.vkey, "--report")
        assert done.exit_code == 0, done.output
        (told,) = await api.listed(user, "?event_type=audit.ledger.verified")
    assert told["outcome"] == "success"
    assert told["event_data"]["states"] == {"ERASED": 1, "OK": 3}
    assert (told["event_data"]["size"], told["event_data"]["found"]) == (4, 0)


async def test_verify_ends_with_1_and_says_where_and_keeps_no_checkpoint(
    settings: Settings, desk: Desk
) -> None:
    saved = desk.folder / "checkpoint"
    async with node(settings) as (api, user):
        await filled(api, user, SIZE)
    insider = insider_of(settings)
    rows = insider.rows()
    del rows[77]
    insider.put(rows)
    async with node(settings) as (api, user):
        await desk.sit_down(api, user)
        done = await desk.run("verify", "--vkey", desk.vkey, "--save", saved)
    assert done.exit_code == 1
    assert "MISSING 77: its entry is not there" in done.output
    assert not saved.exists()


async def test_a_bundle_is_verified_without_a_server_and_a_changed_one_is_not(
    settings: Settings, desk: Desk
) -> None:
    bundle = desk.folder / "log.zip"
    async with node(settings) as (api, user):
        ids = await filled(api, user, 1_300)
        await erase(api, user, ids[3], "asked")
        await desk.sit_down(api, user)
        made = await desk.run("export", "--bundle", bundle, "--vkey", desk.vkey)
    assert made.exit_code == 0, made.output
    done = await desk.run("verify", "--bundle", bundle, "--vkey", desk.vkey, "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["states"] == {"ERASED:asked": 1, "OK": 1_300}

    changed = rewritten(bundle, lambda content: content.replace(b"number 700", b"number 007"))
    done = await desk.run("verify", "--bundle", changed, "--vkey", desk.vkey, "--json")
    assert done.exit_code == 1
    found = json.loads(done.stdout)["findings"]
    assert [(each["what"], each["place"]) for each in found] == [("ALTERED", 700)]


def rewritten(bundle: Path, change: Any) -> Path:
    """Return another bundle, with this change of each file in it."""
    other = bundle.with_name("other.zip")
    with zipfile.ZipFile(bundle) as old, zipfile.ZipFile(other, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(old.read(name)))
    return other


async def test_a_proof_is_kept_and_verified_and_holds_for_no_other_entry(
    settings: Settings, desk: Desk
) -> None:
    proof, entry = desk.folder / "proof", desk.folder / "entry"
    async with node(settings) as (api, user):
        ids = await filled(api, user, SIZE)
        await desk.sit_down(api, user)
        got = await desk.run("prove", ids[7], "-o", proof, "--entry", entry)
    assert got.exit_code == 0, got.output
    right = await desk.run("verify", "--proof", proof, "--entry", entry, "--vkey", desk.vkey)
    assert right.exit_code == 0, right.output
    assert "It is record 7 of localhost/ledger/default" in right.output
    entry.write_bytes(entry.read_bytes().replace(b'"v":1', b'"v":2'))
    wrong = await desk.run("verify", "--proof", proof, "--entry", entry, "--vkey", desk.vkey)
    assert wrong.exit_code == 1


async def test_where_a_file_cannot_be_written_a_sentence_says_so(
    settings: Settings, desk: Desk
) -> None:
    nowhere = desk.folder / "nowhere" / "file"
    async with node(settings) as (api, user):
        ids = await filled(api, user, 3)
        await desk.sit_down(api, user)
        verified = await desk.run("verify", "--vkey", desk.vkey, "--save", nowhere)
        proved = await desk.run("prove", ids[0], "-o", nowhere)
        packed = await desk.run("export", "--bundle", nowhere, "--vkey", desk.vkey)
    assert "3 records: all is right" in verified.output  # what it found is told all the same
    for told in (verified, proved, packed):
        assert (told.exit_code, type(told.exception)) == (1, SystemExit)
        assert "No such file or directory" in told.output


async def test_what_is_no_key_or_no_checkpoint_of_the_log_is_a_mistake_of_the_caller(
    settings: Settings, desk: Desk
) -> None:
    other = desk.folder / "other"
    other.write_text("nothing of the kind")
    async with node(settings) as (api, user):
        await desk.sit_down(api, user)
        no_key = await desk.run("verify", "--vkey", other)
        no_checkpoint = await desk.run("verify", "--vkey", desk.vkey, "--since", other)
    assert (no_key.exit_code, no_checkpoint.exit_code) == (2, 2)


async def test_records_that_nobody_signs_are_a_finding_and_those_signed_late_are_not(
    settings: Settings, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with node(settings) as (api, user):
        await filled(api, user, 3)
        await desk.sit_down(api, user)
        old = (await api.http.get("/ledger/default/checkpoint", headers=user)).content
        await filled(api, user, 4)
        told, signed = [old], api.services.signer.checkpoint

        async def checkpoint(tenant: str) -> Published:
            return Published(3, told.pop()) if told else await signed(tenant)

        monkeypatch.setattr(api.services.signer, "checkpoint", checkpoint)
        late = await desk.run("verify", "--vkey", desk.vkey)
        told += [old] * 99
        monkeypatch.setattr("auditlogservice.runtime.cli.verifying.SIGNING_LOOKS", 1)
        never = await desk.run("verify", "--vkey", desk.vkey)
    assert late.exit_code == 0, late.output
    assert "3 records: all is right" in late.output
    assert never.exit_code == 1
    assert "UNSIGNED: 4 records that were there when this began" in never.output


async def test_of_a_log_that_is_not_there_one_sentence_says_so(
    settings: Settings, desk: Desk
) -> None:
    async with node(settings) as (api, user):
        await filled(api, user, 3)
        await desk.sit_down(api, user)
        done = await desk.run("verify", "--vkey", desk.vkey, "--tenant", "nobody")
    assert done.exit_code == 1
    assert "CHECKPOINT: there is no checkpoint of this log" in done.output
    assert "MISSING" not in done.output
    assert "log, 0 records: 1 findings" in done.output


async def test_fsck_passes_a_whole_store_and_names_what_is_wrong_in_another(
    settings: Settings, desk: Desk
) -> None:
    async with node(settings) as (api, user):
        await filled(api, user, SIZE)
        await desk.sit_down(api, user)
    where = ("--store", settings.store_url, "--vkey", desk.vkey)
    whole = await desk.run("fsck", *where)
    assert whole.exit_code == 0, whole.output
    assert "300 records: all is right" in whole.output
    insider = insider_of(settings)
    rows = insider.rows()
    insider.put(rows[:-1])
    cut = await desk.run("fsck", *where, "--json")
    assert cut.exit_code == 1
    report = json.loads(cut.stdout)
    assert report["logs"]["default"]["states"] == {"MISSING": 1, "OK": SIZE - 1}
    assert report["store"]
