"""The log proves itself to whoever holds its key and asks over HTTP, and to nobody else."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import naive_tree
from auditlogservice.access import DEFAULT_TENANT, Scope
from auditlogservice.checkpoints import Checkpoint, EntryProof, open_checkpoint
from auditlogservice.entries import commitment, parse_entry
from auditlogservice.errors import ProofInvalid
from auditlogservice.events import EventId
from auditlogservice.ledger.proving import signer as signing
from auditlogservice.ledger.proving.keyring import Keyring
from auditlogservice.merkle import EMPTY_ROOT, leaf_hash
from auditlogservice.notes import Note, VerifierKey
from auditlogservice.runtime.signing import rotate
from auditlogservice.runtime.stores import open_store, utc_now
from auditlogservice.tiles import parse_bundle
from running import EVENT, running, said_already
from vandal import vandal_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx2
    from pymongo import MongoClient

    from auditlogservice.runtime.settings import Settings
    from running import Api
    from vandal import Vandal

LOG = f"/ledger/{DEFAULT_TENANT}"
IMMUTABLE = "private, max-age=31536000, immutable"


@dataclass
class Auditor:
    """A stranger with a token, who believes nothing but the key of the log."""

    api: Api
    user: dict[str, str]

    @classmethod
    async def of(cls, api: Api, name: str = "auditor") -> Auditor:
        return cls(api, await api.add(name))

    async def get(self, path: str, **headers: str) -> httpx2.Response:
        return await self.api.http.get(path, headers={**self.user, **headers})

    async def bytes(self, path: str) -> bytes:
        answer = await self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def keys(self) -> list[VerifierKey]:
        lines = (await self.bytes(f"{LOG}/keys")).decode().splitlines()
        return [VerifierKey.parse(line) for line in lines]

    async def checkpoint(self) -> Checkpoint:
        note = Note.parse(await self.bytes(f"{LOG}/checkpoint"))
        return open_checkpoint(note, (await self.keys())[0])[0]

    async def record(self, number: int) -> list[dict[str, Any]]:
        """Have events recorded; return the records."""
        events = [{**EVENT, "detail": f"event {place}"} for place in range(number)]
        answer = await self.api.http.post("/events/batch", json=events, headers=self.user)
        assert answer.status_code == 200, answer.text
        return await self.api.listed(self.user, f"?sort=timestamp&limit={number}")

    async def proof(self, event_id: str) -> EntryProof:
        return EntryProof.parse(await self.bytes(f"/events/{event_id}/proof"))

    async def opened(self, event_id: str) -> dict[str, Any]:
        answer = await self.get(f"/events/{event_id}/proof", accept="application/json")
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


async def refusal(auditor: Auditor, path: str) -> tuple[int, str]:
    """The status and the code of what a question is answered with."""
    answer = await auditor.get(path)
    return answer.status_code, answer.json()["code"]


# ---- checkpoints ------------------------------------------------------------------------


async def test_a_log_without_events_has_a_checkpoint(api: Api) -> None:
    auditor = await Auditor.of(api)
    origin = f"localhost{LOG}"
    assert await auditor.checkpoint() == Checkpoint(origin, 0, EMPTY_ROOT)


async def test_a_checkpoint_covers_what_was_acknowledged_before(api: Api) -> None:
    auditor = await Auditor.of(api)
    for size in range(1, 6):
        await api.record(auditor.user)
        assert (await auditor.checkpoint()).size >= size


async def test_a_checkpoint_is_asked_for_anew_each_time(api: Api) -> None:
    auditor = await Auditor.of(api)
    answer = await auditor.get(f"{LOG}/checkpoint")
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "private, no-cache"


# ---- proofs -----------------------------------------------------------------------------


async def test_each_event_is_proven_with_its_entry(api: Api) -> None:
    auditor = await Auditor.of(api)
    records = await auditor.record(7)
    (key,) = await auditor.keys()
    for record in records:
        told = await auditor.opened(record["_id"])
        proof = EntryProof.parse(told["proof"].encode())
        assert (await auditor.proof(record["_id"])).index == proof.index == record["sequence"]
        assert proof.verify(leaf_hash(told["entry"].encode()), key).size >= 7
        with pytest.raises(ProofInvalid):
            proof.verify(leaf_hash(told["entry"].replace('"v":1', '"v":2').encode()), key)


def without_sequence(record: bytes) -> bytes:
    """What was sealed: a record, but for its place in the log, which the leaf's place tells."""
    sealed, sequence, _ = record.rpartition(b',"sequence":')
    assert sequence
    return sealed + b"}"


async def test_the_opening_of_a_proof_is_the_event_as_the_api_returns_it(api: Api) -> None:
    auditor = await Auditor.of(api)
    record = await api.record(auditor.user, detail="é", event_data={"big": 2**63 - 1})
    told = await auditor.opened(record["_id"])
    entry = parse_entry(told["entry"].encode())
    content = without_sequence(await auditor.bytes(f"/events/{record['_id']}"))
    assert told["opening"]["payload"].encode() == content
    salt = base64.b64decode(told["opening"]["salt"])
    assert entry.commitment == commitment(salt, EventId(record["_id"]), content)
    assert entry.id == record["_id"]


async def test_the_salts_of_openings_open_what_the_bundles_hold(api: Api) -> None:
    auditor = await Auditor.of(api)
    records = await auditor.record(258)
    for number, width in ((0, 256), (1, 2)):
        path = f"{number:03}" if width == 256 else f"{number:03}.p/{width}"
        entries = parse_bundle(await auditor.bytes(f"{LOG}/tile/entries/{path}"))
        opened = json.loads(await auditor.bytes(f"{LOG}/openings/{number}"))
        assert (opened["first"], len(opened["salts"])) == (number * 256, width)
        for place, (raw, salt) in enumerate(zip(entries, opened["salts"], strict=True)):
            record = records[number * 256 + place]
            content = without_sequence(await auditor.bytes(f"/events/{record['_id']}"))
            expected = commitment(base64.b64decode(salt), EventId(record["_id"]), content)
            assert parse_entry(raw).commitment == expected


async def test_without_the_right_to_read_events_a_proof_has_no_opening(api: Api) -> None:
    record = await api.record(await api.add("alice"))
    prover = Auditor(api, await api.add("prover", Scope.LEDGER_READ))
    told = await prover.opened(record["_id"])
    assert told["opening"] is None
    assert parse_entry(told["entry"].encode()).id == record["_id"]


async def test_a_proof_says_that_its_form_follows_what_is_accepted(api: Api) -> None:
    auditor = await Auditor.of(api)
    path = f"/events/{(await api.record(auditor.user))['_id']}/proof"
    for accept, media in (("*/*", "text/plain"), ("application/json", "application/json")):
        answer = await auditor.get(path, accept=accept)
        assert answer.headers["content-type"].partition(";")[0] == media
        assert "accept" in answer.headers["vary"].lower()


# ---- erasure ----------------------------------------------------------------------------


async def test_what_was_proven_before_an_erasure_is_proven_after_it(api: Api) -> None:
    auditor = await Auditor.of(api)
    records = await auditor.record(5)
    gone = records[2]
    (key,) = await auditor.keys()
    before = await auditor.opened(gone["_id"])
    old = await auditor.checkpoint()
    erased = await api.http.delete(f"/events/{gone['_id']}", headers=auditor.user)
    assert erased.status_code == 204
    after = await auditor.opened(gone["_id"])
    assert before["opening"] is not None
    assert (after["entry"], after["opening"]) == (before["entry"], None)
    leaf = leaf_hash(after["entry"].encode())
    for told in (before, after):
        EntryProof.parse(told["proof"].encode()).verify(leaf, key)
    opened = json.loads(await auditor.bytes(f"{LOG}/openings/0"))
    assert [salt is None for salt in opened["salts"]] == [place == 2 for place in range(6)]
    new = await auditor.checkpoint()
    hashes = await leaves(auditor, new.size)
    assert (naive_tree.root(hashes[: old.size]), naive_tree.root(hashes)) == (old.root, new.root)
    assert new.size == 6  # the tombstone is a leaf like any other


async def leaves(auditor: Auditor, size: int) -> list[bytes]:
    """The leaf hashes of the first `size` entries, as the bundles have them."""
    found: list[bytes] = []
    for number in range(0, size, 256):
        width = min(256, size - number)
        suffix = "" if width == 256 else f".p/{width}"
        raw = await auditor.bytes(f"{LOG}/tile/entries/{number // 256:03}{suffix}")
        found += map(leaf_hash, parse_bundle(raw))
    return found


# ---- tiles ------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 255, 256, 257, 1_000])
async def test_tiles_and_bundles_make_the_signed_root(api: Api, size: int) -> None:
    auditor = await Auditor.of(api)
    await auditor.record(size)
    checkpoint = await auditor.checkpoint()
    assert checkpoint.size == size
    hashes = await leaves(auditor, size)
    assert naive_tree.root(hashes) == checkpoint.root
    tiles = [
        await auditor.bytes(f"{LOG}/tile/0/{number:03}{suffix(size - number * 256)}")
        for number in range((size + 255) // 256)
    ]
    assert b"".join(tiles) == b"".join(hashes)
    if full := size // 256:
        above = b"".join(
            naive_tree.root(hashes[at : at + 256]) for at in range(0, full * 256, 256)
        )
        assert await auditor.bytes(f"{LOG}/tile/1/000{suffix(full)}") == above


def suffix(width: int) -> str:
    return "" if width >= 256 else f".p/{width}"


async def test_the_widths_of_the_past_stay_served_and_never_change(api: Api) -> None:
    auditor = await Auditor.of(api)
    await auditor.record(3)
    paths = [f"{LOG}/tile/{kind}/000.p/{width}" for kind in ("0", "entries") for width in (1, 3)]
    before = [await auditor.bytes(path) for path in paths]
    await auditor.record(300)
    assert [await auditor.bytes(path) for path in paths] == before
    for path in paths:
        assert (await auditor.get(path)).headers["cache-control"] == IMMUTABLE


@pytest.mark.parametrize(
    "path",
    [
        "tile/0/000",
        "tile/0/000.p/0",
        "tile/0/000.p/3",
        "tile/0/000.p/256",
        "tile/0/000.p/02",
        "tile/0/001.p/1",
        "tile/0/0.p/2",
        "tile/00/000.p/2",
        "tile/1/000.p/1",
        "tile/64/000.p/1",
        "tile/0/x000/000.p/2",
        "tile/0/000.p",
        "tile/0/000.p/%32%00",
        "tile/0",
        "tile/",
        f"tile/0/{'x999/' * 5}999",
        f"tile/0/{'x999/' * 900}999",
        "tile/entries/000",
        "tile/entries/000.p/3",
        "tile/entries/001.p/1",
        "tile/entries/0",
        "tile/data/000.p/2",
        "openings/1",
        "openings/00",
        "openings/-1",
        "openings/+0",
        "openings/\N{ARABIC-INDIC DIGIT ZERO}",
        "openings/x",
        f"openings/{2**63}",
        f"openings/{'9' * 5_000}",
    ],
)
async def test_what_the_tree_does_not_have_is_not_found(memory_api: Api, path: str) -> None:
    auditor = await Auditor.of(memory_api)
    await auditor.record(2)
    assert (await auditor.get(f"{LOG}/{path}")).status_code == 404


# ---- who may ------------------------------------------------------------------------------

READS = [
    (f"{LOG}/checkpoint", {Scope.LEDGER_READ}),
    (f"{LOG}/keys", {Scope.LEDGER_READ}),
    (f"{LOG}/tile/0/000.p/1", {Scope.LEDGER_READ}),
    (f"{LOG}/tile/entries/000.p/1", {Scope.LEDGER_READ}),
    (f"{LOG}/openings/0", {Scope.LEDGER_READ, Scope.EVENTS_READ}),
]


@pytest.mark.parametrize(("path", "needed"), READS)
async def test_the_ledger_is_for_those_who_may_read_it(
    memory_api: Api, path: str, needed: set[Scope]
) -> None:
    await memory_api.record(await memory_api.add("alice"))
    may = await memory_api.add("may", *needed)
    assert (await memory_api.http.get(path, headers=may)).status_code == 200
    for scope in needed:
        lacking = await memory_api.add(f"without-{scope.name.lower()}", *(set(Scope) - {scope}))
        assert (await memory_api.http.get(path, headers=lacking)).status_code == 403
    assert (await memory_api.http.get(path)).status_code == 401


@pytest.mark.parametrize("path", [path for path, _ in READS])
async def test_the_log_of_another_tenant_looks_like_none(memory_api: Api, path: str) -> None:
    await memory_api.record(await memory_api.add("alice"))
    stranger = await memory_api.add("mallory", tenant="other")
    theirs = await memory_api.http.get(path, headers=stranger)
    nobodys = await memory_api.http.get(path.replace(DEFAULT_TENANT, "nobody"), headers=stranger)
    assert (theirs.status_code, theirs.json()["detail"]) == (404, nobodys.json()["detail"])


async def test_the_event_of_another_tenant_is_not_proven(memory_api: Api) -> None:
    record = await memory_api.record(await memory_api.add("alice"))
    stranger = await memory_api.add("mallory", tenant="other")
    path = f"/events/{record['_id']}/proof"
    assert (await memory_api.http.get(path, headers=stranger)).status_code == 404


# ---- an older backup in the place of the database -----------------------------------------


@dataclass
class Backup:
    """A copy of the whole database, put back as an operator would do it, the service stopped."""

    settings: Settings
    folder: Path
    mongo: MongoClient[dict[str, Any]] | None

    def take(self) -> None:
        if self.mongo is None:
            self.folder.mkdir()
            for file in self._files:
                shutil.copy(file, self.folder)
            return
        names = self.mongo[self._name].list_collection_names()
        self.kept = {name: list(self.mongo[self._name][name].find()) for name in names}

    def put_back(self) -> None:
        if self.mongo is None:
            for file in self._files:
                file.unlink()
            for file in self.folder.iterdir():
                shutil.copy(file, self._path.parent)
            return
        for name in self.mongo[self._name].list_collection_names():
            self.mongo[self._name][name].delete_many({})
            if documents := self.kept.get(name):
                self.mongo[self._name][name].insert_many(documents)

    @property
    def _path(self) -> Path:
        return Path(self.settings.store_url.removeprefix("sqlite:///"))

    @property
    def _files(self) -> list[Path]:
        return list(self._path.parent.glob(f"{self._path.name}*"))

    @property
    def _name(self) -> str:
        return self.settings.store_url.rpartition("/")[2].partition("?")[0]


@pytest.fixture
def backups(
    settings: Settings, tmp_path: Path, request: pytest.FixtureRequest
) -> Callable[[str], Backup]:
    """Take a backup of this name."""

    def take(name: str) -> Backup:
        is_file = settings.store_url.startswith("sqlite")
        mongo = None if is_file else request.getfixturevalue("mongo")
        backup = Backup(settings, tmp_path / name, mongo)
        backup.take()
        return backup

    return take


async def test_an_older_backup_is_not_signed_and_the_right_database_is_again(
    settings: Settings, backups: Callable[[str], Backup], capfd: pytest.CaptureFixture[str]
) -> None:
    await said_already(settings)
    async with running(settings) as api:
        await (await Auditor.of(api)).record(3)
    old = backups("old")
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        await auditor.record(4)
        last = await auditor.checkpoint()
    new = backups("new")

    old.put_back()
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        assert (await auditor.checkpoint()).size == 3
        record = await api.record(auditor.user)
        assert await refusal(auditor, f"/events/{record['_id']}/proof") == (503, "not-signed")
        assert (await auditor.checkpoint()).size == 3
        assert (await api.http.get("/readyz")).status_code == 200
        assert "\nauditlog_unsigned_logs 1.0\n" in (await api.http.get("/metrics")).text
    assert "".join(capfd.readouterr()).count("an older backup is in the place of") == 1

    new.put_back()
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        assert await auditor.checkpoint() == last
        await auditor.record(1)
        assert (await auditor.checkpoint()).size == 8
        assert "\nauditlog_unsigned_logs 0.0\n" in (await api.http.get("/metrics")).text


async def test_an_older_backup_that_grew_beyond_what_was_signed_is_not_signed(
    settings: Settings, backups: Callable[[str], Backup]
) -> None:
    """Its size alone would not tell."""
    await said_already(settings)
    async with running(settings) as api:
        await (await Auditor.of(api)).record(3)
    old = backups("old")
    async with running(settings) as api:
        await Auditor(api, await api.sign_in("auditor")).record(4)
    old.put_back()
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        await auditor.record(9)
        assert (await auditor.checkpoint()).size == 3
        assert list(api.services.signer.refusals.values()) == [
            "the tree is another one than was signed at size 7"
        ]


# ---- what somebody did to the database ------------------------------------------------------

MISDEEDS: dict[str, Callable[[Vandal], Awaitable[None]]] = {
    "altered": lambda vandal: vandal.recommit(DEFAULT_TENANT, 1),
    "tile": lambda vandal: vandal.flip_tile(DEFAULT_TENANT),
    "note": lambda vandal: vandal.set_checkpoint(DEFAULT_TENANT, 3, b"note"),
}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_what_does_not_prove_itself_is_not_proven(
    api: Api, settings: Settings, misdeed: str
) -> None:
    """No bytes leave that a verifier would refuse, as far as the service can tell itself."""
    auditor = await Auditor.of(api)
    records = await auditor.record(3)
    await auditor.checkpoint()
    store = await open_store(settings)
    await MISDEEDS[misdeed](vandal_of(store))
    await store.close()
    path = f"/events/{records[1]['_id']}/proof"
    assert await refusal(auditor, path) == (503, "ledger-damaged")


async def test_an_event_that_is_not_signed_yet_says_when_to_come_again(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing, "PATIENCE", 0.2)
    async with running(settings):
        pass  # it has the key …
    silent = settings.model_copy(update={"data_dir": tmp_path / "silent"})
    async with running(silent) as api:  # … and this node has none
        auditor = await Auditor.of(api)
        record = await api.record(auditor.user)
        answer = await auditor.get(f"/events/{record['_id']}/proof")
        assert (answer.status_code, answer.json()["code"]) == (503, "not-signed")
        assert int(answer.headers["retry-after"]) > 0


# ---- keys -------------------------------------------------------------------------------


async def test_after_a_rotation_the_old_key_and_the_new_one_verify(
    settings: Settings,
) -> None:
    await said_already(settings)
    async with running(settings) as api:
        auditor = await Auditor.of(api)
        await auditor.record(2)
        (old,) = await auditor.keys()
        before = await auditor.bytes(f"{LOG}/checkpoint")
    store = await open_store(settings)
    await rotate(settings.data_dir, Keyring(store.documents, clock=utc_now))
    await store.close()
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        new, second = await auditor.keys()
        assert second == old
        note = Note.parse(await auditor.bytes(f"{LOG}/checkpoint"))
        assert open_checkpoint(note, old)[0] == open_checkpoint(note, new)[0]
        await api.services.keyring.retire(old.public)
    async with running(settings) as api:
        auditor = Auditor(api, await api.sign_in("auditor"))
        await auditor.record(1)
        note = Note.parse(await auditor.bytes(f"{LOG}/checkpoint"))
        assert open_checkpoint(note, new)[0].size == 3
        with pytest.raises(ProofInvalid):
            open_checkpoint(note, old)
        assert await auditor.keys() == [new, old]
    assert open_checkpoint(Note.parse(before), old)[0].size == 2


# ---- many nodes ---------------------------------------------------------------------------


async def test_two_nodes_prove_what_either_recorded(settings: Settings, tmp_path: Path) -> None:
    """They share the keys, and nothing else but the store; every checkpoint is of one history."""
    folders = [tmp_path / "one", tmp_path / "other"]
    one, other = (settings.model_copy(update={"data_dir": folder}) for folder in folders)
    async with running(one) as first:
        here = await Auditor.of(first)
        shutil.copytree(folders[0] / "ledger-keys", folders[1] / "ledger-keys")
        async with running(other) as second:
            there = Auditor(second, here.user)
            checkpoints = []
            for _ in range(5):
                records = await asyncio.gather(*(first.record(here.user) for _ in range(3)))
                records += await asyncio.gather(*(second.record(here.user) for _ in range(3)))
                for record in records:
                    for node in (here, there):
                        assert (await node.proof(record["_id"])).index == record["sequence"]
                checkpoints += [await here.checkpoint(), await there.checkpoint()]
            hashes = await leaves(there, 30)
    assert [one.size for one in checkpoints[-2:]] == [30, 30]
    for checkpoint in checkpoints:
        assert naive_tree.root(hashes[: checkpoint.size]) == checkpoint.root


async def test_what_was_recorded_last_is_signed_before_the_end(settings: Settings) -> None:
    async with running(settings) as api:
        await (await Auditor.of(api)).record(300)
    store = await open_store(settings)
    published = await store.ledger.published(DEFAULT_TENANT)
    await store.close()
    assert published is not None
    assert published.size == 300
