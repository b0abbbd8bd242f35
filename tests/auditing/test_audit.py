"""What an audit says of logs made by hand: tombstones, tiles, checkpoints, and what goes on."""

from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any

import pytest
from made import KEY, ORIGIN, Made, signed

from auditlogservice.auditing import findings
from auditlogservice.auditing.findings import Fault, Finding, State
from auditlogservice.auditing.proceeding import audit, read_checkpoint
from auditlogservice.auditing.served import Served, openings_path
from auditlogservice.checkpoints import Checkpoint
from auditlogservice.merkle import Edge
from auditlogservice.notes import SigningKey
from auditlogservice.tiles import Tile, to_bundle

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from auditlogservice.auditing.findings import Report

KEYS = [KEY.verifier]


def report_of(log: Made, since: Checkpoint | None = None) -> Report:
    return audit(log, keys=KEYS, since=since)[0]


def said(report: Report) -> list[tuple[State | Fault, int | None]]:
    return [(each.what, each.place) for each in report.findings]


# ---- tombstones -------------------------------------------------------------------------


def test_what_a_tombstone_explains_is_erased_for_its_reason() -> None:
    log = Made.of(300)
    log.bury(7)
    log.bury(299, reason=None)
    log.erase(7)
    log.erase(299)
    log.notes.clear()
    report = report_of(log.seal())
    assert report.states == {"OK": 300, "ERASED:asked": 1, "ERASED:no reason": 1}
    assert report.holds


@pytest.mark.parametrize(
    "changed",
    [
        {"_id": "0" * 24},
        {"leaf_hash": "00" * 32},
        {"sequence": 8},
        {"sequence": 300},
        {"sequence": "7"},
        {"user": "mallory"},
    ],
    ids=str,
)
def test_a_tombstone_that_names_something_else_explains_nothing(changed: Any) -> None:
    log = Made.of(300)
    log.bury(7, **changed)
    log.erase(7)
    log.notes.clear()
    assert (State.MISSING, 7) in said(report_of(log.seal()))


@pytest.mark.parametrize("left", ["salts", "payloads"])
def test_what_was_left_behind_makes_an_erasure_incomplete(left: str) -> None:
    log = Made.of(10)
    log.bury(7)
    kept = getattr(log, left)[7]
    log.erase(7)
    getattr(log, left)[7] = kept
    log.notes.clear()
    report = report_of(log.seal())
    assert said(report) == [(State.INCOMPLETE, 7)]
    assert report.states == {"OK": 10, "ERASURE-INCOMPLETE": 1}


def test_content_without_its_salt_proves_nothing() -> None:
    log = Made.of(10)
    log.salts[7] = None
    assert said(report_of(log)) == [(State.ALTERED, 7)]


# ---- while the log goes on --------------------------------------------------------------


def test_what_is_erased_while_it_is_audited_is_erased() -> None:
    log = Made.of(10)
    log.bury(7)
    log.notes.clear()
    log.seal()
    log.later[7] = False  # it was there when it was read, and is not any more
    report = report_of(log)
    assert report.states == {"OK": 10, "ERASED:asked": 1}
    assert report.holds


@pytest.mark.parametrize("left", ["salts", "payloads"])
def test_what_goes_between_two_reads_is_erased(left: str) -> None:
    log = Made.of(10)
    log.bury(7)
    kept = getattr(log, left)[7]
    log.erase(7)
    getattr(log, left)[7] = kept
    log.seal()
    log.later[7] = False
    report = report_of(log)
    assert report.states == {"OK": 10, "ERASED:asked": 1}
    assert report.holds


def test_a_tombstone_behind_the_checkpoint_is_waited_for_in_a_newer_one() -> None:
    log = Made.of(300)
    log.bury(7)
    log.erase(7)
    log.seal()
    report = report_of(log)
    assert (report.size, report.holds) == (301, True)
    assert report.states == {"OK": 300, "ERASED:asked": 1}


def test_a_tombstone_that_nobody_has_signed_yet_explains_where_the_source_tells_it() -> None:
    log = Made.of(300)
    log.bury(7)
    log.erase(7)
    log.tiles = log.grown()
    assert said(report_of(log)) == [(State.MISSING, 7)]
    log.unsigned = 301
    report = report_of(log)
    assert (report.states, report.findings) == ({"OK": 300, "ERASED:asked": 1}, [])
    assert (report.size, report.behind) == (301, 1)


def test_where_no_records_are_a_log_ends_whatever_end_the_source_tells() -> None:
    log = Made.of(300)
    log.erase(7)
    log.unsigned = 100_000
    assert report_of(log).size == 300


def test_a_newer_checkpoint_that_is_not_signed_changes_nothing() -> None:
    log = Made.of(300)
    log.bury(7)
    log.erase(7)
    log.notes.append(signed(301, b"r" * 32, SigningKey(ORIGIN, b"x" * 32)))
    report = report_of(log)
    assert said(report) == [(State.MISSING, 7)]
    assert (report.size, report.behind) == (300, 1)


# ---- the tree -------------------------------------------------------------------------


@pytest.mark.parametrize("tile", [Tile(0, 0), Tile(0, 2), Tile(1, 0)], ids=str)
def test_a_tile_that_does_not_fit_is_found_and_no_record_is_blamed(tile: Tile) -> None:
    log = Made.of(600)
    log.tiles[tile] = bytes([log.tiles[tile][0] ^ 1]) + log.tiles[tile][1:]
    report = report_of(log)
    assert {each.what for each in report.findings} == {Fault.TILE}
    assert report.states == {"OK": 600}


def test_an_entry_that_does_not_fit_is_the_only_one_to_blame() -> None:
    log = Made.of(600)
    log.entries[7], log.entries[8] = log.entries[8], log.entries[7]
    assert said(report_of(log)) == [(State.ALTERED, 7), (State.ALTERED, 8)]


@pytest.mark.parametrize("raw", [b"", b"{}", b'{"v":2}'], ids=str)
def test_what_is_no_entry_is_altered(raw: bytes) -> None:
    log = Made.of(10)
    log.entries[7] = raw
    assert said(report_of(log)) == [(State.ALTERED, 7)]


# ---- checkpoints ------------------------------------------------------------------------


@pytest.mark.parametrize(
    "note",
    [
        b"",
        b"nothing of the kind",
        signed(0, Edge().root, SigningKey(ORIGIN, b"x" * 32)),
        signed(0, Edge().root, SigningKey("other.example/ledger/acme", b"k" * 32)),
    ],
)
def test_a_checkpoint_that_the_log_did_not_sign_is_found(note: bytes) -> None:
    log = Made.of(10)
    log.notes = [note]
    report = report_of(log)
    assert said(report) == [(Fault.CHECKPOINT, None)]
    assert report.states == {"OK": 10}  # the records are looked at all the same


def test_a_tree_that_was_not_signed_is_found() -> None:
    log = Made.of(10)
    log.notes = [signed(10, b"r" * 32)]
    assert said(report_of(log)) == [(Fault.ROOT, None)]


@pytest.mark.parametrize("size", [0, 1, 2, 255, 256, 257, 511, 600])
def test_a_log_extends_what_it_was_and_nothing_else(size: int) -> None:
    log = Made.of(600)
    root = Edge().extended(log.leaf(place) for place in range(size)).root
    assert report_of(log, Checkpoint(ORIGIN, size, root)).holds
    if size:
        other = Checkpoint(ORIGIN, size, b"r" * 32)
        assert said(report_of(log, other)) == [(Fault.REWRITTEN, None)]


def test_old_tiles_do_not_vouch_for_new_entries() -> None:
    """Signed anew, with the key: tiles of before, beside entries that are other ones."""
    before, log = Made.of(300), Made.of(300)
    root = Edge().extended(before.leaf(place) for place in range(256)).root
    log.tiles[Tile(0, 0)] = before.tiles[Tile(0, 0)]
    found = said(report_of(log, Checkpoint(ORIGIN, 256, root)))
    assert (Fault.REWRITTEN, None) in found


def test_a_log_that_was_larger_before_has_shrunk() -> None:
    before = Checkpoint(ORIGIN, 11, b"r" * 32)
    assert said(report_of(Made.of(10), before)) == [(Fault.SHRUNK, None)]


def test_a_checkpoint_is_read_with_any_of_the_keys() -> None:
    other = SigningKey(ORIGIN, b"x" * 32)
    note = signed(0, Edge().root, other)
    assert read_checkpoint(note, [KEY.verifier, other.verifier]).size == 0


def test_all_findings_are_counted_and_the_first_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(findings, "MAX_FINDINGS", 3)
    log = Made.of(10)
    log.payloads = [None] * 10
    report = report_of(log)
    assert (report.found, len(report.findings)) == (10, 3)
    assert report.states == {"MISSING": 10}


# ---- as it is served ----------------------------------------------------------------------


class MadeFiles:
    """Serves a log that was made by hand."""

    def __init__(self, log: Made) -> None:
        self._log = log
        self.answered = [
            b'%b,"sequence":%d}' % (payload[:-1], place)
            for place, payload in enumerate(log.payloads)
            if payload is not None
        ]

    def get(self, paths: Sequence[str]) -> list[bytes]:
        return [self._get(path) for path in paths]

    def each(self, groups: Iterable[Sequence[str]]) -> Iterator[list[bytes]]:
        return map(self.get, groups)

    def records(self, first: int, end: int) -> Iterator[bytes]:
        assert (first, end) == (0, self.size())
        yield from self.answered

    def size(self) -> int:
        return len(self._log.entries)

    def has_content(self, place: int) -> bool:
        return self._log.has_content(place)

    def _get(self, path: str) -> bytes:
        size = self.size()
        found = {
            "checkpoint": self._log.notes[0],
            f"tile/entries/000.p/{size}": to_bundle(entry or b"" for entry in self._log.entries),
            f"tile/0/000.p/{size}": self._log.tiles[Tile(0, 0)],
            openings_path(0): b'{"first":0,"salts":[%b]}'
            % b",".join(b'"%b"' % b64encode(salt or b"") for salt in self._log.salts),
        }
        return found.get(path, b"")


@pytest.fixture
def files() -> MadeFiles:
    return MadeFiles(Made.of(10))


def served(files: MadeFiles) -> Report:
    return audit(Served(files), keys=KEYS)[0]


def test_a_log_that_is_served_as_it_is_holds(files: MadeFiles) -> None:
    report = served(files)
    assert (report.states, report.findings) == ({"OK": 10}, [])


def test_records_out_of_their_order_are_found(files: MadeFiles) -> None:
    files.answered[3], files.answered[4] = files.answered[4], files.answered[3]
    assert said(served(files)) == [(State.MISSING, 3), (Fault.FEED, 3)]


def test_a_record_that_is_told_twice_is_found(files: MadeFiles) -> None:
    files.answered.insert(4, files.answered[3])
    assert served(files).findings == [
        Finding(Fault.FEED, "a record is told out of its order, or twice", 3)
    ]


def test_a_record_that_does_not_say_its_place_is_found(files: MadeFiles) -> None:
    files.answered[3] = b'{"_id":"x"}'
    assert said(served(files)) == [(State.MISSING, 3), (Fault.FEED, None)]
